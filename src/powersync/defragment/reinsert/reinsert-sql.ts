// The statements of one batch, as text: run one by one, or inside the block of a script, where batch and bound are variables.
import { sameOperation } from './queue.ts'

/** Literal numbers, or names of variables. */
export interface BatchTerms {
  readonly group: number
  readonly storageVersion: number
  readonly batch: number | string
  readonly seenTo: number | string
}

/** Locks the stream against publishing; one row with its state. */
export const streamStatement = ({ group }: BatchTerms): string =>
  `SELECT state FROM sync_rules WHERE id = ${group} FOR UPDATE`

/** Rows that are being deleted (storage version 3) are not touched. */
export function lockStatement({ group, storageVersion, batch }: BatchTerms): string {
  const table = storageVersion >= 3 ? 'v3_current_data' : 'current_data'
  return `WITH wanted AS MATERIALIZED (
  SELECT DISTINCT source_table, source_key FROM tamp_reinsert WHERE batch = ${batch} AND reason IS NULL),
locked AS MATERIALIZED (
  SELECT c.source_table, c.source_key FROM ${table} c
   WHERE c.group_id = ${group} AND (c.source_table, c.source_key) IN (SELECT source_table, source_key FROM wanted)
     ${storageVersion >= 3 ? 'AND c.pending_delete IS NULL' : ''}
   FOR NO KEY UPDATE OF c SKIP LOCKED)
UPDATE tamp_reinsert m SET locked = true FROM locked l
 WHERE m.batch = ${batch} AND m.reason IS NULL AND m.source_table = l.source_table AND m.source_key = l.source_key`
}

/** Takes the op ids, in the order of the old ones. */
export const numberStatement = ({ batch }: BatchTerms): string => `WITH taken AS MATERIALIZED (
  SELECT bucket_name, op_id FROM tamp_reinsert WHERE batch = ${batch} AND reason IS NULL AND locked ORDER BY op_id, bucket_name),
numbered AS MATERIALIZED (SELECT bucket_name, op_id, nextval('op_id_sequence') AS new_op FROM taken)
UPDATE tamp_reinsert m SET new_op = n.new_op FROM numbered n
 WHERE m.batch = ${batch} AND m.bucket_name = n.bucket_name AND m.op_id = n.op_id`

/** The last op id that was taken for a batch. */
export const lastQuery = ({ batch }: BatchTerms): string =>
  `SELECT max(new_op) FROM tamp_reinsert WHERE batch = ${batch} AND reason IS NULL AND locked`

/** A row where somebody else has written to bucket_data and not ended yet. */
export const writersQuery = `SELECT FROM pg_locks
 WHERE locktype = 'relation' AND relation = 'bucket_data'::regclass AND granted AND pid IS DISTINCT FROM pg_backend_pid()
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareUpdateExclusiveLock', 'ShareLock') LIMIT 1`

/**
 * Rows that were written anew in a range of op ids, in whatever bucket: a bucket that did not hold a row's table and id before may by now, from
 * another row of the source. Two looks into the index for each bucket of the stream. Goes after WITH RECURSIVE.
 */
const newerRows = (group: number, condition: string, range: (opId: string) => string): string => `names AS (
  (SELECT b.bucket_name FROM bucket_data b WHERE b.group_id = ${group} AND ${condition} ORDER BY b.bucket_name LIMIT 1)
  UNION ALL
  SELECT (SELECT b.bucket_name FROM bucket_data b WHERE b.group_id = ${group} AND b.bucket_name > n.bucket_name ORDER BY b.bucket_name LIMIT 1)
    FROM names n WHERE n.bucket_name IS NOT NULL),
newer AS MATERIALIZED (
  SELECT DISTINCT o.table_name, o.row_id
    FROM names n CROSS JOIN LATERAL (
      SELECT b.table_name, b.row_id FROM bucket_data b
       WHERE b.group_id = ${group} AND b.bucket_name = n.bucket_name AND ${range('b.op_id')} OFFSET 0) o
   WHERE n.bucket_name IS NOT NULL AND o.table_name IS NOT NULL)`

