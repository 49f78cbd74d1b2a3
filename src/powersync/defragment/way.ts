// One way of defragmenting, as the run sees it: what it works with, and what it has done.
import type { TampError } from '../../core/errors.ts'
import type { Left } from '../../core/unit.ts'
import type { RunLock } from '../../database/run-lock.ts'
import type { Sessions } from '../../database/sessions.ts'
import type { BucketStorage } from '../database.ts'
import type { Ledger } from '../ledger.ts'
import type { Stream } from '../streams.ts'
import type { DefragmentOptions, DefragmentedBucket } from './defragment-report.ts'
import type { DefragmentPlan, Transfer } from './plan.ts'

/** What a way works with. */
export interface Site {
  readonly storage: BucketStorage
  readonly options: DefragmentOptions
  /** Seconds for which a checkpoint must have been published. */
  readonly grace: number
  readonly sessions: Sessions
  readonly lock: RunLock | undefined
  readonly ledger: Ledger
  readonly stream: Stream & { readonly lastCheckpoint: number }
  /** Remarks for the operator. */
  readonly notes: string[]
  readonly mustStop: () => boolean
  /** Says how many units there will be. */
  readonly plan: (units: number) => void
  /** Takes note of a unit that has ended, and rests as the load asks for. */
  readonly ended: (seconds: number) => Promise<void>
  /** Takes note of units that have ended elsewhere. */
  readonly count: (units: number) => void
  /** Tells why it stands still, or (null) that it goes on. */
  readonly tell: (waiting: string | null) => void
}

/** What one of the ways has done. */
export interface Done {
  readonly buckets: readonly DefragmentedBucket[]
  readonly resent: Transfer
  readonly left: readonly Left[]
  readonly complete: boolean
  readonly next: string | null
  /** Names of buckets that compacting can make smaller now. */
  readonly compact: readonly string[]
  readonly changed: number
  readonly failure?: TampError
}

export const nothing: Transfer = { operations: 0, bytesEstimate: 0 }

export const idle: Done = {
  buckets: [],
  resent: nothing,
  left: [],
  complete: true,
  next: null,
  compact: [],
  changed: 0,
}

/** The buckets of a plan, as they will be. */
export function planned(plan: DefragmentPlan): DefragmentedBucket[] {
  return plan.buckets.map(({ bucket, rows, now, compacted, after }) => ({
    bucket,
    rows,
    before: now,
    compacted,
    after,
  }))
}
