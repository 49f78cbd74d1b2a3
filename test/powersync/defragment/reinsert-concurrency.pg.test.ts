// Reinserting beside a replicator that keeps writing and publishing: clients validate all the time, and end with the same rows.
// And the proof that these tests could fail: the same without the lock breaks new clients.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Sessions } from '../../../src/database/sessions.ts'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { fillQueue } from '../../../src/powersync/defragment/reinsert/queue.ts'
import { reinsertBatch } from '../../../src/powersync/defragment/reinsert/reinsert-batch.ts'
import { reinsert } from '../../../src/powersync/defragment/reinsert/reinsert.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { sync } from '../../support/powersync/replay.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { readImage, rememberingChecksums } from '../../support/powersync/service-lines.ts'
import { emptyStorage, storageOf } from '../../support/powersync/storages.ts'
import type { FreshDatabase } from '../../support/postgres.ts'

const buckets = ['1#a[]', '1#b[]', '1#c["x, \\"y\\""]']
const end = 2 ** 50

async function replicatorOf(database: FreshDatabase): Promise<Replicator> {
  return new Replicator(await database.connect(), { table: 'lists' })
}

const row = (id: string, value: number, of: readonly string[] = [buckets[0]!]) => ({
  id,
  row: { id, value },
  buckets: of,
})

test('the replicator waits for a batch, and what it publishes then has the moved rows', async () => {
  await using database = await emptyStorage(2)
  const source = await replicatorOf(database)
  await source.flush(Array.from({ length: 10 }, (_, n) => row(`row ${n}`, n)))
  const before = await source.commit()
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const { seenTo } = await fillQueue(connection, 1, [{ bucket: buckets[0]!, moveBelow: end }])
  const done = await reinsertBatch(connection, { group: 1, storageVersion: 2, batch: 0, seenTo })
  expect(done.operations).toBe(10)

  // It may write, also what we have just moved it waits for; and it may not publish.
  await using other = await database.connect()
  const second = new Replicator(other, { table: 'lists' })
  let published: number | undefined
  const publishing = (async () => (published = await source.commit()))()
  const writing = second.flush([row('row 3', 333)])
  await sleep(400)
  expect(published).toBeUndefined()
  expect((await readImage(database)).checkpoint).toBe(before)
  await connection.execute('COMMIT')
  expect(await publishing).toBe(done.lastNew)
  await writing
  await second.commit()
  using client = openClient()
  expect(sync(client, await readImage(database))).toMatchObject({ complete: true })
  expect(client.rows().find(({ id }) => id === 'row 3')!.data).toContain('333')
})

test('a row that is being written just now is left; one with a newer operation that is not published is not moved over it', async () => {
  await using database = await emptyStorage(2)
  const source = await replicatorOf(database)
  await source.flush([row('held', 1), row('newer', 1), row('free', 1)])
  await source.commit()
  await source.flush([row('newer', 2)])
  const storage = await storageOf(database)
  await using sessions = new Sessions(() => storage.connect())
  await using holder = await database.connect()
  await holder.query('BEGIN')
  await holder.query(`SELECT FROM powersync.current_data WHERE buckets -> 0 ->> 'id' = 'held' FOR NO KEY UPDATE`)
  const task = {
    sessions,
    stream: { id: 1, storageVersion: 2 },
    moves: [{ bucket: buckets[0]!, moveBelow: end }],
    mustStop: () => false,
  }
  const done = await reinsert(task)
  await holder.query('ROLLBACK')
  expect(done.total.operations).toBe(1)
  expect(done.left).toEqual([
    { subject: buckets[0]!, reason: '1 row stays where it is: being changed or deleted just now' },
  ])
  await source.commit()
  using client = openClient()
  expect(sync(client, await readImage(database)).complete).toBe(true)
  expect(client.rows().map(({ data }) => JSON.parse(data) as unknown)).toEqual([
    { id: 'free', value: 1 },
    { id: 'held', value: 1 },
    { id: 'newer', value: 2 },
  ])
})

test('a flush that has taken op ids and not committed them is waited for', async () => {
  await using database = await emptyStorage(2)
  const source = await replicatorOf(database)
  await source.flush([row('a', 1), row('b', 1)])
  await source.commit()
  const storage = await storageOf(database)
  await using sessions = new Sessions(() => storage.connect())
  let release!: () => void
  const released = new Promise<void>((resolve) => (release = resolve))
  let taken!: () => void
  const hasTaken = new Promise<void>((resolve) => (taken = resolve))
  const flushing = source.flush([row('other', 1)], async () => {
    taken()
    await released
  })
  await hasTaken
  const told: (string | null)[] = []
  const moving = reinsert({
    sessions,
    stream: { id: 1, storageVersion: 2 },
    moves: [{ bucket: buckets[0]!, moveBelow: end }],
    mustStop: () => false,
    tell: (reason) => void told.push(reason),
  })
  await sleep(700)
  expect(told).toContain('giving way to the replicator, which is writing')
  const [sequence] = await database.query<[number]>(`SELECT max(op_id) FROM powersync.bucket_data`)
  expect(sequence![0]).toBe(2)
  release()
  await flushing
  expect((await moving).total.operations).toBe(2)
})

