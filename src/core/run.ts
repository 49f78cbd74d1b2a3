// Takes the units of a compactor through a budget into a sink: nothing (dry run), a script, or the database.
// Lanes run side by side, units of a lane in sequence. One bad lane or unit never stops the rest; every stop is clean.
import { Budget, Pace } from './budget.ts'
import type { BudgetOptions } from './budget.ts'
import type { Compactor, Scope } from './compactor.ts'
import { TampError } from './errors.ts'
import type { Listener } from './events.ts'
import type { LanePlan, Measure, Mode, Report } from './report.ts'
import type { Left, Unit } from './unit.ts'

export interface RunOptions extends BudgetOptions {
  readonly mode: Mode
  /** Lanes at once. Default 1. */
  readonly jobs?: number | undefined
  /** Takes the script, in mode `script`. */
  readonly write?: ((text: string) => void | Promise<void>) | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: Listener | undefined
}

/** Errors that mean the rest of the run has no chance either. */
const fatal = new Set(['connection-failed', 'authentication-failed', 'locked', 'no-permission', 'output-failed'])

/**
 * Runs a compactor.
 * @throws TampError for what makes the whole run impossible; what goes wrong with a lane or a unit is in the report
 */
export async function run<Facts, Item extends Unit>(
  compactor: Compactor<Facts, Item>,
  options: RunOptions,
): Promise<Report> {
  return new Run(compactor, options).run()
}

class Run<Facts, Item extends Unit> {
  readonly #compactor: Compactor<Facts, Item>
  readonly #options: RunOptions
  readonly #budget: Budget
  readonly #signal: AbortSignal
  readonly #lanes: LanePlan[] = []
  readonly #skipped: Left[] = []
  readonly #started = performance.now()
  readonly #units = { planned: 0, done: 0, skipped: 0, failed: 0 }
  #checked = 0
  #mismatches = 0
  #stopped: 'limit' | 'interrupted' | undefined
  /** One lane met what ends the whole run: the others start no further unit. */
  #hopeless = false
  #rowsToDo = 0
  #rowsDone = 0

  constructor(compactor: Compactor<Facts, Item>, options: RunOptions) {
    this.#compactor = compactor
    this.#options = options
    this.#budget = new Budget(options)
    this.#signal = options.signal ?? new AbortController().signal
  }

  async run(): Promise<Report> {
    const scopes: Scope[] = []
    try {
      for await (const scope of this.#compactor.survey(this.#signal)) {
        scopes.push(scope)
        this.#rowsToDo += scope.rowsEstimate
      }
    } catch (error) {
      if (!isInterruption(error)) throw error
      this.#stopped = 'interrupted'
    }
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < scopes.length && !this.#mustStop()) await this.#lane(scopes[next++]!)
    }
    const workers = await Promise.allSettled(Array.from({ length: this.#options.jobs ?? 1 }, worker))
    for (const ended of workers) if (ended.status === 'rejected') throw ended.reason
    return this.#report()
  }

  /** True when no further unit may start; remembers why. */
  #mustStop(): boolean {
    if (this.#signal.aborted) this.#stopped = 'interrupted'
    else if (this.#budget.spent) this.#stopped ??= 'limit'
    return this.#stopped !== undefined || this.#hopeless
  }

  async #lane(scope: Scope): Promise<void> {
    const { lane, rowsEstimate } = scope
    let rowsLeft = rowsEstimate
    try {
      this.#options.onEvent?.({ type: 'reading', lane, rowsEstimate })
      const facts = await this.#compactor.read(lane, this.#signal)
      const { plan, units } = this.#compactor.plan(facts)
      if (plan.proof.mismatches > 0) {
        this.#mismatches += plan.proof.mismatches
        this.#skip(lane, `the plan would have changed the answer for ${plan.proof.mismatches} of its items`)
        return
      }
      this.#checked += plan.proof.checked
      this.#options.onEvent?.({ type: 'plan', plan })
      const told = (share: number): void => {
        const rows = rowsEstimate * share
        rowsLeft -= rows
        this.#rowsDone += rows
        this.#tellStatus(null)
      }
      const after = plan.changes === 0 ? undefined : await this.#carryOut(plan, facts, units, told)
      this.#lanes.push(after === undefined ? plan : { ...plan, after })
    } catch (error) {
      if (isInterruption(error)) this.#stopped = 'interrupted'
      else if (error instanceof TampError && fatal.has(error.code)) {
        this.#hopeless = true
        throw error
      } else this.#skip(lane, error instanceof Error ? error.message : String(error))
    } finally {
      this.#rowsDone += rowsLeft
      this.#tellStatus(null)
    }
  }

  #skip(subject: string, reason: string): void {
    this.#skipped.push({ subject, reason })
  }

  /** Sends the units of a lane where the mode wants them, and tells what share of the lane is done. Returns what the lane is afterwards, if that was measured. */
  async #carryOut(
    plan: LanePlan,
    facts: Facts,
    units: (weight: () => number) => Iterable<Item & { weight: number; items: number }>,
    told: (share: number) => void,
  ): Promise<Measure | undefined> {
    const { mode, write } = this.#options
    const pace = new Pace()
    if (mode === 'execute') {
      const blocked = await this.#compactor.blocked(plan.lane)
      if (blocked !== null) {
        this.#skip(plan.lane, blocked)
        return plan.before
      }
    }
    for (const unit of units(pace.weight)) {
      if (mode !== 'dry-run' && this.#mustStop()) break
      this.#units.planned++
      if (mode === 'script') {
        const { text, left } = await this.#compactor.script(unit)
        this.#skipped.push(...left)
        await write?.(text)
      }
      if (mode === 'execute') await this.#apply(unit, pace)
      told(unit.items / plan.changes)
    }
    if (mode !== 'execute') return undefined
    const verified = await this.#compactor.verify(facts, this.#stopped === undefined ? this.#signal : never)
    this.#checked += verified.checked
    this.#mismatches += verified.mismatches
    if (verified.mismatches > 0)
      this.#skip(
        plan.lane,
        `${verified.mismatches} answers differ from those before: the database was changed by somebody else`,
      )
    return verified.after
  }

