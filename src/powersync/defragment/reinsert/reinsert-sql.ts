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

/** A row where somebody else has written to bucket_data and not ended yet. */
export const writersQuery = `SELECT FROM pg_locks
 WHERE locktype = 'relation' AND relation = 'bucket_data'::regclass AND granted AND pid IS DISTINCT FROM pg_backend_pid()
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareUpdateExclusiveLock', 'ShareLock') LIMIT 1`

/** Finds what is still the last operation of its row. Rows of one table and id are written again together, or not at all. */
export const checkStatement = ({ group, batch, seenTo }: BatchTerms): string => `WITH looked AS (
  SELECT m.table_name, m.row_id,
         m.locked AND EXISTS (SELECT FROM bucket_data b WHERE b.group_id = ${group} AND ${sameOperation})
           AND NOT EXISTS (SELECT FROM bucket_data b WHERE b.group_id = ${group} AND b.bucket_name = m.bucket_name
                              AND b.op_id > ${seenTo} AND b.table_name = m.table_name AND b.row_id = m.row_id) AS ok
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
 * Takes out of the queue what was written anew in a range of op ids, so that a batch only has to look at what is newer still. Outside of any
 * transaction that somebody waits for.
 */
export const changedStatement = (
  { group, batch, seenTo }: BatchTerms,
  upTo: number | string,
): string => `UPDATE tamp_reinsert m SET reason = 'changed since it was planned'
  FROM (SELECT DISTINCT q.table_name, q.row_id
          FROM (SELECT DISTINCT bucket_name FROM tamp_reinsert WHERE batch > ${batch} AND reason IS NULL) w
          JOIN bucket_data b ON b.group_id = ${group} AND b.bucket_name = w.bucket_name AND b.op_id > ${seenTo} AND b.op_id <= ${upTo}
          JOIN tamp_reinsert q ON q.bucket_name = b.bucket_name AND q.table_name = b.table_name AND q.row_id = b.row_id
           AND q.batch > ${batch}) changed
 WHERE m.batch > ${batch} AND m.reason IS NULL AND m.table_name = changed.table_name AND m.row_id = changed.row_id`
