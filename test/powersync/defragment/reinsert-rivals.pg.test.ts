// What comes while operations are written again: another row of the source under the same table and id in a bucket that did not hold it,
// more than can be looked through at once, writers who do not stop. And what is told of rows that stay where they are.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Connection } from '../../../src/database/postgres.ts'
import { Sessions } from '../../../src/database/sessions.ts'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import { fillQueue } from '../../../src/powersync/defragment/reinsert/queue.ts'
import { reinsertBatch } from '../../../src/powersync/defragment/reinsert/reinsert-batch.ts'
import { reinsert } from '../../../src/powersync/defragment/reinsert/reinsert.ts'
import { reinsertScript } from '../../../src/powersync/defragment/reinsert/reinsert-script.ts'
import type { FreshDatabase } from '../../support/postgres.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { put, writeBucket } from '../../support/powersync/operations.ts'
import { sync } from '../../support/powersync/replay.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { readImage } from '../../support/powersync/service-lines.ts'
import { emptyStorage, publish, storageOf } from '../../support/powersync/storages.ts'

const first = '6544e389-9293-4531-8fa7-b38331000001'
const second = '6544e389-9293-4531-8fa7-b38331000002'
const a = '1#a[]'
const b = '1#b[]'

async function sources(database: FreshDatabase): Promise<{ one: Replicator; two: Replicator }> {
  const one = new Replicator(await database.connect(), { table: 'lists', sourceTable: first })
  const two = new Replicator(await database.connect(), { table: 'lists', sourceTable: second })
  for (const id of ['r', 's', 'x', 'x', 'x', 'x'])
    await one.flush([{ id, row: { id, from: 'source 1' }, buckets: [a] }])
  await one.commit()
  return { one, two }
}

async function rowsOf(database: FreshDatabase): Promise<unknown> {
  using client = openClient()
  expect(sync(client, await readImage(database))).toMatchObject({ complete: true, failure: null })
  return client.rows()
}

test('a row of another source that came to another bucket under the same id is not passed', async () => {
  await using database = await emptyStorage(2)
  const { one, two } = await sources(database)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const { seenTo } = await fillQueue(connection, 1, [{ bucket: a, moveBelow: 3 }])
  await two.flush([{ id: 'r', row: { id: 'r', from: 'source 2' }, buckets: [b] }])
  await two.commit()
  const before = await rowsOf(database)
  const done = await reinsertBatch(connection, { group: 1, storageVersion: 2, batch: 0, seenTo })
  await connection.execute('COMMIT')
  expect(done.operations).toBe(1)
  await one.commit()
  expect(await rowsOf(database)).toEqual(before)
})

test('where too much is new to be looked through under the lock, it is looked through before', async () => {
  await using database = await emptyStorage(2)
  const { one, two } = await sources(database)
  const storage = await storageOf(database)
  let slow = 0
  let before: unknown
  await using sessions = new Sessions(async () => {
    const connection = await storage.connect()
    const execute = connection.execute.bind(connection)
    connection.execute = (async (text, values) => {
      if (text.includes('SET LOCAL') && before === undefined) {
        await two.flush([{ id: 'r', row: { id: 'r', from: 'source 2' }, buckets: [b] }])
        await two.commit()
        before = await rowsOf(database)
      }
      if (text.includes('looked AS') && slow++ === 0) await execute('SELECT pg_sleep(10)')
      return await execute(text, values)
    }) as Connection['execute']
    return connection
  })
  const done = await reinsert({
    sessions,
    stream: { id: 1, storageVersion: 2 },
    moves: [{ bucket: a, moveBelow: 3 }],
    mustStop: () => false,
  })
  expect(slow).toBe(2)
  expect(done).toMatchObject({ total: { operations: 1 }, left: [{ reason: expect.stringMatching(/changed since/) }] })
  await one.commit()
  expect(await rowsOf(database)).toEqual(before)
})

