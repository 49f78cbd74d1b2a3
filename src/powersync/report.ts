// What is reported of buckets: figures of one bucket, of a definition, and of a run.
import type { Report } from '../core/report.ts'

/** How large a bucket is, or several together. `bytesEstimate` is what a new client downloads. */
export interface BucketMeasure {
  readonly operations: number
  /** Live rows: PUTs that no later operation supersedes. */
  readonly rows: number
  readonly bytesEstimate: number
}

/** Which buckets a command works on. Default: all. */
export interface BucketSelection {
  /** Full names. */
  readonly buckets?: readonly string[] | undefined
  /** Names of definitions, with or without prefix and number: see `isDefinition`. */
  readonly definitions?: readonly string[] | undefined
}

/** Buckets of one definition, before and after. */
export interface DefinitionFigures {
  readonly definition: string
  readonly buckets: number
  readonly before: BucketMeasure
  readonly after: BucketMeasure
}

/** The checkpoint up to which operations are touched, and why it is known to be old enough. */
export interface SafeCheckpoint {
  readonly opId: number
  /** Seconds since it was published, at least. */
  readonly age: number
  readonly source: 'last_checkpoint_ts' | 'ledger' | 'waited' | 'no-grace'
}

/** A table with its indexes, in bytes. */
export interface Space {
  readonly tableBytes: number
  readonly indexBytes: number
}

/** A run over buckets: of its lanes some are one large bucket, others many small ones. */
export interface BucketReport extends Report {
  readonly stream: { readonly id: number; readonly state: string; readonly storageVersion: number }
  /** Null where none is known to be old enough: then nothing was planned, or (dry run) the newest was assumed. */
  readonly checkpoint: SafeCheckpoint | null
  readonly definitions: readonly DefinitionFigures[]
  /** Buckets that were not read, because nothing was added to them since they were last compacted. */
  readonly unchangedBuckets: number
  readonly space: { readonly before: Space; readonly after: Space }
  /** Remarks for the operator. */
  readonly notes: readonly string[]
}
