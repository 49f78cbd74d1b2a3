// fsck for bucket storage: every structural rule that one image of it can show, in one snapshot, without changing or blocking anything.
import { FindingTally } from '../../core/finding-tally.ts'
import { ReadSnapshot } from '../../database/read-snapshot.ts'
import { analysisSettings } from '../compact/analyse.ts'
import type { BucketStorage } from '../database.ts'
import { isRemark } from '../findings.ts'
import type { BucketFinding, BucketFindingCode } from '../findings.ts'
import { wantedBuckets } from '../inspect/wanted-buckets.ts'
import { Ledger } from '../ledger.ts'
import type { BucketSelection } from '../report.ts'
import { readStreams } from '../streams.ts'
import type { Stream } from '../streams.ts'
import { operationFaults } from './operation-rules.ts'
import type { Met } from './operation-rules.ts'
import { currentDataTable, leftBehind, rowFaults } from './row-rules.ts'

export interface CheckOptions extends BucketSelection {
  /** Recompute the checksums of PUT and REMOVE from the data. Default true. */
  readonly checksums?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** What was looked at so far, and how much was found. */
export interface CheckSummary {
  /** False until everything has been looked at. */
  readonly complete: boolean
  readonly streams: number
  readonly buckets: number
  readonly operations: number
  /** False where checksums were not computed from the data. */
  readonly checksumsComputed: boolean
  /** False where the rows of a stream could not be compared with those the replicator knows: there is no such table, or it may not be read. */
  readonly rowsCompared: boolean
  /** Subjects by finding code, those that were not named one by one included. */
  readonly counts: Readonly<Partial<Record<BucketFindingCode, number>>>
  /** How many of them are damage; the others are remarks. */
  readonly faults: number
}

/** Findings as they are met; the summary is up to date at any moment and final once the findings have ended. */
export interface BucketCheck extends AsyncIterable<BucketFinding> {
  readonly summary: CheckSummary
}

interface Progress {
  complete: boolean
  streams: number
  buckets: number
  operations: number
  rowsCompared: boolean
}

/**
 * Looks for everything in `bucketFaults`, in the stream that serves clients and in those being built. Of each code the first
 * hundred subjects are named, the others counted. What only a comparison with an earlier image could show is not looked for:
 * whether a CLEAR has the sum of what it replaced, and whether an operation that removed a row has been dropped.
 *
 * Cost: two scans of bucket_data and one of the replicator's rows on the server, with a hash or a sort of them that spills to
 * its disk. Memory here: a batch of what was found. All in one read-only REPEATABLE READ snapshot, which takes no lock but
 * ACCESS SHARE; as long as it is open VACUUM cannot remove newly dead rows.
 *
 * @throws TampError `no-such-bucket`, `interrupted`, `unknown-schema`
 */
export function checkBuckets(storage: BucketStorage, options: CheckOptions = {}): BucketCheck {
  const tally = new FindingTally<BucketFindingCode>()
  const progress: Progress = { complete: false, streams: 0, buckets: 0, operations: 0, rowsCompared: true }
  return {
    async *[Symbol.asyncIterator]() {
      for await (const { code, subject, detail } of faults(storage, options, progress)) {
        const finding = tally.add(code, subject, detail)
        if (finding) yield finding
      }
      yield* tally.rest()
      progress.complete = true
    },
    get summary(): CheckSummary {
      const { counts } = tally
      const damage = Object.entries(counts).filter(([code]) => !isRemark(code as BucketFindingCode))
      return {
        ...progress,
        checksumsComputed: options.checksums ?? true,
        counts,
        faults: damage.reduce((sum, [, count]) => sum + count, 0),
      }
    },
  }
}

async function* faults(storage: BucketStorage, options: CheckOptions, progress: Progress): AsyncGenerator<Met> {
  await using snapshot = await ReadSnapshot.open(() => storage.connect(), options.signal)
  const streams = (await readStreams(snapshot)).filter(({ serves, state }) => serves || state === 'PROCESSING')
  const wanted = await wantedBuckets(
    options,
    streams.map(({ id }) => id),
    snapshot,
  )
  await snapshot.query(analysisSettings)
  // Asked after the snapshot was taken: no op id in it can be newer.
  const sequence = await lastOpId(snapshot)
  for (const stream of streams) {
    const [counted] = await snapshot.query<[number, number]>(
      `SELECT coalesce(sum(operations), 0)::int8, count(*)
         FROM (SELECT count(*) AS operations FROM bucket_data
                WHERE group_id = $1 AND ${wanted.where('bucket_name', 2)} GROUP BY bucket_name) AS bucket`,
      [stream.id, ...wanted.values],
    )
    if (wanted.all) yield* streamFaults(stream, sequence, await keepaliveOp(snapshot, stream))
    yield* operationFaults(snapshot, stream.id, wanted, sequence, options.checksums ?? true)
    // Rows are hashed: sorting operations by four texts takes three times as long.
    await snapshot.query('SET LOCAL enable_sort = off')
    if (await isReadable(snapshot, currentDataTable(stream))) yield* rowFaults(snapshot, stream, wanted)
    else progress.rowsCompared = false
    yield* leftBehind(snapshot, stream, wanted, await ledgerOf(storage, stream))
    progress.streams += 1
    progress.operations += counted![0]
    progress.buckets += counted![1]
  }
}

function* streamFaults(
  { id, lastCheckpoint }: Stream,
  sequence: number | null,
  keepalive: number | null,
): Generator<Met> {
  if (sequence === null) return
  for (const [name, value] of [
    ['last_checkpoint', lastCheckpoint],
    ['keepalive_op', keepalive],
  ] as const) {
    if (value !== null && value > sequence)
      yield {
        code: 'beyond-sequence',
        subject: `stream ${id}`,
        detail: `Its ${name} is ${value}; the last op id that was given out is ${sequence}.`,
      }
  }
}

async function ledgerOf(storage: BucketStorage, { id }: Stream): Promise<Ledger> {
  await using connection = await storage.connect()
  return await Ledger.open(connection, storage.schema, id, false)
}

async function keepaliveOp(snapshot: ReadSnapshot, { id }: Stream): Promise<number | null> {
  const [row] = await snapshot.query<[number | null]>('SELECT keepalive_op FROM sync_rules WHERE id = $1', [id])
  return row?.[0] ?? null
}

/** The highest op id that was given out; null where the sequence is not there or may not be read. */
async function lastOpId(snapshot: ReadSnapshot): Promise<number | null> {
  const [readable] = await snapshot.query<[boolean | null]>(
    `SELECT has_sequence_privilege(to_regclass('op_id_sequence'), 'SELECT')`,
  )
  if (readable![0] !== true) return null
  const [row] = await snapshot.query<[number]>(
    'SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM op_id_sequence',
  )
  return row![0]
}

async function isReadable(snapshot: ReadSnapshot, table: string): Promise<boolean> {
  const [row] = await snapshot.query<[boolean | null]>(`SELECT has_table_privilege(to_regclass($1), 'SELECT')`, [table])
  return row![0] === true
}
