// The script in the place of execution: run as a whole it ends as a run does, cut off after any statement it harms nobody, and whoever
// runs it again, or goes on with tamp, comes to the same end. TAMP_TEST_SEED repeats where it is cut.
import { expect, test } from 'vitest'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import type { FreshDatabase } from '../../support/postgres.ts'
import { clientSeed, generator, smallBucket } from '../../support/powersync/clients.ts'
import { put, readBuckets, remove, writeBucket } from '../../support/powersync/operations.ts'
import type { Buckets } from '../../support/powersync/operations.ts'
import { compacted, fingerprint, reduced, violations } from '../../support/powersync/reference-compactor.ts'
import { replay } from '../../support/powersync/replay.ts'
import { imageOf } from '../../support/powersync/service-lines.ts'
import { loadStorage, storageOf } from '../../support/powersync/storages.ts'

/** The script, cut into what psql sends one after the other: each transaction with what precedes it. */
async function scriptOf(database: FreshDatabase): Promise<string[]> {
  let script = ''
  const storage = await storageOf(database)
  const report = await compactBuckets(storage, { mode: 'script', grace: 0, write: (text) => void (script += text) })
  const parts = script.split(/^(?=BEGIN ISOLATION)/m).map((part) => part.replaceAll(/^\\set .*$/gm, ''))
  expect(parts.length).toBeGreaterThan(report.units.planned)
  return parts
}

/** Runs parts in one session as psql does: an error of one does not keep the next from running. Returns the errors. */
async function runParts(database: FreshDatabase, parts: readonly string[]): Promise<string[]> {
  await using psql = await database.connect()
  const errors: string[] = []
  for (const part of parts)
    try {
      await psql.query(part)
    } catch (error) {
      errors.push((error as Error).message)
      await psql.query('ROLLBACK')
    }
  return errors
}

/** Every bucket by its sums, small ones by every position. */
function expectSound(before: Buckets, after: Buckets, bound: number): void {
  for (const [bucket, operations] of before) {
    const now = after.get(bucket)!
    expect({ bucket, state: fingerprint(reduced(now)) }).toEqual({ bucket, state: fingerprint(reduced(operations)) })
    if (operations.length < 120)
      expect({ bucket, violations: violations(operations, now, bound) }).toEqual({ bucket, violations: [] })
  }
}

test('the script ends as a run does, and running it again changes nothing', async () => {
  await using database = await loadStorage(3)
  const bound = database.checkpoints.at(-1)!
  const before = await readBuckets(database)
  const parts = await scriptOf(database)
  expect(await readBuckets(database)).toEqual(before)
  expect(await runParts(database, parts)).toEqual([])
  const after = await readBuckets(database)
  for (const [bucket, operations] of before)
    expect({ bucket, operations: after.get(bucket) }).toEqual({ bucket, operations: compacted(operations, bound) })
  for (const error of await runParts(database, parts)) expect(error).toMatch(/^left as it is/)
  expect(await readBuckets(database)).toEqual(after)
})

test('cut off anywhere, and gone on with by the script or by tamp, it harms no client', async () => {
  await using database = await loadStorage(2)
  const bound = database.checkpoints.at(-1)!
  const before = await readBuckets(database)
  const parts = await scriptOf(database)
  const cut = 2 + Math.floor(generator()() * (parts.length - 2))
  console.log(`cut script: TAMP_TEST_SEED=${clientSeed}, ${cut} of ${parts.length} parts`)
  expect(await runParts(database, parts.slice(0, cut))).toEqual([])
  const half = await readBuckets(database)
  expectSound(before, half, bound)
  const bucket = smallBucket(before.keys(), 1)
  const [was, is] = [before, half].map((buckets) => imageOf(new Map([[bucket, buckets.get(bucket)!]]), bound))
  expect(replay({ before: was!, after: is!, positions: 'operations' }).failures).toEqual([])
  for (const error of await runParts(database, parts)) expect(error).toMatch(/^left as it is/)
  expectSound(before, await readBuckets(database), bound)
  const report = await compactBuckets(await storageOf(database), { mode: 'execute', grace: 0 })
  expect(report.skipped).toEqual([])
  const after = await readBuckets(database)
  for (const [bucket, operations] of before)
    expect({ bucket, operations: after.get(bucket) }).toEqual({ bucket, operations: compacted(operations, bound) })
})

test('a script that comes too late leaves what others have changed', async () => {
  await using database = await loadStorage(1)
  const parts = await scriptOf(database)
  // The service went on in the meantime: above the bound, which the script does not touch.
  const next = database.checkpoints.at(-1)! + 1
  const row = { table: 'lists', id: 'late' }
  await writeBucket(database, 'global[]', [put(next, row, 'late'), remove(next + 1, row)])
  const before = await readBuckets(database)
  expect(await runParts(database, parts)).toEqual([])
  const after = await readBuckets(database)
  expectSound(before, after, next - 1)
  expect(after.get('global[]')!.slice(-2)).toEqual(before.get('global[]')!.slice(-2))
  // A storage that was replaced is no longer served under that stream.
  await database.query(`UPDATE sync_rules SET state = 'STOP'`)
  const errors = await runParts(database, parts)
  expect(errors.length).toBeGreaterThan(0)
  expect(await readBuckets(database)).toEqual(after)
})
