// A program beside the compactor that reads the table by its name, never waits for a lock, and judges every row it gets.
// Told to end by the end of its standard input, it says in one line of JSON what it saw.
import { judged } from './bystander.ts'
import { isRight } from './events-database.ts'
import { openJudge } from './judge.ts'
import { seeded } from '../synapse/random.ts'

const {
  file,
  seed,
  bytes,
  timeout = 0,
} = JSON.parse(process.argv[2]!) as {
  file: string
  seed: number
  bytes?: number
  timeout?: number
}

const random = seeded(seed)
const db = openJudge(file, { readonly: true, timeout })
const one = db.prepare<[number], [number, number, unknown]>('SELECT id, version, data FROM events WHERE id = ?').raw()
const many = db
  .prepare<[number, number], [number, number, unknown]>('SELECT id, version, data FROM events WHERE id BETWEEN ? AND ?')
  .raw()
const byStart = db
  .prepare<[string], [number, number, unknown]>('SELECT id, version, data FROM events WHERE substr(data, 1, 40) = ?')
  .raw()
// Writers give both rows of a pair the same version in one transaction.
const pairs = db
  .prepare(
    `SELECT count(*) FROM events a JOIN events b ON b.id = a.id + 1 AND a.id % 2 = 1 WHERE a.version <> b.version`,
  )
  .pluck()
const highest = db.prepare('SELECT max(id) FROM events').pluck()

await judged(1, (act) => {
  const wrong: unknown[] = []
  const judge = (rows: readonly [number, number, unknown][]): void => {
    for (const [id, version, data] of rows)
      if (!isRight(id, version, data, bytes)) wrong.push({ id, version, got: data })
  }
  const last = act('highest', () => highest.get() as number)
  if (last === undefined) return wrong
  for (let i = 0; i < 20; i++) {
    const row = act('one', () => one.get(1 + random.below(last)))
    if (row !== undefined) judge([row])
  }
  const from = 1 + random.below(last)
  judge(act('many', () => many.all(from, from + 60)) ?? [])
  const sample = act('one', () => one.get(1 + random.below(last)))
  if (sample !== undefined && typeof sample[2] === 'string' && sample[2].length > 60)
    judge(act('start', () => byStart.all((sample[2] as string).slice(0, 40))) ?? [])
  const torn = act('pairs', () => pairs.get() as number)
  if (torn !== undefined && torn !== 0) wrong.push({ torn })
  return wrong
})
db.close()
