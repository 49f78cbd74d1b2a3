// The port that each compactor fills: survey, read, plan, apply, script.
import type { LanePlan, Measure } from './report.ts'
import type { Left, Outcome, Unit } from './unit.ts'

/** A lane's plan with the units that carry it out. */
export interface Planned<Item extends Unit> {
  readonly plan: LanePlan
  /** Pulled one after the other; `weight` says how much the next one should hold, in rows touched. */
  units(weight: () => number): Iterable<Item & { readonly weight: number; readonly items: number }>
}

/** A scope of the survey. */
export interface Scope {
  readonly lane: string
  /** Rows in it; an estimate, for progress and order only. */
  readonly rowsEstimate: number
}

export interface Compactor<Facts, Item extends Unit> {
  readonly command: string
  /** The scopes there are, largest expected saving first. Estimates; cheap. */
  survey(signal: AbortSignal): AsyncIterable<Scope>
  /** What planning one scope needs, read in one snapshot. */
  read(lane: string, signal: AbortSignal): Promise<Facts>
  /** Pure: no connection, no clock. */
  plan(facts: Facts): Planned<Item>
  /** Why the lane must be left alone just now, or null. */
  blocked(lane: string): Promise<string | null>
  /** Guard, rewrite, prove, commit: one transaction. */
  apply(unit: Item): Promise<Outcome>
  /** The same change as SQL text, with what had to be left out of it. */
  script(unit: Item): Promise<{ readonly text: string; readonly left: readonly Left[] }>
  /** Reads a lane once more after its last unit: what it is now, and how many answers differ from before. */
  verify(
    facts: Facts,
    signal: AbortSignal,
  ): Promise<{ readonly after: Measure; readonly checked: number; readonly mismatches: number }>
  /** Lets go of what reading a scope has kept open for its units. Called once, when the lane has ended, however it did. */
  release?(facts: Facts): Promise<void>
}
