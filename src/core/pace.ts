// How large the next unit of work should be, going by the time the last ones took. Pure: no clock, no Node.

export interface PaceOptions {
  /** Weight of the first unit; a weight is whatever makes units slow: rows, bytes. */
  readonly first?: number
  readonly smallest?: number
  readonly largest?: number
}

/** Seconds a unit should take. */
const unitSeconds = 0.5

/** In rows of a unit, which are in memory together, and their garbage after them. */
const rows = { first: 5_000, smallest: 200, largest: 50_000 } as const

/** Sizes units by the time the last ones took. */
export class Pace {
  readonly #smallest: number
  readonly #largest: number
  #weight: number

  constructor({ first = rows.first, smallest = rows.smallest, largest = rows.largest }: PaceOptions = {}) {
    this.#smallest = smallest
    this.#largest = largest
    this.#weight = Math.min(largest, Math.max(smallest, first))
  }

  /** What the next unit should weigh. */
  weight = (): number => this.#weight

  /** Learns from a unit. */
  took(weight: number, seconds: number): void {
    const fitting = (weight / Math.max(seconds, 0.001)) * unitSeconds
    // At most doubled or halved at once: one slow unit may have waited for a checkpoint of the server.
    const next = Math.min(Math.max(fitting, this.#weight / 2), this.#weight * 2)
    this.#weight = Math.min(this.#largest, Math.max(this.#smallest, next))
  }
}