/**
 * Finds what is still the last operation of its row, and of its table and id. Rows of one table and id are written again together, or not at
 * all. Where all op ids since the last look are ours, there is nothing newer to be looked for.
 */
export const checkStatement = ({ group, batch, seenTo }: BatchTerms): string => `WITH RECURSIVE ${newerRows(
  group,
  `(SELECT max(t.new_op) - ${seenTo} > count(t.new_op) FROM tamp_reinsert t WHERE t.batch = ${batch} AND t.reason IS NULL AND t.locked)`,
  (opId) => `${opId} > ${seenTo}`,
)},
looked AS (
  SELECT m.table_name, m.row_id,
         m.locked AND EXISTS (SELECT FROM bucket_data b WHERE b.group_id = ${group} AND ${sameOperation})
           AND NOT EXISTS (SELECT FROM newer n WHERE n.table_name = m.table_name AND n.row_id = m.row_id) AS ok
    FROM tamp_reinsert m WHERE m.batch = ${batch} AND m.reason IS NULL),
whole AS MATERIALIZED (SELECT table_name, row_id FROM looked GROUP BY table_name, row_id HAVING bool_and(ok))
UPDATE tamp_reinsert m SET ok = true FROM whole w
 WHERE m.batch = ${batch} AND m.reason IS NULL AND m.table_name = w.table_name AND m.row_id = w.row_id`

/** How many operations, and their bytes, are to be written. */
export const countQuery = ({ batch }: BatchTerms): string =>
  `SELECT count(*) AS operations, coalesce(sum(bytes), 0)::int8 AS bytes, pg_current_xact_id()::text FROM tamp_reinsert WHERE batch = ${batch} AND reason IS NULL AND ok`

/** Writes them. How many, and their first and last op id. */
export const writeStatement = ({ group, batch }: BatchTerms): string => `WITH written AS (
  INSERT INTO bucket_data (group_id, bucket_name, op_id, op, source_table, source_key, table_name, row_id, checksum, data, target_op)
  SELECT b.group_id, b.bucket_name, m.new_op, 'PUT', b.source_table, b.source_key, b.table_name, b.row_id, b.checksum, b.data, NULL
    FROM tamp_reinsert m JOIN bucket_data b ON b.group_id = ${group} AND ${sameOperation}
   WHERE m.batch = ${batch} AND m.ok AND m.reason IS NULL ORDER BY m.new_op
  RETURNING op_id)
SELECT count(*) AS operations, min(op_id) AS first, max(op_id) AS last FROM written`

/** What was not written stays. */
export const asideStatement = ({ batch }: BatchTerms): string =>
  `UPDATE tamp_reinsert SET reason = CASE WHEN locked THEN 'changed since it was planned' ELSE 'being changed or deleted just now' END
 WHERE batch = ${batch} AND reason IS NULL AND NOT ok`

export const publishStatement = ({ group }: BatchTerms, lastNew: number | string): string =>
  `UPDATE sync_rules SET keepalive_op = greatest(coalesce(keepalive_op, 0), ${lastNew}) WHERE id = ${group}`

/**
 * Takes out of the queue, behind a batch, what was written anew in a range of op ids, so that a batch only has to look at what is newer still.
 * Outside of any transaction that somebody waits for.
 */
export const changedStatement = ({ group, batch, seenTo }: BatchTerms, upTo: number | string): string =>
  `WITH RECURSIVE ${newerRows(group, 'true', (opId) => `${opId} > ${seenTo} AND ${opId} <= ${upTo}`)}
UPDATE tamp_reinsert m SET reason = 'changed since it was planned' FROM newer
 WHERE m.batch > ${batch} AND m.reason IS NULL AND NOT m.ok AND m.table_name = newer.table_name AND m.row_id = newer.row_id`
