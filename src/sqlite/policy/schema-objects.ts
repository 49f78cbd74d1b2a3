// The indexes and triggers of a table as they are on the plain table, whatever has become of them since.

import { hasTampCatalogue, sameName } from './catalogue.ts'
import { quoted } from './names.ts'
import { query } from './request.ts'
import type { Policy } from './request.ts'
import { edited, isName, tokensOf } from './sql-tokens.ts'

/** An index, trigger or view: as it is in the schema, and the statement that made it. */
export interface SchemaObject {
  readonly type: 'index' | 'trigger' | 'view'
  readonly name: string
  /** Of the table or view it belongs to. */
  readonly table: string
  readonly sql: string
  readonly temp: boolean
}

/** Who made the objects around the rows: nobody where no column is compressed. */
export type MadeBy = 'nobody' | 'tamp' | 'sqlite-zstd'

/** What `_tamp_schema` remembers of a table, in the order in which it was made. */
export function* originals(table: string, type: 'table' | 'index' | 'trigger'): Policy<readonly SchemaObject[]> {
  if (!(yield* hasTampCatalogue())) return []
  const rows = yield* query(
    `SELECT name, sql FROM main._tamp_schema WHERE type = ? AND table_name = ? COLLATE NOCASE ORDER BY name`,
    type,
    table,
  )
  return rows.map(([name, sql]) => ({
    type: type === 'table' ? ('view' as const) : type,
    name: String(name),
    table,
    sql: String(sql),
    temp: false,
  }))
}

function* objectsOn(stored: string, type: 'index' | 'trigger'): Policy<readonly SchemaObject[]> {
  const rows = yield* query(
    `SELECT name, sql FROM sqlite_schema WHERE type = ? AND tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL ORDER BY rowid`,
    type,
    stored,
  )
  return rows.map(([name, sql]) => ({ type, name: String(name), table: stored, sql: String(sql), temp: false }))
}

export function* indexesOf(name: string, stored: string, madeBy: MadeBy): Policy<readonly SchemaObject[]> {
  const before = yield* originals(name, 'index')
  return (yield* objectsOn(stored, 'index')).flatMap((index) => {
    const original = before.find((object) => sameName(object.name, index.name))
    if (original !== undefined) return [original]
    // One that compression made, or one that somebody made over the cells themselves.
    if (madeBy !== 'nobody' && /_dict\b|_pending"|zstd_decompress/i.test(index.sql)) return []
    return [{ ...index, sql: plainStatement(index.sql, stored, name) }]
  })
}

export function* triggersOf(name: string, stored: string, madeBy: MadeBy): Policy<readonly SchemaObject[]> {
  const now = yield* objectsOn(stored, 'trigger')
  // sqlite-zstd leaves a table's triggers to the rename, which changes nothing but the name.
  if (madeBy !== 'tamp') return now.map((trigger) => ({ ...trigger, sql: plainStatement(trigger.sql, stored, name) }))
  const before = yield* originals(name, 'trigger')
  return now.flatMap((trigger) => before.find((object) => sameName(object.name, trigger.name)) ?? [])
}

/** A statement that the rename of the table has been through, as it was before. */
function plainStatement(sql: string, stored: string, name: string): string {
  if (stored === name) return sql
  const places = tokensOf(sql).filter((token) => isName(token, stored))
  return edited(
    sql,
    places.map(({ start, end }) => ({ start, end, text: quoted(name) })),
  )
}
