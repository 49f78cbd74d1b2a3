// The two statements that change operations: CLEAR for the dead prefixes of some buckets, MOVE for some superseded operations.
// Both work from the temporary tables of the analysis, and return what they did, to be compared with what was to be done.
import { sameIdentity, signed32 } from '../operation-sql.ts'

/** The CLEARs numbered (`above`, `upTo`] of tamp_clear; of those of one bucket the last counts. */
export interface ClearSlice {
  readonly above: number
  readonly upTo: number
}

/** Rows numbered (`above`, `upTo`] of tamp_work. */
export interface MoveSlice {
  readonly above: number
  readonly upTo: number
}

/** The buckets of a slice: from where to where, how many operations that are no CLEAR, and what the checksum of the CLEAR has to be. */
function clearTargets({ above, upTo }: ClearSlice): string {
  return `SELECT c.bucket_name, min(c.clear_from) AS clear_from, max(c.clear_to) AS clear_to, sum(c.operations) AS operations,
         (array_agg(c.checksum ORDER BY c.clear_to DESC))[1] AS checksum, max(c.target) AS target
    FROM tamp_clear c WHERE c.n > ${above} AND c.n <= ${upTo} GROUP BY c.bucket_name`
}

/** What a slice is about to swallow: buckets, operations that are no CLEAR, the highest op id. */
export function clearPreview(slice: ClearSlice): string {
  return `SELECT count(*) AS buckets, coalesce(sum(operations), 0)::int8 AS operations, max(clear_to) AS clear_to FROM (${clearTargets(slice)}) s`
}

/**
 * The last operation of a prefix becomes the CLEAR; those before it go. Nothing is inserted, so that no key can collide.
 * Returns the figures of `clearPreview`; only buckets count of which as many operations went as were found, with the same checksums.
 */
export function clearStatement(group: number, slice: ClearSlice): string {
  return `WITH slice AS MATERIALIZED (${clearTargets(slice)}), gone AS (
  DELETE FROM bucket_data d USING slice s
   WHERE d.group_id = ${group} AND d.bucket_name = s.bucket_name AND d.op_id >= s.clear_from AND d.op_id < s.clear_to
  RETURNING s.bucket_name, s.clear_to, s.operations AS expected, s.checksum AS clear_checksum, s.target AS superseding, d.op, d.checksum, d.target_op
), swallowed AS MATERIALIZED (
  SELECT bucket_name, clear_to, max(expected) AS expected, max(clear_checksum) AS clear_checksum,
         count(*) FILTER (WHERE op <> 'CLEAR') + 1 AS operations, sum(checksum) AS checksum, greatest(max(superseding), max(target_op)) AS target
    FROM gone GROUP BY bucket_name, clear_to
), cleared AS (
  UPDATE bucket_data d
     SET op = 'CLEAR', source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL,
         checksum = ${signed32('d.checksum + w.checksum')}, target_op = greatest(d.target_op, w.target)
    FROM swallowed w
   WHERE d.group_id = ${group} AND d.bucket_name = w.bucket_name AND d.op_id = w.clear_to AND d.op <> 'CLEAR'
  RETURNING w.operations, d.op_id AS clear_to, d.checksum = w.clear_checksum AND w.operations = w.expected AS kept)
SELECT count(*) FILTER (WHERE kept) AS buckets, coalesce(sum(operations) FILTER (WHERE kept), 0)::int8 AS operations, max(clear_to) AS clear_to FROM cleared`
}

/** What a slice is about to change: operations, and the sum of their checksums. */
export function movePreview({ above, upTo }: MoveSlice): string {
  return `SELECT count(*) AS operations, coalesce(sum(checksum), 0)::int8 AS checksum FROM tamp_work WHERE n > ${above} AND n <= ${upTo}`
}

/** The operation of a work row, by its place. What makes sure that it is the one is written so that no index can be used for it instead. */
function foundAgain(group: number): string {
  return `d.ctid = w.tid AND (d.group_id, d.bucket_name, d.op_id) IS NOT DISTINCT FROM (${group}, w.bucket_name, w.op_id)`
}

