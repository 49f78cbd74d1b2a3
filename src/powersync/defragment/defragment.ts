// Defragments buckets: moves the live rows that keep compacting from clearing what lies before the others. Three ways, one report.
//
// `touch` has the source write rows again, `reinsert` writes their operations again in the storage: both send the rows once more to clients
// that have them. `relocate` puts them between two checkpoints of the past, so that clients that are up to date are sent nothing.
import { setTimeout as sleep } from 'node:timers/promises'
import { Budget } from '../../core/budget.ts'
import { TampError } from '../../core/errors.ts'
import type { RunOptions } from '../../core/run.ts'
import type { Left } from '../../core/unit.ts'
import { describeFailure, isRetryable } from '../../database/failures.ts'
import type { Connection } from '../../database/postgres.ts'
import { RunLock, bucketsLock } from '../../database/run-lock.ts'
import { Sessions } from '../../database/sessions.ts'
import { definitionOf } from '../bucket-name.ts'
import { awaitSafeCheckpoint, defaultGrace, safeCheckpoint } from '../checkpoint.ts'
import { compactBuckets } from '../compact.ts'
import { requireWritable } from '../compact/require-writable.ts'
import { serviceIsCompacting } from '../compact/service-compactor.ts'
import type { BucketStorage } from '../database.ts'
import { DefinitionTotals } from '../definition-totals.ts'
import { Ledger } from '../ledger.ts'
import type { BucketMeasure, BucketReport, BucketSelection, SafeCheckpoint } from '../report.ts'
import { bucketSpace } from '../space.ts'
import { servedStream } from '../streams.ts'
import type { Stream } from '../streams.ts'
import { planDefragmentation } from './plan.ts'
import type { DefragmentBudget, DefragmentFacts, DefragmentPlan, Transfer } from './plan.ts'
import { readDefragmentFacts } from './read-facts.ts'
import { reinsertScript } from './reinsert/reinsert-script.ts'
import { previewReinsert, reinsert } from './reinsert/reinsert.ts'
import { provenGaps } from './relocate/evidence.ts'
import { relocationHeader } from './relocate/relocate-bucket.ts'
import { relocate } from './relocate/relocate.ts'
import { reserveGap } from './relocate/reserved-gap.ts'
import { touchRows } from './touch/touch.ts'

export interface DefragmentOptions extends RunOptions, BucketSelection, DefragmentBudget {
  readonly how: 'touch' | 'reinsert' | 'relocate'
  /** For `touch`: the source database, as a URL. */
  readonly source?: string | undefined
  /** For `relocate`: every checkpoint that was published between the first and the last of the list. */
  readonly checkpoints?: readonly number[] | undefined
  /** Seconds for which a checkpoint must have been published before operations up to it are packed. Default 600; 0 where no client is served. */
  readonly grace?: number | undefined
}

/** One bucket that was, or would be, defragmented. `after` includes compacting. */
export interface DefragmentedBucket {
  readonly bucket: string
  /** Its own live rows that are moved. */
  readonly rows: number
  readonly before: BucketMeasure
  readonly compacted: BucketMeasure
  readonly after: BucketMeasure
}

export interface DefragmentReport extends BucketReport {
  readonly how: DefragmentOptions['how']
  /** Largest saving first; at most a thousand. */
  readonly buckets: readonly DefragmentedBucket[]
  /** What each existing client that has the rows downloads again. */
  readonly resent: Transfer
  /** What each new client is spared, beyond what compacting alone would. */
  readonly saved: Transfer
  readonly limitedBy: DefragmentPlan['limitedBy']
  /** What is left to be done, and when; null where nothing is. */
  readonly next: string | null
}

/**
 * Plans, and in mode `execute` carries out, the defragmentation of a storage's buckets; then compacts what it can already.
 * @throws TampError `usage`, `no-checkpoint`, `no-such-bucket`, `locked`, `no-permission`, `connection-failed`; everything smaller is in the report
 */
export async function defragmentBuckets(storage: BucketStorage, options: DefragmentOptions): Promise<DefragmentReport> {
  await using run = new Defragmentation(storage, options)
  return await run.run()
}

