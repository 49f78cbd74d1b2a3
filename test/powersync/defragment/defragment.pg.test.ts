// The three ways of defragmenting through the library's door: what is planned is done, and a real client tells what it costs.
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import type { DefragmentOptions } from '../../../src/powersync/defragment/defragment.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { readBuckets } from '../../support/powersync/operations.ts'
import { replay, sync } from '../../support/powersync/replay.ts'
import { compactAsTheServiceDoes } from '../../support/powersync/service-compactor.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { readImage, rememberingChecksums } from '../../support/powersync/service-lines.ts'
import { emptyStorage, loadStorage, publish, storageOf } from '../../support/powersync/storages.ts'
import type { FreshDatabase } from '../../support/postgres.ts'

const global = '1#global[]'

/** The documented scenario, written by a replicator: one row, then 500 inserted and deleted. */
async function documented(database: FreshDatabase): Promise<{ source: Replicator; checkpoints: number[] }> {
  const source = new Replicator(await database.connect(), { table: 'lists' })
  const many = Array.from({ length: 500 }, (_, n) => `row ${n}`)
  const row = (id: string) => ({ id, row: { id }, buckets: [global] })
  await source.flush([row('a')])
  const checkpoints = [await source.commit()]
  await source.flush(many.map(row))
  checkpoints.push(await source.commit())
  await source.flush(many.map((id) => ({ id, row: null, buckets: [] })))
  checkpoints.push(await source.commit())
  return { source, checkpoints }
}

async function defragment(
  database: FreshDatabase,
  options: Omit<DefragmentOptions, 'mode'> & Partial<DefragmentOptions>,
) {
  return await defragmentBuckets(await storageOf(database), { mode: 'execute', grace: 0, ...options })
}

const kinds = async (database: FreshDatabase): Promise<string[]> =>
  (await readBuckets(database)).get(global)!.map(({ op }) => op)

test('relocate: two operations are left, and a client that is up to date downloads none', async () => {
  await using database = await emptyStorage(2)
  const { source, checkpoints } = await documented(database)
  using client = openClient()
  const checksums = rememberingChecksums()
  expect(sync(client, await readImage(database), { checksums }).complete).toBe(true)

  const planned = await defragment(database, { how: 'relocate', checkpoints, mode: 'dry-run' })
  expect(await kinds(database)).toHaveLength(1001)
  const done = await defragment(database, { how: 'relocate', checkpoints })
  expect(done.buckets).toEqual(planned.buckets)
  expect(done.after).toEqual(planned.after)
  expect(done).toMatchObject({
    complete: true,
    skipped: [],
    resent: { operations: 0 },
    next: null,
    after: { operations: 2 },
  })
  expect(await kinds(database)).toEqual(['CLEAR', 'PUT'])

  const image = await readImage(database)
  expect(sync(client, image, { checksums })).toMatchObject({ complete: true, operations: 0 })
  // Life goes on for both.
  await source.flush([{ id: 'b', row: { id: 'b' }, buckets: [global] }])
  await source.commit()
  await compactBuckets(await storageOf(database), { mode: 'execute', grace: 0 })
  expect(sync(client, await readImage(database), { checksums })).toMatchObject({ complete: true, operations: 1 })
  using fresh = openClient()
  expect(sync(fresh, await readImage(database))).toMatchObject({ complete: true, operations: 3 })
  expect(fresh.rows()).toEqual(client.rows())
  expect((await defragment(database, { how: 'relocate', checkpoints })).itemsChanged).toBe(0)
})

test('relocate without any proof changes nothing, reserves op ids, and finishes with them', async () => {
  await using database = await emptyStorage(2)
  const { source, checkpoints } = await documented(database)
  using client = openClient()
  const checksums = rememberingChecksums()
  for (const checkpoint of checkpoints) sync(client, await readImage(database), { checksums, checkpoint })

  const before = await readBuckets(database)
  const first = await defragment(database, { how: 'relocate' })
  expect(await readBuckets(database)).toEqual(before)
  expect(first.skipped).toEqual([
    {
      subject: global,
      reason: 'no range of op ids is known in which no checkpoint was published, with room for its rows',
    },
  ])
  expect(first.next).toMatch(/run the command again/)
  // The ids are not published yet: nothing can be moved there, and no more are taken.
  const second = await defragment(database, { how: 'relocate' })
  expect(second.itemsChanged).toBe(0)
  expect(second.next).toMatch(/that were reserved/)

  await source.flush([{ id: 'b', row: { id: 'b' }, buckets: [global] }])
  const checkpoint = await source.commit()
  expect(sync(client, await readImage(database), { checksums }).complete).toBe(true)
  const third = await defragment(database, { how: 'relocate' })
  expect(third).toMatchObject({ complete: true, skipped: [], next: null })
  expect(await kinds(database)).toEqual(['CLEAR', 'PUT', 'PUT'])
  const image = await readImage(database)
  expect(image.checkpoint).toBe(checkpoint)
  expect(sync(client, image, { checksums })).toMatchObject({ complete: true, operations: 0 })
  for (const position of [...checkpoints, checkpoint]) {
    using other = openClient()
    expect(sync(other, image, { checksums, checkpoint: image.checkpoint }), `at ${position}`).toMatchObject({
      complete: true,
    })
  }
})

