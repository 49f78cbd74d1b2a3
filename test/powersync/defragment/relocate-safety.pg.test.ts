// What relocating must not do, whoever is at work beside it: break what the service's compactor is about to write, let a client complete a
// checkpoint without a row, or trust op ids that a service publishes in the middle of.
import { expect, test } from 'vitest'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import { gapsBetween } from '../../../src/powersync/defragment/relocate/gap.ts'
import type { Gap } from '../../../src/powersync/defragment/relocate/gap.ts'
import {
  previewRelocation,
  relocateBucket,
  relocationScript,
} from '../../../src/powersync/defragment/relocate/relocate-bucket.ts'
import type { Relocation, Unmovable } from '../../../src/powersync/defragment/relocate/relocation.ts'
import { reserveGap, reservedGaps } from '../../../src/powersync/defragment/relocate/reserved-gap.ts'
import type { FreshDatabase } from '../../support/postgres.ts'
import type { Session } from '../../support/session.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { put, readBuckets, remove, writeBucket } from '../../support/powersync/operations.ts'
import type { Operation } from '../../support/powersync/operations.ts'
import { sync } from '../../support/powersync/replay.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { compactAsTheServiceDoes } from '../../support/powersync/service-compactor.ts'
import { readImage } from '../../support/powersync/service-lines.ts'
import { emptyStorage, publish, storageOf } from '../../support/powersync/storages.ts'

const global = '1#global[]'
const row = (id: string | number) => ({ table: 'lists', id: String(id) })

async function relocate(
  database: FreshDatabase,
  gaps: readonly Gap[],
  checkpoint: number,
): Promise<Relocation | Unmovable> {
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const done = await relocateBucket(connection, { group: 1, bucket: global, checkpoint, below: Infinity }, gaps)
  if ('reason' in done) return done
  await connection.execute('COMMIT')
  return done.relocation
}

/** The service's compactor, which has read a page of operations when `between` happens, and goes on with what it has read. */
async function compactAround(database: FreshDatabase, between: () => Promise<void>): Promise<void> {
  await using session = await database.connect()
  let happened = false
  const slow: Session = {
    client: session.client,
    execute: session.execute,
    query: (async (text: string, values?: readonly unknown[]) => {
      const rows = await session.query(text, values)
      if (/ORDER BY op_id DESC/.test(text) && !happened) {
        happened = true
        await between()
      }
      return rows
    }) as Session['query'],
    [Symbol.asyncDispose]: async () => {},
  }
  await compactAsTheServiceDoes(slow)
}

function newClient(image: Awaited<ReturnType<typeof readImage>>): unknown {
  using client = openClient()
  expect(sync(client, image)).toMatchObject({ complete: true, failure: null })
  return client.rows()
}

test.each([
  ['only changed', (n: number) => put(2 + n, row('x'), n), /no range of op ids is known/],
  ['inserted and deleted', (n: number) => (n < 50 ? put(2 + n, row(n), n) : remove(2 + n, row(n - 50))), undefined],
  ['changed, with gaps', (n: number) => put(2 + n * 2, row('x'), n), undefined],
])(
  'a compactor of the service that has read rows that were %s before writes over none',
  async (_, operation, refused) => {
    await using database = await emptyStorage(2)
    const operations: Operation[] = [put(1, row('r'), 'kept'), ...Array.from({ length: 100 }, (_, n) => operation(n))]
    const last = operations.at(-1)!.opId
    await writeBucket(database, global, operations)
    await publish(database, last)
    const rows = newClient(await readImage(database))
    let done: Relocation | Unmovable | undefined
    await compactAround(database, async () => {
      done = await relocate(database, gapsBetween([1, last]), last)
    })
    if (refused !== undefined) expect(done).toMatchObject({ reason: expect.stringMatching(refused) })
    else expect(done).toMatchObject({ crosses: true })
    expect(newClient(await readImage(database))).toEqual(rows)
  },
)

test('the place of a REMOVE is taken only where no later operation of its row is there, published or not', async () => {
  await using database = await emptyStorage(2)
  await writeBucket(database, global, [
    put(1, row('r'), 'kept'),
    ...Array.from({ length: 30 }, (_, n) => put(2 + n, row(n), n)),
    ...Array.from({ length: 30 }, (_, n) => remove(32 + n, row(n))),
    put(70, row(29), 'again'),
  ])
  await publish(database, 61)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const scope = { group: 1, bucket: global, checkpoint: 61, below: Infinity }
  const plan = await previewRelocation(connection, scope, gapsBetween([31, 61]))
  if ('reason' in plan) throw new Error(plan.reason)
  expect([plan.clearAt, ...plan.slots]).toEqual([59, 60])
  // What lies above the checkpoint is in no figure.
  expect([plan.before.operations, plan.after.operations]).toEqual([61, 2])
  // The script looks once more: the row of a place that was planned has come back since.
  await writeBucket(database, global, [put(80, row(28), 'again')])
  const before = await readBuckets(database)
  await expect(connection.client.query(relocationScript(plan))).rejects.toThrow(
    /left as it is: rows of it have changed/,
  )
  await connection.client.query('ROLLBACK')
  expect(await readBuckets(database)).toEqual(before)
})

