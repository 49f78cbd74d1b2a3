// Reads what planning a defragmentation needs: where the live rows of each bucket lie among its dead operations.
// One statement in one snapshot; the server counts and thins out, a bucket comes as one row of bounded size.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'
import { operationBytes, smallOperationBytes } from '../operation-sql.ts'
import { wantedBuckets } from '../inspect/wanted-buckets.ts'
import type { WantedBuckets } from '../inspect/wanted-buckets.ts'
import type { BucketMeasure, BucketSelection } from '../report.ts'
import type { Stream } from '../streams.ts'
import type { BucketFacts, DefragmentFacts } from './plan.ts'

/** Buckets taken from the cursor at once: at most some 1,300 cuts each. */
const bucketsAtOnce = 100

/**
 * The facts of every bucket with operations up to a checkpoint.
 *
 * A row is live where its last operation in the bucket is a PUT up to the checkpoint. One with an operation above it needs no moving
 * and counts as dead: so what was moved a moment ago is not moved again.
 * Cuts: each that spares more than the one before, among the first 100 live rows; beyond them the best one of every further 1 % of rows,
 * so a plan sends at most 1 % of rows more than it would have to, and no bucket has more than 100 + ln(rows / 100) / ln 1.01 cuts.
 * @param upTo only operations with an op id up to this one are counted
 */
export async function* streamDefragmentFacts(
  connection: Connection,
  stream: Pick<Stream, 'id' | 'storageVersion'>,
  upTo: number,
  selection: BucketSelection = {},
  signal?: AbortSignal,
): AsyncGenerator<BucketFacts> {
  const cancel = (): void => void connection.cancel()
  signal?.addEventListener('abort', cancel)
  try {
    stopIf(signal)
    await connection.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    await connection.execute('SET LOCAL cursor_tuple_fraction = 1')
    // How many keys there are is guessed badly, and a loop over all operations for each of them would never end.
    await connection.execute('SET LOCAL enable_nestloop = off')
    // Compiling takes longer than what it saves here.
    await connection.execute('SET LOCAL jit = off')
    // The hash table of row keys: about 200 bytes for each row that a bucket has ever held. What is larger goes to disk.
    await connection.execute(`SET LOCAL work_mem = '64MB'`)
    const wanted = await wantedBuckets(selection, [stream.id], connection)
    await connection.execute(`DECLARE facts NO SCROLL CURSOR FOR ${factsQuery(stream, wanted)}`, [
      stream.id,
      upTo,
      ...wanted.values,
    ])
    for (;;) {
      stopIf(signal)
      const rows = await connection.query<FactsRow>(`FETCH ${bucketsAtOnce} FROM facts`)
      for (const row of rows) yield bucketFacts(row, upTo)
      if (rows.length < bucketsAtOnce) break
    }
  } catch (error) {
    stopIf(signal)
    throw error
  } finally {
    signal?.removeEventListener('abort', cancel)
    await connection.execute('ROLLBACK').catch(() => {})
  }
}

/** The same, collected: buckets that cannot gain are only in the totals. */
export async function readDefragmentFacts(
  connection: Connection,
  stream: Pick<Stream, 'id' | 'storageVersion'>,
  upTo: number,
  selection: BucketSelection = {},
  signal?: AbortSignal,
): Promise<DefragmentFacts> {
  const buckets: BucketFacts[] = []
  const total = { buckets: 0, now: empty, compacted: empty }
  for await (const facts of streamDefragmentFacts(connection, stream, upTo, selection, signal)) {
    total.buckets++
    total.now = sum(total.now, facts.now)
    total.compacted = sum(total.compacted, facts.compacted)
    if (facts.cuts.some(({ after }) => after.operations < facts.compacted.operations)) buckets.push(facts)
  }
  return { upTo, buckets, total }
}

