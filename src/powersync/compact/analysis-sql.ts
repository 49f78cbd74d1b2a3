// What compacting some buckets up to a bound would change, worked out by the server: a few relations over bucket_data, as SQL.
// A dry run reads them as common table expressions in one statement; a run that writes makes temporary tables of them.
//
// An operation is superseded when a later PUT or REMOVE of the same row, up to the bound, follows it: it becomes a MOVE. Everything
// below the oldest live PUT is dead: where that are two operations or more they become one CLEAR. (Field: the service's own rules, of
// which one is left out: it does not merge a CLEAR with a single MOVE after it.)
import pg from 'pg'
import { definitionSql } from '../bucket-name.ts'
import {
  identity,
  identityColumns,
  operationBytes,
  sameIdentity,
  signed32,
  smallOperationBytes,
} from '../operation-sql.ts'

/** Which operations: of these buckets of a stream, up to and with op id `bound`. */
export interface AnalysisScope {
  readonly group: number
  readonly bound: number
  readonly buckets: readonly string[]
  /** So few operations that finding each by the key is quicker than reading the table. */
  readonly sparse?: boolean
  /** Operations of a step, where a prefix is so long that its CLEAR moves up in steps. Default 5,000. */
  readonly stepOperations?: number
}

interface Relation {
  readonly name: string
  readonly query: string
}

export const defaultStep = 5_000

/** So many names leave no index scan worth it: where a join says which buckets are meant, they need not be said again. */
const manyBuckets = 2_000

function within({ group, bound, buckets }: AnalysisScope): string {
  const names = buckets.map((name) => pg.escapeLiteral(name))
  const named = names.length === 1 ? `= ${names[0]}` : `= ANY (ARRAY[${names.join(', ')}]::text[])`
  return `d.group_id = ${group} AND d.bucket_name ${named} AND d.op_id <= ${bound}`
}

