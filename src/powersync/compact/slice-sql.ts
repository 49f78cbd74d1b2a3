// The two statements that change operations: CLEAR for the dead prefixes of some buckets, MOVE for some superseded operations.
// Both work from the temporary tables of the analysis, and return what they did, to be compared with what was to be done.

/** Prefixes of the buckets numbered (`above`, `upTo`] of tamp_bucket; where `limit` is given, of one bucket, the next so many operations. */
export interface ClearSlice {
  readonly above: number
  readonly upTo: number
  readonly limit: number | null
}

/** Rows numbered (`above`, `upTo`] of tamp_work. */
export interface MoveSlice {
  readonly above: number
  readonly upTo: number
}

/** 32 bits, wrapping, signed: how the service stores the checksum of a CLEAR. */
function signed32(sum: string): string {
  return `(((${sum}) % 4294967296 + 6442450944) % 4294967296 - 2147483648)::int8`
}

/** The buckets of a slice, each with the op id of its CLEAR. Its operations up to there are all dead. */
function clearTargets(group: number, { above, upTo, limit }: ClearSlice): string {
  const clearTo =
    limit === null
      ? 'b.clear_to'
      : `coalesce((SELECT d.op_id FROM bucket_data d
              WHERE d.group_id = ${group} AND d.bucket_name = b.bucket_name AND d.op_id <= b.clear_to AND d.op <> 'CLEAR'
              ORDER BY d.op_id OFFSET ${limit - 1} LIMIT 1), b.clear_to)`
  return `SELECT b.bucket_name, ${clearTo} AS clear_to, t.target
    FROM tamp_bucket b LEFT JOIN tamp_target t USING (bucket_name)
   WHERE b.clear_to IS NOT NULL AND b.n > ${above} AND b.n <= ${upTo}`
}

/** What a slice is about to swallow: buckets, operations that are no CLEAR, their checksum as a CLEAR stores it, added up over the buckets. */
export function clearPreview(group: number, slice: ClearSlice): string {
  return `WITH slice AS MATERIALIZED (${clearTargets(group, slice)}), prefix AS (
  SELECT s.bucket_name, count(*) FILTER (WHERE d.op <> 'CLEAR') AS operations, ${signed32('sum(d.checksum)')} AS checksum
    FROM slice s JOIN bucket_data d ON d.group_id = ${group} AND d.bucket_name = s.bucket_name AND d.op_id <= s.clear_to
   GROUP BY s.bucket_name)
SELECT count(*) AS buckets, coalesce(sum(operations), 0)::int8 AS operations, coalesce(sum(checksum), 0)::int8 AS checksum FROM prefix`
}

/**
 * The last operation of a prefix becomes the CLEAR; those before it go. Nothing is inserted, so that no key can collide.
 * Returns the same three figures as `clearPreview`.
 */
export function clearStatement(group: number, slice: ClearSlice): string {
  return `WITH slice AS MATERIALIZED (${clearTargets(group, slice)}), gone AS (
  DELETE FROM bucket_data d USING slice s
   WHERE d.group_id = ${group} AND d.bucket_name = s.bucket_name AND d.op_id < s.clear_to
  RETURNING d.bucket_name, d.op, d.checksum, d.target_op
), swallowed AS MATERIALIZED (
  SELECT bucket_name, count(*) FILTER (WHERE op <> 'CLEAR') AS operations, sum(checksum) AS checksum, max(target_op) AS target
    FROM gone GROUP BY bucket_name
), cleared AS (
  UPDATE bucket_data d
     SET op = 'CLEAR', source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL,
         checksum = ${signed32('d.checksum + coalesce(w.checksum, 0)')}, target_op = greatest(d.target_op, w.target, s.target)
    FROM slice s LEFT JOIN swallowed w USING (bucket_name)
   WHERE d.group_id = ${group} AND d.bucket_name = s.bucket_name AND d.op_id = s.clear_to AND d.op <> 'CLEAR'
  RETURNING coalesce(w.operations, 0) + 1 AS operations, d.checksum)
SELECT count(*) AS buckets, coalesce(sum(operations), 0)::int8 AS operations, coalesce(sum(checksum), 0)::int8 AS checksum FROM cleared`
}

/** What a slice is about to change: operations, and the sum of their checksums. */
export function movePreview({ above, upTo }: MoveSlice): string {
  return `SELECT count(*) AS operations, coalesce(sum(checksum), 0)::int8 AS checksum FROM tamp_work WHERE n > ${above} AND n <= ${upTo}`
}

/** Changes operations that are still there as they were found. Returns the same two figures as `movePreview`. */
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

/** The same of PUTs that a CLEAR is about to swallow, every `step`th op id: a later operation about the same row is there. */
export function clearProof(group: number, slice: ClearSlice, step: number): string {
  return `WITH slice AS MATERIALIZED (${clearTargets(group, slice)}), asked AS MATERIALIZED (
  SELECT d.bucket_name, d.op_id, d.source_key, d.row_id, d.table_name, d.source_table
    FROM slice s JOIN bucket_data d ON d.group_id = ${group} AND d.bucket_name = s.bucket_name AND d.op_id <= s.clear_to
   WHERE d.op = 'PUT' AND d.op_id % ${step} = 0)
SELECT count(*), count(*) FILTER (WHERE l.op_id > a.op_id)
  FROM asked a
  LEFT JOIN tamp_row r ON (r.bucket_name, r.source_key, r.row_id, r.table_name, r.source_table) = (a.bucket_name, a.source_key, a.row_id, a.table_name, a.source_table)
  LEFT JOIN bucket_data l ON l.group_id = ${group} AND l.bucket_name = a.bucket_name AND l.op_id = r.last AND l.op IN ('PUT', 'REMOVE')
   AND (l.source_key, l.row_id, l.table_name, l.source_table) = (a.source_key, a.row_id, a.table_name, a.source_table)`
}
