// The two statements that change operations: CLEAR for the dead prefixes of some buckets, MOVE for some superseded operations.
// Both work from the temporary tables of the analysis, and return what they did, to be compared with what was to be done.
import type { AnalysisScope } from './analysis-sql.ts'
import { sameIdentity, signed32 } from '../operation-sql.ts'

/** Prefixes of the buckets numbered (`above`, `upTo`] of tamp_clear, whole; or of one bucket a step: the next `limit` operations, or all that are left. */
export interface ClearSlice {
  readonly above: number
  readonly upTo: number
  readonly whole: boolean
  readonly limit: number | null
}

/** Rows numbered (`above`, `upTo`] of tamp_work. */
export interface MoveSlice {
  readonly above: number
  readonly upTo: number
}

/**
 * The buckets of a slice, each with the op id of its CLEAR. Its operations up to there are all dead.
 * @param from where the operations of a bucket that is cleared in steps begin by now: below there are only index entries of rows that are gone
 */
function clearTargets(
  group: number,
  { above, upTo, limit, every = 1 }: ClearSlice & { every?: number },
  from: number,
): string {
  const clearTo =
    limit === null
      ? 'c.clear_to'
      : `coalesce((SELECT d.op_id FROM bucket_data d
              WHERE d.group_id = ${group} AND d.bucket_name = c.bucket_name AND d.op_id BETWEEN ${from} AND c.clear_to AND d.op <> 'CLEAR'
              ORDER BY d.op_id OFFSET ${limit - 1} LIMIT 1), c.clear_to)`
  return `SELECT c.bucket_name, ${clearTo} AS clear_to, c.target FROM tamp_clear c WHERE c.n > ${above} AND c.n <= ${upTo}${every === 1 ? '' : ` AND c.n % ${every} = 0`}`
}

/** The operations of a slice, found through the primary key whatever the planner thinks. */
function clearedOperations(
  group: number,
  slice: ClearSlice & { every?: number },
  from: number,
  columns: string,
): string {
  return `(${clearTargets(group, slice, from)}) s CROSS JOIN LATERAL (
       SELECT ${columns} FROM bucket_data d
        WHERE d.group_id = ${group} AND d.bucket_name = s.bucket_name AND d.op_id BETWEEN ${from} AND s.clear_to OFFSET 0) d`
}

/**
 * What a slice is about to swallow: buckets, operations that are no CLEAR, the highest op id, the checksums as CLEARs store them, added
 * up. Of whole prefixes the analysis knows; of a part it is read.
 */
export function clearPreview(group: number, slice: ClearSlice, from: number): string {
  const { above, upTo, whole } = slice
  if (whole)
    return `SELECT count(*) AS buckets, coalesce(sum(operations), 0)::int8 AS operations, max(clear_to) AS clear_to,
       coalesce(sum(checksum), 0)::int8 AS checksum FROM tamp_clear WHERE n > ${above} AND n <= ${upTo}`
  return `WITH prefix AS (
  SELECT s.bucket_name, count(*) FILTER (WHERE d.op <> 'CLEAR') AS operations, max(d.op_id) AS clear_to, ${signed32('sum(d.checksum)')} AS checksum
    FROM ${clearedOperations(group, slice, from, 'd.op, d.op_id, d.checksum')}
   GROUP BY s.bucket_name)
SELECT count(*) AS buckets, coalesce(sum(operations), 0)::int8 AS operations, max(clear_to) AS clear_to,
       coalesce(sum(checksum), 0)::int8 AS checksum FROM prefix`
}

/**
 * The last operation of a prefix becomes the CLEAR; those before it go. Nothing is inserted, so that no key can collide.
 * Returns the same figures as `clearPreview`.
 */
export function clearStatement(group: number, slice: ClearSlice, from: number): string {
  return `WITH slice AS MATERIALIZED (${clearTargets(group, slice, from)}), gone AS (
  DELETE FROM bucket_data d USING slice s
   WHERE d.group_id = ${group} AND d.bucket_name = s.bucket_name AND d.op_id >= ${from} AND d.op_id < s.clear_to
  RETURNING s.bucket_name, s.clear_to, s.target AS superseding, d.op, d.checksum, d.target_op
), swallowed AS MATERIALIZED (
  SELECT bucket_name, clear_to, count(*) FILTER (WHERE op <> 'CLEAR') AS operations, sum(checksum) AS checksum,
         greatest(superseding, max(target_op)) AS target
    FROM gone GROUP BY bucket_name, clear_to, superseding
), cleared AS (
  UPDATE bucket_data d
     SET op = 'CLEAR', source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL,
         checksum = ${signed32('d.checksum + w.checksum')}, target_op = greatest(d.target_op, w.target)
    FROM swallowed w
   WHERE d.group_id = ${group} AND d.bucket_name = w.bucket_name AND d.op_id = w.clear_to AND d.op <> 'CLEAR'
  RETURNING w.operations + 1 AS operations, d.op_id AS clear_to, d.checksum)
SELECT count(*) AS buckets, coalesce(sum(operations), 0)::int8 AS operations, max(clear_to) AS clear_to,
       coalesce(sum(checksum), 0)::int8 AS checksum FROM cleared`
}

