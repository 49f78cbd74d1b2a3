// The storages that the real service wrote, compacted: dry run and execution agree, the end is the service's own, a second run does
// nothing, and the real client core ends the same from wherever a client may stand. TAMP_TEST_SEED repeats the choice of clients.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import type { BucketReport } from '../../../src/powersync/report.ts'
import { clientSeed, publishedClients, smallBucket } from '../../support/powersync/clients.ts'
import { readBuckets } from '../../support/powersync/operations.ts'
import type { Buckets } from '../../support/powersync/operations.ts'
import { compacted } from '../../support/powersync/reference-compactor.ts'
import { replay } from '../../support/powersync/replay.ts'
import { imageOf } from '../../support/powersync/service-lines.ts'
import { loadStorage, storageOf } from '../../support/powersync/storages.ts'
import type { LoadedStorage } from '../../support/powersync/storages.ts'

describe.each([1, 2, 3] as const)('storage version %i', (version) => {
  let database: LoadedStorage
  let storage: BucketStorage
  let checkpoint: number
  let before: Buckets
  let planned: BucketReport
  let report: BucketReport
  let after: Buckets

  beforeAll(async () => {
    // One of them as it is when a dump has been restored: without statistics.
    database = await loadStorage(version, { analysed: version !== 1 })
    storage = await storageOf(database)
    checkpoint = database.checkpoints.at(-1)!
    before = await readBuckets(database)
    planned = await compactBuckets(storage, { mode: 'dry-run', grace: 0 })
    expect(await readBuckets(database)).toEqual(before)
    report = await compactBuckets(storage, { mode: 'execute', grace: 0, jobs: 2 })
    after = await readBuckets(database)
  })
  afterAll(async () => database[Symbol.asyncDispose]())

  test('does what the dry run said, and counts right', () => {
    expect({ complete: report.complete, skipped: report.skipped, failed: report.units.failed }).toEqual({
      complete: true,
      skipped: [],
      failed: 0,
    })
    expect(report.proof.mismatches).toBe(0)
    expect(report.checkpoint?.opId).toBe(checkpoint)
    for (const key of ['before', 'after', 'bound', 'definitions'] as const) expect(report[key]).toEqual(planned[key])
    expect(planned.before.operations).toBe(count(before))
    expect(report.after.operations).toBe(count(after))
    expect(report.definitions.map(({ definition, buckets }) => [definition, buckets])).toHaveLength(6)
  })

  test('ends as the service does, but for prefixes that it leaves', () => {
    // That the service ends as the reference compactor that is not thorough: service-end-state.pg.test.ts.
    for (const [bucket, operations] of before) {
      expect({ bucket, operations: after.get(bucket) }).toEqual({
        bucket,
        operations: compacted(operations, checkpoint),
      })
      expect(after.get(bucket)!.length).toBeLessThanOrEqual(compacted(operations, checkpoint, false).length)
    }
  })

  test('has nothing left to do', async () => {
    const again = await compactBuckets(storage, { mode: 'execute', grace: 0 })
    expect(again.units.planned).toBe(0)
    const full = await compactBuckets(storage, { mode: 'execute', grace: 0, full: true })
    expect(full.units.planned).toBe(0)
    expect(full.before).toEqual(report.after)
    expect(await readBuckets(database)).toEqual(after)
  })

  test('clients at published checkpoints end the same', () => {
    const positions = publishedClients(database.checkpoints, 3)
    console.log(`replay of version ${version}: TAMP_TEST_SEED=${clientSeed}, clients at ${positions.join(', ')}`)
    const replayed = replay({
      before: imageOf(before, checkpoint),
      after: imageOf(after, checkpoint),
      positions,
      priority,
    })
    expect(replayed).toMatchObject({ clients: positions.length, failures: [] })
  })

  test('clients at every operation of a small bucket end the same', () => {
    const bucket = smallBucket(before.keys(), version)
    const images = [before, after].map((buckets) => imageOf(new Map([[bucket, buckets.get(bucket)!]]), checkpoint))
    for (const interrupted of [false, true]) {
      const task = { before: images[0]!, after: images[1]!, positions: 'operations' as const, interrupted }
      expect(replay(task).failures).toEqual([])
    }
  })
})

function priority(bucket: string): number {
  return bucket.includes('documents') ? 1 : bucket.includes('archive') ? 2 : 3
}

function count(buckets: Buckets): number {
  return [...buckets.values()].reduce((sum, operations) => sum + operations.length, 0)
}
