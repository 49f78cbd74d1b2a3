// Rows whose place among the operations matters beyond their bucket. A client that has a row in several buckets, or several source rows under
// the same table and id, sees the operation with the highest op id: moving one above another may change what it sees.
import type { Connection } from '../../../database/postgres.ts'
import { identityColumns } from '../../operation-sql.ts'

/**
 * For each bucket the lowest op id of a live row that must stay below another live operation of the same table and id, because their data
 * differ. Only operations up to the checkpoint count: those above it stay above whatever is moved below it. One pass over the stream.
 */
export async function firstOrderedRows(
  connection: Pick<Connection, 'query' | 'execute'>,
  group: number,
  checkpoint: number,
): Promise<Map<string, number>> {
  // Tables that were never analysed seem to have few rows.
  await connection.execute('BEGIN READ ONLY; SET LOCAL enable_nestloop = off; SET LOCAL jit = off')
  try {
    const rows = await connection.query<[string, number]>(
      `WITH last AS (
       SELECT bucket_name, max(op_id) AS op_id FROM bucket_data
        WHERE group_id = $1 AND op_id <= $2 AND op IN ('PUT', 'REMOVE') GROUP BY bucket_name, ${identityColumns}),
     live AS MATERIALIZED (
       SELECT b.bucket_name, b.op_id, b.table_name, b.row_id, b.checksum
         FROM last JOIN bucket_data b ON b.group_id = $1 AND b.bucket_name = last.bucket_name AND b.op_id = last.op_id
        WHERE b.op = 'PUT'),
     several AS (
       SELECT table_name, row_id, max(op_id) AS highest FROM live
        GROUP BY table_name, row_id HAVING count(*) > 1),
     differing AS (
       SELECT s.table_name, s.row_id, s.highest
         FROM several s JOIN live l USING (table_name, row_id)
         JOIN bucket_data b ON b.group_id = $1 AND b.bucket_name = l.bucket_name AND b.op_id = l.op_id
        GROUP BY s.table_name, s.row_id, s.highest
       HAVING min(b.checksum) <> max(b.checksum) OR min(hashtextextended(b.data, 0)) <> max(hashtextextended(b.data, 0)))
     SELECT l.bucket_name, min(l.op_id) FROM differing d JOIN live l USING (table_name, row_id)
      WHERE l.op_id < d.highest GROUP BY l.bucket_name`,
      [group, checkpoint],
    )
    return new Map(rows)
  } finally {
    await connection.execute('ROLLBACK').catch(() => {})
  }
}
