// A Synapse database on PostgreSQL: where its state store and its main store are, and which of the tables it has.
// A schema that is not known is refused before anything is read.
import { TampError } from '../core/errors.ts'
import { resolveSettings } from '../database/connection-settings.ts'
import type { Environment } from '../database/connection-settings.ts'
import { describeFailure, wrongDatabase } from '../database/failures.ts'
import { connect } from '../database/postgres.ts'
import type { Connection, PostgresSettings } from '../database/postgres.ts'
import { findTable } from '../database/tables.ts'
import type { FoundTable } from '../database/tables.ts'
import { readHomeserverConfig } from './homeserver-config.ts'

/** What of Synapse's schema is there. Older and newer Synapses differ in these. */
export interface SynapseSchema {
  /** `state_groups_pending_deletion` and `state_groups_persisting` (schema 89, Synapse 1.124 and newer). */
  readonly pendingDeletion: boolean
  /** `event_to_state_groups` can be read, through `connectMain`. */
  readonly eventReferences: boolean
  /** `event_forward_extremities` can be read, through `connectMain`. */
  readonly forwardExtremities: boolean
  /** `worker_read_write_locks` is there, in the main store. */
  readonly roomLocks: boolean
}

/** A recognised Synapse database. The state store may be a database of its own (`databases:` in homeserver.yaml). */
export interface SynapseDatabase {
  readonly state: PostgresSettings
  readonly main: PostgresSettings
  /** True when both stores are in the same database: then tables of both can stand in one query. */
  readonly oneDatabase: boolean
  readonly schema: SynapseSchema
  /** The PostgreSQL schema that holds the state tables, found through search_path. */
  readonly stateSchema: string
  connectState(): Promise<Connection>
  connectMain(): Promise<Connection>
}

export interface SynapseLocation {
  /** A libpq URL or key=value string. Without it and `homeserver`: DATABASE_URL, then PG* variables. */
  readonly connection?: string | undefined
  /** The path of a homeserver.yaml. */
  readonly homeserver?: string | undefined
  readonly env?: Environment
}

/** The highest schema_compat_version that is known to keep state groups as tamp expects them. */
const newestKnownCompat = 94

/** Finds the database, looks whether it is Synapse's and of a known schema, and closes its connections again. */
export async function openSynapse(location: SynapseLocation): Promise<SynapseDatabase> {
  const { main, state, oneDatabase } = locate(location)
  try {
    const stateStore = await inspect(state, stateTables)
    const mainStore = oneDatabase
      ? stateStore
      : await inspect(main, { event_to_state_groups: mainTables['event_to_state_groups']! })
    return {
      state,
      main,
      oneDatabase,
      schema: {
        pendingDeletion: stateStore.has('state_groups_pending_deletion') && stateStore.has('state_groups_persisting'),
        eventReferences: mainStore.has('event_to_state_groups'),
        forwardExtremities: mainStore.has('event_forward_extremities'),
        roomLocks: mainStore.has('worker_read_write_locks'),
      },
      stateSchema: stateStore.schema,
      connectState: () => connect(state),
      connectMain: () => connect(main),
    }
  } catch (error) {
    throw describeFailure(error)
  }
}

function locate({ connection, homeserver, env = process.env }: SynapseLocation): {
  main: PostgresSettings
  state: PostgresSettings
  oneDatabase: boolean
} {
  if (homeserver === undefined) {
    const settings = resolveSettings({ connection, env })
    return { main: settings, state: settings, oneDatabase: true }
  }
  if (connection !== undefined) {
    throw new TampError('usage', 'The options --connection and --homeserver contradict each other.', {
      hint: 'Give one of them: both say which database to work on.',
    })
  }
  return readHomeserverConfig(homeserver, env)
}

type Tables = Readonly<Record<string, Readonly<Record<string, 'bigint' | 'text' | 'boolean'>>>>