type FactsRow = [
  bucket: string,
  operations: number,
  rows: number,
  bytes: number,
  liveBytes: number,
  deadBytes: number,
  copies: number,
  copyBytes: number,
  cutRows: number[] | null,
  cutBelow: number[] | null,
  cutDead: number[] | null,
  cutDeadBytes: number[] | null,
  cutResent: number[] | null,
  cutResentBytes: number[] | null,
]

/**
 * $1 the stream, $2 the checkpoint, $3 and $4 the buckets that are wanted.
 *
 * `key`: each row that a bucket has ever held, with its last operation: [op id, 2 for PUT and 1 for REMOVE, bytes]. MOVEs and CLEARs
 * have no columns that name a row, and come as one group. `placed`: with its place among all operations of the bucket, by the index.
 * `counted`: with what lies before it. The live row behind i others stands for cut i, which moves those i; the last cut moves all.
 * `banded`: of the cuts in each band of rows the last, which is the best; all its figures only grow with the rows.
 */
function factsQuery({ storageVersion }: Pick<Stream, 'storageVersion'>, wanted: WantedBuckets): string {
  const bytes = operationBytes('b')
  return `
    WITH key AS (
      SELECT bucket_name, source_table, source_key,
             max(ARRAY[op_id, CASE op WHEN 'PUT' THEN 2 WHEN 'REMOVE' THEN 1 ELSE 0 END, ${bytes}]) AS last,
             count(*) FILTER (WHERE op_id <= $2) AS operations,
             sum(${bytes}) FILTER (WHERE op_id <= $2) AS bytes
        FROM bucket_data b
       WHERE group_id = $1 AND ${wanted.where('bucket_name', 3)}
       GROUP BY bucket_name, source_key, row_id, table_name, source_table
    ), placed AS (
      SELECT key.bucket_name, last[1] AS op_id, last[3] AS bytes_of_last, place, operations, bytes,
             place IS NOT NULL AND last[2] = 2 AS live, place IS NOT NULL AND last[2] = 1 AS removed,
             greatest(jsonb_array_length(c.buckets), 1) AS copies
        FROM key
        LEFT JOIN (
          SELECT bucket_name, op_id, row_number() OVER (PARTITION BY bucket_name ORDER BY op_id) AS place
            FROM bucket_data
           WHERE group_id = $1 AND op_id <= $2 AND ${wanted.where('bucket_name', 3)}
        ) ranked ON ranked.bucket_name = key.bucket_name AND ranked.op_id = last[1]
        LEFT JOIN ${storageVersion >= 3 ? 'v3_current_data' : 'current_data'} c
          ON c.group_id = $1 AND c.source_table = key.source_table AND c.source_key = key.source_key
    ), counted AS (
      SELECT bucket_name, op_id, operations, bytes, bytes_of_last, live, removed, copies,
             count(*) FILTER (WHERE live) OVER sofar - 1 AS rows_before,
             place - count(*) FILTER (WHERE live) OVER sofar AS dead_before,
             count(*) FILTER (WHERE removed) OVER sofar AS removes_before,
             coalesce(sum(bytes_of_last) FILTER (WHERE removed) OVER sofar, 0) AS remove_bytes_before,
             sum(copies) FILTER (WHERE live) OVER sofar - copies AS resent,
             sum(copies * bytes_of_last) FILTER (WHERE live) OVER sofar - copies * bytes_of_last AS resent_bytes,
             live AND place > 1 + coalesce(max(place) FILTER (WHERE live) OVER before, 0) AS gains
        FROM placed
      WINDOW sofar AS (PARTITION BY bucket_name ORDER BY op_id ROWS UNBOUNDED PRECEDING),
             before AS (PARTITION BY bucket_name ORDER BY op_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ), banded AS (
      SELECT bucket_name,
             CASE WHEN rows_before <= 100 THEN rows_before ELSE 100 + floor(ln(rows_before::float8 / 100) / ln(1.01::float8)) END AS band,
             sum(operations) AS operations, sum(bytes) AS bytes,
             count(*) FILTER (WHERE live) AS live_rows,
             sum(bytes_of_last) FILTER (WHERE live) AS live_bytes,
             sum(copies) FILTER (WHERE live) AS copies,
             sum(copies * bytes_of_last) FILTER (WHERE live) AS copy_bytes,
             count(*) FILTER (WHERE removed) AS removes,
             sum(bytes_of_last) FILTER (WHERE removed) AS remove_bytes,
             max(rows_before) FILTER (WHERE gains) AS cut_rows,
             max(op_id) FILTER (WHERE gains) AS cut_below,
             max(dead_before) FILTER (WHERE gains) AS cut_dead,
             max(${smallOperationBytes} * (dead_before - removes_before) + remove_bytes_before) FILTER (WHERE gains) AS cut_dead_bytes,
             max(resent) FILTER (WHERE gains) AS cut_resent,
             max(resent_bytes) FILTER (WHERE gains) AS cut_resent_bytes
        FROM counted GROUP BY bucket_name, band
    )
    SELECT bucket_name, sum(operations)::int8, sum(live_rows)::int8, sum(bytes)::int8, coalesce(sum(live_bytes), 0)::int8,
           (${smallOperationBytes} * (sum(operations) - sum(live_rows) - sum(removes)) + coalesce(sum(remove_bytes), 0))::int8,
           coalesce(sum(copies), 0)::int8, coalesce(sum(copy_bytes), 0)::int8,
           ${cutColumns.map((column) => `array_agg(${column}::int8 ORDER BY band) FILTER (WHERE cut_rows IS NOT NULL)`).join(', ')}
      FROM banded GROUP BY bucket_name HAVING sum(operations) > 0`
}

