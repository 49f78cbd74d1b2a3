// Takes the units of a compactor through a budget into a sink: nothing (dry run), a script, or the database.
// Lanes run side by side, units of a lane in sequence. One bad lane or unit never stops the rest; every stop is clean.
import { Budget } from './budget.ts'
import type { BudgetOptions } from './budget.ts'
import type { Compactor, Planned, Scope } from './compactor.ts'
import { TampError } from './errors.ts'
import type { Listener } from './events.ts'
import { Pace } from './pace.ts'
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
  /** Fires for the signal and at the deadline: for reading, which may be given up at any moment. */
  readonly #readSignal: AbortSignal
  readonly #lanes: LanePlan[] = []
  readonly #skipped: Left[] = []
  readonly #started = performance.now()
  readonly #units = { planned: 0, done: 0, skipped: 0, failed: 0 }
  #items = 0
  #checked = 0
  #mismatches = 0
  #stopped: 'limit' | 'interrupted' | undefined
  /** What one lane met and what ends the whole run: the others start no further unit. */
  #failure: TampError | undefined
  /** Units that are being applied, and the plan they wait for: no transaction stays open while planning keeps the process busy. */
  readonly #applying = new Set<Promise<unknown>>()
  #planning: Promise<void> = Promise.resolve()
  #moreSkipped = 0
  #rowsToDo = 0
  #rowsDone = 0

  constructor(compactor: Compactor<Facts, Item>, options: RunOptions) {
    this.#compactor = compactor
    this.#options = options
    this.#budget = new Budget(options)
    this.#signal = options.signal ?? new AbortController().signal
    this.#readSignal = AbortSignal.any([this.#signal, this.#budget.signal])
  }

  async run(): Promise<Report> {
    const scopes: Scope[] = []
    try {
      for await (const scope of this.#compactor.survey(this.#readSignal)) {
        scopes.push(scope)
        this.#rowsToDo += scope.rowsEstimate
      }
    } catch (error) {
      if (!isInterruption(error)) throw error
      this.#interrupt()
    }
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < scopes.length && !this.#mustStop()) await this.#lane(scopes[next++]!)
    }
    const workers = await Promise.allSettled(Array.from({ length: this.#jobs }, worker))
    for (const ended of workers) if (ended.status === 'rejected') throw ended.reason
    // What was done and what was left is told in any case; only a run that changed nothing is nothing but its error.
    if (this.#failure !== undefined && this.#units.done === 0) throw this.#failure
    return this.#report()
  }

  get #jobs(): number {
    return this.#options.jobs ?? 1
  }

  /** True when no further unit may start; remembers why. */
  #mustStop(): boolean {
    if (this.#signal.aborted) this.#stopped = 'interrupted'
    else if (this.#budget.spent) this.#stopped ??= 'limit'
    return this.#stopped !== undefined || this.#failure !== undefined
  }

  async #lane(scope: Scope): Promise<void> {
    const { lane, rowsEstimate } = scope
    let rowsLeft = rowsEstimate
    let facts: Facts | undefined
    try {
      this.#options.onEvent?.({ type: 'reading', lane, rowsEstimate })
      const started = performance.now()
      facts = await this.#compactor.read(lane, this.#readSignal)
      await this.#rest((performance.now() - started) / 1000)
      const { plan, units } = await this.#plan(facts)
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
      // Until it has been measured, what is executed counts as it was before.
      const unmeasured = this.#options.mode === 'execute' ? plan.before : plan.after
      const index = this.#lanes.push({ ...plan, after: unmeasured }) - 1
      if (plan.changes > 0) this.#lanes[index] = { ...plan, after: await this.#carryOut(plan, facts, units, told) }
    } catch (error) {
      this.#fail(lane, error)
    } finally {
      if (facts !== undefined) await this.#compactor.release?.(facts)
      this.#rowsDone += rowsLeft
      this.#tellStatus(null)
    }
  }

  /** Takes note of what a lane met: an interruption, the end of everything, or a reason to leave the lane. */
  #fail(lane: string, error: unknown): void {
    if (isInterruption(error)) this.#interrupt()
    else if (error instanceof TampError && fatal.has(error.code)) this.#failure ??= error
    else this.#skip(lane, error instanceof Error ? error.message : String(error))
  }

  /** Somebody told what was under way to stop: the deadline, or the caller. */
  #interrupt(): void {
    if (!this.#mustStop()) this.#stopped = 'interrupted'
  }

  #skip(subject: string, reason: string): void {
    if (this.#skipped.length < namedSkips) this.#skipped.push({ subject, reason })
    else this.#moreSkipped++
  }

  /** Plans while no unit's transaction is open, because planning lets nothing else in this process run. */
  async #plan(facts: Facts): Promise<Planned<Item>> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const before = this.#planning
    this.#planning = before.then(() => promise)
    try {
      await before
      while (this.#applying.size > 0) await Promise.allSettled(this.#applying)
      return this.#compactor.plan(facts)
    } finally {
      resolve()
    }
  }

  /** Pauses after work as the load asks for. Of several jobs each pauses for all. */
  async #rest(busySeconds: number): Promise<void> {
    await this.#budget.rest(busySeconds, this.#jobs, this.#signal, (reason) => this.#tellStatus(reason))
  }

  /** Sends the units of a lane where the mode wants them, and tells what share of the lane is done. Returns what the lane is afterwards. */
  async #carryOut(
    plan: LanePlan,
    facts: Facts,
    units: (weight: () => number) => Iterable<Item & { weight: number; items: number }>,
    told: (share: number) => void,
  ): Promise<Measure> {
    const { mode, write } = this.#options
    const pace = new Pace()
    if (mode === 'execute') {
      const blocked = await this.#compactor.blocked(plan.lane)
      if (blocked !== null) {
        this.#skip(plan.lane, blocked)
        return plan.before
      }
    }
    let done = 0
    for (const unit of units(pace.weight)) {
      if (mode !== 'dry-run' && this.#mustStop()) break
      this.#units.planned++
      if (mode === 'script') {
        const { text, left } = await this.#compactor.script(unit)
        for (const { subject, reason } of left) this.#skip(subject, reason)
        await write?.(text)
      }
      if (mode === 'execute' && (await this.#apply(unit, pace))) done++
      told(unit.items / plan.changes)
    }
    if (mode !== 'execute') return plan.after
    return done === 0 ? plan.before : await this.#verify(plan, facts)
  }

  /** Reads a lane once more. Where that cannot be, what was done stays done, and the report says what it does not know. */
  async #verify(plan: LanePlan, facts: Facts): Promise<Measure> {
    try {
      const started = performance.now()
      const verified = await this.#compactor.verify(facts, this.#signal.aborted ? never : this.#signal)
      this.#checked += verified.checked
      this.#mismatches += verified.mismatches
      if (verified.mismatches > 0)
        this.#skip(
          plan.lane,
          `${verified.mismatches} answers differ from those before: the database was changed by somebody else`,
        )
      await this.#rest((performance.now() - started) / 1000)
      return verified.after
    } catch (error) {
      this.#fail(plan.lane, error)
      this.#skip(plan.lane, 'it could not be read once more at its end: its figures are those from before')
      return plan.before
    }
  }

  async #apply(unit: Item & { weight: number; items: number }, pace: Pace): Promise<boolean> {
    for (let gate; gate !== this.#planning;) await (gate = this.#planning)
    const start = performance.now()
    const applied = this.#compactor.apply(unit)
    this.#applying.add(applied)
    const outcome = await applied.finally(() => this.#applying.delete(applied))
    const seconds = (performance.now() - start) / 1000
    pace.took(unit.weight, seconds)
    this.#options.onEvent?.({ type: 'unit', lane: unit.lane, outcome, items: unit.items, seconds })
    if (outcome.status === 'done') {
      this.#units.done++
      this.#checked += outcome.checked
      this.#items += unit.items - outcome.left.length
      for (const { subject, reason } of outcome.left) this.#skip(subject, reason)
    } else if (outcome.status === 'failed') {
      this.#units.failed++
      if (outcome.proof) this.#mismatches++
      this.#skip(unit.lane, outcome.reason)
    } else {
      this.#units.skipped++
      this.#skip(unit.lane, outcome.reason)
    }
    // Told to stop, a compactor gives up what it would otherwise have waited for.
    if (outcome.status !== 'done' && this.#signal.aborted) this.#interrupt()
    await this.#rest(seconds)
    return outcome.status === 'done'
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
      complete: this.#stopped === undefined && this.#failure === undefined,
      before: total(lanes.map((lane) => lane.before)),
      after: total(lanes.map((lane) => lane.after)),
      bound: {
        rows: lanes.reduce((sum, lane) => sum + lane.bound.rows, 0),
        ...(lanes.some((lane) => lane.bound.operations !== undefined)
          ? { operations: lanes.reduce((sum, lane) => sum + (lane.bound.operations ?? 0), 0) }
          : {}),
        exact: lanes.every((lane) => lane.bound.exact),
      },
      units: this.#units,
      proof: { checked: this.#checked, mismatches: this.#mismatches },
      lanes,
      findings: lanes.flatMap((lane) => lane.findings),
      itemsChanged: this.#items,
      skipped:
        this.#moreSkipped === 0
          ? this.#skipped
          : [...this.#skipped, { subject: `${this.#moreSkipped} more`, reason: 'left as they are, too' }],
      seconds: Math.round((performance.now() - this.#started) / 10) / 100,
      throttledSeconds: Math.round(this.#budget.throttledSeconds * 100) / 100,
      ...(this.#stopped === undefined ? {} : { stopped: this.#stopped }),
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
    }
  }
}

/** Skipped subjects that a report names; of further ones it says how many. */
const namedSkips = 1000

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
    ...(measures.some((measure) => measure.operations !== undefined)
      ? { operations: sum((measure) => measure.operations) }
      : {}),
    rows: sum((measure) => measure.rows),
    bytesEstimate: sum((measure) => measure.bytesEstimate),
  }
}
