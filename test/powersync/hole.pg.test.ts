// A client that is being served a checkpoint while history is compacted. Beyond that checkpoint a CLEAR takes from it what its checksum
// counts, and the real core fails: the service's own compactor does that. Up to a checkpoint that is old enough nobody notices.
import { describe, expect, test } from 'vitest'
import { compactBuckets } from '../../src/powersync/compact.ts'
import type { FreshDatabase } from '../support/postgres.ts'
import { openClient } from '../support/powersync/client-core.ts'
import { clientSeed, generator, smallBucket } from '../support/powersync/clients.ts'
import { put, readBuckets, remove, writeBucket } from '../support/powersync/operations.ts'
import { interrupt, stateOf, sync } from '../support/powersync/replay.ts'
import type { Synced } from '../support/powersync/replay.ts'
import { compactAsTheServiceDoes } from '../support/powersync/service-compactor.ts'
import { readImage } from '../support/powersync/service-lines.ts'
import type { Image } from '../support/powersync/service-lines.ts'
import { emptyStorage, loadStorage, publish, storageOf } from '../support/powersync/storages.ts'

const row = (id: string) => ({ table: 'lists', id })
const older = 3
const newer = 6
const minutes = 60

/** Two rows at the older checkpoint, gone at the newer one, which was published five seconds ago. */
async function storageWithTwoCheckpoints(): Promise<FreshDatabase> {
  const database = await emptyStorage(2)
  await writeBucket(database, '1#global[]', [put(1, row('a'), 'a'), put(2, row('b'), 'b'), put(3, row('a'), 'aa')])
  await publish(database, older, 15 * minutes)
  // The first run notes which checkpoint it saw, and when; let that be long ago as well.
  const storage = await storageOf(database)
  const report = await compactBuckets(storage, { mode: 'execute' })
  expect(report.checkpoint).toMatchObject({ opId: older, source: 'last_checkpoint_ts' })
  await database.query(`UPDATE tamp.checkpoint SET seen_at = seen_at - interval '15 minutes'`)
  await writeBucket(database, '1#global[]', [remove(4, row('a')), remove(5, row('b'))])
  await publish(database, newer, 5)
  return database
}

/** A client that is served the older checkpoint; `rewrite` is committed after its first line. */
async function servedMeanwhile(database: FreshDatabase, rewrite: () => Promise<unknown>): Promise<Synced> {
  const before = await readImage(database)
  await rewrite()
  const after = await readImage(database)
  using client = openClient()
  return sync(client, changingAfter(0, before, after), { checkpoint: older })
}

/** Storage that becomes another after so many reads. */
function changingAfter(reads: number, before: Image, after: Image): () => Image {
  let asked = -1
  return () => (asked++ < reads ? before : after)
}

describe('a client that is being served the older of two checkpoints', () => {
  test("fails beside the service's own compactor", async () => {
    await using database = await storageWithTwoCheckpoints()
    await using session = await database.connect()
    const served = await servedMeanwhile(database, () => compactAsTheServiceDoes(session))
    expect(served).toMatchObject({ complete: false, operations: 0 })
    expect(served.failure).toMatch(/Checksums didn't match.*got 0x00000000/)
  })

  test('fails beside tamp without any grace', async () => {
    await using database = await storageWithTwoCheckpoints()
    const storage = await storageOf(database)
    const served = await servedMeanwhile(database, () => compactBuckets(storage, { mode: 'execute', grace: 0 }))
    expect(served.failure).toMatch(/Checksums didn't match.*got 0x00000000/)
  })

  test('notices nothing of tamp, which goes no further than the checkpoint that it knows to be old', async () => {
    await using database = await storageWithTwoCheckpoints()
    const storage = await storageOf(database)
    const served = await servedMeanwhile(database, async () => {
      const report = await compactBuckets(storage, { mode: 'execute', full: true })
      expect(report.checkpoint).toMatchObject({ opId: older, source: 'ledger' })
    })
    expect(served).toMatchObject({ complete: true, failure: null, operations: 3 })
    // When the newer one has aged the rest is compacted.
    await publish(database, newer, 11 * minutes)
    const report = await compactBuckets(storage, { mode: 'execute' })
    expect(report.checkpoint).toMatchObject({ opId: newer, source: 'last_checkpoint_ts' })
    expect([...(await readBuckets(database)).values()].flat().map(({ opId, op }) => [opId, op])).toEqual([[5, 'CLEAR']])
  })

  test('is not harmed where no checkpoint is known to be old: nothing is compacted', async () => {
    await using database = await storageWithTwoCheckpoints()
    await database.query('DROP SCHEMA tamp CASCADE')
    const before = await readBuckets(database)
    const storage = await storageOf(database)
    await expect(compactBuckets(storage, { mode: 'execute', maxSeconds: 1 })).rejects.toMatchObject({
      code: 'no-checkpoint',
    })
    expect(await readBuckets(database)).toEqual(before)
  })
})

test('a client in the middle of a download of the bound or later ends the same, whenever it is compacted', async () => {
  await using database = await loadStorage(2)
  const random = generator()
  const checkpoints = database.checkpoints.filter(() => random() < 0.05)
  const bound = checkpoints[Math.floor(checkpoints.length / 2)] ?? database.checkpoints.at(-2)!
  const last = database.checkpoints.at(-1)!
  const bucket = smallBucket((await readBuckets(database)).keys(), 2)
  console.log(`compacted meanwhile: TAMP_TEST_SEED=${clientSeed}, bound ${bound}`)
  const before = await readImage(database, { buckets: [bucket] })
  await publish(database, bound)
  await compactBuckets(await storageOf(database), { mode: 'execute', grace: 0, buckets: [bucket] })
  const after = await readImage(database, { buckets: [bucket] })
  expect(
    after.buckets.get(bucket)!.length + after.buckets.get(bucket)!.filter(({ op }) => op === 'MOVE').length,
  ).not.toBe(before.buckets.get(bucket)!.length)
  for (const checkpoint of [bound, last])
    for (const position of [0, 2000, 20_000]) {
      const options = { checkpoint, rowsPerRead: 10 }
      using reference = openClient()
      interrupt(reference, before, position, options)
      using interrupted = reference.fork()
      expect(sync(reference, before, options)).toMatchObject({ complete: true })
      for (let reads = 0; reads < before.buckets.get(bucket)!.length / 10; reads++) {
        using client = interrupted.fork()
        expect(sync(client, changingAfter(reads, before, after), options)).toMatchObject({
          complete: true,
          failure: null,
        })
        expect(stateOf(client)).toBe(stateOf(reference))
      }
    }
})