/** The relations, each of which may use those before it. */
export function analysis(scope: AnalysisScope): readonly Relation[] {
  const { group, bound, stepOperations = defaultStep } = scope
  return [
    {
      // Every row that operations are about, with its last one. MOVE and CLEAR are about none: they come together, as one.
      name: 'tamp_row',
      query: `SELECT d.bucket_name, ${identity.map((column) => `d.${column}`).join(', ')},
       min(d.op_id) AS first, max(d.op_id) AS last, max(d.op_id) FILTER (WHERE d.op = 'PUT') AS put,
       max(d.op_id) FILTER (WHERE d.op = 'CLEAR') AS clear, count(*) FILTER (WHERE d.op = 'CLEAR') AS clears,
       bool_or(CASE WHEN d.op IN ('PUT', 'REMOVE') THEN d.source_key IS NULL
                    ELSE d.op NOT IN ('MOVE', 'CLEAR') OR d.source_key IS NOT NULL END) AS odd,
       count(*) AS operations, sum(d.checksum) AS checksum, sum(${operationBytes('d')}) AS bytes
  FROM bucket_data d
 WHERE ${within(scope)}
 GROUP BY d.bucket_name, ${identity.map((column) => `d.${column}`).join(', ')}`,
    },
    {
      name: 'tamp_first',
      query: `SELECT bucket_name, coalesce(min(last) FILTER (WHERE put = last), ${bound} + 1) AS boundary,
       count(*) FILTER (WHERE put = last) AS live, sum(hashint8extended(last, 0)) FILTER (WHERE put = last) AS live_hash,
       sum(operations) AS operations, sum(checksum) AS checksum, sum(bytes) AS bytes,
       sum(clears) > 1 OR max(clear) > min(first) AS misplaced_clear,
       bool_or(odd) OR bool_or((${identityColumns}) IS NOT NULL IS FALSE AND (${identityColumns}) IS NULL IS FALSE) AS odd
  FROM tamp_row
 GROUP BY bucket_name`,
    },
    {
      name: 'tamp_bucket',
      query: `SELECT f.*, p.prefix, p.prefix_bytes, p.clears, p.clear_checksum, p.clear_to, p.target, p.checksum AS prefix_checksum,
       row_number() OVER (ORDER BY f.bucket_name) AS n
  FROM (SELECT bucket_name, boundary, live, live_hash, operations, checksum, bytes,
               CASE WHEN misplaced_clear THEN 'it has a CLEAR that is not its lowest operation'
                    WHEN odd THEN 'it has operations that are not of a known form' END AS fault
          FROM tamp_first) f
 CROSS JOIN LATERAL
       (SELECT count(*) AS prefix, coalesce(sum(${operationBytes('d')}), 0) AS prefix_bytes,
               count(*) FILTER (WHERE d.op = 'CLEAR') AS clears,
               coalesce(sum(d.checksum) FILTER (WHERE d.op = 'CLEAR'), 0) AS clear_checksum, max(d.target_op) AS target, sum(d.checksum) AS checksum,
               CASE WHEN count(*) > 1 AND f.fault IS NULL THEN max(d.op_id) END AS clear_to
          FROM bucket_data d
         WHERE d.group_id = ${group} AND d.bucket_name = f.bucket_name AND d.op_id < f.boundary) p`,
    },
    {
      // The superseded operations that no CLEAR will swallow, in the order in which they were written: in another one they cost twice the time.
      // The ctid finds their rows without looking; it is never relied upon.
      name: 'tamp_work',
      query: `SELECT row_number() OVER (ORDER BY d.op_id) AS n, d.bucket_name, d.op_id, d.ctid AS tid, r.last AS target, d.checksum,
       ${operationBytes('d')} AS bytes
  FROM bucket_data d
  JOIN tamp_row r ON r.bucket_name = d.bucket_name AND ${sameIdentity('r', 'd')}
  JOIN tamp_bucket b ON b.bucket_name = d.bucket_name
 WHERE ${scope.buckets.length > manyBuckets ? `d.group_id = ${group} AND d.op_id <= ${bound}` : within(scope)}
   AND d.op IN ('PUT', 'REMOVE') AND d.op_id < r.last AND d.op_id > coalesce(b.clear_to, 0) AND b.fault IS NULL`,
    },
    {
      // The CLEARs that will be: one a bucket, or where a prefix is long one for each step of it, with the sum of all checksums up to there.
      // Numbered from the end, so that what is left keeps its numbers. The target is what the swallowed operations, as MOVEs, would point to.
      name: 'tamp_clear',
      query: `SELECT row_number() OVER (ORDER BY c.bucket_name DESC, c.clear_to DESC) AS n, c.bucket_name,
       coalesce(lag(c.clear_to) OVER (PARTITION BY c.bucket_name ORDER BY c.clear_to), 0) AS clear_from, c.clear_to, c.operations,
       ${signed32('c.checksum')} AS checksum, t.target
  FROM (SELECT b.bucket_name, b.clear_to, b.prefix - b.clears AS operations, b.prefix_checksum AS checksum
          FROM tamp_bucket b
         WHERE b.clear_to IS NOT NULL AND b.prefix - b.clears <= ${stepOperations}
         UNION ALL
        SELECT b.bucket_name, s.clear_to, s.operations,
               sum(s.checksum) OVER (PARTITION BY b.bucket_name ORDER BY s.clear_to) + b.clear_checksum
          FROM tamp_bucket b
         CROSS JOIN LATERAL (
               SELECT max(op_id) AS clear_to, count(*) AS operations, sum(checksum) AS checksum
                 FROM (SELECT d.op_id, d.checksum, row_number() OVER (ORDER BY d.op_id) - 1 AS n FROM bucket_data d
                        WHERE d.group_id = ${group} AND d.bucket_name = b.bucket_name AND d.op_id <= b.clear_to AND d.op <> 'CLEAR') numbered
                GROUP BY n / ${stepOperations}) s
         WHERE b.clear_to IS NOT NULL AND b.prefix - b.clears > ${stepOperations}) c
  JOIN (SELECT b.bucket_name, max(r.last) FILTER (WHERE r.first < b.boundary AND r.first < r.last AND r.source_key IS NOT NULL) AS target
          FROM tamp_bucket b JOIN tamp_row r ON r.bucket_name = b.bucket_name
         WHERE b.clear_to IS NOT NULL GROUP BY b.bucket_name) t USING (bucket_name)`,
    },
  ]
}

