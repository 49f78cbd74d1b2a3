// How long a run over a SQLite database may take, how much of the time it may work, and how patient it is with somebody else's lock.
// A run works in chunks, each a transaction of its own; between two of them it may stop, and the next run goes on from there.

import { TampError } from '../../core/errors.ts'
import { atomically, autocommit, now, query, sleep, SqlError, stopping } from './request.ts'
import type { Policy } from './request.ts'

export interface Limits {
  /** Stop cleanly after so many seconds; 0 means one chunk, null no limit. */
  readonly maxSeconds?: number | null
  /** Share of the time in which to work, above 0 and at most 1. Default 1: no pauses. */
  readonly load?: number
  /** Stop after one chunk. */
  readonly oneStep?: boolean
}

/** Seconds to wait for a lock where the run has no limit. */
const patienceSeconds = 10
/** Readers of a rollback journal keep a commit from ending; nobody new can begin to read meanwhile, so this must be short. */
const commitSeconds = 2
const longestNap = 0.5

export class WorkBudget {
  readonly #deadline: number
  readonly #load: number
  readonly #oneStep: boolean
  #chunks = 0
  /** Seconds spent pausing for the load's sake. */
  throttledSeconds = 0

  constructor(start: number, { maxSeconds, load = 1, oneStep = false }: Limits) {
    if (!(load > 0 && load <= 1)) throw new TampError('usage', `The load must be above 0 and at most 1, not ${load}.`)
    if (maxSeconds != null && !(maxSeconds >= 0))
      throw new TampError('usage', `The time must be a number of seconds from 0 on, not ${maxSeconds}.`)
    this.#oneStep = oneStep || maxSeconds === 0
    this.#deadline = maxSeconds == null || this.#oneStep ? Infinity : start + maxSeconds
    this.#load = load
  }

  /** Why no further chunk should start; undefined while one may. */
  *stopped(): Policy<'limit' | 'interrupted' | undefined> {
    if (yield* stopping()) return 'interrupted'
    return (this.#oneStep && this.#chunks > 0) || (yield* this.secondsLeft()) <= 0 ? 'limit' : undefined
  }

  *secondsLeft(): Policy<number> {
    return this.#deadline === Infinity ? Infinity : this.#deadline - (yield* now())
  }

  /** Counts a chunk, and pauses as long as the load asks for after so many seconds of work. */
  *didChunk(busySeconds: number): Policy<void> {
    this.#chunks++
    yield* this.rest(busySeconds)
  }

  /** Pauses as long as the load asks for after so many seconds of work; wakes up for the deadline and when told to stop. */
  *rest(busySeconds: number): Policy<void> {
    const start = yield* now()
    const until = Math.min(start + busySeconds * (1 / this.#load - 1), this.#deadline)
    for (let at = start; until - at >= 0.001; at = yield* now()) {
      if ((yield* stopping()) || (this.#oneStep && this.#chunks > 0)) break
      yield* sleep(Math.min(until - at, longestNap), `keeping to a load of ${this.#load}`)
    }
    this.throttledSeconds += (yield* now()) - start
  }

  /** Runs `body`, again and again while somebody else has the database locked. It must be without effect when it fails. */
  *patiently<Result>(body: () => Policy<Result>, patience: number = patienceSeconds): Policy<Result> {
    let giveUp: number | undefined
    for (let nap = 0.01; ; nap = Math.min(2 * nap, 0.25)) {
      try {
        return yield* body()
      } catch (error) {
        if (!isLocked(error)) throw error
        const at = yield* now()
        giveUp ??= this.#deadline === Infinity || patience < patienceSeconds ? at + patience : this.#deadline
        if (at >= giveUp || (yield* stopping())) throw error
        yield* sleep(nap, 'another connection has the database locked')
      }
    }
  }

  /** Runs `body` whole or not at all, as a transaction that can write from its beginning; in a savepoint of the caller's transaction. */
  *transaction<Result>(body: () => Policy<Result>): Policy<Result> {
    if (!(yield* autocommit())) return yield* atomically(body)
    yield* this.patiently(() => query('BEGIN IMMEDIATE'))
    try {
      const result = yield* body()
      yield* this.patiently(() => query('COMMIT'), commitSeconds)
      return result
    } catch (error) {
      // SQLite ends a transaction by itself after some errors, a full disk for one.
      if (!(yield* autocommit())) yield* query('ROLLBACK')
      throw error
    }
  }
}

export function* startWork(limits: Limits): Policy<WorkBudget> {
  return new WorkBudget(yield* now(), limits)
}

/** True for an error that says that another connection has the database, or a table of it, locked. */
export function isLocked(error: unknown): boolean {
  return error instanceof SqlError && (error.primaryCode === 5 || error.primaryCode === 6)
}
