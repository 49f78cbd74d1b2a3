// What is asked of a defragmentation, and what is reported of it.
import type { RunOptions } from '../../core/run.ts'
import type { BucketMeasure, BucketReport, BucketSelection } from '../report.ts'
import type { DefragmentBudget, DefragmentPlan, Transfer } from './plan.ts'

export interface DefragmentOptions extends RunOptions, BucketSelection, DefragmentBudget {
  readonly how: 'touch' | 'reinsert' | 'relocate'
  /** For `touch`: the source database, as a URL. */
  readonly source?: string | undefined
  /** For `relocate`: every checkpoint that was published between the first and the last of the list. */
  readonly checkpoints?: readonly number[] | undefined
  /** Seconds for which a checkpoint must have been published before operations up to it are packed. Default 600; 0 where no client is served. */
  readonly grace?: number | undefined
}

/** One bucket that was, or would be, defragmented. `after` includes compacting. */
export interface DefragmentedBucket {
  readonly bucket: string
  /** Its own live rows that are moved. */
  readonly rows: number
  readonly before: BucketMeasure
  readonly compacted: BucketMeasure
  readonly after: BucketMeasure
}

export interface DefragmentReport extends BucketReport {
  readonly how: DefragmentOptions['how']
  /** Largest saving first; at most a thousand. */
  readonly buckets: readonly DefragmentedBucket[]
  /** What each existing client that has the rows downloads again. */
  readonly resent: Transfer
  /** What each new client is spared, beyond what compacting alone would. */
  readonly saved: Transfer
  readonly limitedBy: DefragmentPlan['limitedBy']
  /** What is left to be done, and when; null where nothing is. */
  readonly next: string | null
}
