// Lanes of a compaction: one large bucket, or many small ones together. What each is, and the slices that carry it out.
import type { Measure } from '../../core/report.ts'
import type { Connection } from '../../database/postgres.ts'
import { compacted } from './analysis-sql.ts'
import type { AnalysisScope, BucketAnalysis } from './analysis-sql.ts'
import type { BucketMeasure } from '../report.ts'
import type { ChangedBucket } from './changed-buckets.ts'
import type { ClearSlice, MoveSlice } from './slice-sql.ts'

/**
 * Operations of buckets that are analysed together; a bucket with more is a lane of its own. The operations of one bucket lie far apart
 * in the table, so that many small lanes would each read nearly all of it; what is hashed of this many still fits into memory.
 */
const laneOperations = 250_000
/** Names in one statement, and buckets in memory. */
const laneBuckets = 20_000

/** What is going to be one lane. */
export interface Lane {
  readonly name: string
  readonly buckets: readonly string[]
  readonly operations: number
}

/** Puts neighbours in the primary key together, in lanes enough for all jobs. Largest lanes first. */
export function lanesOf(buckets: readonly ChangedBucket[], jobs: number = 1): Lane[] {
  const all = buckets.reduce((sum, { operations }) => sum + operations, 0)
  const most = Math.min(laneOperations, Math.ceil(all / jobs))
  const lanes: Lane[] = []
  let names: string[] = []
  let operations = 0
  const close = (): void => {
    if (names.length > 0) lanes.push({ name: laneName(names), buckets: names, operations })
    names = []
    operations = 0
  }
  for (const { bucket, operations: own } of buckets) {
    if (own > laneOperations) lanes.push({ name: bucket, buckets: [bucket], operations: own })
    else {
      if (operations + own > most || names.length === laneBuckets) close()
      names.push(bucket)
      operations += own
    }
  }
  close()
  return lanes.sort((a, b) => b.operations - a.operations)
}

function laneName(names: readonly string[]): string {
  return names.length === 1 ? names[0]! : `${names[0]} … ${names.at(-1)} (${names.length} buckets)`
}

/** A lane as it was analysed, and how far it has come. */
export interface LaneFacts {
  readonly lane: Lane
  readonly scope: AnalysisScope
  readonly buckets: readonly BucketAnalysis[]
  /** Where its work tables are; undefined where there are none. */
  connection: Connection | undefined
  /** Operations that are still to be cleared and moved. */
  readonly left: { clear: number; move: number }
  /** Where the CLEAR of a bucket that is cleared in steps stands by now, by the bucket's number. */
  readonly clearedTo: Map<number, number>
  /** Why its remaining slices must not be done. */
  abandoned: string | undefined
  /** What it was when it was read once more after its last slice. */
  after: ReadonlyMap<string, BucketMeasure> | undefined
}

/** The smallest change that is whole on its own: the prefixes of some buckets, some superseded operations, or both. */
export interface SliceUnit {
  readonly lane: string
  readonly facts: LaneFacts
  readonly clear: (ClearSlice & { readonly operations: number; readonly buckets: number }) | undefined
  readonly move: MoveSlice | undefined
  readonly weight: number
  readonly items: number
}

/** Slices in the order in which they have to be done: what is cleared need not be moved first. */
export function* slicesOf(facts: LaneFacts, weight: () => number): Generator<SliceUnit> {
  const toClear = facts.buckets.filter(({ clearNumber }) => clearNumber !== null)
  let moves = facts.buckets.reduce((sum, bucket) => sum + bucket.moves, 0)
  const lane = facts.lane.name
  const takeMoves = (most: number): MoveSlice | undefined => {
    if (moves === 0 || most <= 0) return undefined
    const upTo = moves
    moves = Math.max(0, moves - Math.round(most))
    return { above: moves, upTo }
  }
  const unit = (clear: SliceUnit['clear'], move: MoveSlice | undefined): SliceUnit => {
    const items = (clear?.operations ?? 0) + (move === undefined ? 0 : move.upTo - move.above)
    return { lane, facts, clear, move, weight: items, items }
  }
  for (let at = 0; at < toClear.length;) {
    const most = weight()
    const number = toClear[at]!.clearNumber!
    let rest = toClear[at]!.toClear
    if (rest > 2 * most) {
      // The dead prefix of one large bucket: a CLEAR that moves up, step by step.
      for (let limit = Math.round(weight()); rest > 2 * limit; limit = Math.round(weight())) {
        yield unit({ above: number - 1, upTo: number, whole: false, limit, operations: limit, buckets: 1 }, undefined)
        rest -= limit
      }
      yield unit(
        { above: number - 1, upTo: number, whole: false, limit: null, operations: rest, buckets: 1 },
        undefined,
      )
      at++
      continue
    }
    let operations = 0
    let end = at
    while (end < toClear.length && (end === at || operations + toClear[end]!.toClear <= most))
      operations += toClear[end++]!.toClear
    // The buckets come in the order of falling numbers.
    const clear = {
      above: toClear[end - 1]!.clearNumber! - 1,
      upTo: number,
      whole: true,
      limit: null,
      operations,
      buckets: end - at,
    }
    at = end
    yield unit(clear, at === toClear.length ? takeMoves(most - operations) : undefined)
  }
  for (let move = takeMoves(weight()); move !== undefined; move = takeMoves(weight())) yield unit(undefined, move)
}

export function laneChanges({ buckets }: LaneFacts): number {
  return buckets.reduce((sum, bucket) => sum + bucket.toClear + bucket.moves, 0)
}

/** What a lane is before and after. */
export function laneMeasures({ buckets }: LaneFacts): { before: Measure; after: Measure } {
  const before = { operations: 0, rows: 0, bytesEstimate: 0 }
  const after = { operations: 0, rows: 0, bytesEstimate: 0 }
  for (const bucket of buckets) {
    before.operations += bucket.operations
    before.rows += bucket.rows
    before.bytesEstimate += bucket.bytes
    const then = compacted(bucket)
    after.operations += then.operations
    after.rows += then.rows
    after.bytesEstimate += then.bytesEstimate
  }
  return { before, after }
}
