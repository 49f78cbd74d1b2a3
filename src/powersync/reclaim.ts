// Space of the bucket storage: what of it is used, what VACUUM makes free, and the exact way to give it back to the disk.
// VACUUM frees space for new rows; the file itself shrinks only where its tail is empty. Nothing here changes a row.
import { TampError } from '../core/errors.ts'
import { describeFailure, sqlState } from '../database/failures.ts'
import type { Connection } from '../database/postgres.ts'
import { bucketsLock, RunLock } from '../database/run-lock.ts'
import type { BucketStorage } from './database.ts'
import { currentUse, holdingBack } from './reclaim/table-use.ts'
import type { TableUse } from './reclaim/table-use.ts'

export type { TableUse }

export interface ReclaimOptions {
  /** Run VACUUM. Without it nothing is changed. */
  readonly execute?: boolean
  readonly signal?: AbortSignal | undefined
  /** Told before a table is measured or vacuumed. */
  readonly onTable?: ((table: string, doing: 'measuring' | 'vacuuming') => void) | undefined
}

export interface ReclaimedTable {
  readonly table: string
  readonly before: TableUse
  /** The same as `before` unless executed. */
  readonly after: TableUse
  readonly vacuumed: boolean
}

/** How the space can be given back to the disk; nothing of it is ever run. */
export interface GivingBack {
  readonly table: string
  /** Locks out every reader and writer of the table while it runs. */
  readonly vacuumFull: string
  /** A command line; works beside the service. */
  readonly pgRepack: string
  /** Works beside the service; shrinks the indexes only. */
  readonly reindex: string
  /** Bytes of table and indexes as they would be afterwards: so much has to be free on the disk meanwhile. */
  readonly bytesEstimate: number
  readonly freedBytesEstimate: number
}

export interface Reclaimed {
  readonly mode: 'dry-run' | 'execute'
  readonly tables: readonly ReclaimedTable[]
  /** For tables of which a good part is not used. */
  readonly givingBack: readonly GivingBack[]
  readonly notes: readonly string[]
  readonly complete: boolean
  readonly seconds: number
}

/** Bytes below which a table is not worth a word, and the share that has to be unused. */
const worthBytes = 1024 * 1024
const worthShare = 0.1
/** Seconds after which a transaction that is still open is worth a word before VACUUM has run. */
const longTransaction = 60
/** How long a VACUUM or index build of somebody else is waited for. */
const lockTimeout = '10s'

/**
 * Measures the tables that compacting and defragmenting leave holes in; with `execute` runs VACUUM (ANALYZE) on each.
 * An interrupted VACUUM keeps what it has done.
 * @throws TampError `no-permission` before anything is vacuumed, `locked`, `failed`
 */