test('reinsert: two operations are left, and each client downloads the moved row once more', async () => {
  await using database = await emptyStorage(2)
  const { source } = await documented(database)
  using client = openClient()
  const checksums = rememberingChecksums()
  expect(sync(client, await readImage(database), { checksums }).complete).toBe(true)
  const planned = await defragment(database, { how: 'reinsert', mode: 'dry-run' })
  const [done] = await Promise.all([
    defragment(database, { how: 'reinsert' }),
    (async () => {
      // An idle replicator publishes now and then.
      const deadline = performance.now() + 20_000
      while (performance.now() < deadline) {
        const [row] = await database.query<[number | null]>('SELECT keepalive_op FROM powersync.sync_rules')
        if (row![0] !== null) return await source.commit()
        await setTimeout(50)
      }
      throw new Error('nothing to publish')
    })(),
  ])
  expect(done).toMatchObject({
    complete: true,
    skipped: [],
    resent: { operations: 1 },
    next: null,
    after: { operations: 2 },
  })
  expect(planned).toMatchObject({ resent: done.resent, saved: done.saved, after: done.after })
  expect(await kinds(database)).toEqual(['CLEAR', 'PUT'])
  expect(sync(client, await readImage(database), { checksums })).toMatchObject({ complete: true })
  using fresh = openClient()
  expect(sync(fresh, await readImage(database))).toMatchObject({ complete: true, operations: 2 })
  expect(fresh.rows()).toEqual(client.rows())
  expect((await defragment(database, { how: 'reinsert' })).itemsChanged).toBe(0)
})

describe('a list of checkpoints', () => {
  test.each([
    ['leaves one out', [1, 900, 1001], /501 was published too|not complete/],
    ['names one that is not published', [1, 501, 1001, 2000], /has not been published/],
    ['is nonsense', [1, Number.NaN], /is not a checkpoint/],
  ])('that %s is refused', async (_, checkpoints, message) => {
    await using database = await emptyStorage(2)
    await documented(database)
    // The ledger has seen the second and the third.
    await publish(database, 501)
    await defragment(database, { how: 'reinsert', maxResyncRows: 0 })
    await publish(database, 1001)
    const before = await readBuckets(database)
    await expect(defragment(database, { how: 'relocate', checkpoints })).rejects.toThrow(message)
    expect(await readBuckets(database)).toEqual(before)
  })
})

describe('a storage that the service wrote', () => {
  test('relocate with a list: whoever completed a checkpoint goes on from it and ends the same', async () => {
    await using database = await loadStorage(2)
    const { checkpoints } = database
    const last = checkpoints.at(-1)!
    const before = await readImage(database)
    const planned = await defragment(database, { how: 'relocate', checkpoints, mode: 'dry-run' })
    const done = await defragment(database, { how: 'relocate', checkpoints })
    expect(done).toMatchObject({ complete: true, proof: { mismatches: 0 }, skipped: [], next: null })
    expect(done.buckets).toEqual(planned.buckets)
    expect(done.after).toEqual(planned.after)
    const after = await readImage(database)
    const some = checkpoints.filter((_, index) => index % 40 === 0)
    expect(replay({ before, after, positions: [0, ...some, last] }).failures).toEqual([])
    expect(replay({ before, after, positions: [last] }).operations).toBe(0)
  })

  test('relocate in two runs, with op ids that the first reserves, beside a source that goes on', async () => {
    await using database = await loadStorage(3)
    const { checkpoints } = database
    const last = checkpoints.at(-1)!
    const before = await readImage(database)
    const source = new Replicator(await database.connect(), { table: 'other', storageVersion: 3 })
    expect((await defragment(database, { how: 'relocate' })).next).toMatch(/published op id \d+ and/)
    await source.flush([{ id: 'x', row: { id: 'x' }, buckets: ['1#global|0[]'] }])
    const reached = await source.commit()
    expect(reached).toBeGreaterThan(last)
    const meanwhile = await readImage(database)
    const done = await defragment(database, { how: 'relocate' })
    expect(done.skipped).toEqual([])
    expect(done.buckets.length).toBeGreaterThan(100)
    for (const { bucket, after, rows } of done.buckets)
      expect(after.operations, bucket).toBe(rows + 1 + (bucket === '1#global|0[]' ? 1 : 0))
    const after = await readImage(database)
    const some = checkpoints.filter((_, index) => index % 40 === 0)
    expect(replay({ before: meanwhile, after, positions: [0, ...some, last, reached] }).failures).toEqual([])
    expect(replay({ before: meanwhile, after, positions: [reached] }).operations).toBe(0)
    expect(after.buckets.size).toBe(before.buckets.size)
    // Nothing is left to be done, and nothing more is reserved for it.
    expect(await defragment(database, { how: 'relocate' })).toMatchObject({ itemsChanged: 0, next: null })
  })
})

test.each(['relocate', 'reinsert'] as const)("%s gives way to the service's own compactor", async (how) => {
  await using database = await loadStorage(2)
  const { checkpoints } = database
  await using session = await database.connect()
  const { promise: began, resolve: begin } = Promise.withResolvers<void>()
  const { promise: resumed, resolve: resume } = Promise.withResolvers<void>()
  const compacting = compactAsTheServiceDoes(session, {
    afterBatch: async () => {
      begin()
      await resumed
    },
  })
  await began
  const before = await readBuckets(database)
  const options = { how, maxSeconds: 2, ...(how === 'relocate' ? { checkpoints } : {}) }
  await expect(defragment(database, options)).rejects.toThrow(/service's own compactor is at work/)
  expect(await readBuckets(database)).toEqual(before)
  resume()
  await compacting
})
