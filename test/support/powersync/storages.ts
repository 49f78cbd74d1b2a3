// Bucket storages for tests: as the real service wrote them under each storage version, or without rows.
// Each is loaded once a run and copied from then on, which takes a tenth of a second.
import { readFileSync } from 'node:fs'
import { brotliDecompressSync, constants } from 'node:zlib'
import { inject } from 'vitest'
import { openBucketStorage } from '../../../src/powersync/database.ts'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import { databaseFrom } from '../postgres.ts'
import type { FreshDatabase } from '../postgres.ts'
import { openSession } from '../session.ts'

export type StorageVersion = 1 | 2 | 3

export interface LoadedStorage extends FreshDatabase {
  /** The op ids that were published while the storage was written, ascending: where clients may stand. The last one is current. */
  readonly checkpoints: readonly number[]
}

export interface LoadOptions {
  /** False: the server knows nothing of the tables yet, as after a dump was restored. */
  readonly analysed?: boolean
}

/**
 * A storage of 112 buckets and some 46,500 operations, or the source database it was replicated from (without checkpoints).
 * The `search_path` of its own session is `powersync`; other sessions have the server's.
 */
export async function loadStorage(
  version: StorageVersion | 'source',
  options: LoadOptions = {},
): Promise<LoadedStorage> {
  const name = version === 'source' ? 'source' : `storage-v${version}`
  const database = await databaseFrom(await template(name, options.analysed === false ? 'restored' : 'analysed'))
  if (version === 'source') return { ...database, checkpoints: [] }
  await database.query('SET search_path = powersync, public')
  return { ...database, checkpoints: checkpointsOf(dump(name)) }
}

/**
 * The tables of a storage of that version with one ACTIVE stream (id 1) that has published nothing.
 * `writeBucket` and `publish` fill it, or the `Replicator`.
 */
export async function emptyStorage(version: StorageVersion): Promise<FreshDatabase> {
  const database = await databaseFrom(await template(`storage-v${version}`, 'empty'))
  await database.query('SET search_path = powersync, public')
  return database
}

export function storageOf(database: FreshDatabase): Promise<BucketStorage> {
  return openBucketStorage({ connection: database.url, env: {} })
}

/** Makes `opId` the checkpoint that clients are served, as of `secondsAgo`. */
export async function publish(database: FreshDatabase, opId: number, secondsAgo = 0): Promise<void> {
  await database.query(
    `UPDATE powersync.sync_rules SET last_checkpoint = $1, last_checkpoint_ts = now() - make_interval(secs => $2) WHERE id = 1`,
    [opId, secondsAgo],
  )
  await database.query(
    `SELECT setval('powersync.op_id_sequence', greatest($1, (SELECT last_value FROM powersync.op_id_sequence)))`,
    [opId],
  )
}

const file = new URL('../../fixtures/powersync/storages.sql.br', import.meta.url)
let unpacked: string | undefined

/** The SQL of one of the dumps. */
function dump(name: string): string {
  unpacked ??= brotliDecompressSync(readFileSync(file), {
    params: { [constants.BROTLI_DECODER_PARAM_LARGE_WINDOW]: 1 },
  }).toString()
  const head = `-- tamp fixture: ${name}\n`
  const start = unpacked.indexOf(head)
  if (start < 0) throw new Error(`there is no dump ${name}`)
  const end = unpacked.indexOf('\n-- tamp fixture: ', start)
  return unpacked.slice(start + head.length, end < 0 ? undefined : end)
}

function checkpointsOf(text: string): number[] {
  const list = /Checkpoints published[^\n]*\n((?:-- +[\d ]+\n)+)/.exec(text)
  if (list === null) throw new Error('the dump lists no checkpoints')
  return list[1]!.match(/\d+/g)!.map(Number)
}

/** The name of the template database of a dump, made on first need by whichever worker comes first. */
async function template(name: string, state: 'analysed' | 'restored' | 'empty'): Promise<string> {
  const database = `tmpl_powersync_${name.replaceAll('-', '_')}_${state}`
  const { url } = inject('postgres')
  await using server = await openSession(url)
  const exists = async (): Promise<boolean> =>
    (await server.query(`SELECT 1 FROM pg_database WHERE datname = $1`, [database])).length > 0
  if (await exists()) return database
  await server.query(`SELECT pg_advisory_lock(hashtext($1))`, [database])
  if (await exists()) return database
  await server.query(`DROP DATABASE IF EXISTS ${database}_loading`)
  await server.query(
    `CREATE DATABASE ${database}_loading TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
  )
  const location = new URL(url)
  location.pathname = `/${database}_loading`
  {
    await using session = await openSession(location.href)
    // Its public schema comes with the dump of the source.
    if (name === 'source') await session.client.query('DROP SCHEMA public')
    await session.client.query(dump(name))
    if (state === 'empty') await session.client.query(emptied)
    if (state !== 'restored') await session.query('VACUUM ANALYZE')
  }
  await server.query(`ALTER DATABASE ${database}_loading RENAME TO ${database}`)
  return database
}

const emptied = `
  DO $$ BEGIN
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('powersync.%I', tablename), ', ') FROM pg_tables
              WHERE schemaname = 'powersync' AND tablename NOT IN ('sync_rules', 'migrations', 'instance'));
  END $$;
  UPDATE powersync.sync_rules SET last_checkpoint = NULL, last_checkpoint_ts = NULL, last_checkpoint_lsn = NULL,
    keepalive_op = NULL, no_checkpoint_before = NULL;
  SELECT setval('powersync.op_id_sequence', 1, false);`
