// The library face of the compactor of bucket operations: `import { … } from 'tamp/powersync'`.
export { TampError } from '../core/errors.ts'
export type { Listener, TampEvent } from '../core/events.ts'
export type { Finding, LanePlan, Measure, Report } from '../core/report.ts'
export { openBucketStorage } from './database.ts'
export type { BucketStorage, StorageLocation } from './database.ts'
export { compactBuckets } from './compact.ts'
export type { CompactOptions } from './compact.ts'
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
