// The figures of every bucket, made by the server in one pass over the operations: the largest waste comes first.
// It hashes by row, on its disk where they are many, and looks once more at what can be cleared. Nothing is written.
import type { ReadSnapshot } from '../../database/read-snapshot.ts'
import { identityColumns, operationBytes } from '../operation-sql.ts'
import type { WantedBuckets } from './wanted-buckets.ts'

/** What one bucket holds; op ids and numbers of operations, and bytes of the stream to a client. */
export interface BucketFigures {
  readonly bucket: string
  readonly operations: number
  readonly bytes: number
  /** PUTs that no later operation supersedes. */
  readonly rows: number
  readonly rowBytes: number
  readonly oldestRow: number | null
  readonly newestOperation: number
  /** Operations above the checkpoint, which nothing touches yet. */
  readonly above: number
  readonly aboveBytes: number
  /** Operations below the first PUT that none up to the checkpoint supersedes. They can become one CLEAR: none, or two and more. */
  readonly prefix: number
  readonly prefixBytes: number
  /** Superseded operations above that prefix, which can each become a MOVE, and what they take. */
  readonly moves: number
  readonly moveBytes: number
  /** Operations that are none of the four kinds. */
  readonly unknown: number
  /** PUTs and REMOVEs that do not say of which row they are, MOVEs and CLEARs that do. */
  readonly odd: number
  /** CLEARs that are not the first operation. */
  readonly misplacedClears: number
}

/**
 * @param group of the stream
 * @param checkpoint up to which compaction may work
 */
export async function* bucketFigures(
  snapshot: ReadSnapshot,
  group: number,
  checkpoint: number,
  wanted: WantedBuckets,
): AsyncGenerator<BucketFigures> {
  // `stored`: each row that a bucket has ever held, with its last operation, in all and up to the checkpoint: [op id, 1 for PUT, bytes].
  // MOVEs and CLEARs say of no row; they come as one group. `removed`: rows that are gone by an operation among those to be cleared.
  const sql = `
    WITH stored AS MATERIALIZED (
      SELECT bucket_name, num_nulls(${identityColumns}) AS nulls, count(*) AS operations, sum(bytes) AS bytes, min(op_id) AS oldest,
             count(*) FILTER (WHERE settled) AS settled_operations, sum(bytes) FILTER (WHERE settled) AS settled_bytes,
             max(ARRAY[op_id, put, bytes]) AS last, max(ARRAY[op_id, put, bytes]) FILTER (WHERE settled) AS settled,
             count(*) FILTER (WHERE put IS NULL) AS unknown, count(*) FILTER (WHERE odd) AS odd,
             count(*) FILTER (WHERE put = -1) AS clears, min(op_id) FILTER (WHERE put = -1) AS first_clear
        FROM (SELECT bucket_name, ${identityColumns}, op_id, op_id <= $2 AS settled, (${operationBytes('d')})::int8 AS bytes,
                     CASE op WHEN 'PUT' THEN 1 WHEN 'REMOVE' THEN 0 WHEN 'MOVE' THEN 0 WHEN 'CLEAR' THEN -1 END::int8 AS put,
                     num_nulls(${identityColumns}) <> CASE op WHEN 'MOVE' THEN 4 WHEN 'CLEAR' THEN 4 ELSE 0 END AS odd
                FROM bucket_data d
               WHERE group_id = $1 AND ${wanted.where('bucket_name', 3)}
              -- Worked out once for each operation, not for each figure.
              OFFSET 0) AS operation
       GROUP BY bucket_name, ${identityColumns}
    ), bucket AS MATERIALIZED (
      SELECT bucket_name, sum(operations)::int8 AS operations, sum(bytes)::int8 AS bytes,
             count(*) FILTER (WHERE nulls = 0 AND last[2] = 1) AS rows,
             coalesce(sum(last[3]) FILTER (WHERE nulls = 0 AND last[2] = 1), 0)::int8 AS row_bytes,
             min(last[1]) FILTER (WHERE nulls = 0 AND last[2] = 1) AS oldest_row, max(last[1]) AS newest,
             (sum(operations) - sum(settled_operations))::int8 AS above,
             (sum(bytes) - coalesce(sum(settled_bytes), 0))::int8 AS above_bytes,
             coalesce(min(settled[1]) FILTER (WHERE nulls = 0 AND settled[2] = 1), $2 + 1) AS first_held,
             coalesce(sum(settled_operations - 1) FILTER (WHERE nulls = 0 AND settled IS NOT NULL), 0)::int8 AS superseded,
             coalesce(sum(settled_bytes - settled[3]) FILTER (WHERE nulls = 0 AND settled IS NOT NULL), 0)::int8 AS superseded_bytes,
             sum(unknown)::int8 AS unknown, sum(odd)::int8 AS odd,
             (sum(clears) - coalesce((min(first_clear) = min(oldest))::int, 0))::int8 AS misplaced_clears
        FROM stored
       GROUP BY bucket_name
    ), removed AS (
      SELECT bucket_name, count(*) AS operations, sum(settled[3])::int8 AS bytes
        FROM stored JOIN bucket USING (bucket_name)
       WHERE nulls = 0 AND settled[1] < first_held
       GROUP BY bucket_name
    )
    SELECT bucket_name, b.operations, b.bytes, rows, row_bytes, oldest_row, newest, above, above_bytes,
           prefix.operations, prefix.bytes,
           superseded, superseded_bytes,
           prefix.of_rows - coalesce(removed.operations, 0), prefix.bytes_of_rows - coalesce(removed.bytes, 0),
           unknown, odd, misplaced_clears
      FROM bucket b LEFT JOIN removed USING (bucket_name)
     CROSS JOIN LATERAL (
       SELECT count(*) AS operations, coalesce(sum(${operationBytes('d')}), 0)::int8 AS bytes,
              count(*) FILTER (WHERE op IN ('PUT', 'REMOVE')) AS of_rows,
              coalesce(sum(${operationBytes('d')}) FILTER (WHERE op IN ('PUT', 'REMOVE')), 0)::int8 AS bytes_of_rows
         FROM bucket_data d
        WHERE d.group_id = $1 AND d.bucket_name = b.bucket_name AND d.op_id < b.first_held AND d.op_id <= $2) AS prefix
     ORDER BY b.operations - rows - least(b.operations - rows, 1) DESC, b.bytes DESC, bucket_name`
  type Row = [string, number, number, number, number, number | null, ...number[]]
  for await (const batch of snapshot.batches<Row>(sql, [group, checkpoint, ...wanted.values], 2000)) {
    for (const [bucket, operations, bytes, rows, rowBytes, oldestRow, ...more] of batch) {
      const [newestOperation = 0, above = 0, aboveBytes = 0, prefix = 0, prefixBytes = 0, ...further] = more
      const [superseded = 0, supersededBytes = 0, cleared = 0, clearedBytes = 0, ...strange] = further
      const [unknown = 0, odd = 0, misplacedClears = 0] = strange
      // One operation alone makes no CLEAR: where it was superseded it becomes a MOVE like any other.
      const clear = prefix > 1
      yield {
        bucket,
        operations,
        bytes,
        rows,
        rowBytes,
        oldestRow,
        newestOperation,
        above,
        aboveBytes,
        prefix: clear ? prefix : 0,
        prefixBytes: clear ? prefixBytes : 0,
        moves: superseded - (clear ? cleared : 0),
        moveBytes: supersededBytes - (clear ? clearedBytes : 0),
        unknown,
        odd,
        misplacedClears,
      }
    }
  }
}
