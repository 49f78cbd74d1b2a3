// Runs a piece of policy on a database file, in a worker thread with a connection of its own: the caller's thread stays free.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { TampError } from '../../core/errors.ts'
import type { SqliteDriverName } from '../../database/sqlite-driver.ts'
import { describeSqliteFailure } from '../../database/sqlite-failures.ts'
import { SqlError } from '../../database/sqlite-value.ts'
import type { LogLevel, PolicyEvent } from '../policy/request.ts'
import { extensionLibrary } from './extension-library.ts'
import { libraryFor } from './library-in-use.ts'
import type { LoadOptions } from './open.ts'
import type { Policies, PolicyName } from './policies.ts'

export interface RunControl extends LoadOptions {
  /** Stops between two transactions; what was done is whole and stays. */
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: PolicyEvent) => void) | undefined
  readonly onLog?: ((level: LogLevel, message: string) => void) | undefined
  /** Told why the run pauses, and null when it goes on. */
  readonly onWait?: ((reason: string | null) => void) | undefined
  /**
   * Default: what `open` or `loadInto` has had the file open with, else better-sqlite3. A program that has it open with node:sqlite by other
   * means has to say so: two SQLite libraries in one process undo each other's locks on a file.
   */
  readonly driver?: SqliteDriverName | undefined
  /** Seconds to wait for somebody else's lock, by SQLite itself. Default 5. */
  readonly busySeconds?: number | undefined
}

/** What the worker is started with. */
export interface WorkerTask<Name extends PolicyName = PolicyName> {
  readonly path: string
  readonly driver: SqliteDriverName
  readonly busySeconds: number
  /** Path of the extension; null for the functions in JavaScript. */
  readonly library: string | null
  /** Whether the connection may write. */
  readonly writes: boolean
  readonly name: Name
  readonly options: Policies[Name]['options']
  /** One 32-bit integer: 1 when the run is to stop. */
  readonly stop: SharedArrayBuffer
}

/** What the worker tells. */
export type WorkerMessage =
  | { readonly type: 'event'; readonly event: PolicyEvent }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string }
  | { readonly type: 'wait'; readonly reason: string | null }
  | { readonly type: 'result'; readonly result: unknown }
  | { readonly type: 'tamp-error'; readonly code: TampError['code']; readonly message: string; readonly hint?: string }
  | { readonly type: 'sql-error'; readonly code: number; readonly message: string }

/** In a checkout the sources run as they are. */
const workerFile = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

/**
 * The result of a piece of policy, run on the database at `path`, which has to be there.
 * @param writes false where it must not write: the connection then refuses
 * @throws TampError; `interrupted` where the signal has fired already
 */
export async function runPolicy<Name extends PolicyName>(
  path: string,
  name: Name,
  options: Policies[Name]['options'],
  control: RunControl & { readonly writes: boolean },
): Promise<Policies[Name]['result']> {
  const { signal, onEvent, onLog, onWait, busySeconds = 5, writes } = control
  const driver = control.driver ?? libraryFor(path)
  const library = control.functions === 'javascript' ? null : await extensionLibrary(control)
  const stop = new SharedArrayBuffer(4)
  const flag = new Int32Array(stop)
  const tellToStop = (): void => {
    Atomics.store(flag, 0, 1)
    Atomics.notify(flag, 0)
  }
  if (signal?.aborted === true) throw new TampError('interrupted', 'Interrupted before anything was done.')
  signal?.addEventListener('abort', tellToStop)
  const workerData: WorkerTask<Name> = { path, driver, busySeconds, library, writes, name, options, stop }
  const worker = new Worker(workerFile, { workerData })
  let ended: { result: Policies[Name]['result'] } | { error: unknown } | undefined
  worker.on('message', (message: WorkerMessage) => {
    if (message.type === 'event') onEvent?.(message.event)
    else if (message.type === 'log') onLog?.(message.level, message.message)
    else if (message.type === 'wait') onWait?.(message.reason)
    else if (message.type === 'result') ended = { result: message.result as Policies[Name]['result'] }
    else ended = { error: errorOf(message, path) }
  })
  try {
    // Not before the connection is closed, and what it held given back.
    await once(worker, 'exit')
  } finally {
    signal?.removeEventListener('abort', tellToStop)
  }
  if (ended === undefined) throw new TampError('failed', `The thread that worked on ${path} ended without a word.`)
  if ('error' in ended) throw ended.error
  return ended.result
}

function errorOf(message: WorkerMessage & { type: 'tamp-error' | 'sql-error' }, path: string): TampError {
  if (message.type === 'sql-error') return describeSqliteFailure(new SqlError(message.message, message.code), path)
  return new TampError(message.code, message.message, message.hint === undefined ? {} : { hint: message.hint })
}
