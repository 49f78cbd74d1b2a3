// PowerSync's real client core: the SQLite extension inside npm `@powersync/node`, with a database in memory.
// It gets the lines that the service would send (see service-lines.ts) and answers as the application's client would.
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** What the core keeps of a bucket. `other` + `puts` is the bucket's checksum. */
export interface ClientBucket {
  readonly name: string
  readonly lastOp: number
  readonly other: number
  readonly puts: number
}

/** What the core wants to be done: an object with one key. */
export type Instruction = Readonly<Record<string, any>>

export interface Client extends Disposable {
  /** Begins a sync session. Returns the position that the client asks for, per bucket. */
  start(): Map<string, number>
  /** Hands over one line of the stream. */
  line(line: string | object): Instruction[]
  /** Ends the session: the connection is gone. */
  stop(): void
  /** What the application sees. */
  rows(): { readonly type: string; readonly id: string; readonly data: string }[]
  buckets(): ClientBucket[]
  /** A copy of the client as it is now. It must not be in a session. */
  fork(): Client
}

const libraries: Readonly<Record<string, string>> = {
  'linux-x64': 'libpowersync_x64.linux.so',
  'linux-arm64': 'libpowersync_aarch64.linux.so',
  'darwin-x64': 'libpowersync_x64.macos.dylib',
  'darwin-arm64': 'libpowersync_aarch64.macos.dylib',
}

function corePath(): string {
  const library = libraries[`${process.platform}-${process.arch}`]
  if (library === undefined) throw new Error(`there is no PowerSync core for ${process.platform}-${process.arch}`)
  return join(dirname(createRequire(import.meta.url).resolve('@powersync/node')), library)
}

let directory: string | undefined
let copies = 0

function copyPath(): string {
  if (directory === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'tamp-client-'))
    process.on('exit', () => rmSync(made, { recursive: true, force: true }))
    directory = made
  }
  return join(directory, `${++copies}.db`)
}

/** A client with an empty local database. Every table is stored untyped, so no schema has to be declared. */
export function openClient(path = ':memory:'): Client {
  const database = new DatabaseSync(path, { allowExtension: true })
  // SQLite would guess another entry point from the file's name.
  ;(database.loadExtension as (file: string, entryPoint: string) => void)(corePath(), 'sqlite3_powersync_init')
  // Copies are files, of which none has to survive anything.
  database.exec('PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY')
  const call = <T>(statement: string, ...values: (string | null)[]): T => {
    database.exec('BEGIN')
    try {
      const row = database.prepare(statement).get(...values)
      database.exec('COMMIT')
      return row as T
    } catch (error) {
      database.exec('ROLLBACK')
      throw error
    }
  }
  call('SELECT powersync_init()')
  call('SELECT powersync_replace_schema(?)', '{"tables":[]}')
  const control = (command: string, argument: string | null): Instruction[] =>
    JSON.parse(
      call<{ instructions: string }>('SELECT powersync_control(?, ?) AS instructions', command, argument).instructions,
    ) as Instruction[]

  return {
    start() {
      const instructions = control(
        'start',
        JSON.stringify({ parameters: {}, schema: { tables: [] }, include_defaults: true }),
      )
      const { request } = instructions.find((one) => 'EstablishSyncStream' in one)!['EstablishSyncStream'] as {
        request: { buckets: { name: string; after: string }[] }
      }
      return new Map(request.buckets.map(({ name, after }) => [name, Number(after)]))
    },
    line: (line) => control('line_text', typeof line === 'string' ? line : JSON.stringify(line)),
    stop: () => void control('stop', null),
    rows: () =>
      database
        .prepare('SELECT type, id, data FROM ps_untyped ORDER BY type, id')
        .all()
        .map(({ type, id, data }) => ({ type: String(type), id: String(id), data: String(data) })),
    buckets: () =>
      database
        .prepare(
          `SELECT name, last_op, add_checksum AS other, op_checksum AS puts FROM ps_buckets
            WHERE name <> '$local' ORDER BY name`,
        )
        .all()
        .map(({ name, last_op, other, puts }) => ({
          name: String(name),
          lastOp: Number(last_op),
          other: Number(other) >>> 0,
          puts: Number(puts) >>> 0,
        })),
    fork() {
      const copy = copyPath()
      database.prepare('VACUUM INTO ?').run(copy)
      return openClient(copy)
    },
    [Symbol.dispose]() {
      database.close()
      if (path !== ':memory:') rmSync(path, { force: true })
    },
  }
}