/** What must stay the same of a bucket: its live rows, and the sum of its checksums as clients compute it. */
function fingerprint(alias: string): string {
  return `concat_ws(' ', ${alias}.live, ${alias}.live_hash, mod(mod(${alias}.checksum, 4294967296) + 4294967296, 4294967296))`
}

/**
 * One row a bucket, of the same buckets later on: name, fingerprint, operations, live rows, bytes.
 * @param done whether all slices are done: then a PUT that is there is live, and nothing has to be compared to know it
 */
export function verification(scope: AnalysisScope, done: boolean): string {
  if (done)
    return `SELECT f.bucket_name, ${fingerprint('f')}, f.operations, f.live, f.bytes::int8 FROM (
SELECT d.bucket_name, count(*) FILTER (WHERE d.op = 'PUT') AS live, sum(hashint8extended(d.op_id, 0)) FILTER (WHERE d.op = 'PUT') AS live_hash,
       count(*) AS operations, sum(d.checksum) AS checksum, sum(${operationBytes('d')}) AS bytes
  FROM bucket_data d
 WHERE ${within(scope)}
 GROUP BY d.bucket_name) f`
  const [rows, first] = analysis(scope)
  return `WITH ${rows!.name} AS MATERIALIZED (${rows!.query}), ${first!.name} AS (${first!.query})
SELECT f.bucket_name, ${fingerprint('f')}, f.operations::int8, f.live, f.bytes::int8 FROM ${first!.name} f`
}

/** One row a bucket: see `BucketAnalysis`. */
export const analysisSummary: string = `SELECT b.bucket_name, ${definitionSql('b.bucket_name')}, b.operations::int8, b.live, b.bytes::int8, b.prefix, b.prefix_bytes::int8, b.clears,
       b.clear_to, coalesce(w.moves, 0), coalesce(w.bytes, 0)::int8, b.fault,
       ${fingerprint('b')}
  FROM tamp_bucket b
  LEFT JOIN (SELECT bucket_name, count(*) AS moves, sum(bytes) AS bytes FROM tamp_work GROUP BY bucket_name) w USING (bucket_name)
 ORDER BY b.n`

/** What the summary says of one bucket. */
export interface BucketAnalysis {
  readonly bucket: string
  readonly definition: string
  readonly operations: number
  /** Live rows. */
  readonly rows: number
  readonly bytes: number
  /** Operations that one CLEAR will stand for, its former one included; 0 where there is nothing to clear. */
  readonly prefix: number
  readonly prefixBytes: number
  /** Where that CLEAR will be; null where there is nothing to clear. */
  readonly clearTo: number | null
  /** Operations among them that are not a CLEAR yet. */
  readonly toClear: number
  /** Superseded operations that become MOVEs. */
  readonly moves: number
  readonly moveBytes: number
  /** Why the bucket has to be left alone, or null. */
  readonly fault: string | null
  readonly fingerprint: string
}

export type SummaryRow = readonly [
  bucket: string,
  definition: string,
  operations: number,
  rows: number,
  bytes: number,
  prefix: number,
  prefixBytes: number,
  clears: number,
  clearTo: number | null,
  moves: number,
  moveBytes: number,
  fault: string | null,
  fingerprint: string,
]

export function bucketAnalysis(row: SummaryRow): BucketAnalysis {
  const [
    bucket,
    definition,
    operations,
    rows,
    bytes,
    prefix,
    prefixBytes,
    clears,
    clearTo,
    moves,
    moveBytes,
    fault,
    fingerprint,
  ] = row
  const clear = clearTo !== null
  return {
    bucket,
    definition,
    operations,
    rows,
    bytes,
    prefix: clear ? prefix : 0,
    prefixBytes: clear ? prefixBytes : 0,
    clearTo,
    toClear: clear ? prefix - clears : 0,
    moves,
    moveBytes,
    fault,
    fingerprint,
  }
}

/** What a bucket will be. */
export function compacted({ operations, rows, bytes, prefix, prefixBytes, moves, moveBytes }: BucketAnalysis): {
  operations: number
  rows: number
  bytesEstimate: number
} {
  return {
    operations: operations - (prefix > 0 ? prefix - 1 : 0),
    rows,
    bytesEstimate:
      bytes - prefixBytes + (prefix > 0 ? smallOperationBytes : 0) - moveBytes + moves * smallOperationBytes,
  }
}
