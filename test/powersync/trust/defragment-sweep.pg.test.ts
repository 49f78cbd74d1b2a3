// P2: defragmenting inside the storage, with the connection cut at every statement of a batch, when it was carried out and nobody knows:
// no row is moved twice, none is lost, the next run finishes, and clients from everywhere end with the same rows.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import { openBucketStorage } from '../../../src/powersync/database.ts'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import { startProxy } from '../../support/cutting-proxy.ts'
import type { Cut, CuttingProxy } from '../../support/cutting-proxy.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import type { Client } from '../../support/powersync/client-core.ts'
import { readBuckets } from '../../support/powersync/operations.ts'
import { sync } from '../../support/powersync/replay.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { readImage, rememberingChecksums } from '../../support/powersync/service-lines.ts'
import type { Image } from '../../support/powersync/service-lines.ts'
import { emptyStorage, storageOf } from '../../support/powersync/storages.ts'
import type { FreshDatabase } from '../../support/postgres.ts'
import { execute, pausable, sound } from './scene.ts'

const buckets = ['1#global[]', '1#by_user["x,\\"y"]']
const kept = ['a', 'b', 'c']

let database: FreshDatabase
let storage: BucketStorage
let proxy: CuttingProxy
let through: BucketStorage
let replicator: Replicator
let before: Image
const checkpoints: number[] = []
const clients: Client[] = []

beforeAll(async () => {
  database = await emptyStorage(2)
  replicator = new Replicator(await database.connect(), { table: 'lists' })
  const row = (id: string, n: number) => ({ id, row: { id }, buckets: [buckets[n % 2]!] })
  const many = Array.from({ length: 60 }, (_, n) => `row ${n}`)
  for (const changes of [kept.map(row), many.map(row), many.map((id) => ({ id, row: null, buckets: [] }))]) {
    await replicator.flush(changes)
    checkpoints.push(await replicator.commit())
  }
  before = await readImage(database)
  clients.push(openClient())
  for (const checkpoint of checkpoints) {
    const client = clients.at(-1)!.fork()
    expect(sync(client, before, { checkpoint }).complete).toBe(true)
    clients.push(client)
  }
  for (const table of ['bucket_data', 'current_data', 'sync_rules'])
    await database.query(`CREATE TABLE public.saved_${table} AS TABLE powersync.${table}`)
  storage = await storageOf(database)
  const { hostname: host, port } = new URL(inject('postgres').url)
  proxy = await startProxy({ target: { host, port: Number(port) } })
  through = await openBucketStorage({ connection: proxy.url(database.url), env: {} })
})
afterAll(async () => {
  for (const client of clients) client[Symbol.dispose]()
  await proxy?.[Symbol.asyncDispose]()
  await database?.[Symbol.asyncDispose]()
})

async function restore(): Promise<void> {
  await database.query('DROP SCHEMA IF EXISTS tamp CASCADE')
  for (const table of ['bucket_data', 'current_data', 'sync_rules']) {
    await database.query(`DELETE FROM powersync.${table}`)
    await database.query(`INSERT INTO powersync.${table} TABLE public.saved_${table}`)
  }
  await database.query(`SELECT setval('powersync.op_id_sequence', $1)`, [checkpoints.at(-1)])
}

const ways = {
  // Compacting has to wait for the replicator, so that it is left to the next run.
  reinsert: { how: 'reinsert', grace: 600 },
  relocate: { how: 'relocate', grace: 0, checkpoints },
} as const

const begins = {
  reinsert: /^BEGIN ISOLATION LEVEL READ COMMITTED/,
  relocate: /^BEGIN ISOLATION LEVEL REPEATABLE READ;\n[^]*idle_in_transaction_session_timeout = '20s'/,
}

/** What is not as it must be: PUTs of the kept rows beyond what one move of each gives, rows that are gone. */
async function harm(): Promise<string[]> {
  const puts = [...(await readBuckets(database)).values()].flat().filter(({ op }) => op === 'PUT')
  return kept.flatMap((id) => {
    const own = puts.filter(({ rowId }) => rowId === id)
    return own.length === 1 || own.length === 2 ? [] : [`${own.length} PUTs of ${id}`]
  })
}

describe.each(['reinsert', 'relocate'] as const)('%s', (how) => {
  test('P2: a cut at any statement of a batch', async () => {
    await restore()
    proxy.startCounting(begins[how])
    expect(await defragmentBuckets(through, { mode: 'execute', ...ways[how] })).toMatchObject({
      complete: true,
      skipped: [],
      itemsChanged: 3,
    })
    const commit = proxy.messages.find(({ direction, text }) => direction === 'frontend' && text === 'COMMIT')!
    const statements = proxy.messages.filter(
      ({ direction, type, number }) => direction === 'frontend' && 'QS'.includes(type) && number <= commit.number,
    )
    expect(statements.length).toBeGreaterThan(5)
    for (const { number, text } of statements)
      for (const when of text === 'COMMIT' ? (['before', 'answered'] as const) : (['answered'] as const)) {
        const where = `${how}, ${when} message ${number}: ${text ?? ''}`
        const report = await cutAt({ direction: 'frontend', message: number, when }, where)
        expect(report, where).not.toBeInstanceOf(TampError)
        expect(report, where).toMatchObject({ complete: true, skipped: [], itemsChanged: 3 })
        await finish(where)
      }
  })

  async function cutAt(cut: Cut, where: string): Promise<unknown> {
    await restore()
    const run = pausable(through)
    proxy.startCounting(begins[how])
    const pending = proxy.cut(cut)
    const report = await defragmentBuckets(run.storage, { mode: 'execute', ...ways[how] }).catch(
      (error: unknown) => error,
    )
    expect(pending.done, where).toBe(true)
    expect(await harm(), where).toEqual([])
    return report
  }

  /** The next run, what the service publishes then, and what clients make of it. */
  async function finish(where: string): Promise<void> {
    const next = await defragmentBuckets(storage, { mode: 'execute', ...ways[how] })
    expect(next, where).toMatchObject({ complete: true, skipped: [], itemsChanged: 0 })
    await replicator.commit()
    expect(await execute(storage), where).toMatchObject(sound)
    const after = await readBuckets(database)
    const total = [...after.values()].flat()
    expect(total.map(({ op }) => op).sort(), where).toEqual(['CLEAR', 'CLEAR', 'PUT', 'PUT', 'PUT'])
    const image = await readImage(database)
    const checksums = rememberingChecksums()
    for (const checkpoint of checkpoints) for (const bucket of buckets) checksums(before, bucket, checkpoint)
    for (const client of clients) {
      using copy = client.fork()
      expect(sync(copy, image, { checksums }), where).toMatchObject({ complete: true, failure: null })
      expect(
        copy.rows().map(({ id }) => id),
        where,
      ).toEqual(kept)
    }
  }
})
