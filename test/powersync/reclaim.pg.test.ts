// Reclaiming space: the figures of a dry run are those that VACUUM and VACUUM FULL reach, and it says what it cannot give back.
import { expect, test } from 'vitest'
import { openBucketStorage } from '../../src/powersync/database.ts'
import { reclaimSpace } from '../../src/powersync/reclaim.ts'
import type { Reclaimed } from '../../src/powersync/reclaim.ts'
import { loadStorage, storageOf } from '../support/powersync/storages.ts'

const bucketData = ({ tables }: Reclaimed): Reclaimed['tables'][number] =>
  tables.find(({ table }) => table === 'bucket_data')!

test('what is dead becomes usable, what is empty at the end goes back, and the rest as VACUUM FULL would have it', async () => {
  await using database = await loadStorage(2)
  await database.query('ALTER TABLE bucket_data SET (autovacuum_enabled = off)')
  await database.query('DELETE FROM bucket_data WHERE op_id % 3 = 0 OR op_id > 40000')
  const storage = await storageOf(database)

  const dry = await reclaimSpace(storage)
  const planned = bucketData(dry)
  expect(dry).toMatchObject({ mode: 'dry-run', complete: true })
  expect(dry.tables.map(({ table }) => table)).toEqual(['bucket_data', 'bucket_parameters', 'current_data'])
  expect(planned).toMatchObject({ vacuumed: false, after: planned.before })
  expect(planned.before.emptyTailBytes).toBeGreaterThan(0)
  const [[rows] = []] = await database.query<[number]>('SELECT count(*) FROM bucket_data')
  expect(planned.before.rowsEstimate).toBe(rows)
  const [[untouched] = []] = await database.query<[number]>(`SELECT pg_table_size('bucket_data')`)
  expect(untouched).toBe(planned.before.tableBytes)

  const executed = await reclaimSpace(storage, { execute: true })
  const { before, after, vacuumed } = bucketData(executed)
  expect(vacuumed).toBe(true)
  expect(after.deadRowsEstimate).toBe(0)
  // To the page; the maps of free space and visibility come and go.
  expect(Math.abs(before.tableBytes - after.tableBytes - planned.before.emptyTailBytes!)).toBeLessThanOrEqual(5 * 8192)
  const [way] = executed.givingBack
  expect(way).toMatchObject({
    table: 'bucket_data',
    vacuumFull: 'VACUUM (FULL, ANALYZE) powersync.bucket_data;',
    reindex: 'REINDEX TABLE CONCURRENTLY powersync.bucket_data;',
  })

  await database.session.client.query(way!.reindex)
  await database.session.client.query(way!.vacuumFull)
  const [[bytes] = []] = await database.query<[number]>(`SELECT pg_total_relation_size('bucket_data')`)
  expect(way!.bytesEstimate / bytes!).toBeGreaterThan(0.85)
  expect(way!.bytesEstimate / bytes!).toBeLessThan(1.15)
  expect((await reclaimSpace(storage)).givingBack).toEqual([])
})

test('who keeps dead rows from being removed is named', async () => {
  await using database = await loadStorage(2)
  const storage = await storageOf(database)
  await database.query('ALTER TABLE bucket_data SET (autovacuum_enabled = off)')
  await using other = await database.connect()
  await other.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await other.query('SELECT 1 FROM powersync.bucket_data LIMIT 1')
  await database.query('DELETE FROM bucket_data WHERE op_id % 3 = 0')
  const blocked = await reclaimSpace(storage, { execute: true })
  expect(bucketData(blocked).after.deadRowsEstimate).toBeGreaterThan(10_000)
  const [[pid] = []] = await other.query<[number]>('SELECT pg_backend_pid()')
  expect(blocked.notes).toEqual([expect.stringContaining(`Dead rows are kept for the session ${pid}`)])
  await other.query('ROLLBACK')
  expect(bucketData(await reclaimSpace(storage, { execute: true })).after.deadRowsEstimate).toBe(0)
})

test('a role that may read but not vacuum is refused before anything happens; a dry run is allowed', async () => {
  await using database = await loadStorage(1)
  const role = `reader_${database.name}`
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'reads-only'`)
  try {
    await database.query(`GRANT USAGE ON SCHEMA powersync TO ${role}`)
    await database.query(`GRANT SELECT ON ALL TABLES IN SCHEMA powersync TO ${role}`)
    const url = new URL(database.url)
    url.username = role
    url.password = 'reads-only'
    const storage = await openBucketStorage({ connection: url.href, env: {} })
    expect((await reclaimSpace(storage)).complete).toBe(true)
    await expect(reclaimSpace(storage, { execute: true })).rejects.toMatchObject({
      code: 'no-permission',
      message: expect.stringContaining(`The role "${role}" may not vacuum powersync.bucket_data`),
    })
  } finally {
    await database.query(`DROP OWNED BY ${role}`)
    await database.query(`DROP ROLE ${role}`)
  }
})

test('one tamp at a time, and an interruption is one', async () => {
  await using database = await loadStorage(3)
  const storage = await storageOf(database)
  await using other = await database.connect()
  await other.query('SELECT pg_advisory_lock($1, $2)', [0x74616d70, 2])
  await expect(reclaimSpace(storage, { execute: true })).rejects.toMatchObject({ code: 'locked' })
  expect((await reclaimSpace(storage)).complete).toBe(true)
  await other.query('SELECT pg_advisory_unlock_all()')
  // Somebody works on the table: VACUUM waits, and is told to stop.
  await other.query('BEGIN')
  await other.query('LOCK TABLE powersync.bucket_data IN SHARE UPDATE EXCLUSIVE MODE')
  const controller = new AbortController()
  const running = reclaimSpace(storage, {
    execute: true,
    signal: controller.signal,
    onTable: (_table, doing) => void (doing === 'vacuuming' && setTimeout(() => controller.abort(), 200)),
  })
  expect(await running).toMatchObject({ mode: 'execute', complete: false, tables: expect.any(Array) })
  expect((await running).tables.every(({ vacuumed }) => !vacuumed)).toBe(true)
  await other.query('ROLLBACK')
})
