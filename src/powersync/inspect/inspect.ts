// The survey: what each bucket holds, what compacting and defragmenting could save, and what is odd; the largest waste first.
// The server reads, sorts and counts in read-only snapshots; memory here does not grow with the operations.
import { TampError } from '../../core/errors.ts'
import { FindingTally } from '../../core/finding-tally.ts'
import type { Connection } from '../../database/postgres.ts'
import { ReadSnapshot } from '../../database/read-snapshot.ts'
import { definitionOf } from '../bucket-name.ts'
import type { BucketStorage } from '../database.ts'
import { defaultGrace, safeCheckpoint } from '../checkpoint.ts'
import { analysisSettings } from '../compact/analyse.ts'
import { planDefragmentation } from '../defragment/plan.ts'
import { readDefragmentFacts } from '../defragment/read-facts.ts'
import type { BucketFinding, BucketFindingCode } from '../findings.ts'
import { Ledger } from '../ledger.ts'
import { smallOperationBytes } from '../operation-sql.ts'
import type { BucketMeasure, BucketSelection, SafeCheckpoint } from '../report.ts'
import { readStreams } from '../streams.ts'
import type { Stream } from '../streams.ts'
import { bucketFigures } from './bucket-figures.ts'
import type { BucketFigures } from './bucket-figures.ts'
import { otherGroups, parameterEntries, silence, tableSpace, writeCheckpoints } from './storage-figures.ts'
import type { OtherGroup, ParameterEntries, TableSpace, WriteCheckpoints } from './storage-figures.ts'
import { bucketRemarks, storageRemarks } from './survey-remarks.ts'
import { wantedBuckets } from './wanted-buckets.ts'
import type { WantedBuckets } from './wanted-buckets.ts'

