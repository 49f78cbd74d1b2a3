// Runs a piece of policy over a connection, from its first request to its result. Synchronous, as SQLite is: for a worker thread or a
// command of its own, because a pause is a pause of the whole thread.
import type { SqliteDriver } from '../../database/sqlite-driver.ts'
import { answered } from '../policy/request.ts'
import type { LogLevel, Policy, PolicyEvent, Request } from '../policy/request.ts'

export interface DriveOptions {
  /** Whether the run has been told to stop. Policy asks between two transactions. Default: never. */
  readonly stopping?: (() => boolean) | undefined
  readonly onEvent?: ((event: PolicyEvent) => void) | undefined
  readonly onLog?: ((level: LogLevel, message: string) => void) | undefined
  /** Pauses the thread; may end early. Default: pauses, and looks ten times a second whether to stop. */
  readonly sleep?: ((seconds: number, reason: string) => void) | undefined
}

/**
 * The result of the policy.
 * @throws SqlError what a statement failed with, where the policy does not catch it; TampError what the policy throws
 */
export function drive<Result>(policy: Policy<Result>, driver: SqliteDriver, options: DriveOptions = {}): Result {
  return answered(policy, (request) => answerTo(request, driver, options))
}

function answerTo(request: Request, driver: SqliteDriver, options: DriveOptions): unknown {
  const { stopping = () => false, sleep = (seconds) => pause(seconds, stopping) } = options
  switch (request.kind) {
    case 'query':
      return driver.query(request.sql, request.params)
    case 'changes':
      return driver.changes()
    case 'autocommit':
      return driver.autocommit
    case 'now':
      return performance.now() / 1000
    case 'sleep':
      return sleep(request.seconds, request.reason)
    case 'stopping':
      return stopping()
    case 'defensive':
      return driver.setDefensive(request.on)
    case 'log':
      return options.onLog?.(request.level, request.message)
    case 'tell':
      return options.onEvent?.(request.event)
  }
}

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4))

function pause(seconds: number, stopping: () => boolean): void {
  const end = performance.now() + seconds * 1000
  for (let left = seconds * 1000; left > 0 && !stopping(); left = end - performance.now())
    Atomics.wait(nobodyWakes, 0, 0, Math.min(left, 100))
}
