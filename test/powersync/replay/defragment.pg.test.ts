// The storages that the real service wrote, defragmented: whoever may stand where gets the same rows with a valid checksum from the real
// client core. TAMP_TEST_SEED repeats the choice of clients. (Touching is judged where there is a source: test/powersync/defragment/touch.)
import { describe, expect, test } from 'vitest'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import type { DefragmentOptions, DefragmentReport } from '../../../src/powersync/defragment/defragment.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { clientSeed, publishedClients, smallBucket } from '../../support/powersync/clients.ts'
import { readBuckets } from '../../support/powersync/operations.ts'
import type { Buckets, Operation } from '../../support/powersync/operations.ts'
import { interrupt, replay, stateOf, sync } from '../../support/powersync/replay.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { imageOf } from '../../support/powersync/service-lines.ts'
import type { Image } from '../../support/powersync/service-lines.ts'
import { loadStorage, storageOf } from '../../support/powersync/storages.ts'
import type { LoadedStorage } from '../../support/powersync/storages.ts'

/** Executes, with a service beside it that publishes what it is waited for. */
async function defragment(
  database: LoadedStorage,
  options: Omit<DefragmentOptions, 'mode'>,
): Promise<DefragmentReport> {
  await using session = await database.connect()
  const service = new Replicator(session, { table: 'lists' })
  let publishing: Promise<number> | undefined
  const report = await defragmentBuckets(await storageOf(database), {
    mode: 'execute',
    grace: 0,
    ...options,
    onEvent: (event) => {
      if (event.type === 'status' && event.waiting?.startsWith('waiting until the service publishes'))
        publishing ??= service.commit()
    },
  })
  await publishing
  return report
}

function only(buckets: Buckets, bucket: string, checkpoint: number): Image {
  return imageOf(new Map([[bucket, buckets.get(bucket)!]]), checkpoint)
}

function count(buckets: Buckets): number {
  return [...buckets.values()].reduce((sum, operations) => sum + operations.length, 0)
}

describe.each([1, 2, 3] as const)('storage version %i', (version) => {
  test('reinserted: clients at published checkpoints, and at every operation of small buckets', async () => {
    await using database = await loadStorage(version)
    const before = await readBuckets(database)
    const last = database.checkpoints.at(-1)!
    const report = await defragment(database, { how: 'reinsert' })
    expect(report).toMatchObject({ complete: true, next: null })
    const after = await readBuckets(database)
    expect(count(after)).toBe(report.after.operations)
    const [[checkpoint]] = (await database.query('SELECT last_checkpoint FROM sync_rules')) as [[number]]
    expect(checkpoint).toBeGreaterThan(last)
    // What was written, before anything of it was compacted: the old operations and the new ones.
    const written: Buckets = new Map()
    for (const [bucket, operations] of before)
      written.set(bucket, [...operations, ...after.get(bucket)!.filter(({ opId }) => opId > last)])
    const positions = publishedClients(database.checkpoints, 1)
    console.log(`reinserted, version ${version}: TAMP_TEST_SEED=${clientSeed}, clients at ${positions.join(', ')}`)
    expect(
      replay({ before: imageOf(written, checkpoint), after: imageOf(after, checkpoint), positions }),
    ).toMatchObject({
      failures: [],
    })
    // And the rows are what they were.
    using old = openClient()
    sync(old, imageOf(before, last))
    using fresh = openClient()
    expect(sync(fresh, imageOf(after, checkpoint)).operations).toBeLessThan(count(before) / 3)
    expect(fresh.rows()).toEqual(old.rows())
    const bucket = smallBucket(before.keys(), version)
    for (const interrupted of [false, true])
      expect(
        replay({
          before: only(written, bucket, checkpoint),
          after: only(after, bucket, checkpoint),
          positions: 'operations',
          interrupted,
        }).failures,
      ).toEqual([])
  })

  test('relocated: nobody who completed a published checkpoint notices, and who has everything downloads nothing', async () => {
    await using database = await loadStorage(version)
    const { checkpoints } = database
    const before = await readBuckets(database)
    const last = checkpoints.at(-1)!
    const report = await defragment(database, { how: 'relocate', checkpoints })
    expect(report.resent.operations).toBe(0)
    expect(report.buckets.length).toBeGreaterThan(0)
    const after = await readBuckets(database)
    expect(count(after)).toBe(report.after.operations)
    const images = { before: imageOf(before, last), after: imageOf(after, last) }
    const positions = publishedClients(checkpoints, 3)
    console.log(`relocated, version ${version}: TAMP_TEST_SEED=${clientSeed}, clients at ${positions.join(', ')}`)
    expect(replay({ ...images, positions }).failures).toEqual([])
    expect(replay({ ...images, positions: [last] })).toMatchObject({ clients: 1, operations: 0, failures: [] })
    // Bucket by bucket at every checkpoint that was ever published.
    const bucket = smallBucket(before.keys(), version)
    const task = { before: only(before, bucket, last), after: only(after, bucket, last) }
    expect(replay({ ...task, positions: checkpoints }).failures).toEqual([])
    using reference = openClient()
    sync(reference, task.before)
    const expected = stateOf(reference)
    for (const { opId: position } of before.get(bucket)!) {
      const outcome = cutOffAt(position, task.before, task.after, expected)
      // Only who was cut off where the rows are now fails, and gets the bucket once more.
      if (!isInside(position, after.get(bucket)!)) expect({ position, outcome }).toEqual({ position, outcome: 'same' })
      else expect(['same', 'downloaded once more']).toContain(outcome)
    }
  })
})

/** From the CLEAR up to, without, the last row that did not keep its place. */
function isInside(position: number, after: readonly Operation[]): boolean {
  const clear = after.find(({ op }) => op === 'CLEAR')
  return clear !== undefined && position >= clear.opId && position < after.at(-1)!.opId
}

/** What a client ends with that was cut off in the middle of a download, and comes back as often as it has to. */
function cutOffAt(position: number, before: Image, after: Image, expected: string): string {
  using client = openClient()
  interrupt(client, before, position)
  const first = sync(client, after)
  const failed = first.failure !== null
  if (failed) sync(client, after)
  if (stateOf(client) !== expected) return 'other'
  return failed ? 'downloaded once more' : 'same'
}