const stateTables: Tables = {
  state_groups: { id: 'bigint', room_id: 'text', event_id: 'text' },
  state_groups_state: { state_group: 'bigint', room_id: 'text', type: 'text', state_key: 'text', event_id: 'text' },
  state_group_edges: { state_group: 'bigint', prev_state_group: 'bigint' },
}
const deletionTables: Tables = {
  state_groups_pending_deletion: { state_group: 'bigint', insertion_ts: 'bigint' },
  state_groups_persisting: { state_group: 'bigint' },
}
const mainTables: Tables = {
  event_to_state_groups: { event_id: 'text', state_group: 'bigint' },
  event_forward_extremities: { event_id: 'text', room_id: 'text' },
  worker_read_write_locks: { lock_name: 'text', lock_key: 'text', write_lock: 'boolean', last_renewed_ts: 'bigint' },
}

interface Store {
  /** Where the first of the required tables is. */
  readonly schema: string
  has(table: string): boolean
}

async function inspect(settings: PostgresSettings, required: Tables): Promise<Store> {
  await using connection = await connect(settings)
  const found = new Map<string, FoundTable>()
  const missing: string[] = []
  for (const [name, columns] of Object.entries({ ...mainTables, ...deletionTables, ...required })) {
    const table = await findTable(connection, name)
    const optional = !(name in required)
    if (table === undefined) {
      if (!optional) missing.push(`table ${name}`)
      continue
    }
    const odd = Object.entries(columns).filter(([column, type]) => table.columns.get(column)?.type !== type)
    for (const [column, type] of odd) missing.push(`column ${name}.${column} of type ${type}`)
    if (table.kind !== 'table') missing.push(`${name} as a table (it is another kind of relation)`)
    const unreadable = Object.keys(columns).some((column) => table.columns.get(column)?.readable === false)
    if (unreadable) throw notReadable(name, settings)
    found.set(name, table)
  }
  if (missing.length > 0) {
    throw new TampError(
      'unknown-schema',
      `This does not look like a database of Synapse (${settings.describe}): there is no ${listed(missing)}.`,
      {
        hint: wrongDatabase,
      },
    )
  }
  const schemas = new Set(Object.keys(required).map((name) => found.get(name)!.schema))
  if (schemas.size > 1) {
    throw new TampError(
      'unknown-schema',
      `The tables of the state store are spread over the schemas ${listed([...schemas])}.`,
      {
        hint: 'Set search_path to the one that Synapse uses: options=-csearch_path%3Dname in the URL.',
      },
    )
  }
  await refuseNewer(connection, settings)
  return { schema: [...schemas][0]!, has: (table) => found.has(table) }
}

/** Synapse raises the compat version when older code can no longer read the database: then neither may we. */
async function refuseNewer(connection: Connection, settings: PostgresSettings): Promise<void> {
  const table = await findTable(connection, 'schema_compat_version')
  const column = table?.columns.get('compat_version')
  if (column === undefined) return
  if (!column.readable) throw notReadable('schema_compat_version', settings)
  const [row] = await connection.query<[number]>('SELECT max(compat_version) FROM schema_compat_version')
  const compat = row?.[0] ?? 0
  if (compat <= newestKnownCompat) return
  throw new TampError(
    'unknown-schema',
    `The Synapse schema (compatible back to ${compat}) is newer than this tamp knows (${newestKnownCompat}).`,
    {
      hint: 'Update tamp.',
    },
  )
}

function notReadable(table: string, settings: PostgresSettings): TampError {
  return new TampError(
    'no-permission',
    `The role "${settings.config.user}" may not read ${table} (${settings.describe}).`,
    {
      hint: `GRANT SELECT ON ${table} TO "${settings.config.user}" allows it, or connect as the role that Synapse uses.`,
    },
  )
}

function listed(items: readonly string[]): string {
  const shown = items.length > 4 ? [...items.slice(0, 3), `${items.length - 3} more`] : items
  return new Intl.ListFormat('en').format(shown)
}
