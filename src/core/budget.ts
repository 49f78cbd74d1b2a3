// How long a run may take and how much of the time it may keep the database busy.
import { setTimeout as sleep } from 'node:timers/promises'

export interface BudgetOptions {
  /** Stop cleanly after so many seconds. */
  readonly maxSeconds?: number | undefined
  /** Share of wall time in which the database may be kept busy, 0 < load ≤ 1. Default 1: no pauses. */
  readonly load?: number | undefined
}

/** Seconds a timer can wait for: 2^31 milliseconds. */
const longestTimer = 2_147_483

/** Fires after so many seconds, or never where that is longer than a timer can wait. */
export function timeoutSignal(seconds: number): AbortSignal {
  return seconds < longestTimer
    ? AbortSignal.timeout(Math.ceil(Math.max(0, seconds * 1000)))
    : new AbortController().signal
}

export class Budget {
  readonly #deadline: number
  readonly #load: number
  /** Fires at the deadline. */
  readonly signal: AbortSignal
  /** Seconds spent pausing. */
  throttledSeconds = 0

  constructor({ maxSeconds = Infinity, load = 1 }: BudgetOptions = {}) {
    this.#deadline = performance.now() + maxSeconds * 1000
    this.#load = load
    this.signal = timeoutSignal(maxSeconds)
  }

  /** True when no further unit should start. */
  get spent(): boolean {
    return this.signal.aborted || performance.now() >= this.#deadline
  }

  /**
   * Pauses after `busySeconds` of work, as long as the load asks for; wakes up early for the signal and the deadline.
   * @param jobs how many share the load
   */
  async rest(busySeconds: number, jobs: number, signal: AbortSignal, tell: (reason: string) => void): Promise<void> {
    const wanted = this.#load >= 1 ? 0 : busySeconds * (jobs / this.#load - 1)
    const left = (this.#deadline - performance.now()) / 1000
    const seconds = Math.min(wanted, left)
    if (seconds < 0.001) return
    tell(`keeping to a load of ${this.#load}`)
    const start = performance.now()
    await sleep(seconds * 1000, undefined, { signal }).catch(() => {})
    this.throttledSeconds += (performance.now() - start) / 1000
  }
}
