// Compacts the buckets of PowerSync's storage: the compactor behind `tamp powersync compact`, for use as a library.
import { setTimeout as sleep } from 'node:timers/promises'
import { timeoutSignal } from '../core/budget.ts'
import type { Compactor, Planned, Scope } from '../core/compactor.ts'
import { TampError } from '../core/errors.ts'
import type { Measure } from '../core/report.ts'
import { run } from '../core/run.ts'
import type { RunOptions } from '../core/run.ts'
import type { Left, Outcome } from '../core/unit.ts'
import { describeFailure } from '../database/postgres.ts'
import type { Connection } from '../database/postgres.ts'
import { cancellable } from '../database/cancellable.ts'
import { RunLock, bucketsLock } from '../database/run-lock.ts'
import { Sessions } from '../database/sessions.ts'
import { CheckpointWatch } from './checkpoint-watch.ts'
import { awaitSafeCheckpoint, chooseCheckpoint, defaultGrace } from './checkpoint.ts'
import { analyse, analyseForWork } from './compact/analyse.ts'
import { compacted } from './compact/analysis-sql.ts'
import type { AnalysisScope, BucketAnalysis } from './compact/analysis-sql.ts'
import { AnalysisOutdated } from './compact/apply-slice.ts'
import { carryOutSlice } from './compact/carry-out-slice.ts'
import { changedBuckets } from './compact/changed-buckets.ts'
import { laneChanges, laneMeasures, lanesOf, operationsLeft, slicesOf } from './compact/lane.ts'
import type { Lane, LaneFacts, SliceUnit } from './compact/lane.ts'
import { removableParameters, removeParameters } from './compact/parameter-indexes.ts'
import { requireWritable } from './compact/require-writable.ts'
import { scriptHeader, scriptSlice } from './compact/script-slice.ts'
import { seesTheService, serviceIsCompacting } from './compact/service-compactor.ts'
import { verifyLane } from './compact/verify-lane.ts'
import type { VerifiedLane } from './compact/verify-lane.ts'
import { defaultRetention, oldWriteCheckpoints } from './compact/write-checkpoints.ts'
import type { BucketStorage } from './database.ts'
import { DefinitionTotals } from './definition-totals.ts'
import { Ledger } from './ledger.ts'
import type { BucketMeasure, BucketReport, BucketSelection, SafeCheckpoint } from './report.ts'
import { bucketSpace } from './space.ts'
import { servedStream } from './streams.ts'
import type { Stream } from './streams.ts'

export interface CompactOptions extends RunOptions, BucketSelection {
  /** Seconds for which a checkpoint must have been published before operations up to it are packed. Default 600; 0 where no client is served. */
  readonly grace?: number | undefined
  /** Read every bucket, also those that the ledger says are compacted. */
  readonly full?: boolean | undefined
  /** Ask in the transaction about every operation that is changed whether it is superseded, or about a sample. Default `budget`. */
  readonly proof?: 'full' | 'budget' | undefined
  /**
   * Remove superseded entries of the parameter index, too. Readers at checkpoints from the bound on read the same; the service itself
   * does not do it on PostgreSQL. Default: only say how many there are.
   */
  readonly parameterIndexes?: boolean | undefined
  /** Minutes after which write checkpoints that a client asked for are removed. Default 60. */
  readonly checkpointRequestRetention?: number | undefined
}

/**
 * Plans, and in mode `execute` carries out, the compaction of a storage's buckets.
 * @throws TampError `no-checkpoint`, `no-such-bucket`, `locked`, `no-permission`, `connection-failed`; everything smaller is in the report
 */
export async function compactBuckets(storage: BucketStorage, options: CompactOptions): Promise<BucketReport> {
  const started = performance.now()
  await using compactor = new BucketCompactor(storage, options)
  await compactor.begin()
  const left =
    options.maxSeconds === undefined ? {} : { maxSeconds: options.maxSeconds - (performance.now() - started) / 1000 }
  // A script is one session, whose work tables are those of one lane at a time.
  const jobs = options.mode === 'script' ? 1 : options.jobs
  const report = await run(compactor, { ...options, ...left, jobs })
  return await compactor.finish(report)
}

/** A lane with fewer operations is found by the key. */
const sparseOperations = 20_000
/** Buckets that have to be left alone and are named. */
const namedFaults = 1000
/** How long the service's own compactor is waited for at a time. */
const busySeconds = 20

const forgottenNote =
  'What former runs noted was of another life of this storage, and is not believed: every bucket is read.'

