// Which live rows to move to the end of their buckets, so that compacting can clear what lies before the others. Pure.
// Gains for new clients are bought with what existing clients download again, best price first, and never above the budget.
import type { BucketMeasure } from '../report.ts'
import { Candidate, SteepestFirst } from './candidate.ts'

/** What clients download, or are spared. */
export interface Transfer {
  readonly operations: number
  readonly bytesEstimate: number
}

/** One way to cut a bucket: the live rows before `moveBelow` go to its end. */
export interface Cut {
  /** The live rows that are moved, in this bucket. */
  readonly rows: number
  /** Live PUTs with an op id below this one, and not above the checkpoint of the facts, are moved. */
  readonly moveBelow: number
  /** The bucket once it has been compacted after the move. */
  readonly after: BucketMeasure
  /** What existing clients download again: the moved rows, in every bucket that holds them. */
  readonly resent: Transfer
}

/** What planning needs to know of one bucket. */
export interface BucketFacts {
  readonly bucket: string
  readonly now: BucketMeasure
  /** Compacted, and nothing moved. */
  readonly compacted: BucketMeasure
  /** By rows, ascending; the operations afterwards fall from each to the next. Many cuts are thinned out: see `readDefragmentFacts`. */
  readonly cuts: readonly Cut[]
}

export interface DefragmentFacts {
  /** The checkpoint up to which operations were counted. */
  readonly upTo: number
  /** Buckets that moving rows can make smaller. */
  readonly buckets: readonly BucketFacts[]
  /** Of all buckets, those that cannot gain too. */
  readonly total: { readonly buckets: number; readonly now: BucketMeasure; readonly compacted: BucketMeasure }
}

/** What may be spent. With none of the three, rows are moved wherever each that is sent again spares a new client one operation. */
export interface DefragmentBudget {
  /** Rows sent again, over all buckets: a row in three buckets counts three times. */
  readonly maxResyncRows?: number | undefined
  /** Bytes sent again, over all buckets; an estimate. */
  readonly maxResyncBytes?: number | undefined
  /** A bucket is left alone once it has no more operations per live row than this. */
  readonly targetRatio?: number | undefined
}

export interface BucketMove {
  readonly bucket: string
  readonly moveBelow: number
  readonly rows: number
  readonly now: BucketMeasure
  readonly compacted: BucketMeasure
  readonly after: BucketMeasure
  readonly resent: Transfer
  /** By moving, for each new client: what compacting alone would spare is not counted. */
  readonly saved: Transfer
}

export interface DefragmentPlan {
  readonly upTo: number
  /** Largest saving first. */
  readonly buckets: readonly BucketMove[]
  readonly rows: number
  /** A row that two of the chosen buckets hold counts for both: the true figure may be lower. */
  readonly resent: Transfer
  readonly saved: Transfer
  /** All buckets afterwards, those that are not moved compacted only. */
  readonly after: BucketMeasure
  /** The budget that kept out a cut which would have paid. */
  readonly limitedBy: 'rows' | 'bytes' | null
}

/** Operations that a new client must be spared for each one sent again, where no budget says how far to go. */
const worthwhile = 1

/**
 * Chooses a cut for each bucket. The fractional knapsack's greedy choice over the upper convex hulls of (cost, gain), which for a single
 * budget falls short of the best by less than one hull segment: G. B. Dantzig, Discrete-Variable Extremum Problems, 1957; hulls as
 * in P. Sinha and A. A. Zoltners, The Multiple-Choice Knapsack Problem, 1979. A segment that does not fit gives way to the hull of
 * the cuts below it. A larger budget (one alone) never gains less.
 */
export function planDefragmentation(facts: DefragmentFacts, budget: DefragmentBudget = {}): DefragmentPlan {
  const left = { operations: budget.maxResyncRows ?? Infinity, bytesEstimate: budget.maxResyncBytes ?? Infinity }
  const price = priceOf(left)
  const asked = Object.values(budget).some((limit) => limit !== undefined)
  const leastSlope = asked ? Number.MIN_VALUE : worthwhile
  let limitedBy: DefragmentPlan['limitedBy'] = null

  const candidates = facts.buckets.map(
    (bucket) => new Candidate(bucket, cutsTowards(bucket, budget.targetRatio), price),
  )
  const queue = new SteepestFirst(candidates.filter(({ slope }) => slope >= leastSlope))
  for (let best = queue.pop(); best !== undefined; best = queue.pop()) {
    const { operations, bytesEstimate } = best.nextCost
    if (operations <= left.operations && bytesEstimate <= left.bytesEstimate) {
      left.operations -= operations
      left.bytesEstimate -= bytesEstimate
      best.take()
    } else {
      limitedBy ??= operations > left.operations ? 'rows' : 'bytes'
      best.forget(left)
    }
    if (best.slope >= leastSlope) queue.push(best)
  }
  return summarise(facts, candidates, limitedBy)
}

/** One figure for what is sent again: of two budgets, the sum of the shares that it takes of each. */
function priceOf({ operations, bytesEstimate }: Transfer): (resent: Transfer) => number {
  if (operations < Infinity && bytesEstimate < Infinity)
    return (resent) => resent.operations / Math.max(operations, 1) + resent.bytesEstimate / Math.max(bytesEstimate, 1)
  return bytesEstimate < Infinity ? (resent) => resent.bytesEstimate : (resent) => resent.operations
}

/** The cuts up to the first that reaches the ratio; all of them, where none does; none, where compacting alone reaches it. */
function cutsTowards({ compacted, cuts }: BucketFacts, ratio = 0): readonly Cut[] {
  const reached = ({ operations, rows }: BucketMeasure): boolean => operations <= ratio * rows
  if (reached(compacted)) return []
  const enough = cuts.findIndex(({ after }) => reached(after))
  return enough < 0 ? cuts : cuts.slice(0, enough + 1)
}

function summarise(
  facts: DefragmentFacts,
  candidates: readonly Candidate[],
  limitedBy: DefragmentPlan['limitedBy'],
): DefragmentPlan {
  const buckets = candidates.flatMap(({ facts: { bucket, now, compacted }, taken }): BucketMove[] => {
    if (taken === undefined) return []
    const { moveBelow, rows, after, resent } = taken
    return [{ bucket, moveBelow, rows, now, compacted, after, resent, saved: difference(compacted, after) }]
  })
  buckets.sort((one, other) => other.saved.operations - one.saved.operations)
  const sum = (of: (move: BucketMove) => number): number => buckets.reduce((whole, move) => whole + of(move), 0)
  const saved = {
    operations: sum((move) => move.saved.operations),
    bytesEstimate: sum((move) => move.saved.bytesEstimate),
  }
  return {
    upTo: facts.upTo,
    buckets,
    rows: sum((move) => move.rows),
    resent: {
      operations: sum((move) => move.resent.operations),
      bytesEstimate: sum((move) => move.resent.bytesEstimate),
    },
    saved,
    after: { ...difference(facts.total.compacted, saved), rows: facts.total.compacted.rows },
    limitedBy,
  }
}

function difference(more: Transfer, less: Transfer): Transfer {
  return {
    operations: more.operations - less.operations,
    bytesEstimate: more.bytesEstimate - less.bytesEstimate,
  }
}
