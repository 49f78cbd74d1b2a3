// Defragments buckets: moves the live rows that keep compacting from clearing what lies before the others. Three ways, one report.
//
// `touch` has the source write rows again, `reinsert` writes their operations again in the storage: both send the rows once more to clients
// that have them. `relocate` puts them between two checkpoints of the past, so that clients that are up to date are sent nothing.
import { setTimeout as sleep } from 'node:timers/promises'
import { Budget } from '../../core/budget.ts'
import { TampError } from '../../core/errors.ts'
import { describeFailure } from '../../database/failures.ts'
import type { Connection } from '../../database/postgres.ts'
import { RunLock, bucketsLock } from '../../database/run-lock.ts'
import { Sessions } from '../../database/sessions.ts'
import { definitionOf } from '../bucket-name.ts'
import { awaitSafeCheckpoint, chooseCheckpoint, defaultGrace, safeCheckpoint } from '../checkpoint.ts'
import { compactBuckets } from '../compact.ts'
import { requireWritable } from '../compact/require-writable.ts'
import { serviceIsCompacting } from '../compact/service-compactor.ts'
import type { BucketStorage } from '../database.ts'
import { DefinitionTotals } from '../definition-totals.ts'
import { Ledger } from '../ledger.ts'
import type { BucketMeasure, BucketReport, SafeCheckpoint } from '../report.ts'
import { bucketSpace } from '../space.ts'
import { servedStream } from '../streams.ts'
import type { Stream } from '../streams.ts'
import type { DefragmentOptions, DefragmentReport, DefragmentedBucket } from './defragment-report.ts'
import { planDefragmentation } from './plan.ts'
import type { Transfer } from './plan.ts'
import { readDefragmentFacts } from './read-facts.ts'
import { reinsertPlanned } from './reinsert/reinsert-planned.ts'
import { relocateWhereItGains } from './relocate/relocate-where-it-gains.ts'
import { requireOwnRights } from './require-own-rights.ts'
import { touchPlanned } from './touch/touch-planned.ts'
import type { Done, Site } from './way.ts'

export type { DefragmentOptions, DefragmentReport, DefragmentedBucket } from './defragment-report.ts'

/**
 * Plans, and in mode `execute` carries out, the defragmentation of a storage's buckets; then compacts what it can already.
 * @throws TampError `usage`, `no-checkpoint`, `no-such-bucket`, `locked`, `no-permission`, `connection-failed`; everything smaller is in the report
 */
export async function defragmentBuckets(storage: BucketStorage, options: DefragmentOptions): Promise<DefragmentReport> {
  await using run = new Defragmentation(storage, options)
  try {
    return await run.run()
  } catch (error) {
    throw describeFailure(error)
  }
}

/** How long others are waited for. */
const busySeconds = 20
const namedBuckets = 1000

class Defragmentation implements AsyncDisposable {
  readonly #storage: BucketStorage
  readonly #options: DefragmentOptions
  readonly #executes: boolean
  readonly #budget: Budget
  readonly #signal: AbortSignal
  readonly #sessions: Sessions
  readonly #notes: string[] = []
  #lock: RunLock | undefined
  #ledger!: Ledger
  #stream!: Stream & { readonly lastCheckpoint: number }
  #checkpoint: SafeCheckpoint | null = null
  readonly #started = performance.now()
  #planned = 0
  #finished = 0

  constructor(storage: BucketStorage, options: DefragmentOptions) {
    this.#storage = storage
    this.#options = options
    this.#executes = options.mode === 'execute'
    this.#budget = new Budget(options)
    this.#signal = options.signal ?? new AbortController().signal
    this.#sessions = new Sessions(() => storage.connect(), options.signal)
  }

