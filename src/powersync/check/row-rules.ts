// Is every row that belongs to a bucket there, and none that does not? What the replicator remembers of each source row says in which
// buckets it is. It writes that in one transaction with the operations, so that both agree in any snapshot, whatever is in flight.
import type { ReadSnapshot } from '../../database/read-snapshot.ts'
import { operationSubject } from '../findings.ts'
import type { WantedBuckets } from '../inspect/wanted-buckets.ts'
import { identityColumns } from '../operation-sql.ts'
import type { Ledger } from '../ledger.ts'
import type { Stream } from '../streams.ts'
import type { Met } from './operation-rules.ts'

/**
 * Operations that compaction has passed and left in full although a later one took their place, by the ledger of former runs: a remark.
 * Reads the buckets that the ledger knows.
 */
export async function* leftBehind(
  snapshot: ReadSnapshot,
  stream: Stream,
  wanted: WantedBuckets,
  ledger: Ledger,
): AsyncGenerator<Met> {
  if (!ledger.there) return
  const known = ledger.condition('l', 4)
  const sql = `
    SELECT bucket_name, sum(operations - 1)::int8, min(oldest)
      FROM (SELECT d.bucket_name, count(*) AS operations, min(d.op_id) AS oldest
              FROM tamp.compacted_bucket l
              JOIN bucket_data d ON d.group_id = $1 AND d.bucket_name = l.bucket_name AND d.op_id <= l.compacted_to
             WHERE ${known.sql} AND d.op IN ('PUT', 'REMOVE') AND num_nulls(${identityColumns}) = 0
               AND ${wanted.where('d.bucket_name', 2)}
             GROUP BY d.bucket_name, ${identityColumns}
            HAVING count(*) > 1) AS row_of_a_bucket
     GROUP BY bucket_name`
  type Row = readonly [bucket: string, operations: number, oldest: number]
  for await (const batch of snapshot.batches<Row>(sql, [stream.id, ...wanted.values, ...known.values], 2000)) {
    for (const [subject, operations, oldest] of batch)
      yield { code: 'superseded-left', subject, detail: `${operations} operations, the oldest of them ${oldest}.` }
  }
}

/** The table that the replicator of a stream keeps its rows in. */
export function currentDataTable({ storageVersion }: Stream): string {
  return storageVersion >= 3 ? 'v3_current_data' : 'current_data'
}

/**
 * Compares the last operation of every row in every bucket with the rows the replicator knows.
 * @throws what the server says where the role may not read the rows
 */
export async function* rowFaults(snapshot: ReadSnapshot, stream: Stream, wanted: WantedBuckets): AsyncGenerator<Met> {
  // A row that is being deleted has left its buckets already, and is kept for a while.
  const staying = stream.storageVersion >= 3 ? 'AND c.pending_delete IS NULL' : ''
  const sql = `
    WITH stored AS (
      SELECT bucket_name, ${identityColumns}, max(op_id) AS last, max(op_id) FILTER (WHERE op = 'PUT') AS put
        FROM bucket_data
       WHERE group_id = $1 AND op IN ('PUT', 'REMOVE') AND num_nulls(${identityColumns}) = 0 AND ${wanted.where('bucket_name', 2)}
       GROUP BY bucket_name, ${identityColumns}
    ), known AS (
      SELECT c.source_table, c.source_key, e.bucket, e."table", e.id
        FROM ${currentDataTable(stream)} c
       CROSS JOIN LATERAL jsonb_to_recordset(c.buckets) AS e (bucket text, "table" text, id text)
       WHERE c.group_id = $1 ${staying} AND ${wanted.where('e.bucket', 2)}
    )
    SELECT coalesce(k.bucket, s.bucket_name), coalesce(k."table", s.table_name), coalesce(k.id, s.row_id), s.last, k.bucket IS NOT NULL
      FROM stored s
      FULL JOIN known k ON s.bucket_name = k.bucket AND s.source_key = k.source_key AND s.row_id = k.id
                       AND s.table_name = k."table" AND s.source_table = k.source_table
     WHERE (k.bucket IS NOT NULL) <> coalesce(s.put = s.last, false)`
  type Row = readonly [bucket: string, table: string | null, id: string | null, last: number | null, known: boolean]
  for await (const batch of snapshot.batches<Row>(sql, [stream.id, ...wanted.values], 2000)) {
    for (const [bucket, table, id, last, known] of batch) {
      const row = `Row ${id} of ${table}`
      if (!known)
        yield {
          code: 'row-left-over',
          subject: operationSubject(bucket, last!),
          detail: `${row} does not belong to this bucket.`,
        }
      else if (last === null) yield { code: 'row-lost', subject: bucket, detail: `${row} has no PUT in this bucket.` }
      else
        yield {
          code: 'row-lost',
          subject: operationSubject(bucket, last),
          detail: `${row} belongs to this bucket, and was removed.`,
        }
    }
  }
}
