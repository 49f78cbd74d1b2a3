// P5: parts of a bucket's name come from users. Whatever they write there stays a name: in statements, in scripts, in reports.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { checkBuckets } from '../../../src/powersync/check/check.ts'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import { inspectBuckets } from '../../../src/powersync/inspect/inspect.ts'
import { readBuckets } from '../../support/powersync/operations.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { emptyStorage, storageOf } from '../../support/powersync/storages.ts'
import type { FreshDatabase } from '../../support/postgres.ts'
import { execute, sound } from './scene.ts'

const strike = 'DROP TABLE public.victim;'
const names = [
  `1#by_user["'; ${strike} --"]`,
  `1#by_user["$tamp$; ${strike} --"]`,
  `1#by_user["$tamp$\nEND; $tamp$;\nCOMMIT;\n${strike}\n"]`,
  `1#by_user["\\\\'; ${strike} --\\\\"]`,
  `1#by_user["\n${strike}\n\\\\! true\n"]`,
  `1#by_user["\r${strike}\r*/ ${strike}"]`,
  `1#by_user["% :victim :'victim' :{?victim} $1 {} NULL"]`,
]

let database: FreshDatabase
let storage: BucketStorage
const checkpoints: number[] = []

beforeEach(async () => {
  database = await emptyStorage(2)
  await database.query('CREATE TABLE public.victim ()')
  const replicator = new Replicator(await database.connect(), { table: `li'sts$tamp$` })
  const many = Array.from({ length: 8 }, (_, n) => `it's $tamp$ \\ ${n}`)
  checkpoints.length = 0
  for (const changes of [
    [{ id: 'kept', row: { id: 'kept' }, buckets: names }],
    many.map((id) => ({ id, row: { id }, buckets: names })),
    many.map((id) => ({ id, row: null, buckets: [] })),
  ]) {
    await replicator.flush(changes)
    checkpoints.push(await replicator.commit())
  }
  storage = await storageOf(database)
})
afterEach(() => database[Symbol.asyncDispose]())

async function expectUnharmed(): Promise<void> {
  expect(await database.query(`SELECT to_regclass('public.victim') IS NOT NULL`)).toEqual([[true]])
  expect([...(await readBuckets(database)).keys()].sort()).toEqual([...names].sort())
}

/** As psql sends it: meta-commands are not for the server, and an error of one transaction does not keep the next from running. */
async function runScript(script: string): Promise<string[]> {
  const errors: string[] = []
  await using psql = await database.connect()
  const parts = script
    .split(/^(?=BEGIN ISOLATION|DO \$)|(?<=^END \$tamp\$;)$/m)
    .map((part) => part.replaceAll(/^\\set .*$/gm, ''))
  for (const part of parts)
    try {
      await psql.query(part)
    } catch (error) {
      errors.push((error as Error).message)
      await psql.query('ROLLBACK')
    }
  return errors
}

test('P5: compacting, inspecting and checking', async () => {
  const before = await readBuckets(database)
  const seen: string[] = []
  for await (const { bucket } of inspectBuckets(storage, { grace: 0 })) seen.push(bucket)
  expect(seen.sort()).toEqual([...names].sort())
  for (const name of names)
    expect(await compactBuckets(storage, { mode: 'dry-run', grace: 0, buckets: [name] })).toMatchObject(sound)
  expect(await readBuckets(database)).toEqual(before)
  expect(await execute(storage, { proof: 'full' })).toMatchObject(sound)
  await expectUnharmed()
  for await (const finding of checkBuckets(storage)) expect(finding).toBeUndefined()
})

describe('scripts', () => {
  test('P5: of compacting', async () => {
    let script = ''
    await compactBuckets(storage, { mode: 'script', grace: 0, write: (text) => void (script += text) })
    expect(await runScript(script)).toEqual([])
    await expectUnharmed()
    expect((await execute(storage)).units.planned).toBe(0)
  })

  test.each(['reinsert', 'relocate'] as const)('P5: of defragmenting, %s', async (how) => {
    let script = ''
    const given = how === 'relocate' ? { checkpoints } : {}
    const options = { how, grace: 0, ...given, write: (text: string) => void (script += text) }
    const planned = await defragmentBuckets(storage, { mode: 'script', ...options })
    expect(planned.buckets.length).toBeGreaterThan(0)
    expect(await runScript(script)).toEqual([])
    await expectUnharmed()
    const puts = [...(await readBuckets(database)).values()].map((operations) =>
      operations.filter(({ rowId, op }) => rowId === 'kept' && op === 'PUT').map(({ opId }) => opId),
    )
    // Each has been moved.
    expect(puts.filter((own) => own.at(-1)! > checkpoints[0]!)).toHaveLength(planned.buckets.length)
  })

  test.each(['reinsert', 'relocate'] as const)('P5: executed, %s', async (how) => {
    const given = how === 'relocate' ? { grace: 0, checkpoints } : { grace: 600 }
    const report = await defragmentBuckets(storage, { mode: 'execute', how, ...given })
    expect(report).toMatchObject({ complete: true, skipped: [] })
    expect(report.itemsChanged).toBeGreaterThan(0)
    await expectUnharmed()
  })
})
