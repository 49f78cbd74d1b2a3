// How a table's file is used: by rows, by rows that are dead, by nothing. Measured on a sample of its pages, without extensions.
import type { Connection } from '../../database/postgres.ts'

/** Bytes on disk; what ends in `Estimate` was sampled. */
export interface TableUse {
  /** The file of the table, with its TOAST table. */
  readonly tableBytes: number
  readonly indexBytes: number
  readonly rowsEstimate: number
  /** Rows that are no longer there but that no VACUUM has removed yet, as the server counts them. */
  readonly deadRowsEstimate: number
  /** Of the file: neither rows nor the room that a page leaves. After VACUUM new rows use it. */
  readonly unusedBytesEstimate: number
  /** Bytes at the end of the file without a row: so much VACUUM gives back. Null where the server cannot look there alone. */
  readonly emptyTailBytes: number | null
  /** What table and indexes would take, written anew. */
  readonly compactTableBytesEstimate: number
  readonly compactIndexBytesEstimate: number
}

/** A page's header, and what a row takes beside its columns: pointer, header, padding. */
const pageHeader = 24
const rowOverhead = 32
/** Pages looked at, and rows of them. */
const samplePages = 2000
/** PostgreSQL gives a tail back only where it is that long, in pages or as a share of the file (src/backend/access/heap/vacuumlazy.c). */
const leastTailPages = 1000
const leastTailShare = 1 / 16

export async function currentUse(connection: Connection, table: string): Promise<TableUse> {
  const [row] = await connection.query<[number, number, number, number, number, number, number]>(
    `SELECT pg_table_size(c.oid), pg_indexes_size(c.oid), pg_relation_size(c.oid) / current_setting('block_size')::int,
            coalesce(pg_stat_get_dead_tuples(c.oid), 0), current_setting('server_version_num')::int,
            coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0), current_setting('block_size')::int
       FROM pg_catalog.pg_class c WHERE c.oid = to_regclass($1)`,
    [table],
  )
  const [tableBytes, indexBytes, pages, deadRowsEstimate, version, toastBytes, pageBytes] = row!
  const sample = await sampled(connection, table, pages)
  const usable = pageBytes - pageHeader
  const compactHeap = Math.min(pages, Math.ceil(sample.bytes / usable)) * pageBytes
  const tail = version >= 140000 ? await emptyTail(connection, table, pages) : null
  const keyBytes = await indexedBytes(connection, table)
  return {
    tableBytes,
    indexBytes,
    rowsEstimate: sample.rows,
    deadRowsEstimate,
    unusedBytesEstimate: pages * pageBytes - compactHeap,
    emptyTailBytes:
      tail === null ? null : (tail >= Math.min(leastTailPages, pages * leastTailShare) ? tail : 0) * pageBytes,
    compactTableBytesEstimate: compactHeap + toastBytes,
    // Leaves are packed to 90 %.
    compactIndexBytesEstimate: Math.min(indexBytes, Math.ceil((sample.rows * keyBytes) / (usable * 0.9)) * pageBytes),
  }
}

/** Rows, and the bytes that they take in pages: of all of them, or of a part of the pages. */
async function sampled(
  connection: Connection,
  table: string,
  pages: number,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  if (pages === 0) return { rows: 0, bytes: 0 }
  const share = Math.min(100, (100 * samplePages) / pages)
  const columns = await connection.query<[string]>(
    `SELECT quote_ident(attname) FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`,
    [table],
  )
  // Column by column: the size of a whole row would read what is stored out of line.
  const size = columns.map(([column]) => `coalesce(pg_column_size(t.${column}), 0)`).join(' + ')
  const [row] = await connection.query<[number, number]>(
    `SELECT count(*), coalesce(sum((${size} + ${rowOverhead + 7}) / 8 * 8), 0)::int8
       FROM ${table} t TABLESAMPLE SYSTEM (${share}) REPEATABLE (1)`,
  )
  const [rows, bytes] = row!
  return { rows: Math.round((rows * 100) / share), bytes: Math.round((bytes * 100) / share) }
}

/** Pages at the end of the file without a row: the end is looked at in ever larger steps, so that no more is read than twice that. */
async function emptyTail(connection: Connection, table: string, pages: number): Promise<number> {
  const rowFrom = async (page: number): Promise<boolean> => {
    const [row] = await connection.query<[boolean]>(`SELECT EXISTS (SELECT FROM ${table} WHERE ctid >= $1::tid)`, [
      `(${page},0)`,
    ])
    return row![0]
  }
  let empty = pages
  let step = 1
  // At `empty` and beyond there is none.
  while (empty > 0) {
    const page = Math.max(0, empty - step)
    if (!(await rowFrom(page))) {
      empty = page
      step *= 2
    } else if (step === 1) break
    else step = Math.floor(step / 2)
  }
  return pages - empty
}

/** Bytes of an entry of each index together, as far as the statistics know. */
async function indexedBytes(connection: Connection, table: string): Promise<number> {
  const [row] = await connection.query<[number]>(
    `SELECT coalesce(sum(12 + width), 0)::float8 FROM (
       SELECT i.indexrelid, (coalesce(sum(s.avg_width), 8 * count(*)) + 7)::int / 8 * 8 AS width
         FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
         LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
        WHERE i.indrelid = to_regclass($1) AND i.indpred IS NULL
        GROUP BY i.indexrelid) w`,
    [table],
  )
  return row![0]
}

/**
 * Who keeps VACUUM from removing dead rows: the oldest transaction or slot that may still want to see them.
 * @param leastSeconds for which a transaction has to be open before it is named
 */
export async function holdingBack(connection: Connection, leastSeconds: number): Promise<string[]> {
  const rows = await connection.query<[string, string, number | null]>(
    `SELECT who, detail, seconds FROM (
       SELECT 'session ' || pid AS who, age(backend_xmin) AS age,
              coalesce(nullif(application_name, ''), backend_type, '') AS detail,
              extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
         FROM pg_catalog.pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
       UNION ALL
       SELECT 'replication slot ' || slot_name, age(xmin), coalesce(database, ''), NULL
         FROM pg_catalog.pg_replication_slots WHERE xmin IS NOT NULL
       UNION ALL
       SELECT 'prepared transaction ' || gid, age(transaction), database, extract(epoch FROM clock_timestamp() - prepared)::float8
         FROM pg_catalog.pg_prepared_xacts) h
      WHERE seconds IS NULL OR seconds >= $1
      ORDER BY age DESC LIMIT 1`,
    [leastSeconds],
  )
  return rows.map(([who, detail, seconds]) => {
    const since = seconds === null ? '' : `, whose transaction is open for ${Math.max(1, Math.round(seconds))} s`
    return `Dead rows are kept for the ${who}${detail === '' ? '' : ` (${detail})`}${since}: VACUUM removes only what nobody may want to see`
  })
}