  async #apply(unit: Item & { weight: number; items: number }, pace: Pace): Promise<void> {
    const start = performance.now()
    const outcome = await this.#compactor.apply(unit)
    const seconds = (performance.now() - start) / 1000
    pace.took(unit.weight, seconds)
    this.#options.onEvent?.({ type: 'unit', lane: unit.lane, outcome, items: unit.items, seconds })
    if (outcome.status === 'done') {
      this.#units.done++
      this.#checked += outcome.checked
      this.#skipped.push(...outcome.left)
    } else if (outcome.status === 'failed') {
      this.#units.failed++
      if (outcome.proof) this.#mismatches++
      this.#skip(unit.lane, outcome.reason)
    } else {
      this.#units.skipped++
      this.#skip(unit.lane, outcome.reason)
    }
    await this.#budget.rest(seconds, this.#signal, (reason) => this.#tellStatus(reason))
  }

  #tellStatus(waiting: string | null): void {
    const share = this.#rowsToDo === 0 ? 1 : Math.min(1, this.#rowsDone / this.#rowsToDo)
    const elapsed = (performance.now() - this.#started) / 1000
    this.#options.onEvent?.({
      type: 'status',
      percentDone: Math.round(share * 1000) / 10,
      unitsDone: this.#units.done,
      secondsRemaining: share === 0 ? null : Math.round((elapsed * (1 - share)) / share),
      waiting,
    })
  }

  #report(): Report {
    const lanes = this.#lanes
    return {
      command: this.#compactor.command,
      mode: this.#options.mode,
      complete: this.#stopped === undefined,
      before: total(lanes.map((lane) => lane.before)),
      after: total(lanes.map((lane) => lane.after)),
      bound: {
        rows: lanes.reduce((sum, lane) => sum + lane.bound.rows, 0),
        exact: lanes.every((lane) => lane.bound.exact),
      },
      units: this.#units,
      proof: { checked: this.#checked, mismatches: this.#mismatches },
      lanes,
      findings: lanes.flatMap((lane) => lane.findings),
      skipped: this.#skipped,
      seconds: Math.round((performance.now() - this.#started) / 10) / 100,
      throttledSeconds: Math.round(this.#budget.throttledSeconds * 100) / 100,
      ...(this.#stopped === undefined ? {} : { stopped: this.#stopped }),
    }
  }
}

/** The last look at a lane is taken even when the run has been interrupted. */
const never = new AbortController().signal

function isInterruption(error: unknown): boolean {
  return error instanceof TampError && error.code === 'interrupted'
}

/** The sum of several measures; depths are the deepest, and the mean over all groups. */
function total(measures: readonly Measure[]): Measure {
  const sum = (of: (measure: Measure) => number | undefined): number =>
    measures.reduce((whole, measure) => whole + (of(measure) ?? 0), 0)
  const groups = sum((measure) => measure.groups)
  return {
    ...(groups === 0
      ? {}
      : {
          groups,
          maxDepth: measures.reduce((most, measure) => Math.max(most, measure.maxDepth ?? 0), 0),
          meanDepth:
            Math.round((sum((measure) => (measure.meanDepth ?? 0) * (measure.groups ?? 0)) / groups) * 10) / 10,
        }),
    rows: sum((measure) => measure.rows),
    bytesEstimate: sum((measure) => measure.bytesEstimate),
  }
}
