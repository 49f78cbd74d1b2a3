// A bucket in the planner's queue: which of its cuts is taken, and which lies next on the upper convex hull of (price, gain).
import type { BucketFacts, Cut, Transfer } from './plan.ts'

const nothing: Transfer = { operations: 0, bytesEstimate: 0 }

export class Candidate {
  readonly facts: BucketFacts
  readonly #price: (resent: Transfer) => number
  /** Cuts behind the one taken. */
  #ahead: readonly Cut[]
  /** Those of them that are on the hull, the nearest last. */
  #hull: Cut[] = []
  #taken: Cut | undefined
  #slope = 0

  /** @param cuts ascending in rows, and so in price and gain */
  constructor(facts: BucketFacts, cuts: readonly Cut[], price: (resent: Transfer) => number) {
    this.facts = facts
    this.#ahead = cuts
    this.#price = price
    this.#fold()
  }

  get taken(): Cut | undefined {
    return this.#taken
  }

  /** Operations spared for the price, by going on to the next cut; 0 where there is none that spares any. */
  get slope(): number {
    return this.#slope
  }

  /** What going on to the next cut sends again. */
  get nextCost(): Transfer {
    return this.#cost(this.#hull.at(-1)!)
  }

  /** Goes on to the next cut. */
  take(): void {
    this.#taken = this.#hull.pop()
    this.#measureSlope()
  }

  /** Drops the cuts that cost more than what is left: they will not fit later either. */
  forget(left: Transfer): void {
    const rows = this.#taken?.rows ?? 0
    this.#ahead = this.#ahead.filter((cut) => {
      const { operations, bytesEstimate } = this.#cost(cut)
      return cut.rows > rows && operations <= left.operations && bytesEstimate <= left.bytesEstimate
    })
    this.#fold()
  }

  #cost({ resent }: Cut): Transfer {
    const { operations, bytesEstimate } = this.#taken?.resent ?? nothing
    return { operations: resent.operations - operations, bytesEstimate: resent.bytesEstimate - bytesEstimate }
  }

  /** The upper hull in one pass from the right (A. M. Andrew, 1979), begun at the cut that is taken. */
  #fold(): void {
    const hull: Cut[] = []
    for (const cut of this.#ahead.toReversed()) {
      while (hull.length > 1 && this.#steepness(cut, hull.at(-1)!) <= this.#steepness(hull.at(-1)!, hull.at(-2)!))
        hull.pop()
      hull.push(cut)
    }
    while (hull.length > 1 && this.#steepness(this.#taken, hull.at(-1)!) <= this.#steepness(hull.at(-1)!, hull.at(-2)!))
      hull.pop()
    this.#hull = hull
    this.#measureSlope()
  }

  #measureSlope(): void {
    const next = this.#hull.at(-1)
    this.#slope = next === undefined ? 0 : this.#steepness(this.#taken, next)
  }

  #steepness(from: Cut | undefined, to: Cut): number {
    const { operations } = from?.after ?? this.facts.compacted
    return (operations - to.after.operations) / (this.#price(to.resent) - this.#price(from?.resent ?? nothing))
  }
}

/** Candidates by slope: a binary heap. Of equals the one that came first in the facts goes first, so that plans repeat. */
export class SteepestFirst {
  readonly #heap: Candidate[] = []
  readonly #place = new Map<Candidate, number>()

  constructor(candidates: Iterable<Candidate>) {
    for (const candidate of candidates) {
      this.#place.set(candidate, this.#place.size)
      this.push(candidate)
    }
  }

  push(candidate: Candidate): void {
    const heap = this.#heap
    let at = heap.push(candidate) - 1
    for (let parent = (at - 1) >> 1; at > 0 && this.#before(candidate, heap[parent]!); parent = (at - 1) >> 1) {
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = candidate
  }

  pop(): Candidate | undefined {
    const heap = this.#heap
    const [first] = heap
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++
      if (!this.#before(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }

  #before(one: Candidate, other: Candidate): boolean {
    return one.slope !== other.slope ? one.slope > other.slope : this.#place.get(one)! < this.#place.get(other)!
  }
}
