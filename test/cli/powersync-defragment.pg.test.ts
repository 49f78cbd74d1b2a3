// `tamp powersync defragment` as a user runs it: the price and the gain of each way, and what is left to do.
import { expect, test } from 'vitest'
import { loadStorage, publish } from '../support/powersync/storages.ts'
import type { LoadedStorage } from '../support/powersync/storages.ts'
import { runTamp } from './run-tamp.ts'

const defragment = (database: LoadedStorage, ...words: string[]): string[] => [
  'powersync',
  'defragment',
  '--connection',
  database.url,
  ...words,
]
const operationsOf = async (database: LoadedStorage, bucket: string): Promise<number> => {
  const [row] = await database.query<[number]>('SELECT count(*) FROM bucket_data WHERE bucket_name = $1', [bucket])
  return row![0]
}

test('reinsert: one row moved and published, and ten thousand operations are gone with the next compaction', async () => {
  await using database = await loadStorage(2)
  const how = ['--how', 'reinsert', '--bucket', '1#global[]', '--max-resync-rows', '1']
  const dry = await runTamp(defragment(database, ...how))
  expect(dry).toMatchObject({ status: 0, err: '' })
  expect(dry.out).toMatch(/^1#global\[\] +1 +2 +10,002 +10,002 +3 /m)
  expect(dry.out).toMatch(/^A new client would be spared 9,999 operations more than compacting alone spares it/m)
  expect(dry.out).toMatch(/^Each existing client downloads up to 1 operation again for it/m)
  expect(dry.out).toMatch(/Nothing was changed\. The same command with --execute/)
  expect(await operationsOf(database, '1#global[]')).toBe(10_002)

  const executed = await runTamp(defragment(database, ...how, '--execute'))
  expect(executed.status).toBe(0)
  expect(executed.out).toMatch(/^1 row in 1 bucket moved \(--how reinsert\)/m)
  expect(executed.out).toMatch(
    /^Next: When the service has published operation 46629 and that checkpoint is 600 s old: tamp powersync compact\.$/m,
  )
  expect(await operationsOf(database, '1#global[]')).toBe(10_003)
  await publish(database, 46_629, 900)
  const compacted = await runTamp(['powersync', 'compact', '--connection', database.url, '--execute', '--quiet'])
  expect(compacted.status).toBe(0)
  expect(await operationsOf(database, '1#global[]')).toBe(3)
  expect((await runTamp(['powersync', 'check', '--connection', database.url, '--quiet'])).status).toBe(0)
})

test('touch writes a script for the source; with --json the plan has a line for each bucket', async () => {
  await using database = await loadStorage(2)
  const script = await runTamp(defragment(database, '--sql', '-', '--definition', 'archive'))
  expect(script.status).toBe(0)
  expect(script.out).toMatch(/^UPDATE .*events/m)
  expect(script.err).toMatch(/53 rows in 1 bucket to move \(--how touch\)/)
  const json = await runTamp(defragment(database, '--json', '--max-resync-bytes', '20kB', '--target-ratio', '2'))
  expect(json.status).toBe(0)
  const lines = json.lines()
  const summary = lines.at(-1)
  expect(summary).toMatchObject({
    command: 'powersync defragment',
    mode: 'dry-run',
    how: 'touch',
    before: { operations: 46_560 },
    saved: { operations: expect.any(Number) },
  })
  expect(summary.resent.bytesEstimate).toBeLessThanOrEqual(20 * 1024)
  const plans = lines.filter(({ type }) => type === 'plan')
  expect(plans.length).toBeGreaterThan(1)
  expect(plans[0]).toMatchObject({
    v: 1,
    bucket: expect.stringMatching(/^1#/),
    rows: expect.any(Number),
    before: { operations: expect.any(Number) },
    after: { operations: expect.any(Number) },
  })
})

test('11: another tamp is at work', async () => {
  await using database = await loadStorage(2)
  await database.query('SELECT pg_advisory_lock($1, $2)', [0x74616d70, 2])
  const { status, err } = await runTamp(defragment(database, '--how', 'reinsert', '--execute'))
  expect(status).toBe(11)
  expect(err).toMatch(/^tamp: Another tamp is at work/)
})