test('beside somebody who writes all the time it gives up after three batches, and takes no op ids', async () => {
  await using database = await emptyStorage(2)
  const source = new Replicator(await database.connect(), { table: 'lists' })
  const many = Array.from({ length: 600 }, (_, n) => ({ id: `row ${n}`, row: { n }, buckets: [a] }))
  await source.flush(many)
  await source.flush([{ id: 'x', row: {}, buckets: [a] }])
  const last = await source.commit()
  await using writer = await database.connect()
  await writer.query('BEGIN; LOCK TABLE powersync.bucket_data IN ROW EXCLUSIVE MODE')
  const storage = await storageOf(database)
  await using sessions = new Sessions(() => storage.connect())
  const started = performance.now()
  const done = await reinsert({
    sessions,
    stream: { id: 1, storageVersion: 2 },
    moves: [{ bucket: a, moveBelow: last }],
    mustStop: () => false,
    patience: 1,
  })
  expect(performance.now() - started).toBeLessThan(15_000)
  expect(done).toMatchObject({ total: { operations: 0 }, complete: true, lastNew: null })
  expect(done.left).toEqual([{ subject: a, reason: '600 rows stay where they are: others kept writing all the time' }])
  const [sequence] = await database.query<[number]>('SELECT last_value FROM op_id_sequence')
  expect(sequence![0]).toBe(last)
})

test('a storage that was never analysed is queued in no time', async () => {
  await using database = await emptyStorage(2)
  await database.query('ALTER TABLE bucket_data SET (autovacuum_enabled = false)')
  const rows = Array.from({ length: 15_000 }, (_, n) => put(1 + n, { table: 'lists', id: String(n) }, n))
  const churn = Array.from({ length: 15_000 }, (_, n) => put(15_001 + n, { table: 'lists', id: 'x' }, n))
  await writeBucket(database, a, [...rows, ...churn])
  await publish(database, 30_000)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const started = performance.now()
  expect(await fillQueue(connection, 1, [{ bucket: a, moveBelow: 20_000 }])).toMatchObject({ operations: 15_000 })
  expect(performance.now() - started).toBeLessThan(20_000)
  expect(await connection.query('SHOW enable_nestloop')).toEqual([['on']])
})

test('the script asks for the isolation that it rests on', () => {
  expect(reinsertScript('powersync', { id: 1, storageVersion: 2 }, [{ bucket: a, moveBelow: 2 }])).toMatch(
    /^SET default_transaction_isolation = 'read committed';$/m,
  )
})

test('figures: rows that stay gain nothing, buckets that are not moved are not compacted, and a dry run says what execution does', async () => {
  await using database = await emptyStorage(2)
  const one = new Replicator(await database.connect(), { table: 'lists', sourceTable: first })
  const two = new Replicator(await database.connect(), { table: 'lists', sourceTable: second })
  // In a, the first row cannot be moved: another source has it too. In b it can. c needs no row moved.
  for (const [source, bucket] of [
    [one, a],
    [two, a],
  ] as const)
    await source.flush([{ id: 'r', row: { id: 'r' }, buckets: [bucket] }])
  await one.flush([{ id: 'kept', row: {}, buckets: [b] }])
  for (let n = 0; n < 50; n++) await one.flush([{ id: 'x', row: { n }, buckets: [a, b] }])
  for (let n = 0; n < 50; n++) await one.flush([{ id: 'y', row: { n }, buckets: ['1#c[]'] }])
  await two.commit()
  await one.commit()
  const storage = await storageOf(database)
  const planned = await defragmentBuckets(storage, { mode: 'dry-run', grace: 0, how: 'reinsert' })
  const [done] = await Promise.all([
    defragmentBuckets(storage, { mode: 'execute', grace: 0, how: 'reinsert' }),
    (async () => {
      for (let n = 0; n < 400; n++) {
        const [row] = await database.query<[number | null]>('SELECT keepalive_op FROM sync_rules')
        if (row![0] !== null) return await one.commit()
        await sleep(50)
      }
      throw new Error('nothing to publish')
    })(),
  ])
  expect(planned.buckets.map(({ bucket }) => bucket)).toEqual([b])
  expect(done.buckets).toEqual(planned.buckets)
  expect(done).toMatchObject({ saved: planned.saved, skipped: [{ subject: a }] })
  expect(planned.saved.operations).toBeGreaterThan(40)
  expect(done.units).toMatchObject({ planned: planned.units.planned, done: planned.units.planned })
  expect(done.after).toEqual(planned.after)
  expect(done.next).toBeNull()
})