/** What a slice is about to change: operations, and the sum of their checksums. */
export function movePreview({ above, upTo }: MoveSlice): string {
  return `SELECT count(*) AS operations, coalesce(sum(checksum), 0)::int8 AS checksum FROM tamp_work WHERE n > ${above} AND n <= ${upTo}`
}

/** Changes operations that are still there as they were found. Returns the same figures as `movePreview`. */
export function moveStatement(group: number, { above, upTo }: MoveSlice): string {
  return `WITH moved AS (
  UPDATE bucket_data d
     SET op = 'MOVE', source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL, target_op = w.target
    FROM tamp_work w
   WHERE w.n > ${above} AND w.n <= ${upTo} AND d.ctid = w.tid AND d.group_id = ${group}
     AND d.bucket_name = w.bucket_name AND d.op_id = w.op_id AND d.op IN ('PUT', 'REMOVE')
  RETURNING d.checksum)
SELECT count(*) AS operations, coalesce(sum(checksum), 0)::int8 AS checksum FROM moved`
}

/**
 * Asks the storage itself: of every `step`th operation of a slice, is the one that is said to supersede it there, and about the same row?
 * Returns how many were asked, and of how many it is so.
 */
export function moveProof(group: number, { above, upTo }: MoveSlice, step: number): string {
  return `SELECT count(*), count(*) FILTER (WHERE EXISTS (
         SELECT FROM bucket_data d JOIN bucket_data l ON (l.source_key, l.row_id, l.table_name, l.source_table) = (d.source_key, d.row_id, d.table_name, d.source_table)
          WHERE d.ctid = w.tid AND d.group_id = ${group} AND d.bucket_name = w.bucket_name AND d.op_id = w.op_id
            AND l.group_id = ${group} AND l.bucket_name = w.bucket_name AND l.op_id = w.target AND l.op_id > d.op_id AND l.op IN ('PUT', 'REMOVE')))
  FROM tamp_work w WHERE w.n > ${above} AND w.n <= ${upTo} AND w.n % ${step} = 0`
}

/**
 * The same of PUTs that CLEARs are about to swallow: of every `step`th bucket, or of one large bucket every `step`th op id. In a small
 * bucket any later operation about the same row will do; in a large one it is looked up, as there is no index that would find it.
 */
export function clearProof(group: number, slice: ClearSlice, from: number, step: number): string {
  const large = slice.upTo - slice.above === 1
  const sampled = large ? slice : { ...slice, every: step }
  const superseding = large
    ? `tamp_row r JOIN bucket_data l ON l.group_id = ${group} AND l.bucket_name = s.bucket_name AND l.op_id = r.last
          WHERE r.bucket_name = s.bucket_name AND ${sameIdentity('r', 'd')} AND ${sameIdentity('l', 'd')}`
    : `bucket_data l WHERE l.group_id = ${group} AND l.bucket_name = s.bucket_name AND ${sameIdentity('l', 'd')}`
  return `SELECT count(*), count(*) FILTER (WHERE EXISTS (
         SELECT FROM ${superseding}
            AND l.op_id > d.op_id AND l.op IN ('PUT', 'REMOVE')))
  FROM ${clearedOperations(group, sampled, from, 'd.op, d.op_id, d.source_key, d.row_id, d.table_name, d.source_table')}
 WHERE d.op = 'PUT'${large ? ` AND d.op_id % ${step} = 0` : ''}`
}

/** Counts the operations of a slice that somebody else has packed, or put elsewhere, since they were analysed; or what supersedes them. */
export function changedBeforeMove(group: number, { above, upTo }: MoveSlice): string {
  return `SELECT count(*) FROM tamp_work w WHERE w.n > ${above} AND w.n <= ${upTo} AND NOT EXISTS (
         SELECT FROM bucket_data d JOIN bucket_data l ON l.group_id = d.group_id AND l.bucket_name = d.bucket_name
          WHERE d.ctid = w.tid AND d.group_id = ${group} AND d.bucket_name = w.bucket_name AND d.op_id = w.op_id AND d.op IN ('PUT', 'REMOVE')
            AND l.op_id = w.target AND l.op IN ('PUT', 'REMOVE'))`
}

/** Counts the buckets of a slice in which there are more MOVEs and CLEARs than were analysed, and than we have made. */
export function packedBeforeClear({ group, bound }: AnalysisScope, { above, upTo }: ClearSlice, from: number): string {
  return `SELECT count(*) FROM tamp_clear c WHERE c.n > ${above} AND c.n <= ${upTo}
   AND (SELECT count(*) FROM bucket_data d
         WHERE d.group_id = ${group} AND d.bucket_name = c.bucket_name AND d.op_id <= ${bound} AND d.op IN ('MOVE', 'CLEAR'))
     > ${from > 0 ? 1 : 0} + (SELECT coalesce(sum(r.operations), 0) FROM tamp_row r WHERE r.bucket_name = c.bucket_name AND r.source_key IS NULL)`
}
