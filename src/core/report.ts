// What a run found, did and proved: one model for dry run, script and execution. The terminal and `--json` are views of it.

import type { TampError } from './errors.ts'
import type { Left } from './unit.ts'

/** Something odd in the database that an operator should know of. Codes are stable. */
export interface Finding {
  readonly code: string
  /** What it was found on: a state group id, a room, a bucket. */
  readonly subject: string
  readonly detail: string
}

/** How large a thing is. Which figures are there depends on the compactor; byte figures that are estimates say so. */
export interface Measure {
  readonly groups?: number
  readonly operations?: number
  readonly rows: number
  readonly bytes?: number
  readonly bytesEstimate?: number
  /** The whole file that holds it. */
  readonly fileBytes?: number
  readonly fileBytesEstimate?: number
  /** In edges: a snapshot has depth 0. */
  readonly maxDepth?: number
  readonly meanDepth?: number
}

/** The least a plan of any kind could reach. `exact` is false where it is an estimate. */
export interface Bound {
  readonly rows: number
  readonly operations?: number
  readonly exact: boolean
}

export interface UnitCounts {
  readonly planned: number
  readonly done: number
  readonly skipped: number
  readonly failed: number
}

export type Mode = 'dry-run' | 'script' | 'execute'

/** The plan for one lane: what it is now, what it will be, and how much worse it may get on the way. */
export interface LanePlan {
  readonly lane: string
  readonly before: Measure
  readonly after: Measure
  readonly bound: Bound
  /** The worst met at any moment while the plan is carried out. */
  readonly onTheWay: { readonly rows: number; readonly maxDepth?: number }
  /** Of how many items (groups) the stored form changes. */
  readonly changes: number
  /** Items whose answer under the plan was compared with today's by fingerprint, and how many differed. */
  readonly proof: { readonly checked: number; readonly mismatches: number }
  readonly findings: readonly Finding[]
  /** Remarks for the operator, such as what a shallower chain would cost. */
  readonly notes: readonly string[]
}

/** What every run ends with, whatever it works on. */
export interface RunSummary {
  readonly command: string
  readonly mode: Mode
  /** False when a limit or an interruption stopped it: the next run goes on. */
  readonly complete: boolean
  readonly before: Measure
  readonly after: Measure
  /** Where there is such a thing as the least that any plan could reach. */
  readonly bound?: Bound
  readonly units: UnitCounts
  readonly proof: { readonly checked: number; readonly mismatches: number }
  readonly findings: readonly Finding[]
  /** What was left alone, with the reason; never silently. */
  readonly skipped: readonly Left[]
  readonly seconds: number
  readonly throttledSeconds: number
  /** Why the run ended before it was complete. */
  readonly stopped?: 'limit' | 'interrupted'
  /** What ended it, such as a server that went away and did not come back. */
  readonly failure?: TampError
}

/** The whole run of a compactor, with its plans. */
export interface Report extends RunSummary {
  readonly bound: Bound
  /** Items (groups) that were stored anew; 0 unless executed. */
  readonly itemsChanged: number
  readonly lanes: readonly LanePlan[]
}
