// The operations that are to be written again, in a temporary table of one session: which, in what batches, and what must stay together.
//
// Clients show, of all operations with a row's table and id, over all buckets, the PUT with the highest op id. So an operation that goes to
// the end takes along every later one of its table and id, in their old order, unless all of them have the same data.
import pg from 'pg'
import type { Connection } from '../../../database/postgres.ts'
import type { Left } from '../../../core/unit.ts'
import { identityColumns, operationBytes, sameIdentity } from '../../operation-sql.ts'

/** Live PUTs of the bucket below this op id are to be moved. */
export interface Move {
  readonly bucket: string
  readonly moveBelow: number
}

/** Operations that existing clients get once more. */
export interface Resent {
  readonly operations: number
  readonly bytesEstimate: number
}

export interface Queue extends Resent {
  readonly batches: number
  /** Operations up to here were all seen when the queue was made. */
  readonly seenTo: number
}

/** Operations of one table and id that are moved together at most: they share a transaction. */
const mostTogether = 200

/**
 * Makes the queue. The table lives as long as the session, and only there.
 * @param batchWeight operations of a batch, or 10 kB of them
 */
export async function fillQueue(
  connection: Connection,
  group: number,
  moves: readonly Move[],
  batchWeight = 100,
): Promise<Queue> {
  // Everything up to a published checkpoint is committed: read before the statements below take their snapshot, it is seen there.
  const [published] = await connection.query<[number]>('SELECT last_checkpoint FROM sync_rules WHERE id = $1', [group])
  const seenTo = published![0]
  for (const statement of queueStatements(group, moves, seenTo, batchWeight)) await connection.execute(statement)
  const [total] = await connection.query<[number, number, number]>(
    `SELECT count(*), coalesce(sum(bytes), 0)::int8, count(DISTINCT batch) FROM tamp_reinsert WHERE reason IS NULL`,
  )
  return {
    operations: total![0],
    bytesEstimate: total![1],
    batches: total![2],
    seenTo,
  }
}

/** What stays where it is, by bucket and reason. */
export async function leftInQueue(connection: Connection): Promise<Left[]> {
  const left = await connection.query<[string, string, number]>(
    `SELECT bucket_name, reason, count(*) FROM tamp_reinsert WHERE wanted AND reason IS NOT NULL
      GROUP BY bucket_name, reason ORDER BY 3 DESC, 1 LIMIT 1000`,
  )
  return left.map(([subject, reason, rows]) => ({
    subject,
    reason: `${rows} ${rows === 1 ? 'row stays' : 'rows stay'} where ${rows === 1 ? 'it is' : 'they are'}: ${reason}`,
  }))
}

/** What the queue holds for each bucket: to be written again, or (`written`) written by now. */
export async function queuedByBucket(connection: Connection, written: boolean): Promise<Map<string, Resent>> {
  const rows = await connection.query<[string, number, number]>(
    `SELECT bucket_name, count(*), sum(bytes)::int8 FROM tamp_reinsert WHERE ${written ? 'ok' : 'reason IS NULL'} GROUP BY bucket_name`,
  )
  return new Map(rows.map(([bucket, operations, bytesEstimate]) => [bucket, { operations, bytesEstimate }]))
}

/** The first row of each bucket that was to be moved and is not: what lies behind it cannot be cleared. */
export async function firstNotMoved(connection: Connection, executed: boolean): Promise<Map<string, number>> {
  const rows = await connection.query<[string, number]>(
    `SELECT bucket_name, min(op_id) FROM tamp_reinsert
      WHERE wanted AND ${executed ? 'NOT ok' : 'reason IS NOT NULL'} GROUP BY bucket_name`,
  )
  return new Map(rows)
}

/** The number of the first batch from this one on, or null. */
export async function nextBatch(connection: Connection, from: number): Promise<number | null> {
  const [row] = await connection.query<[number | null]>(
    'SELECT min(batch) FROM tamp_reinsert WHERE batch >= $1 AND reason IS NULL',
    [from],
  )
  return row![0]
}