/** How long a checkpoint with the moved rows is waited for where nothing else keeps compacting from going on. */
const publishedSeconds = 30
/** How long others are waited for. */
const busySeconds = 20
const namedBuckets = 1000

/** What one of the ways has done. */
interface Done {
  readonly buckets: readonly DefragmentedBucket[]
  readonly resent: Transfer
  readonly left: readonly Left[]
  readonly complete: boolean
  readonly next: string | null
  /** Names of buckets that compacting can make smaller now. */
  readonly compact: readonly string[]
  readonly changed: number
  readonly failure?: TampError
}

const nothing: Transfer = { operations: 0, bytesEstimate: 0 }

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
    const started = performance.now()
    const { how, mode } = this.#options
    if (this.#options.checkpoints !== undefined && how !== 'relocate')
      throw new TampError('usage', 'A list of checkpoints is of use only for relocating.')
    await using connection = await this.#storage.connect()
    if (this.#executes) await this.#startWriting(connection)
    this.#stream = await servedStream(connection)
    this.#ledger = await Ledger.open(connection, this.#storage.schema, this.#stream.id, this.#executes)
    await this.#findCheckpoint(connection)
    const space = await bucketSpace(connection)
    // Rows that are written again need no old checkpoint: it is compacting afterwards that waits for one.
    const upTo =
      how === 'relocate' ? (this.#checkpoint?.opId ?? this.#stream.lastCheckpoint) : this.#stream.lastCheckpoint
    const facts = await readDefragmentFacts(connection, this.#stream, upTo, this.#options, this.#readSignal)
    const plan = planDefragmentation(facts, this.#options)
    const done = await (how === 'touch'
      ? this.#touch(plan)
      : how === 'reinsert'
        ? this.#reinsert(plan)
        : this.#relocate(facts))
    await this.#lock?.[Symbol.asyncDispose]()
    this.#lock = undefined
    const compacted = await this.#compact(done)
    const after = this.#executes ? await this.#measure(connection) : undefined
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
      after: after ?? (mode === 'execute' ? facts.total.now : less(facts.total.compacted, saved)),
      bound: { rows, operations: rows + facts.total.buckets, exact: true },
      units: { planned: this.#planned, done: this.#finished, skipped: 0, failed: 0 },
      proof: { checked: compacted?.proof.checked ?? 0, mismatches: compacted?.proof.mismatches ?? 0 },
      lanes: [],
      findings: [],
      itemsChanged: done.changed,
      skipped: [...done.left, ...(compacted?.skipped ?? [])],
      seconds: Math.round((performance.now() - started) / 10) / 100,
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

  /** What all buckets are by now; undefined where there is no time to look. */
  async #measure(connection: Connection): Promise<BucketMeasure | undefined> {
    try {
      const { lastCheckpoint } = await servedStream(connection)
      return (await readDefragmentFacts(connection, this.#stream, lastCheckpoint, this.#options, this.#readSignal))
        .total.now
    } catch (error) {
      this.#notes.push(`What it is now was not looked at: ${describeFailure(error).message}`)
      return undefined
    }
  }

  get #readSignal(): AbortSignal {
    return AbortSignal.any([this.#signal, this.#budget.signal])
  }

  #mustStop = (): boolean => this.#signal.aborted || this.#budget.spent

  async #startWriting(connection: Connection): Promise<void> {
    await requireWritable(connection, this.#storage)
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
      const found = await awaitSafeCheckpoint(connection, this.#ledger, {
        grace,
        signal,
        tell: (why) => this.#tell(why),
      })
      this.#checkpoint = found.checkpoint
      this.#stream = await servedStream(connection)
      if (this.#stream.id !== found.stream.id)
        throw new TampError('no-checkpoint', 'The stream has just been replaced.')
      return
    }
    if (this.#executes) await this.#ledger.seeCheckpoint(connection, this.#stream.lastCheckpoint)
    this.#checkpoint = await safeCheckpoint(connection, this.#stream, this.#ledger, grace)
    if (this.#checkpoint === null && how === 'relocate')
      this.#notes.push(
        `No checkpoint is known to have been published ${grace} s ago. The figures assume the newest, ${this.#stream.lastCheckpoint}.`,
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

  async #touch(plan: DefragmentPlan): Promise<Done> {
    const { mode, source, write, signal, onEvent, load, maxSeconds } = this.#options
    const report = await touchRows(this.#storage, plan, { mode, source, write, signal, onEvent, load, maxSeconds })
    this.#notes.push(...report.notes)
    this.#planned = report.rows.planned
    this.#finished = this.#executes ? report.rows.touched : 0
    return {
      buckets: planned(plan),
      resent: plan.resent,
      left: report.left,
      complete: report.complete,
      next:
        plan.rows === 0
          ? null
          : mode === 'execute' && report.published === true
            ? this.#compactLater('the touched rows')
            : `When the service has replicated the touched rows and their checkpoint is ${this.#grace} s old: tamp powersync compact`,
      compact: report.published === true ? plan.buckets.map(({ bucket }) => bucket) : [],
      changed: this.#executes ? report.rows.touched : 0,
      ...(report.failure === undefined ? {} : { failure: report.failure }),
    }
  }

  async #reinsert(plan: DefragmentPlan): Promise<Done> {
    const { mode, write } = this.#options
    const moves = plan.buckets
    const buckets = planned(plan)
    if (moves.length === 0) return { ...idle, complete: true }
    if (mode !== 'execute') {
      const preview = await this.#sessions.outlasting(async () => {
        await using connection = await this.#sessions.connect()
        return await previewReinsert(connection, this.#stream, moves)
      })
      if (mode === 'script') await write?.(reinsertScript(this.#storage.schema, this.#stream, moves))
      this.#planned = preview.total.operations
      const next = `Executed, it is published with the service's next checkpoint; when that is ${this.#grace} s old, compacting finishes it.`
      return { ...idle, buckets, resent: preview.total, left: preview.left, complete: true, next }
    }
    if (this.#stream.state === 'ERRORED')
      this.#notes.push('The stream is in state ERRORED: what is moved is published only when it replicates again.')
    this.#planned = plan.resent.operations
    const done = await reinsert({
      sessions: this.#sessions,
      stream: this.#stream,
      moves,
      ...(this.#lock && { lock: this.#lock }),
      mustStop: this.#mustStop,
      tell: (why) => this.#tell(why),
      onBatch: (_, seconds) => this.#ended(seconds),
    })
    const published = done.lastNew !== null && this.#grace === 0 && (await this.#published(done.lastNew))
    const next =
      done.lastNew === null
        ? null
        : published
          ? this.#compactLater('the moved rows')
          : `When the service has published operation ${done.lastNew} and that checkpoint is ${this.#grace} s old: tamp powersync compact`
    return {
      buckets,
      resent: done.total,
      left: done.left,
      complete: done.complete,
      next,
      compact: published ? [...done.buckets.keys()] : [],
      changed: done.total.operations,
    }
  }

  /** Null where this run compacts them itself. */
  #compactLater(what: string): string | null {
    return this.#grace === 0 ? null : `When the checkpoint with ${what} is ${this.#grace} s old: tamp powersync compact`
  }

  get #grace(): number {
    return this.#options.grace ?? defaultGrace
  }

  /** Whether clients are served an operation by now; waits a little, for an idle service publishes only now and then. */
  async #published(opId: number): Promise<boolean> {
    const deadline = performance.now() + publishedSeconds * 1000
    for (;;) {
      const { lastCheckpoint } = await this.#sessions.outlasting(async () => {
        await using connection = await this.#sessions.connect()
        return await servedStream(connection)
      })
      if (lastCheckpoint >= opId) return true
      if (performance.now() > deadline || this.#mustStop()) return false
      this.#tell(`waiting until the service publishes operation ${opId}`)
      await sleep(500)
    }
  }

  async #relocate(facts: DefragmentFacts): Promise<Done> {
    const { mode, checkpoints, targetRatio = 0, write } = this.#options
    // Nothing is sent again, so nothing is to be saved by moving fewer rows.
    const wanted = facts.buckets
      .filter(({ compacted }) => compacted.operations > targetRatio * compacted.rows)
      .toSorted((a, b) => b.compacted.operations - b.compacted.rows - (a.compacted.operations - a.compacted.rows))
    const before = new Map(wanted.map((bucket) => [bucket.bucket, bucket]))
    this.#planned = wanted.length
    const gaps = await this.#sessions.outlasting(async () => {
      await using connection = await this.#sessions.connect()
      return await provenGaps(connection, this.#storage, this.#stream, this.#ledger, checkpoints)
    })
    if (mode === 'script') await write?.(relocationHeader(this.#storage.schema, this.#stream.id, facts.upTo))
    const done = await relocate({
      mode,
      sessions: this.#sessions,
      group: this.#stream.id,
      checkpoint: facts.upTo,
      buckets: wanted.map(({ bucket }) => bucket),
      gaps,
      ...(this.#lock && { lock: this.#lock }),
      mustStop: this.#mustStop,
      write,
      onBucket: (_, __, seconds) => this.#ended(seconds),
    })
    const names = done.buckets.map(({ bucket }) => bucket)
    if (this.#executes && names.length > 0) {
      await using connection = await this.#sessions.connect()
      await this.#ledger.forgetBuckets(connection, names)
    }
    const crossing = done.buckets.filter(({ crosses }) => crosses).length
    if (crossing > 0)
      this.#notes.push(
        `In ${crossing} buckets operations lay where rows were put: a client that was cut off right there in the middle of a download gets the bucket once more.`,
      )
    return {
      buckets: done.buckets.map(({ bucket, rows, before: was, after }) => ({
        bucket,
        rows,
        before: was,
        compacted: before.get(bucket)!.compacted,
        after,
      })),
      resent: nothing,
      left: done.left,
      complete: done.complete,
      next:
        done.roomWanted === 0
          ? null
          : await this.#reserve(
              done.roomWanted,
              gaps.some(({ reserved, upTo }) => reserved && upTo > facts.upTo),
            ),
      compact: names,
      changed: sum(done.buckets, ({ rows }) => rows),
    }
  }

  /** Makes room for rows that found none, for the next run. */
  async #reserve(rows: number, pending: boolean): Promise<string> {
    const again = (opId: string): string =>
      `When the service has published ${opId} and that checkpoint is ${this.#grace} s old, run the command again: the buckets left for want of room can be relocated then. Clients that are not past it by that time download them anew.`
    if (pending) return again('the op ids that were reserved')
    if (!this.#executes)
      return 'Executed, it reserves op ids for the buckets left for want of room; a second run can relocate them.'
    const deadline = performance.now() + busySeconds * 1000
    for (;;) {
      try {
        await using connection = await this.#sessions.connect()
        const gap = await reserveGap(connection, this.#storage, this.#stream.id, rows)
        if (gap !== null) return again(`op id ${gap.upTo}`)
        return 'Name all checkpoints that were published: the role may not keep note of reserved op ids (schema tamp).'
      } catch (error) {
        if (!isRetryable(error) || performance.now() > deadline) throw error
        await sleep(200)
      }
    }
  }

  async #compact({ compact, complete }: Done): Promise<BucketReport | undefined> {
    const { how, grace, jobs, load, signal, onEvent } = this.#options
    if (!this.#executes || !complete || compact.length === 0 || this.#mustStop()) return undefined
    if (how !== 'relocate' && this.#grace > 0) return undefined
    return await compactBuckets(this.#storage, {
      mode: 'execute',
      buckets: compact,
      full: true,
      grace,
      jobs,
      load,
      signal,
      onEvent,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sessions[Symbol.asyncDispose]()
    await this.#lock?.[Symbol.asyncDispose]()
  }
}

const idle: Done = { buckets: [], resent: nothing, left: [], complete: true, next: null, compact: [], changed: 0 }

function planned(plan: DefragmentPlan): DefragmentedBucket[] {
  return plan.buckets.map(({ bucket, rows, now, compacted, after }) => ({
    bucket,
    rows,
    before: now,
    compacted,
    after,
  }))
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
