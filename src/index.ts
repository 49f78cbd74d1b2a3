// The library's face: what all compactors share. Each compactor has a face of its own, such as `tamp/synapse`.
export { TampError } from './core/errors.ts'
export type { ErrorCode } from './core/errors.ts'
export type { Listener, TampEvent } from './core/events.ts'
export type { Bound, Finding, LanePlan, Measure, Mode, Report, RunSummary, UnitCounts } from './core/report.ts'
export type { RunOptions } from './core/run.ts'
export type { Left, Outcome, Unit } from './core/unit.ts'