/** The same as text. @param seenTo a literal or an expression */
export function queueStatements(
  group: number,
  moves: readonly Move[],
  seenTo: number | string,
  batchWeight = 100,
): string[] {
  const wanted = moves.map(({ bucket, moveBelow }) => `(${pg.escapeLiteral(bucket)}, ${moveBelow})`)
  return [
    `DROP TABLE IF EXISTS pg_temp.tamp_wanted, pg_temp.tamp_reinsert`,
    // Tables that were never analysed seem to have few rows.
    `SELECT set_config('enable_nestloop', 'off', false)
 WHERE NOT EXISTS (SELECT FROM pg_stats WHERE schemaname = current_schema() AND tablename = 'bucket_data')`,
    `CREATE TEMP TABLE tamp_wanted (bucket_name text PRIMARY KEY, move_below int8 NOT NULL)`,
    `INSERT INTO tamp_wanted VALUES\n${wanted.join(',\n')}`,
    `CREATE TEMP TABLE tamp_reinsert AS
WITH last AS (
  SELECT w.bucket_name, w.move_below, max(b.op_id) AS op_id
    FROM tamp_wanted w JOIN bucket_data b ON b.group_id = ${group} AND b.bucket_name = w.bucket_name
   WHERE b.op IN ('PUT', 'REMOVE') GROUP BY w.bucket_name, w.move_below, ${identityColumns}),
candidate AS (
  SELECT DISTINCT b.table_name, b.row_id
    FROM last JOIN bucket_data b ON b.group_id = ${group} AND b.bucket_name = last.bucket_name AND b.op_id = last.op_id
   WHERE b.op = 'PUT' AND b.op_id < last.move_below AND b.op_id <= ${seenTo}),
everywhere AS (
  SELECT b.bucket_name, max(b.op_id) AS op_id
    FROM candidate JOIN bucket_data b USING (table_name, row_id)
   WHERE b.group_id = ${group} AND b.op IN ('PUT', 'REMOVE') GROUP BY b.bucket_name, ${identityColumns}),
live AS (
  SELECT b.bucket_name, b.op_id, b.table_name, b.row_id, b.source_table, b.source_key, b.checksum,
         (${operationBytes('b')})::int8 AS bytes,
         b.op_id <= ${seenTo} AND b.op_id < coalesce(w.move_below, 0) AS wanted,
         count(*) OVER one > 1 AS several,
         min((b.source_table, encode(b.source_key, 'hex'))::text) OVER one <> max((b.source_table, encode(b.source_key, 'hex'))::text) OVER one AS ambiguous
    FROM everywhere e JOIN bucket_data b ON b.group_id = ${group} AND b.bucket_name = e.bucket_name AND b.op_id = e.op_id
    LEFT JOIN tamp_wanted w ON w.bucket_name = b.bucket_name
   WHERE b.op = 'PUT' WINDOW one AS (PARTITION BY b.table_name, b.row_id)),
told AS (
  SELECT l.*, CASE WHEN several THEN (SELECT hashtextextended(b.data, 0) FROM bucket_data b
                                       WHERE b.group_id = ${group} AND b.bucket_name = l.bucket_name AND b.op_id = l.op_id) END AS hash
    FROM live l),
compared AS (
  SELECT t.*, min(op_id) FILTER (WHERE wanted) OVER one AS lowest, max(op_id) OVER one AS highest,
         (several AND (min(checksum) OVER one <> max(checksum) OVER one OR min(hash) OVER one <> max(hash) OVER one)) AS differing
    FROM told t WINDOW one AS (PARTITION BY table_name, row_id)),
chosen AS (
  SELECT c.*, count(*) OVER one AS together
    FROM compared c WHERE CASE WHEN differing THEN op_id >= lowest ELSE wanted END
  WINDOW one AS (PARTITION BY table_name, row_id)),
judged AS (
  SELECT c.*,
         CASE WHEN ambiguous THEN 'another row of the source has the same table and id'
              WHEN differing AND highest > ${seenTo} THEN 'a newer operation with the same table and id is not published yet'
              WHEN together > ${mostTogether} THEN 'too many buckets hold it: they would have to be changed at once' END AS reason
    FROM chosen c),
placed AS (
  SELECT j.*, sum(1 + bytes / 10240) OVER (PARTITION BY reason ORDER BY lowest, table_name, row_id, op_id) AS place FROM judged j)
SELECT (min(place) OVER (PARTITION BY table_name, row_id) - 1)::int8 / ${batchWeight}::int8 AS batch,
       bucket_name, op_id, table_name, row_id, source_table, source_key, checksum, bytes, wanted, reason,
       false AS locked, false AS ok, NULL::int8 AS new_op
  FROM placed`,
    `CREATE INDEX ON tamp_reinsert (batch)`,
    `CREATE INDEX ON tamp_reinsert (table_name, row_id)`,
    `ANALYZE tamp_reinsert`,
    `RESET enable_nestloop`,
  ]
}

/** The columns by which an operation is found again. */
export const sameOperation: string = `b.bucket_name = m.bucket_name AND b.op_id = m.op_id AND b.op = 'PUT' AND b.checksum = m.checksum AND ${sameIdentity('b', 'm')}`