export async function reclaimSpace(storage: BucketStorage, options: ReclaimOptions = {}): Promise<Reclaimed> {
  const { execute = false, signal, onTable } = options
  const started = performance.now()
  await using connection = await storage.connect()
  const stop = (): void => void connection.cancel()
  signal?.addEventListener('abort', stop)
  try {
    if (!execute) await connection.execute('SET default_transaction_read_only = on')
    const names = ['bucket_data', 'bucket_parameters', 'current_data', 'v3_current_data']
    const found = await existing(connection, names)
    await using _lock = execute ? await RunLock.take(() => storage.connect(), bucketsLock) : undefined
    if (execute) await requireVacuum(connection, storage, found)

    const tables: ReclaimedTable[] = []
    let complete = true
    for (const table of found) {
      if (signal?.aborted) throw interrupted()
      onTable?.(table, 'measuring')
      const before = await currentUse(connection, table)
      tables.push({ table, before, after: before, vacuumed: false })
    }
    for (const [at, { table, before }] of execute ? tables.entries() : []) {
      if (signal?.aborted) {
        complete = false
        break
      }
      onTable?.(table, 'vacuuming')
      try {
        await connection.execute(`SET lock_timeout = '${lockTimeout}'`)
        // The search_path finds it; the name is one of ours.
        await connection.execute(`VACUUM (ANALYZE) ${table}`)
      } catch (error) {
        if (signal?.aborted && sqlState(error) === '57014') {
          complete = false
          break
        }
        throw sqlState(error) === '55P03' ? busy(table) : error
      }
      onTable?.(table, 'measuring')
      const after = await currentUse(connection, table).catch((error: unknown) => {
        if (!signal?.aborted) throw error
        complete = false
        return before
      })
      tables[at] = { table, before, after, vacuumed: true }
    }
    const dead = tables.some(({ after }) => after.deadRowsEstimate > 0)
    return {
      mode: execute ? 'execute' : 'dry-run',
      tables,
      givingBack: tables.flatMap(({ table, after }) => givingBack(storage, table, after)),
      notes: dead && !signal?.aborted ? await holdingBack(connection, execute ? 0 : longTransaction) : [],
      complete,
      seconds: Math.round((performance.now() - started) / 10) / 100,
    }
  } catch (error) {
    if (signal?.aborted && sqlState(error) === '57014') throw interrupted()
    throw describeFailure(error)
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

async function existing(connection: Connection, names: readonly string[]): Promise<string[]> {
  const rows = await connection.query<[string]>(
    `SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place) WHERE to_regclass(name) IS NOT NULL ORDER BY place`,
    [names],
  )
  return rows.map(([name]) => name)
}

/** VACUUM of a table that the role may not vacuum is a mere warning. */
async function requireVacuum(connection: Connection, storage: BucketStorage, tables: readonly string[]): Promise<void> {
  const [row] = await connection.query<[string[]]>(
    `SELECT coalesce(array_agg(c.relname::text), '{}')
       FROM unnest($1::text[]) AS n (name) JOIN pg_catalog.pg_class c ON c.oid = to_regclass(n.name)
      WHERE NOT (pg_has_role(c.relowner, 'USAGE')
                 OR pg_has_role((SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database()), 'USAGE')
                 OR CASE WHEN current_setting('server_version_num')::int >= 170000
                         THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END)`,
    [tables],
  )
  const refused = row![0]
  if (refused.length > 0)
    throw new TampError(
      'no-permission',
      `The role "${storage.settings.config.user}" may not vacuum ${storage.schema}.${refused[0]} (${storage.settings.describe}).`,
      {
        hint: 'Connect as the role that owns the tables (the one that PowerSync uses), or GRANT MAINTAIN on them (PostgreSQL 17).',
      },
    )
}

function givingBack(storage: BucketStorage, table: string, use: TableUse): GivingBack[] {
  const bytesEstimate = use.compactTableBytesEstimate + use.compactIndexBytesEstimate
  const freedBytesEstimate = use.tableBytes + use.indexBytes - bytesEstimate
  if (freedBytesEstimate < worthBytes || freedBytesEstimate < worthShare * (use.tableBytes + use.indexBytes)) return []
  const { host, port, user, database } = storage.settings.config
  const name = `${identifier(storage.schema)}.${table}`
  const where = [
    '--host',
    String(host),
    '--port',
    String(port),
    '--username',
    String(user),
    '--dbname',
    String(database),
  ]
  return [
    {
      table,
      vacuumFull: `VACUUM (FULL, ANALYZE) ${name};`,
      pgRepack: ['pg_repack', ...where.map(shellWord), '--table', shellWord(name), '--no-superuser-check'].join(' '),
      reindex: `REINDEX TABLE CONCURRENTLY ${name};`,
      bytesEstimate,
      freedBytesEstimate,
    },
  ]
}

function identifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

function busy(table: string): TampError {
  return new TampError('failed', `Somebody else works on ${table}: it could not be vacuumed.`, {
    hint: 'A VACUUM, an index build or a change of the table goes on; pg_stat_activity shows it. Try again later.',
  })
}

function interrupted(): TampError {
  return new TampError('interrupted', 'Interrupted; what VACUUM may have done stays, and no row was changed.')
}
