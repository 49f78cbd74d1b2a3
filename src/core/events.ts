// Progress as typed events: the library tells, only `cli/` prints.
import type { LanePlan } from './report.ts'
import type { Outcome } from './unit.ts'

export type TampEvent =
  /** A lane is being read; it holds about this many rows. */
  | { readonly type: 'reading'; readonly lane: string; readonly rowsEstimate: number }
  /** A lane has been planned. */
  | { readonly type: 'plan'; readonly plan: LanePlan }
  /** A unit has ended, one way or the other. */
  | {
      readonly type: 'unit'
      readonly lane: string
      readonly outcome: Outcome
      readonly items: number
      readonly seconds: number
    }
  /** How far the run is. `waiting` is the reason of a pause, or null. */
  | {
      readonly type: 'status'
      readonly percentDone: number
      readonly unitsDone: number
      readonly secondsRemaining: number | null
      readonly waiting: string | null
    }

export type Listener = (event: TampEvent) => void