class BucketCompactor implements Compactor<LaneFacts, SliceUnit>, AsyncDisposable {
  readonly command = 'powersync compact'
  readonly #storage: BucketStorage
  readonly #options: CompactOptions
  readonly #sessions: Sessions
  readonly #executes: boolean
  readonly #totals = new DefinitionTotals()
  readonly #notes: string[] = []
  readonly #faults: Left[] = []
  readonly #lanes = new Map<string, Lane>()
  #lock: RunLock | undefined
  #watch: CheckpointWatch | undefined
  #ledger!: Ledger
  #stream!: Stream
  #checkpoint: SafeCheckpoint | null = null
  #bound = 0
  #spaceBefore!: BucketReport['space']['before']
  #unchanged = 0
  /** Lanes that are done, every bucket of them. */
  #lanesDone = 0

  constructor(storage: BucketStorage, options: CompactOptions) {
    this.#storage = storage
    this.#options = options
    this.#executes = options.mode === 'execute'
    this.#sessions = new Sessions(() => storage.connect(), options.signal)
  }

  /** Finds the stream and the bound; where the run writes, looks whether the role may, and takes the lock against a second tamp. */
  async begin(): Promise<void> {
    const { grace = defaultGrace, mode, write, signal, maxSeconds, onEvent } = this.#options
    if (this.#executes) {
      {
        await using connection = await this.#storage.connect()
        await requireWritable(connection, this.#storage)
      }
      this.#lock = await RunLock.take(() => this.#storage.connect(), bucketsLock)
      const found = await awaitSafeCheckpoint(this.#storage.schema, this.#sessions, {
        grace,
        maxSeconds,
        signal: AbortSignal.any([
          signal ?? new AbortController().signal,
          ...(maxSeconds === undefined ? [] : [timeoutSignal(maxSeconds)]),
        ]),
        tell: (waiting) => onEvent?.({ type: 'status', percentDone: 0, unitsDone: 0, secondsRemaining: null, waiting }),
      })
      this.#stream = found.stream
      this.#ledger = found.ledger
      this.#checkpoint = found.checkpoint
      this.#bound = found.checkpoint.opId
      // It may have been lost while nothing was asked of it.
      await this.#lock?.hold(() => this.#sessions.connect())
      if (this.#ledger.there)
        this.#watch = await this.#sessions.outlasting(async () =>
          CheckpointWatch.start(await this.#sessions.connect(), found.ledger),
        )
      else
        this.#notes.push('The role may not keep a ledger (schema tamp): the next run has to read every bucket again.')
      if (found.ledger.forgotten) this.#notes.push(forgottenNote)
    } else await this.#sessions.outlasting(() => this.#assumeCheckpoint(grace))
    await using connection = await this.#sessions.connect()
    this.#spaceBefore = await bucketSpace(connection)
    if (this.#executes && !(await seesTheService(connection)))
      this.#notes.push(
        "The role is not shown what the service's connections do, so its own compactor would not be noticed: GRANT pg_read_all_stats, or do not run both at once.",
      )
    if (mode === 'script') await write?.(scriptHeader(this.#storage.schema, this.#stream.id, this.#bound))
  }

  /** What executing would work up to: where it would wait for the newest checkpoint, the figures are for that one. A script cannot wait. */
  async #assumeCheckpoint(grace: number): Promise<void> {
    const { mode, maxSeconds } = this.#options
    await using connection = await this.#sessions.connect()
    const stream = await servedStream(connection)
    this.#stream = stream
    this.#ledger = await Ledger.open(connection, this.#storage.schema, stream.id, false)
    if (this.#ledger.forgotten) this.#notes.push(forgottenNote)
    const { known, wait } = await chooseCheckpoint(connection, stream, this.#ledger, grace, maxSeconds)
    this.#checkpoint = wait === 0 || mode === 'script' ? known : null
    this.#bound = this.#checkpoint?.opId ?? stream.lastCheckpoint
    if (this.#checkpoint !== null) return
    const why =
      known === null
        ? `No checkpoint is known to have been published ${grace} s ago.`
        : `The newest checkpoint that is known to have been published ${grace} s ago is ${known.opId}, seen ${Math.round(known.age / 60)} minutes ago.`
    this.#notes.push(
      `${why} The figures assume the newest, ${stream.lastCheckpoint}: execution would wait until it is that old.`,
    )
  }

  async *survey(signal: AbortSignal): AsyncIterable<Scope> {
    const { buckets, definitions, full = false } = this.#options
    const whole = buckets === undefined && definitions === undefined
    const ledger = full ? undefined : this.#ledger
    const changed = await this.#sessions.reading(async (connection) => {
      if (whole && !full && (await this.#ledger.streamCompactedTo(connection)) >= this.#bound) return undefined
      return await changedBuckets(connection, this.#stream.id, this.#bound, { buckets, definitions }, ledger)
    }, signal)
    if (changed === undefined) {
      this.#notes.push(`Every bucket is compacted up to checkpoint ${this.#bound} already.`)
      return
    }
    this.#unchanged = changed.unchanged
    for (const lane of lanesOf(changed.buckets, this.#options.jobs)) {
      this.#lanes.set(lane.name, lane)
      yield { lane: lane.name, rowsEstimate: lane.operations }
    }
  }

  async read(name: string, signal: AbortSignal): Promise<LaneFacts> {
    const lane = this.#lanes.get(name)!
    const sparse = lane.operations < sparseOperations
    const scope = { group: this.#stream.id, bound: this.#bound, buckets: lane.buckets, sparse }
    const facts = this.#executes
      ? await this.#analyseForWork(scope, signal)
      : { buckets: await this.#sessions.reading((connection) => analyse(connection, scope), signal) }
    for (const { bucket, fault } of facts.buckets)
      if (fault !== null && this.#faults.length < namedFaults) this.#faults.push({ subject: bucket, reason: fault })
    return {
      connection: undefined,
      ...facts,
      lane,
      scope,
      left: operationsLeft(facts.buckets),
      clearedTo: new Map(),
      movedBefore: 0,
      abandoned: undefined,
      after: undefined,
    }
  }

  /** The work tables stay on their connection, until the lane has ended. */
  async #analyseForWork(
    scope: AnalysisScope,
    signal: AbortSignal,
  ): Promise<{ buckets: BucketAnalysis[]; connection: Connection }> {
    return await this.#sessions.outlasting(async () => {
      const connection = await this.#sessions.take()
      try {
        return { buckets: await cancellable(connection, signal, () => analyseForWork(connection, scope)), connection }
      } catch (error) {
        await connection[Symbol.asyncDispose]()
        throw error
      }
    })
  }

  plan(facts: LaneFacts): Planned<SliceUnit> {
    const { before, after } = laneMeasures(facts)
    return {
      plan: {
        lane: facts.lane.name,
        before,
        after,
        bound: { rows: before.rows, operations: before.rows + facts.buckets.length, exact: true },
        onTheWay: { rows: before.rows },
        changes: laneChanges(facts),
        proof: { checked: 0, mismatches: 0 },
        findings: [],
        notes: [],
      },
      units: (weight) => slicesOf(facts, weight),
    }
  }

  /** The service's own compactor goes first: its updates carry no guard, ours do. */
  async blocked(): Promise<string | null> {
    const deadline = performance.now() + busySeconds * 1000
    while (await this.#sessions.reading(serviceIsCompacting)) {
      if (performance.now() > deadline || this.#options.signal?.aborted)
        return "the service's own compactor is at work; run the command again when it has ended"
      await sleep(1000)
    }
    return null
  }

  async apply(unit: SliceUnit): Promise<Outcome> {
    const { facts } = unit
    if (facts.abandoned !== undefined) return { status: 'skipped', reason: facts.abandoned }
    try {
      const { checked, clearedTo } = await carryOutSlice(unit, {
        sessions: this.#sessions,
        lock: this.#lock,
        full: this.#options.proof === 'full',
        signal: this.#options.signal,
      })
      if (unit.clear?.steps !== undefined && clearedTo !== undefined) facts.clearedTo.set(unit.clear.steps, clearedTo)
      facts.left.clear -= unit.clear?.operations ?? 0
      facts.left.move -= unit.move === undefined ? 0 : unit.move.upTo - unit.move.above
      return { status: 'done', left: [], checked }
    } catch (error) {
      if (error instanceof TampError && (error.code === 'connection-failed' || error.code === 'locked')) throw error
      if (error instanceof AnalysisOutdated) {
        facts.abandoned = `somebody else changed it meanwhile (${error.message}); the next run goes on`
        return { status: 'skipped', reason: facts.abandoned }
      }
      const { message, code } = describeFailure(error)
      facts.abandoned = `an earlier part of it failed: ${message}`
      return { status: 'failed', reason: message, proof: code === 'proof-failed' }
    }
  }

  async script(unit: SliceUnit): Promise<{ text: string; left: readonly Left[] }> {
    return { text: scriptSlice(unit), left: [] }
  }

  async verify(
    facts: LaneFacts,
    signal: AbortSignal,
  ): Promise<{ after: Measure; checked: number; mismatches: number }> {
    // Its updates may have stood behind ours.
    if ((await this.blocked()) !== null)
      this.#notes.push(`The service's own compactor came meanwhile and is still at work (${facts.lane.name}).`)
    const verify = (connection: Connection): Promise<VerifiedLane> => verifyLane(connection, facts)
    const { after, checked, mismatches, setBack } = await this.#sessions.reading(verify, signal)
    if (setBack > 0)
      this.#notes.push(`${setBack} CLEARs that the service's own compactor had made MOVEs of were set back.`)
    if (mismatches === 0) facts.after = after
    const sum = (of: (measure: BucketMeasure) => number): number =>
      [...after.values()].reduce((total, one) => total + of(one), 0)
    return {
      after: {
        operations: sum((one) => one.operations),
        rows: sum((one) => one.rows),
        bytesEstimate: sum((one) => one.bytesEstimate),
      },
      checked,
      mismatches,
    }
  }

  /** Takes note of what has become of the lane's buckets. */
  async release(facts: LaneFacts): Promise<void> {
    for (const bucket of facts.buckets) {
      const now = { operations: bucket.operations, rows: bucket.rows, bytesEstimate: bucket.bytes }
      const then = this.#executes ? (facts.after?.get(bucket.bucket) ?? now) : compacted(bucket)
      this.#totals.add(bucket.definition, now, then)
    }
    const done =
      laneChanges(facts) === 0 || (facts.after !== undefined && facts.left.clear === 0 && facts.left.move === 0)
    if (done) this.#lanesDone++
    const connection = facts.connection
    facts.connection = undefined
    if (!this.#executes) return
    if (connection !== undefined) this.#sessions.give(connection)
    if (!done) return
    try {
      await using recorder = await this.#storage.connect()
      const sound = facts.buckets.filter(({ fault }) => fault === null).map(({ bucket }) => bucket)
      await this.#ledger.bucketsAreCompacted(recorder, sound, this.#bound)
    } catch (error) {
      // Nothing else is lost.
      this.#notes.push(`The next run reads ${facts.lane.name} again: ${describeFailure(error).message}`)
    }
  }

  /** Completes the report with what only the whole run knows. */
  async finish(report: Awaited<ReturnType<typeof run>>): Promise<BucketReport> {
    const { checkpointRequestRetention = defaultRetention, buckets, definitions, mode } = this.#options
    let space = { before: this.#spaceBefore, after: this.#spaceBefore }
    try {
      await using connection = await this.#storage.connect()
      if (this.#executes) {
        const whole = buckets === undefined && definitions === undefined && this.#faults.length === 0
        if (whole && report.complete && this.#lanesDone === this.#lanes.size)
          await this.#ledger.streamIsCompacted(connection, this.#bound)
        space = { ...space, after: await bucketSpace(connection) }
      }
      if (mode !== 'script') {
        const old = await oldWriteCheckpoints(connection, this.#storage, checkpointRequestRetention, this.#executes)
        if (old > 0)
          this.#notes.push(
            `${old} write checkpoints that clients asked for more than ${checkpointRequestRetention} minutes ago ${this.#executes ? 'were removed' : 'would be removed'}.`,
          )
        await this.#parameterIndexes(connection, report.complete)
      }
    } catch (error) {
      this.#notes.push(`The end of the run could not be recorded: ${describeFailure(error).message}`)
    }
    const { id, state, storageVersion } = this.#stream
    return {
      ...report,
      skipped: [...report.skipped, ...this.#faults],
      stream: { id, state, storageVersion },
      checkpoint: this.#checkpoint,
      definitions: this.#totals.list(),
      unchangedBuckets: this.#unchanged,
      space,
      notes: this.#notes,
    }
  }

  async #parameterIndexes(connection: Connection, complete: boolean): Promise<void> {
    const found = await removableParameters(connection, this.#stream.id, this.#bound)
    if (found === 0) return
    const { parameterIndexes = false, signal } = this.#options
    if (!parameterIndexes) {
      this.#notes.push(
        `${found} entries of the parameter index are superseded. They are left alone unless --parameter-indexes is given.`,
      )
      return
    }
    const removed =
      this.#executes && complete
        ? await removeParameters(connection, this.#stream.id, this.#bound, () => signal?.aborted !== true)
        : 0
    this.#notes.push(
      this.#executes
        ? `${removed} of ${found} superseded entries of the parameter index were removed.`
        : `${found} superseded entries of the parameter index would be removed.`,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch?.[Symbol.asyncDispose]()
    await this.#sessions[Symbol.asyncDispose]()
    await this.#lock?.[Symbol.asyncDispose]()
  }
}