test('six seconds beside a replicator at work: every client validates, and none sees another row than the source has', async () => {
  await using database = await emptyStorage(2)
  const source = await replicatorOf(database)
  let seed = 20260821
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % below
  const truth = new Map<string, number>()
  const change = () => {
    const id = `row ${random(60)}`
    const gone = random(6) === 0
    if (gone) {
      truth.delete(id)
      return { id, row: null, buckets: [] }
    }
    const value = random(1e6)
    truth.set(id, value)
    return row(
      id,
      value,
      buckets
        .filter(() => random(2) === 0)
        .concat(buckets[0]!)
        .filter((name, at, all) => all.indexOf(name) === at),
    )
  }
  const changes = () => [...new Map(Array.from({ length: 1 + random(8) }, change).map((one) => [one.id, one])).values()]
  await source.flush(changes())
  await source.commit()

  const deadline = performance.now() + 6000
  const writing = (async () => {
    let commits = 0
    while (performance.now() < deadline) {
      for (let flushes = 1 + random(3); flushes > 0; flushes--) await source.flush(changes(), () => sleep(random(20)))
      await source.commit()
      commits++
      await sleep(random(40))
    }
    return commits
  })()
  let moved = 0
  const moving = (async () => {
    const storage = await storageOf(database)
    await using sessions = new Sessions(() => storage.connect())
    while (performance.now() < deadline) {
      const done = await reinsert({
        sessions,
        stream: { id: 1, storageVersion: 2 },
        moves: buckets.map((bucket) => ({ bucket, moveBelow: end })),
        mustStop: () => false,
      })
      moved += done.total.operations
    }
  })()
  const syncing = (async () => {
    using client = openClient()
    const checksums = rememberingChecksums()
    let count = 0
    while (performance.now() < deadline) {
      const image = await readImage(database)
      expect(sync(client, image, { checksums })).toMatchObject({ complete: true, failure: null })
      using fresh = openClient()
      expect(sync(fresh, image, { checksums })).toMatchObject({ complete: true, failure: null })
      expect(fresh.rows()).toEqual(client.rows())
      count++
      await sleep(30)
    }
    return count
  })()
  const [commits, , syncs] = await Promise.all([writing, moving, syncing])
  await source.commit()
  await compactBuckets(await storageOf(database), { mode: 'execute', grace: 0 })
  using client = openClient()
  expect(sync(client, await readImage(database)).complete).toBe(true)
  const seen = client.rows().map(({ data }) => JSON.parse(data) as { id: string; value: number })
  expect(new Map(seen.map(({ id, value }) => [id, value]))).toEqual(
    new Map([...truth].sort(([a], [b]) => (a < b ? -1 : 1))),
  )
  expect({ commits: commits > 5, moved: moved > 100, syncs: syncs > 5 }).toEqual({
    commits: true,
    moved: true,
    syncs: true,
  })
})

test('the same without the lock on the stream breaks new clients: the tests above can fail', async () => {
  await using database = await emptyStorage(2)
  const source = await replicatorOf(database)
  await source.flush(Array.from({ length: 10 }, (_, n) => row(`row ${n}`, n)))
  await source.commit()
  const checksums = rememberingChecksums()
  await using naive = await database.connect()
  await naive.query('BEGIN')
  await naive.query(
    `INSERT INTO powersync.bucket_data (group_id, bucket_name, op_id, op, source_table, source_key, table_name, row_id, checksum, data)
     SELECT group_id, bucket_name, nextval('powersync.op_id_sequence'), op, source_table, source_key, table_name, row_id, checksum, data
       FROM powersync.bucket_data ORDER BY op_id`,
  )
  await source.flush([row('later', 1)])
  const passed = await source.commit()
  using old = openClient()
  expect(sync(old, await readImage(database), { checksums }).complete).toBe(true)
  await naive.query('COMMIT')
  const image = await readImage(database)
  expect(image.checkpoint).toBe(passed)
  using fresh = openClient()
  expect(sync(fresh, image, { checksums }).failure).toMatch(/Checksums didn't match/)
})
