// Is a table there, under the search_path of the connection, and what columns has it? Asked of the catalog, nothing is read from the table.
import type { Connection } from './postgres.ts'

export interface FoundTable {
  /** The schema it was found in. */
  readonly schema: string
  readonly kind: 'table' | 'other'
  readonly columns: ReadonlyMap<string, { readonly type: string; readonly readable: boolean }>
}

export async function findTable(connection: Connection, name: string): Promise<FoundTable | undefined> {
  const rows = await connection.query<[string, string, string, string, boolean]>(
    `SELECT n.nspname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), has_column_privilege(c.oid, a.attnum, 'SELECT')
       FROM pg_catalog.pg_class c
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE c.oid = to_regclass($1)`,
    [`"${name.replaceAll('"', '""')}"`],
  )
  const [first] = rows
  if (first === undefined) return undefined
  return {
    schema: first[0],
    kind: first[1] === 'r' || first[1] === 'p' ? 'table' : 'other',
    columns: new Map(rows.map(([, , column, type, readable]) => [column, { type, readable }])),
  }
}