const cutColumns = ['cut_rows', 'cut_below', 'cut_dead', 'cut_dead_bytes', 'cut_resent', 'cut_resent_bytes']

function bucketFacts(row: FactsRow, upTo: number): BucketFacts {
  const [bucket, operations, rows, bytes, liveBytes, deadBytes, copies, copyBytes, ...columns] = row
  const points = (columns[0] ?? []).map((cutRows, at) => ({
    rows: cutRows,
    moveBelow: columns[1]![at]!,
    dead: columns[2]![at]!,
    deadBytes: columns[3]![at]!,
    resent: { operations: columns[4]![at]!, bytesEstimate: columns[5]![at]! },
  }))
  const dead = operations - rows
  // What lies behind the last live row is cleared by moving all of them.
  if (dead > (points.at(-1)?.dead ?? 0))
    points.push({
      rows,
      moveBelow: upTo + 1,
      dead,
      deadBytes,
      resent: { operations: copies, bytesEstimate: copyBytes },
    })
  // What is dead at the beginning, and the rows that are moved from there, become one CLEAR.
  const after = (point: { rows: number; dead: number; deadBytes: number }): BucketMeasure => {
    const clear = point.rows + point.dead > 0 ? 1 : 0
    return {
      operations: operations - point.dead + clear,
      rows,
      bytesEstimate: liveBytes + deadBytes - point.deadBytes + clear * smallOperationBytes,
    }
  }
  const atRest = points[0]?.rows === 0 ? points.shift()! : { rows: 0, dead: 0, deadBytes: 0 }
  return {
    bucket,
    now: { operations, rows, bytesEstimate: bytes },
    compacted: after(atRest),
    cuts: points.map((point) => ({
      rows: point.rows,
      moveBelow: point.moveBelow,
      after: after(point),
      resent: point.resent,
    })),
  }
}

function sum(one: BucketMeasure, other: BucketMeasure): BucketMeasure {
  return {
    operations: one.operations + other.operations,
    rows: one.rows + other.rows,
    bytesEstimate: one.bytesEstimate + other.bytesEstimate,
  }
}

function stopIf(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TampError('interrupted', 'Interrupted.')
}

const empty: BucketMeasure = { operations: 0, rows: 0, bytesEstimate: 0 }
