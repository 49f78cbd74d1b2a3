// Lanes of a compaction: one large bucket, or many small ones together. What each is, and the slices that carry it out.
import type { Measure } from '../../core/report.ts'
import type { Connection } from '../../database/postgres.ts'
import { compacted, defaultStep } from './analysis-sql.ts'
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
  /** Where the CLEAR of a bucket that is cleared in steps stands by now. */
  readonly clearedTo: Map<string, number>
  /** Operations that had been moved when the work tables were made (again): their rows count from there. */
  movedBefore: number
  /** Why its remaining slices must not be done. */
  abandoned: string | undefined
  /** What it was when it was read once more after its last slice. */
  after: ReadonlyMap<string, BucketMeasure> | undefined
}

/** The smallest change that is whole on its own: the prefixes of some buckets, some superseded operations, or both. */
export interface SliceUnit {
  readonly lane: string
  readonly facts: LaneFacts
  /** `steps`: the bucket, where it is cleared in steps. */
  readonly clear:
    | (ClearSlice & { readonly operations: number; readonly buckets: number; readonly steps: string | undefined })
    | undefined
  readonly move: MoveSlice | undefined
  readonly weight: number
  readonly items: number
}

/** Slices in the order in which they have to be done: what is cleared need not be moved first. */
export function* slicesOf(facts: LaneFacts, weight: () => number): Generator<SliceUnit> {
  const { stepOperations = defaultStep } = facts.scope
  const clears = facts.buckets.filter(({ toClear }) => toClear > 0)
  const moves = facts.buckets.reduce((sum, bucket) => sum + bucket.moves, 0)
  // The first CLEAR has the highest number.
  let number = clears.reduce((sum, { toClear }) => sum + Math.ceil(toClear / stepOperations), 0)
  let moved = 0
  const unit = (clear: SliceUnit['clear'], mostMoves: number): SliceUnit => {
    const above = moved
    moved = Math.min(moves, moved + Math.max(0, Math.round(mostMoves)))
    const move = moved > above ? { above, upTo: moved } : undefined
    const items = (clear?.operations ?? 0) + moved - above
    return { lane: facts.lane.name, facts, clear, move, weight: items, items }
  }
  for (let at = 0; at < clears.length;) {
    const most = weight()
    const upTo = number
    let operations = 0
    const first = at
    let rest = clears[at]!.toClear
    if (rest > most) {
      // The dead prefix of one large bucket: a CLEAR that moves up, step by step.
      for (;;) {
        const steps = Math.max(1, Math.floor(weight() / stepOperations))
        const taken = Math.min(rest, steps * stepOperations)
        const above = number - Math.ceil(taken / stepOperations)
        yield unit({ above, upTo: number, operations: taken, buckets: 1, steps: clears[at]!.bucket }, 0)
        number = above
        rest -= taken
        if (rest === 0) break
      }
      at++
      continue
    }
    for (; at < clears.length && (at === first || operations + clears[at]!.toClear <= most); at++) {
      operations += clears[at]!.toClear
      number -= Math.ceil(clears[at]!.toClear / stepOperations)
    }
    const clear = { above: number, upTo, operations, buckets: at - first, steps: undefined }
    yield unit(clear, at === clears.length ? most - operations : 0)
  }
  while (moved < moves) yield unit(undefined, Math.max(1, weight()))
}

/** What is to be cleared and moved of some buckets. */
export function operationsLeft(buckets: LaneFacts['buckets']): { clear: number; move: number } {
  return {
    clear: buckets.reduce((sum, bucket) => sum + bucket.toClear, 0),
    move: buckets.reduce((sum, bucket) => sum + bucket.moves, 0),
  }
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
