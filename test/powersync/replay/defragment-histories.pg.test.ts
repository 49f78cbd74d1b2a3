// Random histories, defragmented: whoever completed any published checkpoint ends with the same rows over all buckets, and so does a new
// client. TAMP_SOAK_SECONDS makes each test longer, TAMP_TEST_SEED repeats the choices.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import type { DefragmentOptions } from '../../../src/powersync/defragment/defragment.ts'
import type { FreshDatabase } from '../../support/postgres.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { check } from '../../support/powersync/drawn.ts'
import { readBuckets, sourceKeyOf, sourceTableId, writeBuckets } from '../../support/powersync/operations.ts'
import type { Buckets } from '../../support/powersync/operations.ts'
import { history, laidOut } from '../../support/powersync/random-history.ts'
import type { Stream } from '../../support/powersync/random-history.ts'
import { replay, sync } from '../../support/powersync/replay.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { imageOf } from '../../support/powersync/service-lines.ts'
import { emptyStorage, publish, storageOf } from '../../support/powersync/storages.ts'

const stream = fc.array(history, { minLength: 1, maxLength: 4, size: 'max' }).map(laidOut)

let database: FreshDatabase
let storage: BucketStorage
beforeAll(async () => {
  database = await emptyStorage(2)
  storage = await storageOf(database)
})
afterAll(async () => database[Symbol.asyncDispose]())

async function written({ buckets, bound, current }: Stream): Promise<void> {
  await database.query('TRUNCATE bucket_data, current_data')
  await database.query('DROP SCHEMA IF EXISTS tamp CASCADE')
  await database.query(`SELECT setval('op_id_sequence', 1, false)`)
  await database.query('UPDATE sync_rules SET keepalive_op = NULL')
  await writeBuckets(database, buckets)
  for (const { row, buckets } of current)
    await database.query(`INSERT INTO current_data VALUES (1, $1, decode($2, 'hex'), $3, '\\x0500000000', '{}')`, [
      row.sourceTable ?? sourceTableId(row.table),
      sourceKeyOf(row.key ?? row.id),
      JSON.stringify(buckets.map((bucket) => ({ bucket, table: row.table, id: row.id }))),
    ])
  await publish(database, bound)
  // Operations that are not published yet have their ids.
  const last = Math.max(...[...buckets.values()].flat().map(({ opId }) => opId), bound)
  await database.query(`SELECT setval('op_id_sequence', $1)`, [last])
}

async function defragment(options: Omit<DefragmentOptions, 'mode' | 'grace'>): ReturnType<typeof defragmentBuckets> {
  await using session = await database.connect()
  const service = new Replicator(session, { table: 'lists' })
  let publishing: Promise<number> | undefined
  const report = await defragmentBuckets(storage, {
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

/** What a new client sees. */
function seen(buckets: Buckets, checkpoint: number): unknown {
  using client = openClient()
  expect(sync(client, imageOf(buckets, checkpoint))).toMatchObject({ complete: true, failure: null })
  return client.rows()
}

function count(buckets: Buckets): number {
  return [...buckets.values()].reduce((sum, operations) => sum + operations.length, 0)
}

test('relocated: clients at every published checkpoint end the same, and who has everything downloads nothing', async () => {
  let moved = 0
  await check(stream, async (stream) => {
    if (stream.buckets.size === 0) return
    await written(stream)
    const { bound, checkpoints } = stream
    const report = await defragment({ how: 'relocate', checkpoints })
    moved += report.itemsChanged
    const after = await readBuckets(database)
    const images = { before: imageOf(stream.buckets, bound), after: imageOf(after, bound) }
    expect(replay({ ...images, positions: [0, ...checkpoints] }).failures).toEqual([])
    expect(replay({ ...images, positions: [bound] }).operations).toBe(0)
    expect(seen(after, bound)).toEqual(seen(stream.buckets, bound))
    expect(count(after)).toBeLessThanOrEqual(count(stream.buckets))
    // What comes later comes to all.
    const end = Math.max(...[...stream.buckets.values()].flat().map(({ opId }) => opId), bound)
    const later = { before: imageOf(stream.buckets, end), after: imageOf(after, end) }
    expect(replay({ ...later, positions: [0, ...checkpoints] }).failures).toEqual([])
  })
  expect(moved).toBeGreaterThan(0)
})

test('reinserted: clients at every published checkpoint end the same', async () => {
  let moved = 0
  await check(stream, async (stream) => {
    if (stream.buckets.size === 0) return
    await written(stream)
    const report = await defragment({ how: 'reinsert' })
    moved += report.itemsChanged
    const after = await readBuckets(database)
    const [[checkpoint]] = (await database.query('SELECT last_checkpoint FROM sync_rules')) as [[number]]
    const old = Math.max(...[...stream.buckets.values()].flat().map(({ opId }) => opId), stream.bound)
    // What was written, before anything of it was compacted: the old operations and the new ones.
    const uncompacted: Buckets = new Map()
    for (const [bucket, operations] of stream.buckets)
      uncompacted.set(bucket, [...operations, ...after.get(bucket)!.filter(({ opId }) => opId > old)])
    const images = { before: imageOf(uncompacted, checkpoint), after: imageOf(after, checkpoint) }
    expect(replay({ ...images, positions: [0, ...stream.checkpoints] }).failures).toEqual([])
    expect(seen(after, checkpoint)).toEqual(seen(stream.buckets, checkpoint))
  })
  expect(moved).toBeGreaterThan(0)
})