test('what is published while a window among operations is planned ends the transaction', async () => {
  await using database = await emptyStorage(2)
  await writeBucket(database, global, [
    put(1, row('r'), 'kept'),
    ...Array.from({ length: 30 }, (_, n) => put(2 + n, row(n), n)),
    ...Array.from({ length: 30 }, (_, n) => remove(32 + n, row(n))),
  ])
  await publish(database, 61)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const before = await readBuckets(database)
  const watched = Object.create(connection) as typeof connection
  watched.query = (async (text: string, values?: readonly unknown[]) => {
    if (text.includes('FOR UPDATE')) await publish(database, 62)
    return await connection.query(text, values)
  }) as typeof connection.query
  watched.execute = connection.execute.bind(connection)
  const scope = { group: 1, bucket: global, checkpoint: 61, below: Infinity }
  await expect(relocateBucket(watched, scope, gapsBetween([31, 61]))).rejects.toMatchObject({ code: '40001' })
  await connection.execute('ROLLBACK')
  expect(await readBuckets(database)).toEqual(before)
})

test('no checkpoint below what superseded an operation is completed without its row', async () => {
  await using database = await emptyStorage(2)
  await writeBucket(database, global, [
    put(1, row('k'), 1),
    put(2, row('r'), 'at 105'),
    ...Array.from({ length: 100 }, (_, n) => put(3 + n, row('x'), n)),
    put(110, row('r'), 'at 112'),
  ])
  await publish(database, 112)
  // Up to the newest checkpoint: operation 2 is superseded by 110.
  await compactAsTheServiceDoes(await database.connect())
  const done = await relocate(
    database,
    [
      { after: 102, upTo: 109 },
      { after: 90, upTo: 102 },
    ],
    108,
  )
  expect(done).toMatchObject({ reason: expect.any(String) })
  expect(await relocate(database, [{ after: 102, upTo: 109 }], 109)).toMatchObject({ crosses: false })
  const [clear] = (await readBuckets(database)).get(global)!
  expect(clear).toMatchObject({ op: 'CLEAR', targetOp: 110 })
  using client = openClient()
  expect(sync(client, await readImage(database), { checkpoint: 109 })).toMatchObject({ complete: false, failure: null })
})

test('op ids are not taken while somebody writes operations', async () => {
  await using database = await emptyStorage(2)
  const source = new Replicator(await database.connect(), { table: 'lists' })
  const change = { id: 'a', row: { id: 'a' }, buckets: [global] }
  await source.flush([change])
  await source.commit()
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  await source.flush([change], async () => {
    await expect(reserveGap(connection, storage, 1, 20)).rejects.toMatchObject({ code: '55P03' })
  })
  expect(await reserveGap(connection, storage, 1, 20)).toMatchObject({ reserved: true })
})

test('a service that publishes below what was reserved gets no rows there, then or later', async () => {
  await using database = await emptyStorage(2)
  const source = new Replicator(await database.connect(), { table: 'lists' })
  await source.flush([{ id: 'a', row: { id: 'a' }, buckets: [global] }])
  const lastCheckpoint = await source.commit()
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const gap = await reserveGap(connection, storage, 1, 20)
  if ('reason' in gap) throw new Error(gap.reason)
  const stream = { id: 1, lastCheckpoint }
  expect(await reservedGaps(connection, storage, stream)).toEqual([gap])
  expect(await reservedGaps(connection, storage, stream, [gap.after, gap.upTo])).toEqual([gap])
  expect(await reservedGaps(connection, storage, stream, [gap.after + 5])).toEqual([])
  await database.query('UPDATE sync_rules SET keepalive_op = NULL')
  expect(await reservedGaps(connection, storage, stream)).toEqual([])
  expect(await reservedGaps(connection, storage, stream, [], true)).toEqual([])
  await publish(database, gap.upTo + 10)
  expect(await reservedGaps(connection, storage, { id: 1, lastCheckpoint: gap.upTo + 10 })).toEqual([])
  expect(await reserveGap(connection, storage, 1, 20)).toMatchObject({
    reason: 'the service does not publish op ids that were reserved',
  })
})

test('beside a service from before storage versions nothing is reserved', async () => {
  await using database = await emptyStorage(2)
  await database.query('ALTER TABLE sync_rules DROP COLUMN storage_version')
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  expect(await reserveGap(connection, storage, 1, 20)).toMatchObject({ reason: expect.stringMatching(/too old/) })
})

test('a bucket that grows all the time is relocated by the second run', async () => {
  await using database = await emptyStorage(2)
  const source = new Replicator(await database.connect(), { table: 'lists' })
  let ids = 0
  const grow = async (): Promise<number> => {
    await source.flush(Array.from({ length: 5 }, () => ({ id: `new ${ids++}`, row: { ids }, buckets: [global] })))
    return await source.commit()
  }
  await grow()
  for (let n = 0; n < 30; n++) await source.flush([{ id: 'x', row: { n }, buckets: [global] }])
  await grow()
  const storage = await storageOf(database)
  const run = async () => await defragmentBuckets(storage, { mode: 'execute', grace: 0, how: 'relocate' })
  expect(await run()).toMatchObject({ itemsChanged: 0, next: expect.stringMatching(/run the command again/) })
  await grow()
  const rows = newClient(await readImage(database))
  const done = await run()
  expect(done).toMatchObject({ skipped: [], next: null })
  expect(done.itemsChanged).toBeGreaterThan(10)
  expect(newClient(await readImage(database))).toEqual(rows)
})

test('a storage that was never analysed is relocated in no time', async () => {
  await using database = await emptyStorage(2)
  await database.query('ALTER TABLE bucket_data SET (autovacuum_enabled = false)')
  const first = Array.from({ length: 10_000 }, (_, n) => put(1 + n, row(n), n))
  const churn = Array.from({ length: 15_000 }, (_, n) => put(10_001 + n, row('x'), n))
  await writeBucket(database, global, [...first, ...churn])
  await publish(database, 50_000)
  const started = performance.now()
  const done = await relocate(database, gapsBetween([1, 26_000, 50_000]), 50_000)
  expect(done).toMatchObject({ operationsAfter: 10_002 })
  expect(performance.now() - started).toBeLessThan(20_000)
})
