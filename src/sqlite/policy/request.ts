// What the policy asks of whoever runs it. The policy is generators of these requests, synchronous and free of Node: the library drives
// them over better-sqlite3 and node:sqlite, the loadable extension inside SQLite itself.

import { SqlError } from '../../database/sqlite-value.ts'
import type { Row, Value } from '../../database/sqlite-value.ts'

export { SqlError }
export type { Row, Value }

export type LogLevel = 'error' | 'warn' | 'info' | 'debug'

export type Request =
  /** Runs one statement; answered with all its rows, empty for statements that give none. */
  | { readonly kind: 'query'; readonly sql: string; readonly params: readonly Value[] }
  /** Answered with the rows changed by the last INSERT, UPDATE or DELETE. */
  | { readonly kind: 'changes' }
  /** Answered with true when no transaction is open. */
  | { readonly kind: 'autocommit' }
  /** Answered with seconds of a clock that only goes forward. */
  | { readonly kind: 'now' }
  /** Pauses; may end early when the run is told to stop. */
  | { readonly kind: 'sleep'; readonly seconds: number; readonly reason: string }
  /** Answered with true when the run has been told to stop. */
  | { readonly kind: 'stopping' }
  /** Allows (false) or forbids (true) writing the schema table on this connection; answered with how it was. */
  | { readonly kind: 'defensive'; readonly on: boolean }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly message: string }
  /** Something for whoever watches: plain data, told as it happens. */
  | { readonly kind: 'tell'; readonly event: PolicyEvent }

/** What a run tells while it goes on. Bytes are those of the cells, before and after. */
export type PolicyEvent =
  | { readonly type: 'training'; readonly lane: string; readonly key: string; readonly rows: number }
  | {
      readonly type: 'chunk'
      readonly lane: string
      readonly rows: number
      readonly bytesBefore: number
      readonly bytesAfter: number
      readonly seconds: number
      /** Rows of the lane that are still to be done; an estimate. */
      readonly rowsLeftEstimate: number
    }
  | { readonly type: 'left'; readonly lane: string; readonly subject: string; readonly reason: string }
  /** Something that `check` found. A fault makes rows unreadable or answers wrong; anything else is a remark. */
  | {
      readonly type: 'finding'
      readonly code: string
      readonly subject: string
      readonly detail: string
      readonly fault: boolean
    }
  /** How far `check` or `inspect` is: rows of the lane read since the last time. */
  | { readonly type: 'read'; readonly lane: string; readonly rows: number; readonly rowsLeftEstimate: number }

/** A piece of policy: yields requests, gets their answers, ends with a result. */
export type Policy<Result> = Generator<Request, Result, unknown>

/**
 * The result of a policy whose requests `answer` answers; what `answer` throws the policy is told as the failure of that request.
 * @throws what the policy throws or does not catch
 */
export function answered<Result>(policy: Policy<Result>, answer: (request: Request) => unknown): Result {
  let step = policy.next()
  while (step.done !== true) {
    let given: unknown
    try {
      given = answer(step.value)
    } catch (error) {
      step = policy.throw(error)
      continue
    }
    step = policy.next(given)
  }
  return step.value
}

/** Runs one statement and gives all its rows. @throws SqlError */
export function* query(sql: string, ...params: readonly Value[]): Policy<readonly Row[]> {
  return (yield { kind: 'query', sql, params }) as readonly Row[]
}

/** The one row of a statement that gives at most one. @throws SqlError */
export function* queryRow(sql: string, ...params: readonly Value[]): Policy<Row | undefined> {
  return (yield* query(sql, ...params))[0]
}

/** The first value of the first row; undefined where there is no row. @throws SqlError */
export function* queryValue(sql: string, ...params: readonly Value[]): Policy<Value | undefined> {
  return (yield* query(sql, ...params))[0]?.[0]
}

/** Runs a statement that changes rows and gives their number. @throws SqlError */
export function* execute(sql: string, ...params: readonly Value[]): Policy<number> {
  yield { kind: 'query', sql, params }
  return (yield { kind: 'changes' }) as number
}

export function* now(): Policy<number> {
  return (yield { kind: 'now' }) as number
}

export function* autocommit(): Policy<boolean> {
  return (yield { kind: 'autocommit' }) as boolean
}

export function* stopping(): Policy<boolean> {
  return (yield { kind: 'stopping' }) as boolean
}

export function* sleep(seconds: number, reason: string): Policy<void> {
  yield { kind: 'sleep', seconds, reason }
}

export function* log(level: LogLevel, message: string): Policy<void> {
  yield { kind: 'log', level, message }
}

export function* tell(event: PolicyEvent): Policy<void> {
  yield { kind: 'tell', event }
}

/**
 * Runs `body` whole or not at all: in a transaction of its own, or, inside one of the caller's, in a savepoint.
 * @throws what `body` throws, after everything it did has been taken back
 */
export function* atomically<Result>(body: () => Policy<Result>): Policy<Result> {
  const own = yield* autocommit()
  yield* query(own ? 'BEGIN IMMEDIATE' : 'SAVEPOINT "tamp"')
  try {
    const result = yield* body()
    yield* query(own ? 'COMMIT' : 'RELEASE "tamp"')
    return result
  } catch (error) {
    // SQLite ends a transaction by itself after some errors, a full disk for one.
    if (own) {
      if (!(yield* autocommit())) yield* query('ROLLBACK')
    } else if (!(yield* autocommit())) {
      yield* query('ROLLBACK TO "tamp"')
      yield* query('RELEASE "tamp"')
    }
    throw error
  }
}