  async run(): Promise<DefragmentReport> {
    const { how, mode } = this.#options
    if (this.#options.checkpoints !== undefined && how !== 'relocate')
      throw new TampError('usage', 'A list of checkpoints is of use only for relocating.')
    await using connection = await this.#storage.connect()
    // Touching writes to the source, not to the storage.
    if (this.#executes && how !== 'touch') await this.#startWriting(connection)
    this.#stream = await servedStream(connection)
    this.#ledger = await Ledger.open(
      connection,
      this.#storage.schema,
      this.#stream.id,
      this.#executes && how !== 'touch',
    )
    await this.#findCheckpoint(connection)
    const space = await bucketSpace(connection)
    // Rows that are written again need no old checkpoint: it is compacting afterwards that waits for one.
    const upTo =
      how === 'relocate' ? (this.#checkpoint?.opId ?? this.#stream.lastCheckpoint) : this.#stream.lastCheckpoint
    const facts = await readDefragmentFacts(connection, this.#stream, upTo, this.#options, this.#readSignal)
    const plan = planDefragmentation(facts, this.#options)
    const site = this.#site()
    const done = await (how === 'touch'
      ? touchPlanned(site, plan)
      : how === 'reinsert'
        ? reinsertPlanned(site, plan, facts)
        : relocateWhereItGains(site, facts))
    await this.#lock?.[Symbol.asyncDispose]()
    this.#lock = undefined
    const compacted = await this.#compact(done)
    const after = this.#executes ? await this.#measure(connection, upTo) : undefined
    const saved = {
      operations: sum(done.buckets, (one) => one.compacted.operations - one.after.operations),
      bytesEstimate: sum(done.buckets, (one) => one.compacted.bytesEstimate - one.after.bytesEstimate),
    }
    const totals = new DefinitionTotals()
    for (const { bucket, before, after: then } of done.buckets) totals.add(definitionOf(bucket), before, then)
    const stopped = this.#signal.aborted ? 'interrupted' : this.#budget.spent ? 'limit' : undefined
    const { id, state, storageVersion } = this.#stream
    const { rows } = facts.total.now
    const complete = done.complete && (compacted?.complete ?? true)
    return {
      command: 'powersync defragment',
      mode,
      how,
      complete,
      before: facts.total.now,
      // What is compacted are the buckets that were moved.
      after:
        after ??
        (mode === 'execute'
          ? facts.total.now
          : less(facts.total.now, {
              operations: sum(done.buckets, gain),
              bytesEstimate: sum(done.buckets, (one) => one.before.bytesEstimate - one.after.bytesEstimate),
            })),
      bound: { rows, operations: rows + facts.total.buckets, exact: true },
      units: { planned: this.#planned, done: this.#finished, skipped: 0, failed: 0 },
      proof: { checked: compacted?.proof.checked ?? 0, mismatches: compacted?.proof.mismatches ?? 0 },
      lanes: [],
      findings: [],
      itemsChanged: done.changed,
      skipped: [...done.left, ...(compacted?.skipped ?? [])],
      seconds: Math.round((performance.now() - this.#started) / 10) / 100,
      throttledSeconds: Math.round(this.#budget.throttledSeconds * 100) / 100,
      ...(stopped === undefined || complete ? {} : { stopped }),
      ...(done.failure === undefined ? {} : { failure: done.failure }),
      stream: { id, state, storageVersion },
      checkpoint: this.#checkpoint,
      definitions: totals.list(),
      unchangedBuckets: 0,
      space: { before: space, after: this.#executes ? await bucketSpace(connection) : space },
      notes: [...this.#notes, ...(compacted?.notes ?? [])],
      buckets: done.buckets.toSorted((a, b) => gain(b) - gain(a)).slice(0, namedBuckets),
      resent: done.resent,
      saved,
      limitedBy: how === 'relocate' ? null : plan.limitedBy,
      next: done.next,
    }
  }

  #site(): Site {
    return {
      storage: this.#storage,
      options: this.#options,
      grace: this.#grace,
      sessions: this.#sessions,
      lock: this.#lock,
      ledger: this.#ledger,
      stream: this.#stream,
      notes: this.#notes,
      mustStop: () => this.#mustStop(),
      plan: (units) => (this.#planned = units),
      count: (units) => (this.#finished += units),
      ended: (seconds) => this.#ended(seconds),
      tell: (waiting) => this.#tell(waiting),
    }
  }

  /** What all buckets are by now; undefined where there is no time to look. */
  async #measure(connection: Connection, counted: number): Promise<BucketMeasure | undefined> {
    try {
      // Relocating stays below a checkpoint; what comes above it meanwhile is none of its doing.
      const upTo = this.#options.how === 'relocate' ? counted : (await servedStream(connection)).lastCheckpoint
      return (await readDefragmentFacts(connection, this.#stream, upTo, this.#options, this.#readSignal)).total.now
    } catch (error) {
      this.#notes.push(`What it is now was not looked at: ${describeFailure(error).message}`)
      return undefined
    }
  }

  get #readSignal(): AbortSignal {
    return AbortSignal.any([this.#signal, this.#budget.signal])
  }

  #mustStop(): boolean {
    return this.#signal.aborted || this.#budget.spent
  }

  async #startWriting(connection: Connection): Promise<void> {
    await requireWritable(connection, this.#storage)
    await requireOwnRights(connection)
    this.#lock = await RunLock.take(() => this.#storage.connect(), bucketsLock)
    const deadline = performance.now() + busySeconds * 1000
    while (await serviceIsCompacting(connection)) {
      if (performance.now() > deadline || this.#mustStop())
        throw new TampError('locked', "The service's own compactor is at work on this storage.", {
          hint: 'Run the command again when it has ended.',
        })
      this.#tell("waiting for the service's own compactor")
      await sleep(1000)
    }
  }

  async #findCheckpoint(connection: Connection): Promise<void> {
    const { how, grace = defaultGrace } = this.#options
    if (this.#executes && how === 'relocate') {
      const signal = this.#readSignal
      const found = await awaitSafeCheckpoint(this.#storage.schema, this.#sessions, {
        grace,
        maxSeconds: this.#options.maxSeconds,
        signal,
        tell: (why) => this.#tell(why),
      })
      this.#ledger = found.ledger
      this.#checkpoint = found.checkpoint
      this.#stream = await servedStream(connection)
      if (this.#stream.id !== found.stream.id)
        throw new TampError('no-checkpoint', 'The stream has just been replaced.')
      return
    }
    if (this.#executes && how !== 'touch') await this.#ledger.seeCheckpoint(connection)
    if (how !== 'relocate') {
      this.#checkpoint = await safeCheckpoint(connection, this.#stream, this.#ledger, grace)
      return
    }
    const { known, wait } = await chooseCheckpoint(
      connection,
      this.#stream,
      this.#ledger,
      grace,
      this.#options.maxSeconds,
    )
    this.#checkpoint = wait === 0 ? known : null
    if (this.#checkpoint === null)
      this.#notes.push(
        `The figures assume checkpoint ${this.#stream.lastCheckpoint}, the newest: execution would wait until it has been published for ${grace} s.`,
      )
  }

  #tell(waiting: string | null): void {
    const percentDone = this.#planned === 0 ? 0 : Math.round((this.#finished / this.#planned) * 1000) / 10
    this.#options.onEvent?.({ type: 'status', percentDone, unitsDone: this.#finished, secondsRemaining: null, waiting })
  }

  /** Takes note of a unit that has ended, and rests as the load asks for. */
  async #ended(seconds: number): Promise<void> {
    this.#finished++
    this.#tell(null)
    await this.#budget.rest(seconds, 1, this.#signal, (why) => this.#tell(why))
  }

  get #grace(): number {
    return this.#options.grace ?? defaultGrace
  }

  async #compact({ compact, complete }: Done): Promise<BucketReport | undefined> {
    const { how, grace, jobs, load, maxSeconds, signal, onEvent } = this.#options
    if (!this.#executes || !complete || compact.length === 0 || this.#mustStop()) return undefined
    if (how !== 'relocate' && this.#grace > 0) return undefined
    try {
      return await compactBuckets(this.#storage, {
        mode: 'execute',
        buckets: compact,
        full: true,
        grace,
        ...(maxSeconds === undefined
          ? {}
          : { maxSeconds: Math.max(1, maxSeconds - (performance.now() - this.#started) / 1000) }),
        jobs,
        load,
        signal,
        onEvent,
      })
    } catch (error) {
      // What was moved is moved.
      this.#notes.push(`Compacting has to be done later (tamp powersync compact): ${describeFailure(error).message}`)
      return undefined
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sessions[Symbol.asyncDispose]()
    await this.#lock?.[Symbol.asyncDispose]()
  }
}

function gain({ before, after }: DefragmentedBucket): number {
  return before.operations - after.operations
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((whole, item) => whole + of(item), 0)
}

function less(measure: BucketMeasure, saved: Transfer): BucketMeasure {
  return {
    ...measure,
    operations: measure.operations - saved.operations,
    bytesEstimate: measure.bytesEstimate - saved.bytesEstimate,
  }
}
