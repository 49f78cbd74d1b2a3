// A PowerSync client for the demo: the real client core (an SQLite extension out of npm's @powersync/node), fed from bucket storage
// with the lines that the service would stream. What it validates, every client would.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Database } from 'better-sqlite3'
import { openBetterSqlite3 } from '../database/better-sqlite3.ts'
import type { Connection } from '../database/postgres.ts'

/** What a client got until it had everything that was published. */
export interface Download {
  readonly operations: number
  /** Of the lines, with their ends. */
  readonly bytes: number
  readonly seconds: number
  /** The core compared every bucket's checksum with the service's, and they agreed. */
  readonly valid: boolean
}

export interface DemoClient extends Disposable {
  /** Downloads what the storage has past what this client has already. */
  download(connection: Connection): Promise<Download>
  /** What the application sees, as text: to be compared. */
  rows(): string
}

const libraries: Readonly<Record<string, string>> = {
  'linux-x64': 'libpowersync_x64.linux.so',
  'linux-arm64': 'libpowersync_aarch64.linux.so',
  'darwin-x64': 'libpowersync_x64.macos.dylib',
  'darwin-arm64': 'libpowersync_aarch64.macos.dylib',
  'win32-x64': 'powersync_x64.dll',
  'win32-arm64': 'powersync_aarch64.dll',
}

/** Where the core is, or null where the package is not installed or has none for this machine. */
export function findClientCore(): string | null {
  const library = libraries[`${process.platform}-${process.arch}`]
  if (library === undefined) return null
  try {
    const file = join(dirname(createRequire(import.meta.url).resolve('@powersync/node')), library)
    return existsSync(file) ? file : null
  } catch {
    return null
  }
}

/** A client that has nothing yet. */
export function openDemoClient(core: string): DemoClient {
  const database = openBetterSqlite3(':memory:')
  // SQLite would guess another name of the entry point from that of the file. (The types know of one argument only.)
  const load: (file: string, entryPoint: string) => unknown = database.loadExtension.bind(database)
  load(core, 'sqlite3_powersync_init')
  const call = (sql: string, ...values: unknown[]): string =>
    // The core wants a transaction of its own around each call.
    database.transaction(() => database.prepare<unknown[], string>(sql).pluck().get(values))()!
  call('SELECT powersync_init()')
  call('SELECT powersync_replace_schema(?)', '{"tables":[]}')
  const control = (command: string, argument: string | null): readonly Instruction[] =>
    JSON.parse(call('SELECT powersync_control(?, ?)', command, argument)) as readonly Instruction[]
  return {
    download: (connection) => download(control, connection),
    rows: () => JSON.stringify(appRows(database)),
    [Symbol.dispose]: () => database.close(),
  }
}

interface Instruction {
  readonly EstablishSyncStream?: {
    readonly request: { readonly buckets: readonly { readonly name: string; readonly after: string }[] }
  }
  readonly DidCompleteSync?: object
}

type Control = (command: string, argument: string | null) => readonly Instruction[]

function appRows(database: Database): unknown[] {
  return database.prepare('SELECT type, id, data FROM ps_untyped ORDER BY type, id').raw().all()
}

async function download(control: Control, connection: Connection): Promise<Download> {
  const started = performance.now()
  const begun = control('start', JSON.stringify({ parameters: {}, schema: { tables: [] }, include_defaults: true }))
  const request = begun.find((instruction) => instruction.EstablishSyncStream)?.EstablishSyncStream?.request
  const positions = new Map(request?.buckets.map(({ name, after }) => [name, Number(after)]))
  let operations = 0
  let bytes = 0
  let valid = false
  for await (const line of served(connection, positions)) {
    const text = JSON.stringify(line)
    bytes += Buffer.byteLength(text) + 1
    operations += 'data' in line ? line.data.data.length : 0
    for (const instruction of control('line_text', text)) if (instruction.DidCompleteSync) valid = true
  }
  control('stop', null)
  return { operations, bytes, valid, seconds: (performance.now() - started) / 1000 }
}

type Line =
  | { readonly checkpoint: object }
  | {
      readonly data: {
        readonly bucket: string
        readonly after: string
        readonly has_more: boolean
        readonly data: readonly object[]
        readonly next_after: string
      }
    }
  | { readonly checkpoint_complete: object }

const rowsPerLine = 1000

/** The lines of the service for one checkpoint. */
async function* served(connection: Connection, positions: ReadonlyMap<string, number>): AsyncGenerator<Line, void> {
  const [[checkpoint = 0] = []] = await connection.query<[number]>(
    `SELECT last_checkpoint FROM sync_rules WHERE state IN ('ACTIVE', 'ERRORED') ORDER BY id DESC LIMIT 1`,
  )
  const buckets = await connection.query<[string, number, number]>(
    `SELECT bucket_name, ((sum(checksum) % 4294967296 + 4294967296) % 4294967296)::int8, count(*)
       FROM bucket_data WHERE op_id <= $1 GROUP BY bucket_name ORDER BY bucket_name`,
    [checkpoint],
  )
  yield {
    checkpoint: {
      last_op_id: String(checkpoint),
      // The service prints sums signed, in 32 bits.
      buckets: buckets.map(([bucket, checksum, count]) => ({
        bucket,
        checksum: checksum | 0,
        count,
        priority: 3,
        subscriptions: [{ default: 0 }],
      })),
      streams: [{ name: 'all', is_default: true, errors: [] }],
    },
  }
  for (const [bucket] of buckets) {
    for (let after = positions.get(bucket) ?? 0; ;) {
      const rows = await connection.query<OperationRow>(
        `SELECT op_id, op, checksum, table_name, row_id, source_table || '/' || encode(substr(source_key, 14, 16), 'hex')::uuid, data
           FROM bucket_data WHERE bucket_name = $1 AND op_id > $2 AND op_id <= $3 ORDER BY op_id LIMIT ${rowsPerLine}`,
        [bucket, after, checkpoint],
      )
      if (rows.length === 0) break
      const next = rows.at(-1)![0]
      const more = rows.length === rowsPerLine
      yield {
        data: {
          bucket,
          after: String(after),
          has_more: more,
          data: rows.map(operationOf),
          next_after: String(next),
        },
      }
      if (!more) break
      after = next
    }
  }
  yield { checkpoint_complete: { last_op_id: String(checkpoint) } }
}

type OperationRow = [number, string, number, string | null, string | null, string | null, string | null]

function operationOf([id, op, checksum, type, row, subkey, data]: OperationRow): object {
  const common = { op_id: String(id), op, checksum }
  return op === 'PUT' || op === 'REMOVE' ? { ...common, object_type: type, object_id: row, subkey, data } : common
}
