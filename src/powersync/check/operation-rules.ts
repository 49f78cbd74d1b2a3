// What is wrong with single operations: their columns, their checksums, and the operations that they rely upon.
// One scan of the server's; only what is wrong comes here, and REMOVEs whose key SQL cannot hash.
import type { ReadSnapshot } from '../../database/read-snapshot.ts'
import { identityColumns } from '../operation-sql.ts'
import { operationSubject } from '../findings.ts'
import type { BucketFindingCode } from '../findings.ts'
import type { WantedBuckets } from '../inspect/wanted-buckets.ts'
import { removeChecksum, subkey } from './subkey.ts'

export interface Met {
  readonly code: BucketFindingCode
  readonly subject: string
  readonly detail: string
}

/** A source_key whose id is a UUID, as those of all SQL sources: the bytes around the UUID never differ. */
const uuidKey = `(octet_length(o.source_key) = 30 AND substring(o.source_key FROM 1 FOR 13) = '\\x1e000000056964001000000004')`

/** A BSON document of its stated length whose first element is `id`. */
const bsonKey = `(octet_length(o.source_key) > 8 AND substring(o.source_key FROM 6 FOR 3) = '\\x696400'
  AND get_byte(o.source_key, 0) + (get_byte(o.source_key, 1) << 8) + (get_byte(o.source_key, 2) << 16)
      + (get_byte(o.source_key, 3)::int8 << 24) = octet_length(o.source_key))`

/** The checksum as the four bytes that SHA-256 begins with. Only of a checksum that is within range. */
const checksumBytes = `substring(int8send(((o.checksum & 255) << 24) | ((o.checksum & 65280) << 8)
  | ((o.checksum >> 8) & 65280) | (o.checksum >> 24)) FROM 5)`

function hashed(text: string): string {
  return `substring(sha256(convert_to(${text}, 'UTF8')) FROM 1 FOR 4)`
}

/**
 * Goes through the operations of a stream.
 * @param sequence the highest op id that was given out; null where that cannot be read
 * @param checksums whether to compute them from the data
 */
