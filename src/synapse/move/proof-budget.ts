// How many groups of a unit are asked for with Synapse's own query, before and after: as many as fit a share of the time, or all.

/** Share of a run's time for these questions. Whole plans are proven by fingerprint besides, and rooms read again at their end. */
const share = 0.1

export class ProofBudget {
  readonly #full: boolean
  readonly #random: () => number
  readonly #since = performance.now()
  #spent = 0

  /** @param random numbers in [0, 1): which groups are asked for */
  constructor(proof: 'full' | 'budget', random: () => number = Math.random) {
    this.#full = proof === 'full'
    this.#random = random
  }

  /** The order to ask in: all, or starting anywhere. */
  order<Item>(items: readonly Item[]): Item[] {
    if (this.#full) return [...items]
    const start = Math.floor(this.#random() * items.length)
    return [...items.slice(start), ...items.slice(0, start)]
  }

  /**
   * Whether one more question may be asked.
   * @param here milliseconds spent on this unit's questions so far; as much will be needed again after the change
   */
  affords(here: number, asked: number): boolean {
    if (this.#full || asked === 0) return true
    return this.#spent + here < share * (performance.now() - this.#since)
  }

  /** @param milliseconds a question took */
  spent(milliseconds: number): void {
    this.#spent += milliseconds
  }
}