export interface InspectOptions extends BucketSelection {
  /** Seconds since a checkpoint was published, before operations up to it count as settled. Default 600. */
  readonly grace?: number | undefined
  /** What defragmenting may cost; default: rows are moved where each that is sent again spares a new client an operation. */
  readonly maxResyncRows?: number | undefined
  readonly maxResyncBytes?: number | undefined
  readonly targetRatio?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a new client would download now, and what it would after. */
export interface Prospects {
  readonly now: BucketMeasure
  /** After `compact`. */
  readonly compacted: BucketMeasure
  /** After `defragment` within the budget given, and `compact`. */
  readonly defragmented: BucketMeasure
  /** The least that any way could reach: the live rows and one CLEAR. */
  readonly bound: BucketMeasure
}

/** One bucket. Operations and rows are exact, bytes are estimates. */
export interface BucketSurvey extends Prospects {
  readonly bucket: string
  readonly definition: string
  /** Operations a live row; null where there is none. */
  readonly operationsPerRow: number | null
  /** Op id of the oldest live row: nothing above it can be cleared. */
  readonly oldestRow: number | null
  readonly newestOperation: number
  /** Operations above the checkpoint that is known to be old enough; nothing touches them yet. */
  readonly aboveCheckpoint: number
  /** Whether `compact` would change anything. */
  readonly compactable: boolean
  readonly findings: readonly BucketFinding[]
}

export interface DefinitionSurvey extends Prospects {
  readonly definition: string
  readonly buckets: number
  readonly operationsPerRow: number | null
}

export interface InspectSummary extends Prospects {
  /** All of them, newest first. */
  readonly streams: readonly Stream[]
  /** The stream that was surveyed: the one that serves clients, else the one being built; null where there is neither. */
  readonly stream: Stream | null
  /** Null where none is known to be old enough: then the figures are those for the newest one. */
  readonly checkpoint: SafeCheckpoint | null
  readonly buckets: number
  /** Buckets that `compact` would change. */
  readonly compactableBuckets: number
  readonly operationsPerRow: number | null
  readonly aboveCheckpoint: number
  /** Largest waste first. */
  readonly definitions: readonly DefinitionSurvey[]
  /** Groups besides the one surveyed that have operations. */
  readonly otherGroups: readonly OtherGroup[]
  readonly writeCheckpoints: WriteCheckpoints
  readonly parameters: ParameterEntries | null
  readonly space: readonly TableSpace[]
  /** Those of the storage; each bucket has its own. */
  readonly findings: readonly BucketFinding[]
}

/** Buckets as they rank; the summary is there after the last one, and undefined before. */
export interface BucketInspection extends AsyncIterable<BucketSurvey> {
  readonly summary: InspectSummary | undefined
}

/**
 * Surveys the buckets that clients are served from.
 *
 * Cost: bucket_data is read once for the figures and hashed by row (some three seconds a million operations; what does not fit into 128 MB
 * goes to the server's disk), and beside that once for the plan to defragment; then bucket_parameters, the write checkpoints, and the primary key for
 * groups of other streams. In REPEATABLE READ, READ ONLY snapshots under no lock but ACCESS SHARE; nothing is written, so that
 * it works on a standby. Memory: the cuts that planning chooses from, at most some 1,300 a bucket that can gain.
 *
 * @throws TampError `no-such-bucket`, `interrupted`, `usage`, `unknown-schema`
 */
export function inspectBuckets(storage: BucketStorage, options: InspectOptions = {}): BucketInspection {
  const grace = options.grace ?? defaultGrace
  if (!(grace >= 0)) throw new TampError('usage', 'the grace must be a number of seconds, 0 or more')
  let summary: InspectSummary | undefined
  return {
    async *[Symbol.asyncIterator]() {
      summary = undefined
      summary = yield* survey(storage, { ...options, grace })
    },
    get summary() {
      return summary
    },
  }
}

async function* survey(
  storage: BucketStorage,
  options: InspectOptions & { readonly grace: number },
): AsyncGenerator<BucketSurvey, InspectSummary> {
  const { grace, signal } = options
  await using second = await storage.connect()
  await using snapshot = await ReadSnapshot.open(() => storage.connect(), signal)
  const streams = await readStreams(snapshot)
  const stream = streams.find(({ serves }) => serves) ?? streams.find(({ state }) => state === 'PROCESSING') ?? null
  const wanted = await wantedBuckets(options, stream === null ? [] : [stream.id], snapshot)
  const checkpoint = stream && (await knownCheckpoint(second, storage, stream, grace))
  const definitions = new Map<string, Totals>()
  const whole = new Totals()
  const tally = new FindingTally<BucketFindingCode>()
  if (stream !== null) {
    await snapshot.query(analysisSettings)
    const bound = checkpoint?.opId ?? stream.lastCheckpoint ?? 0
    for await (const [figures, moved] of withMoves(snapshot, second, stream, bound, wanted, options)) {
      const findings = bucketRemarks(figures).flatMap((each) => tally.add(each.code, each.subject, each.detail) ?? [])
      const bucket = bucketSurvey(figures, moved, findings)
      const totals = definitions.get(bucket.definition) ?? new Totals()
      definitions.set(bucket.definition, totals)
      for (const sum of [totals, whole]) sum.add(bucket)
      yield bucket
    }
  }
  const others = wanted.all ? await otherGroups(snapshot, stream?.id) : []
  return {
    streams,
    stream,
    checkpoint,
    ...whole.figures,
    compactableBuckets: whole.compactable,
    aboveCheckpoint: whole.above,
    definitions: [...definitions]
      .map(([definition, totals]) => ({ definition, ...totals.figures }))
      .toSorted((a, b) => waste(b) - waste(a) || (a.definition < b.definition ? -1 : 1)),
    otherGroups: others,
    writeCheckpoints: await writeCheckpoints(snapshot, storage),
    parameters: stream === null ? null : await parameterEntries(snapshot, stream.id),
    space: await tableSpace(snapshot),
    findings: [
      ...storageRemarks(streams, stream, others, stream && (await silence(snapshot, stream.id))),
      ...tally.rest(),
    ],
  }
}

/** The newest checkpoint that is known to have been published long enough ago. Nothing is noted in the ledger. */
async function knownCheckpoint(
  connection: Connection,
  storage: BucketStorage,
  stream: Stream,
  grace: number,
): Promise<SafeCheckpoint | null> {
  if (!stream.lastCheckpoint) return null
  const ledger = await Ledger.open(connection, storage.schema, stream.id, false)
  return safeCheckpoint(connection, stream, ledger, grace)
}

/** The figures of every bucket, each with what it would be after its rows were moved; undefined where none are. */
async function* withMoves(
  snapshot: ReadSnapshot,
  second: Connection,
  stream: Stream,
  bound: number,
  wanted: WantedBuckets,
  { buckets, definitions, signal, maxResyncRows, maxResyncBytes, targetRatio }: InspectOptions,
): AsyncGenerator<[BucketFigures, BucketMeasure | undefined]> {
  // Side by side: the figures come sorted, so that the first is there when all have been read.
  const stop = new AbortController()
  const planning = readDefragmentFacts(
    second,
    stream,
    bound,
    { buckets, definitions },
    AbortSignal.any([stop.signal, ...(signal === undefined ? [] : [signal])]),
  ).then((facts) => {
    const plan = planDefragmentation(facts, { maxResyncRows, maxResyncBytes, targetRatio })
    return new Map(plan.buckets.map(({ bucket, after }) => [bucket, after]))
  })
  planning.catch(() => {})
  try {
    let moves: Map<string, BucketMeasure> | undefined
    for await (const figures of bucketFigures(snapshot, stream.id, bound, wanted)) {
      moves ??= await planning
      yield [figures, moves.get(figures.bucket)]
    }
  } finally {
    stop.abort()
    await planning.catch(() => {})
  }
}

function bucketSurvey(
  figures: BucketFigures,
  moved: BucketMeasure | undefined,
  findings: readonly BucketFinding[],
): BucketSurvey {
  const { bucket, operations, bytes, rows, prefix, moves } = figures
  // What is not of a known form is left alone, the whole bucket with it.
  const sound = figures.unknown + figures.odd + figures.misplacedClears === 0
  const clear = (count: number): number => (count > 0 ? smallOperationBytes : 0)
  const now = { operations, rows, bytesEstimate: bytes }
  const compacted = {
    operations: operations - Math.max(0, prefix - 1),
    rows,
    bytesEstimate: bytes - figures.prefixBytes + clear(prefix) - figures.moveBytes + moves * smallOperationBytes,
  }
  const defragmented = moved && {
    operations: moved.operations + figures.above,
    rows,
    bytesEstimate: moved.bytesEstimate + figures.aboveBytes,
  }
  return {
    bucket,
    definition: definitionOf(bucket),
    now,
    compacted: sound ? compacted : now,
    defragmented: sound ? (defragmented ?? compacted) : now,
    bound: {
      operations: rows + Math.min(operations - rows, 1),
      rows,
      bytesEstimate: figures.rowBytes + clear(operations - rows),
    },
    operationsPerRow: ratio(operations, rows),
    oldestRow: figures.oldestRow,
    newestOperation: figures.newestOperation,
    aboveCheckpoint: figures.above,
    compactable: sound && (prefix > 0 || moves > 0),
    findings,
  }
}

/** Sums over buckets. */
class Totals {
  #buckets = 0
  compactable = 0
  above = 0
  readonly #sums = { now: zero(), compacted: zero(), defragmented: zero(), bound: zero() }

  add(bucket: BucketSurvey): void {
    this.#buckets += 1
    this.compactable += bucket.compactable ? 1 : 0
    this.above += bucket.aboveCheckpoint
    for (const [when, sum] of Object.entries(this.#sums)) {
      const measure = bucket[when as keyof Prospects]
      sum.operations += measure.operations
      sum.rows += measure.rows
      sum.bytesEstimate += measure.bytesEstimate
    }
  }

  get figures(): Prospects & { readonly buckets: number; readonly operationsPerRow: number | null } {
    const { operations, rows } = this.#sums.now
    return { buckets: this.#buckets, operationsPerRow: ratio(operations, rows), ...this.#sums }
  }
}

function zero(): { operations: number; rows: number; bytesEstimate: number } {
  return { operations: 0, rows: 0, bytesEstimate: 0 }
}

function ratio(operations: number, rows: number): number | null {
  return rows === 0 ? null : Math.round((operations / rows) * 100) / 100
}

function waste({ now, bound }: Prospects): number {
  return now.operations - bound.operations
}
