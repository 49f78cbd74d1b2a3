// How things are quoted in SQL, and what the objects of a compressed column are called. sqlite-zstd's names, so that it finds them.

/** An identifier, quoted. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A string literal. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** The table that holds the rows of table `table`, behind a view of its name. */
export function rowsTable(table: string): string {
  return `_${table}_zstd`
}

/** The column of the rows table that says how column `column` is stored in a row. */
export function dictColumn(column: string): string {
  return `_${column}_dict`
}

/** The partial index over the rows of a column that are still to be compressed. */
export function pendingIndex(table: string, column: string): string {
  return `_${table}_${column}_pending`
}

/** The index over a whole dictionary column, as sqlite-zstd makes it: its name says nothing of the table. */
export function wholeDictIndex(column: string): string {
  return `_${column}_dict_idx`
}

/** The trigger that carries an INSERT, UPDATE or DELETE on the view over to the rows. */
export function viewTrigger(table: string, event: 'insert' | 'update' | 'delete'): string {
  return `_${table}_zstd_${event}`
}
