// The library face of the compactor of bucket operations: `import { … } from 'tamp/powersync'`.
export { TampError } from '../core/errors.ts'
export type { Listener, TampEvent } from '../core/events.ts'
export type { Finding, LanePlan, Measure, Report } from '../core/report.ts'
export { openBucketStorage } from './database.ts'
export type { BucketStorage, StorageLocation } from './database.ts'
export { compactBuckets } from './compact.ts'
export type { CompactOptions } from './compact.ts'
export { inspectBuckets } from './inspect/inspect.ts'
export type {
  BucketInspection,
  BucketSurvey,
  DefinitionSurvey,
  InspectOptions,
  InspectSummary,
  Prospects,
} from './inspect/inspect.ts'
export { checkBuckets } from './check/check.ts'
export type { BucketCheck, CheckOptions, CheckSummary } from './check/check.ts'
export { bucketFindings, isRemark } from './findings.ts'
export type { BucketFinding } from './findings.ts'
export { defragmentBuckets } from './defragment/defragment.ts'
export type { DefragmentOptions, DefragmentReport, DefragmentedBucket } from './defragment/defragment.ts'
export { planDefragmentation } from './defragment/plan.ts'
export type { DefragmentBudget, DefragmentFacts, DefragmentPlan } from './defragment/plan.ts'
export { reclaimSpace } from './reclaim.ts'
export type { GivingBack, ReclaimOptions, Reclaimed, ReclaimedTable, TableUse } from './reclaim.ts'
export type {
  BucketMeasure,
  BucketReport,
  BucketSelection,
  DefinitionFigures,
  SafeCheckpoint,
  Space,
} from './report.ts'
export { readStreams } from './streams.ts'
export type { Stream } from './streams.ts'
