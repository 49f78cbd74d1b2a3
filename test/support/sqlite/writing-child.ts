// A program beside the compactor that writes the table by its name: it changes the rows of its share, adds some, takes some away, and
// remembers what it did. Told to end by the end of its standard input, it says in one line of JSON what its rows must be now.
import { judged } from './bystander.ts'
import { eventData, eventKind } from './events-database.ts'
import { openJudge } from './judge.ts'
import { seeded } from '../synapse/random.ts'

const { file, seed, share, shares, rows, bytes } = JSON.parse(process.argv[2]!) as {
  file: string
  seed: number
  share: number
  shares: number
  rows: number
  bytes?: number
}

const random = seeded(seed)
const db = openJudge(file, { timeout: 2000 })
db.pragma('synchronous = off')
db.pragma('foreign_keys = on')
const update = db.prepare('UPDATE events SET version = ?, data = ? WHERE id = ?')
const touch = db.prepare('UPDATE events SET kind = kind WHERE id = ?')
const insert = db.prepare('INSERT INTO events (id, kind, version, data) VALUES (?, ?, ?, ?)')
const remove = db.prepare('DELETE FROM events WHERE id = ?')

/** Pairs of rows that are this writer's, by the odd id, with their version; undefined for pairs that are gone. */
const versions = new Map<number, number | undefined>()
for (let odd = 1; odd < rows; odd += 2) if (((odd - 1) / 2) % shares === share) versions.set(odd, 0)
const odds = [...versions.keys()]
let next = 1_000_001 + share * 1_000_000

const write = (odd: number, act: (id: number) => void): void => {
  db.exec('BEGIN IMMEDIATE')
  try {
    act(odd)
    act(odd + 1)
    db.exec('COMMIT')
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK')
    throw error
  }
}

await judged(
  2,
  (act) => {
    const odd = random.pick(odds)
    const version = versions.get(odd)
    const done = act('write', () => {
      if (version === undefined) {
        write(odd, (id) => insert.run(id, eventKind(id), 7, eventData(id, 7, bytes)))
        return 7
      }
      const choice = random.below(10)
      if (choice === 0) {
        write(odd, (id) => remove.run(id))
        return 'gone' as const
      }
      if (choice === 1) {
        write(odd, (id) => touch.run(id))
        return version
      }
      if (choice === 2) {
        write(next, (id) => insert.run(id, eventKind(id), 1, eventData(id, 1, bytes)))
        versions.set(next, 1)
        odds.push(next)
        next += 2
        return version
      }
      write(odd, (id) => update.run(version + 1, eventData(id, version + 1, bytes), id))
      return version + 1
    })
    if (done !== undefined) versions.set(odd, done === 'gone' ? undefined : done)
    return []
  },
  () => ({ versions: [...versions].map(([odd, version]) => [odd, version ?? null]) }),
)
db.close()
