// Foreign keys from a table and to it.

import { sameName } from './catalogue.ts'
import { query } from './request.ts'
import type { Policy } from './request.ts'

export interface ForeignKey {
  readonly table: string
  readonly columns: readonly string[]
  readonly parent: string
  readonly parentColumns: readonly string[]
}

export function* foreignKeysFrom(table: string): Policy<readonly ForeignKey[]> {
  const keys = new Map<number, { columns: string[]; parent: string; parentColumns: string[] }>()
  for (const [id, parent, from, to] of yield* query(
    `SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?, 'main') ORDER BY id, seq`,
    table,
  )) {
    const key = keys.get(Number(id)) ?? { columns: [], parent: String(parent), parentColumns: [] }
    keys.set(Number(id), key)
    key.columns.push(String(from))
    if (to !== null) key.parentColumns.push(String(to))
  }
  return [...keys.values()].map((key) => ({ table, ...key }))
}

export function* foreignKeysTo(stored: string): Policy<readonly ForeignKey[]> {
  const found: ForeignKey[] = []
  const tables = yield* query(
    // Not LIKE, which minds the case where the connection says so.
    `SELECT name FROM sqlite_schema
      WHERE type = 'table' AND instr(upper(sql), 'REFERENCES') > 0 AND upper(substr(sql, 1, 14)) <> 'CREATE VIRTUAL'`,
  )
  for (const [name] of tables)
    for (const key of yield* foreignKeysFrom(String(name))) if (sameName(key.parent, stored)) found.push(key)
  return found
}