/** Changes operations that are still there as they were found. Returns the same figures as `movePreview`. */
export function moveStatement(group: number, { above, upTo }: MoveSlice): string {
  return `WITH moved AS (
  UPDATE bucket_data d
     SET op = 'MOVE', source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL, target_op = w.target
    FROM tamp_work w
   WHERE w.n > ${above} AND w.n <= ${upTo} AND ${foundAgain(group)} AND d.op IN ('PUT', 'REMOVE')
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
          WHERE ${foundAgain(group)}
            AND l.group_id = ${group} AND l.bucket_name = w.bucket_name AND l.op_id = w.target AND l.op_id > d.op_id AND l.op IN ('PUT', 'REMOVE')))
  FROM tamp_work w WHERE w.n > ${above} AND w.n <= ${upTo} AND w.n % ${step} = 0`
}

/**
 * The same of PUTs that CLEARs are about to swallow: of each bucket the first so many (`most`) with every `step`th op id. The work table says
 * where to look, as no index of the storage would find it; each OFFSET 0 keeps the planner from looking in another order.
 */
export function clearProof(group: number, slice: ClearSlice, step: number, most: number | null): string {
  return `SELECT count(*), count(*) FILTER (WHERE EXISTS (
         SELECT FROM (SELECT r.last FROM tamp_row r WHERE r.bucket_name = s.bucket_name AND ${sameIdentity('r', 'd')} OFFSET 0) r
          CROSS JOIN LATERAL (
                SELECT FROM bucket_data l
                 WHERE l.group_id = ${group} AND l.bucket_name = s.bucket_name AND l.op_id = r.last AND ${sameIdentity('l', 'd')}
                   AND l.op_id > d.op_id AND l.op IN ('PUT', 'REMOVE') OFFSET 0) l))
  FROM (${clearTargets(slice)}) s CROSS JOIN LATERAL (
       SELECT d.op_id, d.source_key, d.row_id, d.table_name, d.source_table FROM bucket_data d
        WHERE d.group_id = ${group} AND d.bucket_name = s.bucket_name AND d.op_id BETWEEN s.clear_from AND s.clear_to
          AND d.op = 'PUT' AND d.op_id % ${step} = 0 ORDER BY d.op_id OFFSET 0${most === null ? '' : ` LIMIT ${most}`}) d`
}

/** Counts the operations of a slice that somebody else has packed, or put elsewhere, since they were analysed; or what supersedes them. */
export function changedBeforeMove(group: number, { above, upTo }: MoveSlice): string {
  return `SELECT count(*) FROM tamp_work w WHERE w.n > ${above} AND w.n <= ${upTo} AND NOT EXISTS (
         SELECT FROM bucket_data d JOIN bucket_data l ON l.group_id = d.group_id AND l.bucket_name = d.bucket_name
          WHERE ${foundAgain(group)} AND d.op IN ('PUT', 'REMOVE')
            AND l.op_id = w.target AND l.op IN ('PUT', 'REMOVE'))`
}

/** Counts the buckets of a slice in which the operations to be swallowed are no longer as many, or have not the checksum, that was found. */
export function changedBeforeClear(group: number, slice: ClearSlice): string {
  return `SELECT count(*) FROM (${clearTargets(slice)}) s CROSS JOIN LATERAL (
         SELECT count(*) FILTER (WHERE d.op <> 'CLEAR') AS operations, ${signed32('coalesce(sum(d.checksum), 0)')} AS checksum,
                count(*) FILTER (WHERE d.op = 'MOVE') AS moves
           FROM bucket_data d WHERE d.group_id = ${group} AND d.bucket_name = s.bucket_name AND d.op_id BETWEEN s.clear_from AND s.clear_to OFFSET 0) d
   WHERE d.operations <> s.operations OR d.checksum <> s.checksum
      OR d.moves > (SELECT coalesce(sum(r.operations), 0) FROM tamp_row r WHERE r.bucket_name = s.bucket_name AND r.source_key IS NULL)`
}
