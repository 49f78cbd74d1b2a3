// The port that each compactor fills: survey, read, plan, apply, script.
import type { LanePlan } from './report.ts'
import type { Outcome, Unit } from './unit.ts'

/** A lane's plan with the units that carry it out. */
export interface Planned<Item extends Unit> {
  readonly plan: LanePlan
  /** Pulled one after the other; `weight` says how much the next one should hold, in rows touched. */
  units(weight: () => number): Iterable<Item & { readonly weight: number; readonly items: number }>
}

export interface Compactor<Scope, Facts, Item extends Unit> {
  /** The scopes there are, largest expected saving first. Estimates; cheap. */
  survey(signal: AbortSignal): AsyncIterable<Scope>
  /** What planning one scope needs, read in one snapshot. */
  read(scope: Scope, signal: AbortSignal): Promise<Facts>
  /** Pure: no connection, no clock. */
  plan(facts: Facts): Planned<Item>
  /** Guard, rewrite, prove, commit: one transaction. */
  apply(unit: Item, signal: AbortSignal): Promise<Outcome>
  /** The same change as SQL text. */
  script(unit: Item, signal: AbortSignal): AsyncIterable<string>
}