export async function* operationFaults(
  snapshot: ReadSnapshot,
  group: number,
  wanted: WantedBuckets,
  sequence: number | null,
  checksums: boolean,
): AsyncGenerator<Met> {
  // A condition that is null is not met: what it needs is missing, which another one says.
  const sql = `
    SELECT bucket_name, op_id, op, malformed, unreadable, range, wrong, misplaced, lost, beyond,
           source_table, source_key, checksum
      FROM (
        SELECT o.bucket_name, o.op_id, o.op, o.checksum,
               nullif(concat_ws(', ',
                 CASE WHEN o.op IN ('PUT', 'REMOVE') AND num_nulls(${identityColumns}) > 0 THEN 'it does not say of which row it is' END,
                 CASE WHEN o.op IN ('MOVE', 'CLEAR') AND num_nonnulls(${identityColumns}) > 0 THEN 'it still says of which row it was' END,
                 CASE WHEN o.op = 'PUT' AND o.data IS NULL THEN 'it has no data' END,
                 CASE WHEN o.op <> 'PUT' AND o.data IS NOT NULL THEN 'it has data' END,
                 CASE WHEN o.op IN ('PUT', 'REMOVE') AND o.target_op IS NOT NULL THEN 'it has a target' END,
                 CASE WHEN o.op = 'MOVE' AND o.target_op IS NULL THEN 'it has no target' END,
                 CASE WHEN o.op = 'MOVE' AND o.target_op <= o.op_id THEN 'its target is not a later operation' END), '') AS malformed,
               o.op IN ('PUT', 'REMOVE') AND o.source_key IS NOT NULL AND NOT ${bsonKey} AS unreadable,
               o.checksum NOT BETWEEN CASE o.op WHEN 'CLEAR' THEN -2147483648 ELSE 0 END AND 4294967295 AS range,
               CASE WHEN NOT $5 OR o.checksum NOT BETWEEN 0 AND 4294967295 THEN false
                    WHEN o.op = 'PUT'
                      THEN ${hashed(`'put.' || o.table_name || '.' || o.row_id || '.' || o.data`)} <> ${checksumBytes}
                    WHEN o.op = 'REMOVE' AND ${uuidKey}
                      THEN ${hashed(`'delete.' || o.source_table || '/' || encode(substring(o.source_key FROM 14 FOR 16), 'hex')::uuid`)} <> ${checksumBytes}
               END AS wrong,
               -- Scalar, not EXISTS: these are looked up in the primary key, one by one, whatever the planner knows of the table.
               CASE WHEN o.op = 'CLEAR' THEN o.op_id > (
                 SELECT min(e.op_id) FROM bucket_data e WHERE e.group_id = o.group_id AND e.bucket_name = o.bucket_name)
               END AS misplaced,
               CASE WHEN o.op = 'MOVE' AND o.target_op > o.op_id THEN (
                 SELECT t.op_id FROM bucket_data t
                  WHERE t.group_id = o.group_id AND t.bucket_name = o.bucket_name AND t.op_id = o.target_op) IS NULL
               END AS lost,
               greatest(o.op_id, o.target_op) > $2 AS beyond,
               CASE WHEN $5 AND o.op = 'REMOVE' AND NOT ${uuidKey} THEN o.source_table END AS source_table,
               CASE WHEN $5 AND o.op = 'REMOVE' AND NOT ${uuidKey} THEN o.source_key END AS source_key
          FROM bucket_data o
         WHERE o.group_id = $1 AND ${wanted.where('o.bucket_name', 3)}
      ) AS judged
     WHERE op NOT IN ('PUT', 'REMOVE', 'MOVE', 'CLEAR') OR malformed IS NOT NULL OR unreadable OR range OR wrong
        OR misplaced OR lost OR beyond OR source_key IS NOT NULL`
  type Row = readonly [
    bucket: string,
    opId: number,
    op: string,
    malformed: string | null,
    unreadable: boolean | null,
    range: boolean,
    wrong: boolean | null,
    misplaced: boolean | null,
    lost: boolean | null,
    beyond: boolean | null,
    sourceTable: string | null,
    sourceKey: Uint8Array | null,
    checksum: number,
  ]
  for await (const batch of snapshot.batches<Row>(sql, [group, sequence, ...wanted.values, checksums], 2000)) {
    for (const row of batch) yield* faultsOf(row)
  }

  function* faultsOf([
    bucket,
    opId,
    op,
    malformed,
    unreadable,
    range,
    wrong,
    misplaced,
    lost,
    beyond,
    ...key
  ]: Row): Generator<Met> {
    const subject = operationSubject(bucket, opId)
    const [sourceTable, sourceKey, checksum] = key
    if (!['PUT', 'REMOVE', 'MOVE', 'CLEAR'].includes(op))
      yield { code: 'unknown-operation', subject, detail: `It is called ${JSON.stringify(op)}.` }
    if (malformed !== null) yield { code: 'operation-malformed', subject, detail: `A ${op}: ${malformed}.` }
    if (range) yield { code: 'checksum-out-of-range', subject, detail: `The checksum of this ${op} is ${checksum}.` }
    if (wrong === true)
      yield { code: 'checksum-mismatch', subject, detail: `The checksum of this ${op} is not ${checksum}.` }
    if (misplaced === true)
      yield { code: 'clear-not-first', subject, detail: 'There are operations before this CLEAR.' }
    if (lost === true)
      yield { code: 'move-target-missing', subject, detail: 'The operation that took its place is not there.' }
    if (beyond === true)
      yield { code: 'beyond-sequence', subject, detail: `The last op id that was given out is ${sequence}.` }
    const rowKey = sourceTable === null || sourceKey === null ? null : subkey(sourceTable, sourceKey)
    if (unreadable === true || rowKey === undefined)
      yield { code: 'source-key-unreadable', subject, detail: `The source key of this ${op} is not BSON of an id.` }
    else if (rowKey !== null && !range && removeChecksum(rowKey) !== checksum)
      yield { code: 'checksum-mismatch', subject, detail: `The checksum of this REMOVE is not ${checksum}.` }
  }
}
