// PowerSync's bucket storage on PostgreSQL: where it is, and whether it is of a kind that is known.
// A schema that is not known is refused before anything is read.
import { TampError } from '../core/errors.ts'
import type { Environment } from '../database/connection-settings.ts'
import { describeFailure } from '../database/failures.ts'
import { connect } from '../database/postgres.ts'
import type { Connection, PostgresSettings } from '../database/postgres.ts'
import { findTable } from '../database/tables.ts'
import { locateStorage } from './storage-location.ts'

/** A recognised bucket storage. */
export interface BucketStorage {
  readonly settings: PostgresSettings
  /** The PostgreSQL schema of the storage's tables: `powersync` unless it was configured otherwise. */
  readonly schema: string
  /** What of the storage is there that not every version has. */
  readonly tables: {
    /** `v3_current_data`, made for storage version 3. */
    readonly v3CurrentData: boolean
    readonly writeCheckpoints: boolean
    readonly customWriteCheckpoints: boolean
  }
  /** Minutes that a write checkpoint which a client asked for is kept, where a configuration of the service says. */
  readonly checkpointRequestRetention?: number | undefined
  /** Opens a connection whose search_path is the storage's schema alone, and that compiles no statements. */
  connect(): Promise<Connection>
}

export interface StorageLocation {
  /** A libpq URL or key=value string. Without it and a configuration file: DATABASE_URL, then PG* variables. */
  readonly connection?: string | undefined
  /** The path of a configuration file of the service. Default: `POWERSYNC_CONFIG_PATH`, `POWERSYNC_CONFIG_B64`. */
  readonly config?: string | undefined
  /** Such a file itself, in base64. */
  readonly configBase64?: string | undefined
  /** The PostgreSQL schema. Default: that of the configuration file, else `powersync`. */
  readonly schema?: string | undefined
  readonly env?: Environment
}

type Columns = Readonly<Record<string, string>>

const required: Readonly<Record<string, Columns>> = {
  bucket_data: {
    group_id: 'integer',
    bucket_name: 'text',
    op_id: 'bigint',
    op: 'text',
    source_table: 'text',
    source_key: 'bytea',
    table_name: 'text',
    row_id: 'text',
    checksum: 'bigint',
    data: 'text',
    target_op: 'bigint',
  },
  sync_rules: { id: 'integer', state: 'text', last_checkpoint: 'bigint', keepalive_op: 'bigint' },
}
const currentData: Columns = { group_id: 'integer', source_table: 'text', source_key: 'bytea', buckets: 'jsonb' }
const optional: Readonly<Record<string, Columns>> = {
  current_data: currentData,
  v3_current_data: { ...currentData, pending_delete: 'bigint' },
  write_checkpoints: { user_id: 'text', write_checkpoint: 'bigint' },
  custom_write_checkpoints: { user_id: 'text', write_checkpoint: 'bigint', sync_rules_id: 'integer' },
}

/**
 * Finds the storage, looks whether it is of a known schema, and closes its connection again.
 * @throws TampError `usage`, `connection-failed`, `no-such-database`, `unknown-schema`, `no-permission`
 */
export async function openBucketStorage(location: StorageLocation = {}): Promise<BucketStorage> {
  const { settings, schema, checkpointRequestRetention } = locateStorage(location)
  const open = async (): Promise<Connection> => {
    const connection = await connect(settings)
    try {
      // Compiling takes longer than most of our statements, and its choice rests on estimates.
      await connection.query(
        `SELECT set_config('search_path', quote_ident($1), false), set_config('jit', 'off', false)`,
        [schema],
      )
      return connection
    } catch (error) {
      await connection[Symbol.asyncDispose]()
      throw error
    }
  }
  try {
    await using connection = await open()
    const found = await recognise(connection, schema, settings)
    return {
      settings,
      schema,
      tables: {
        v3CurrentData: found.has('v3_current_data'),
        writeCheckpoints: found.has('write_checkpoints'),
        customWriteCheckpoints: found.has('custom_write_checkpoints'),
      },
      checkpointRequestRetention,
      connect: open,
    }
  } catch (error) {
    throw describeFailure(error)
  }
}

async function recognise(connection: Connection, schema: string, settings: PostgresSettings): Promise<Set<string>> {
  const found = new Set<string>()
  const missing: string[] = []
  for (const [name, columns] of Object.entries({ ...required, ...optional })) {
    const table = await findTable(connection, name)
    if (table === undefined) {
      if (name in required) missing.push(`table ${name}`)
      continue
    }
    if (table.kind !== 'table') missing.push(`${name} as a table (it is another kind of relation)`)
    for (const [column, type] of Object.entries(columns))
      if (table.columns.get(column)?.type !== type) missing.push(`column ${name}.${column} of type ${type}`)
    if (Object.keys(columns).some((column) => table.columns.get(column)?.readable === false))
      throw new TampError(
        'no-permission',
        `The role "${settings.config.user}" may not read ${schema}.${name} (${settings.describe}).`,
        { hint: `GRANT USAGE ON SCHEMA and GRANT SELECT allow it, or connect as the role that PowerSync uses.` },
      )
    found.add(name)
  }
  if (missing.length === 0) return found
  const shown = missing.length > 4 ? [...missing.slice(0, 3), `${missing.length - 3} more`] : missing
  throw new TampError(
    'unknown-schema',
    `This does not look like PowerSync's bucket storage (${settings.describe}, schema ${schema}): there is no ${new Intl.ListFormat('en').format(shown)}.`,
    {
      hint: 'Name the database that the storage section of the service configuration names, and its schema with --schema.',
    },
  )
}
