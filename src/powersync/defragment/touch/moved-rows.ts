// The source rows that a plan moves, table by table, oldest operation first; each once, in however many buckets it is.
import type { Connection } from '../../../database/postgres.ts'
import type { Stream } from '../../streams.ts'
import type { DefragmentPlan } from '../plan.ts'
import { recoverKey } from './source-key.ts'
import type { KeyColumn, SourceKey } from './source-key.ts'

/** A table of the source database, as the storage knows it. */
export interface SourceTable {
  readonly id: string
  readonly schema: string
  readonly name: string
  readonly key: readonly KeyColumn[]
}

export interface MovedRow {
  /** `source_table` of its operations. */
  readonly sourceTable: string
  /** The values of `SourceTable.key`; null where they cannot be recovered. */
  readonly key: SourceKey | null
  /** Why it must be left alone, or null. */
  readonly left: string | null
}

const rowsAtOnce = 1000

const unrecoverable = 'its key cannot be recovered from the storage'
const deleted = 'it is being deleted'
const rivalled =
  'another source row comes to clients under the same table and id: touching one of them could change which of them clients see'

export async function readSourceTables(
  connection: Connection,
  { id }: Pick<Stream, 'id'>,
): Promise<Map<string, SourceTable>> {
  const rows = await connection.query<[string, string, string, { name: string; type_oid?: number }[] | null]>(
    'SELECT id, schema_name, table_name, replica_id_columns FROM source_tables WHERE group_id = $1',
    [id],
  )
  return new Map(
    rows.map(([id, schema, name, columns]) => [
      id,
      {
        id,
        schema,
        name,
        key: (columns ?? []).map((column) => ({ name: column.name, typeOid: column.type_oid ?? null })),
      },
    ]),
  )
}

/**
 * Slices of the rows to move, ordered by table. The server keeps the list beside its session: no transaction stays open while the
 * caller works on a slice.
 */
export async function* movedRows(
  connection: Connection,
  stream: Pick<Stream, 'id' | 'storageVersion'>,
  plan: DefragmentPlan,
  tables: ReadonlyMap<string, SourceTable>,
): AsyncGenerator<MovedRow[]> {
  if (plan.buckets.length === 0) return
  await connection.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  try {
    await connection.execute(`SET LOCAL work_mem = '64MB'`)
    await connection.execute('SET LOCAL cursor_tuple_fraction = 1')
    // How many keys there are is guessed badly, and a loop over all operations for each of them would never end.
    await connection.execute('SET LOCAL enable_nestloop = off')
    // Compiling takes longer than what it saves here.
    await connection.execute('SET LOCAL jit = off')
    await connection.execute(`DECLARE moved NO SCROLL CURSOR WITH HOLD FOR ${movedQuery(stream)}`, [
      stream.id,
      plan.buckets.map(({ bucket }) => bucket),
      plan.buckets.map(({ moveBelow }) => moveBelow),
    ])
    await connection.execute('COMMIT')
  } catch (error) {
    await connection.execute('ROLLBACK').catch(() => {})
    throw error
  }
  try {
    for (;;) {
      const rows = await connection.query<MovedColumns>(`FETCH ${rowsAtOnce} FROM moved`)
      if (rows.length > 0) yield rows.map((row) => movedRow(row, tables))
      if (rows.length < rowsAtOnce) return
    }
  } finally {
    await connection.execute('CLOSE moved').catch(() => {})
  }
}

type MovedColumns = [string, Buffer, string, Buffer | null, boolean, string | null, boolean]

/**
 * $1 the stream, $2 names of buckets, $3 the op id below which each one's live rows are moved.
 * `key`: the last operation of each row in them, as [op id, 1 for PUT]: a row with a newer one above the plan's checkpoint is not moved.
 * `rivalled` is asked for by a list that is made once: nothing in the statement may be done again for each row.
 * The JSON of the operation is read only where current_data holds no source row: BSON of {} takes 5 bytes.
 */
function movedQuery({ storageVersion }: Pick<Stream, 'storageVersion'>): string {
  const [currentData, deleting] =
    storageVersion >= 3 ? ['v3_current_data', 'c.pending_delete IS NOT NULL'] : ['current_data', 'false']
  return `
    WITH chosen AS (
      SELECT * FROM unnest($2::text[], $3::int8[]) AS c (bucket_name, move_below)
    ), key AS (
      SELECT bucket_name, source_table, source_key, table_name, row_id,
             max(ARRAY[op_id, CASE op WHEN 'PUT' THEN 1 ELSE 0 END]) AS last
        FROM bucket_data
       WHERE group_id = $1 AND op IN ('PUT', 'REMOVE') AND bucket_name IN (SELECT bucket_name FROM chosen)
       GROUP BY bucket_name, source_key, row_id, table_name, source_table
    ), moved AS (
      SELECT key.*, last[1] AS op_id FROM key JOIN chosen USING (bucket_name) WHERE last[2] = 1 AND last[1] < move_below
    ), rivalled AS MATERIALIZED (
      SELECT DISTINCT m.source_table, m.source_key
        FROM moved m
        JOIN bucket_data r ON r.table_name = m.table_name AND r.row_id = m.row_id
                          AND (r.source_key <> m.source_key OR r.source_table <> m.source_table)
        JOIN ${currentData} c ON c.group_id = $1 AND c.source_table = r.source_table AND c.source_key = r.source_key
       WHERE r.group_id = $1 AND r.op = 'PUT' AND NOT (${deleting})
    ), first AS (
      SELECT DISTINCT ON (source_table, source_key) source_table, source_key, bucket_name, row_id, op_id
        FROM moved ORDER BY source_table, source_key, op_id
    )
    SELECT f.source_table, f.source_key, f.row_id, c.data, coalesce(${deleting}, false),
           CASE WHEN coalesce(octet_length(c.data), 0) <= 5
                THEN (SELECT p.data FROM bucket_data p
                       WHERE p.group_id = $1 AND p.bucket_name = f.bucket_name AND p.op_id = f.op_id) END,
           (f.source_table, f.source_key) IN (SELECT source_table, source_key FROM rivalled)
      FROM first f
      LEFT JOIN ${currentData} c ON c.group_id = $1 AND c.source_table = f.source_table AND c.source_key = f.source_key
     ORDER BY f.source_table, f.op_id`
}

function movedRow(
  [sourceTable, sourceKey, rowId, sourceRow, deleting, put, rival]: MovedColumns,
  tables: ReadonlyMap<string, SourceTable>,
): MovedRow {
  const left = deleting ? deleted : rival ? rivalled : null
  const columns = tables.get(sourceTable)?.key ?? []
  const key = left === null ? recoverKey(columns, { sourceKey, sourceRow, put, rowId }) : null
  return { sourceTable, key, left: left ?? (key === null ? unrecoverable : null) }
}
