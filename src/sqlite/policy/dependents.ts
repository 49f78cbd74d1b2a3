// Views and triggers elsewhere that mention a table. They must not be there while the table changes its name, because SQLite would carry
// them over to the rows; afterwards they are made again with the text they had, in the order they had.

import { sameName } from './catalogue.ts'
import { quoted } from './names.ts'
import { query, queryRow, SqlError } from './request.ts'
import type { Policy } from './request.ts'
import { isSign, isWord, mentions, tokensOf } from './sql-tokens.ts'
import type { SchemaObject } from './schema-objects.ts'

/** All views and triggers of the database and of this connection's temporary schema, oldest first. */
export function* viewsAndTriggers(): Policy<readonly SchemaObject[]> {
  const select = (schema: string): string =>
    `SELECT type, name, tbl_name, sql FROM ${schema} WHERE type IN ('view', 'trigger') AND sql IS NOT NULL ORDER BY rowid`
  const objects: SchemaObject[] = []
  for (const temp of [false, true])
    for (const [type, name, table, sql] of yield* query(select(temp ? 'sqlite_temp_schema' : 'sqlite_schema')))
      objects.push({
        type: type === 'view' ? 'view' : 'trigger',
        name: String(name),
        table: String(table),
        sql: String(sql),
        temp,
      })
  return objects
}

/**
 * What must step aside while `table` changes: views that mention it or such a view, with their triggers; triggers that mention one of
 * these; the younger triggers of the same tables, because a trigger made anew fires before the older ones; and what does not work
 * anyway, because SQLite renames nothing while such a thing is there.
 * @param own triggers of `table` itself, or of a view in its place
 */
export function dependentsOf(
  table: string,
  all: readonly SchemaObject[],
  own: (object: SchemaObject) => boolean,
  broken: readonly Broken[] = [],
): readonly SchemaObject[] {
  const tokens = new Map(all.map((object) => [object, tokensOf(object.sql)]))
  const names = [table]
  const aside = new Set<SchemaObject>()
  const candidates = all.filter((object) => !own(object) && !(object.type === 'view' && sameName(object.name, table)))
  for (let size = -1; size !== aside.size;) {
    size = aside.size
    for (const object of candidates) {
      const isBroken = broken.some(({ on }) => sameName(on, object.type === 'view' ? object.name : object.table))
      if (aside.has(object) || (!isBroken && !names.some((name) => mentions(tokens.get(object)!, name)))) continue
      aside.add(object)
      if (object.type === 'view') names.push(object.name)
    }
  }
  for (const [i, object] of candidates.entries())
    if (
      object.type === 'trigger' &&
      candidates
        .slice(0, i)
        .some((older) => aside.has(older) && older.type === 'trigger' && sameName(older.table, object.table))
    )
      aside.add(object)
  return candidates.filter((object) => aside.has(object))
}

/** Statements that take them away, the ones that depend on others first. */
export function droppedStatements(objects: readonly SchemaObject[]): readonly string[] {
  const views = objects.filter(({ type }) => type === 'view')
  return objects
    .toReversed()
    .filter(({ type, table }) => type === 'view' || !views.some((view) => sameName(view.name, table)))
    .map(({ type, name, temp }) => `DROP ${type.toUpperCase()} ${temp ? 'temp' : 'main'}.${quoted(name)}`)
}

/** The statement that makes an object again as it was. */
export function createdStatement({ sql, temp }: SchemaObject): string {
  if (!temp) return inMain(sql)
  const tokens = tokensOf(sql)
  const [create, next] = tokens
  const isSaid =
    isWord(next, 'TEMP') || isWord(next, 'TEMPORARY') || (isWord(tokens[2], 'TEMP') && isSign(tokens[3], '.'))
  return isSaid ? sql : `${sql.slice(0, create!.end)} TEMP${sql.slice(create!.end)}`
}

/** A statement that makes a view, trigger or index, with the schema said: where a temporary table has the name, SQLite would take that one. */
export function inMain(sql: string): string {
  const tokens = tokensOf(sql)
  const kind = tokens.findIndex((token) => ['VIEW', 'TRIGGER', 'INDEX'].some((word) => isWord(token, word)))
  const name = isWord(tokens[kind + 1], 'IF') && isWord(tokens[kind + 2], 'NOT') ? kind + 4 : kind + 1
  const start = tokens[name]?.start
  if (kind < 0 || start === undefined || isSign(tokens[name + 1], '.')) return sql
  return `${sql.slice(0, start)}main.${sql.slice(start)}`
}

/** What does not compile. */
export interface Broken {
  /** What somebody would do that fails, in words. */
  readonly what: string
  readonly why: string
  /** The view, or the table or view whose triggers are run. */
  readonly on: string
}

/** Views that cannot be read, and tables and views that cannot be written because of their triggers. The statements do nothing. */
export function* brokenDependents(
  objects: readonly SchemaObject[],
  alsoWritten: readonly string[],
): Policy<readonly Broken[]> {
  const broken: Broken[] = []
  const attempt = function* (what: string, on: string, sql: string): Policy<void> {
    try {
      yield* query(sql)
    } catch (error) {
      if (!(error instanceof SqlError) || error.primaryCode !== 1) throw error
      broken.push({ what: `${what} ${on}`, why: error.message, on })
    }
  }
  const written = new Map(alsoWritten.map((name) => [`main.${quoted(name)}`, name]))
  for (const { type, name, table, temp } of objects) {
    if (type === 'view')
      yield* attempt('reading the view', name, `EXPLAIN SELECT * FROM ${temp ? 'temp' : 'main'}.${quoted(name)}`)
    // A temporary trigger may belong to a table of either schema; bare, the name means what it means to the trigger.
    else written.set(temp ? quoted(table) : `main.${quoted(table)}`, table)
  }
  for (const [target, name] of written) {
    const columns = (yield* query('SELECT name FROM pragma_table_info(?)', name)).map(([column]) =>
      quoted(String(column)),
    )
    const events = yield* triggerEvents(name)
    const isView =
      (yield* queryRow(`SELECT 1 FROM sqlite_schema WHERE type = 'view' AND name = ? COLLATE NOCASE`, name)) !==
      undefined
    const can = (event: string): boolean => columns.length > 0 && (!isView || events.includes(event))
    const nothing = columns.map(() => 'NULL').join(', ')
    // Not EXPLAIN: SQLite 3.54 was seen to crash where one of a statement with triggers was run again after a change of the schema.
    if (can('INSERT'))
      yield* attempt('inserting into', name, `INSERT INTO ${target}(${columns.join(', ')}) SELECT ${nothing} WHERE 0`)
    const set = columns.map((column) => `${column} = ${column}`).join(', ')
    if (can('UPDATE')) yield* attempt('updating', name, `UPDATE ${target} SET ${set} WHERE 0`)
    if (can('DELETE')) yield* attempt('deleting from', name, `DELETE FROM ${target} WHERE 0`)
  }
  return broken
}

function* triggerEvents(table: string): Policy<readonly string[]> {
  const events: string[] = []
  for (const schema of ['sqlite_schema', 'sqlite_temp_schema'])
    for (const [sql] of yield* query(
      `SELECT sql FROM ${schema} WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE`,
      table,
    )) {
      const tokens = tokensOf(String(sql))
      const event = tokens.slice(2).find((token) => ['INSERT', 'UPDATE', 'DELETE'].some((word) => isWord(token, word)))
      if (event !== undefined) events.push(event.value.toUpperCase())
    }
  return events
}
