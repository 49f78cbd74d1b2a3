// Random histories, many to a database: compaction ends as the reference compactor in memory does, no client at any position ends
// otherwise, however far it came, in whatever order; and a second run finds nothing.
// TAMP_SOAK_SECONDS makes each test longer, TAMP_TEST_SEED repeats the choices.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { analyseForWork } from '../../src/powersync/compact/analyse.ts'
import { applySlice } from '../../src/powersync/compact/apply-slice.ts'
import { slicesOf } from '../../src/powersync/compact/lane.ts'
import type { LaneFacts } from '../../src/powersync/compact/lane.ts'
import { compactBuckets } from '../../src/powersync/compact.ts'
import type { BucketStorage } from '../../src/powersync/database.ts'
import type { FreshDatabase } from '../support/postgres.ts'
import { check } from '../support/powersync/drawn.ts'
import { readBuckets, writeBuckets } from '../support/powersync/operations.ts'
import type { Buckets, Operation } from '../support/powersync/operations.ts'
import { history, laidOut } from '../support/powersync/random-history.ts'
import type { Stream } from '../support/powersync/random-history.ts'
import { compacted, violations } from '../support/powersync/reference-compactor.ts'
import { replay } from '../support/powersync/replay.ts'
import { imageOf } from '../support/powersync/service-lines.ts'
import { compactAsTheServiceDoes } from '../support/powersync/service-compactor.ts'
import { emptyStorage, publish, storageOf } from '../support/powersync/storages.ts'

const stream = fc.array(history, { minLength: 1, maxLength: 30, size: 'max' }).map(laidOut)

let database: FreshDatabase
let storage: BucketStorage
beforeAll(async () => {
  database = await emptyStorage(2)
  storage = await storageOf(database)
})
afterAll(async () => database[Symbol.asyncDispose]())

/** Every history of the stream alone in the storage, as if nothing had ever been done to it. */
async function written({ buckets, bound }: Stream): Promise<void> {
  await database.query('TRUNCATE bucket_data')
  await database.query('DROP SCHEMA IF EXISTS tamp CASCADE')
  await writeBuckets(database, buckets)
  await publish(database, bound)
}

function expectSound(before: ReadonlyMap<string, Operation[]>, after: Buckets, bound: number): void {
  expect([...after.keys()].sort()).toEqual([...before.keys()].sort())
  for (const [bucket, operations] of before)
    expect({ bucket, violations: violations(operations, after.get(bucket)!, bound) }).toEqual({
      bucket,
      violations: [],
    })
}

function expectReference(before: ReadonlyMap<string, Operation[]>, after: Buckets, bound: number): void {
  for (const [bucket, operations] of before)
    expect({ bucket, operations: after.get(bucket) }).toEqual({ bucket, operations: compacted(operations, bound) })
}

test('a run ends as the reference does, for every client, and the next one finds nothing', async () => {
  const options = fc.record({
    stream,
    jobs: fc.integer({ min: 1, max: 3 }),
    proof: fc.constantFrom('full' as const, 'budget' as const),
    picks: fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
  })
  await check(options, async ({ stream, jobs, proof, picks }) => {
    await written(stream)
    const planned = await compactBuckets(storage, { mode: 'dry-run', grace: 0 })
    expect(await readBuckets(database)).toEqual(sorted(stream.buckets))
    const report = await compactBuckets(storage, { mode: 'execute', grace: 0, jobs, proof })
    expect({ mismatches: report.proof.mismatches, skipped: report.skipped }).toEqual({ mismatches: 0, skipped: [] })
    const after = await readBuckets(database)
    expectSound(stream.buckets, after, stream.bound)
    expectReference(stream.buckets, after, stream.bound)
    expect(report.after).toEqual(planned.after)
    const again = await compactBuckets(storage, { mode: 'execute', grace: 0, full: true })
    expect(again.units.planned).toBe(0)
    expect(await readBuckets(database)).toEqual(after)
    // The real client core on a few of the buckets, at every position.
    const names = [...stream.buckets.keys()]
    for (const pick of names.length === 0 ? [] : picks) {
      const bucket = names[pick % names.length]!
      const images = [stream.buckets, after].map((buckets) =>
        imageOf(new Map([[bucket, buckets.get(bucket)!]]), stream.bound),
      )
      for (const interrupted of [false, true])
        expect(
          replay({ before: images[0]!, after: images[1]!, positions: 'operations', interrupted }).failures,
        ).toEqual([])
    }
  })
})

test('after the service, before it, and with bounds that rise, it is all the same to a client', async () => {
  const step = fc.record({ by: fc.constantFrom('tamp', 'service'), share: fc.integer({ min: 1, max: 100 }) })
  await check(fc.tuple(stream, fc.array(step, { minLength: 1, maxLength: 3 })), async ([stream, steps]) => {
    await written(stream)
    const shares = steps.map(({ share }) => share).sort((a, b) => a - b)
    await using session = await database.connect()
    for (const [i, { by }] of steps.entries()) {
      const bound = Math.ceil((stream.bound * shares[i]!) / 100)
      await publish(database, bound)
      const before = await readBuckets(database)
      if (by === 'tamp') await compactBuckets(storage, { mode: 'execute', grace: 0 })
      else await compactAsTheServiceDoes(session)
      expectSound(before, await readBuckets(database), bound)
    }
    await publish(database, stream.bound)
    const before = await readBuckets(database)
    const report = await compactBuckets(storage, { mode: 'execute', grace: 0, full: true })
    expect(report.skipped).toEqual([])
    const after = await readBuckets(database)
    expectSound(stream.buckets, after, stream.bound)
    expectReference(before, after, stream.bound)
  })
})

test('slices of any size, stopped after any number of them, buckets in any order', async () => {
  const options = fc.record({
    stream,
    weight: fc.integer({ min: 2, max: 9 }),
    step: fc.integer({ min: 2, max: 4 }),
    keep: fc.integer({ min: 0, max: 100 }),
  })
  await check(options, async ({ stream, weight, step, keep }) => {
    await written(stream)
    const names = [...stream.buckets.keys()]
    await using connection = await storage.connect()
    const scope = { group: 1, bound: stream.bound, buckets: names.toReversed(), stepOperations: step }
    if (names.length === 0) return
    const facts: LaneFacts = {
      lane: { name: 'all', buckets: names, operations: 0 },
      scope,
      buckets: await analyseForWork(connection, scope),
      connection,
      left: { clear: 0, move: 0 },
      clearedTo: new Map(),
      movedBefore: 0,
      abandoned: undefined,
      after: undefined,
    }
    const slices = [...slicesOf(facts, () => weight)]
    const kept = Math.round((slices.length * keep) / 100)
    let seen: Buckets = stream.buckets
    const samples = new Set([0, Math.floor(kept / 3), kept - 1])
    for (const [i, slice] of slices.slice(0, kept).entries()) {
      await applySlice(connection, slice, true)
      await connection.execute('COMMIT')
      if (!samples.has(i)) continue
      const now = await readBuckets(database)
      expectSound(stream.buckets, now, stream.bound)
      expectSound(seen, now, stream.bound)
      seen = now
    }
    // Another run goes on from there.
    const report = await compactBuckets(storage, { mode: 'execute', grace: 0 })
    expect(report.skipped).toEqual([])
    const after = await readBuckets(database)
    expectSound(stream.buckets, after, stream.bound)
    expectReference(stream.buckets, after, stream.bound)
  })
})

function sorted(buckets: ReadonlyMap<string, Operation[]>): Buckets {
  return new Map([...buckets].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
}
