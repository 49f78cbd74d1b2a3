// What tamp remembers is of one life of one storage. In another life the same schema, stream and buckets begin anew.
import { expect, test } from 'vitest'
import { compactBuckets } from '../../src/powersync/compact.ts'
import { Ledger } from '../../src/powersync/ledger.ts'
import type { FreshDatabase } from '../support/postgres.ts'
import { put, readBuckets, writeBucket } from '../support/powersync/operations.ts'
import type { Operation } from '../support/powersync/operations.ts'
import { emptyStorage, publish, storageOf } from '../support/powersync/storages.ts'

const row = { table: 'lists', id: 'a' }
const history = (length: number, version: string): Operation[] =>
  Array.from({ length }, (_, n) => put(n + 1, row, `${version} ${n}`))

/** A storage with 50 operations about one row, compacted. */
async function compactedStorage(): Promise<FreshDatabase> {
  const database = await emptyStorage(2)
  await writeBucket(database, '1#global[]', history(50, 'first'))
  await publish(database, 50, 3600)
  const report = await compactBuckets(await storageOf(database), { mode: 'execute' })
  expect(report).toMatchObject({ complete: true, checkpoint: { opId: 50 } })
  expect((await readBuckets(database)).get('1#global[]')).toHaveLength(2)
  return database
}

/** The schema as the service makes it anew: the tables are others, the stream is number 1 again. */
const madeAnew = `
  CREATE SCHEMA old; ALTER TABLE powersync.bucket_data SET SCHEMA old;
  CREATE TABLE powersync.bucket_data (LIKE old.bucket_data INCLUDING ALL); DROP SCHEMA old CASCADE`

for (const [what, anew] of [
  ['whose tables were made anew', madeAnew],
  [
    'whose stream has another slot',
    `TRUNCATE powersync.bucket_data; UPDATE powersync.sync_rules SET slot_name = 'powersync_1_beef'`,
  ],
] as const)
  test(`a storage ${what} is read whole, and its young checkpoint is not taken for an old one`, async () => {
    await using database = await compactedStorage()
    await database.query(`UPDATE tamp.checkpoint SET seen_at = seen_at - interval '1 hour'`)
    await database.query(anew)
    await writeBucket(database, '1#global[]', history(60, 'second'))
    await publish(database, 60, 1)
    const storage = await storageOf(database)
    await expect(compactBuckets(storage, { mode: 'execute', maxSeconds: 1 })).rejects.toMatchObject({
      code: 'no-checkpoint',
    })
    expect((await readBuckets(database)).get('1#global[]')).toHaveLength(60)
    expect(await database.query('SELECT op_id FROM tamp.checkpoint')).toEqual([[60]])
    expect(await database.query('SELECT * FROM tamp.compacted_bucket')).toEqual([])
    await publish(database, 60, 3600)
    await compactBuckets(storage, { mode: 'execute' })
    expect((await readBuckets(database)).get('1#global[]')).toHaveLength(2)
  })

test('a storage that has not come as far as the ledger says is read whole, and that is said', async () => {
  await using database = await compactedStorage()
  await database.query('TRUNCATE powersync.bucket_data')
  await writeBucket(database, '1#global[]', history(30, 'second'))
  await publish(database, 30, 3600)
  const storage = await storageOf(database)
  const dry = await compactBuckets(storage, { mode: 'dry-run' })
  expect(dry).toMatchObject({ unchangedBuckets: 0, before: { operations: 30 }, after: { operations: 2 } })
  const report = await compactBuckets(storage, { mode: 'execute' })
  expect(report.after).toEqual(dry.after)
  for (const { notes } of [dry, report]) expect(notes.join()).toMatch(/of another life of this storage/)
  expect(await database.query('SELECT compacted_to FROM tamp.compacted_stream')).toEqual([[30]])
  expect((await compactBuckets(storage, { mode: 'execute' })).notes.join()).not.toMatch(/another life/)
})

test('storages in one database have each their own', async () => {
  await using database = await emptyStorage(2)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const ours = await Ledger.open(connection, storage.schema, 1, true)
  await ours.bucketsAreCompacted(connection, ['1#a[]'], 7)
  await database.query('CREATE SCHEMA other')
  for (const table of ['bucket_data', 'sync_rules']) {
    await database.query(`CREATE TABLE other.${table} (LIKE powersync.${table} INCLUDING ALL)`)
    await database.query(`INSERT INTO other.${table} SELECT * FROM powersync.${table}`)
  }
  await connection.execute('SET search_path = other')
  const theirs = await Ledger.open(connection, 'other', 1, true)
  expect([await theirs.knowsBuckets(connection), theirs.forgotten]).toEqual([false, false])
  await connection.execute('SET search_path = powersync')
  const again = await Ledger.open(connection, storage.schema, 1, true)
  expect([await again.knowsBuckets(connection), again.forgotten]).toEqual([true, false])
})

test('what is known to be compacted does not become less', async () => {
  await using database = await emptyStorage(2)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const ledger = await Ledger.open(connection, storage.schema, 1, true)
  await ledger.bucketsAreCompacted(connection, ['1#a[]', '1#b[]'], 7)
  await ledger.bucketsAreCompacted(connection, ['1#a[]'], 5)
  await ledger.bucketsAreCompacted(connection, ['1#b[]'], 9)
  expect(await database.query('SELECT bucket_name, compacted_to FROM tamp.compacted_bucket ORDER BY 1')).toEqual([
    ['1#a[]', 7],
    ['1#b[]', 9],
  ])
})
