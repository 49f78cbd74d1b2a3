// From one set of compressed columns of a table to another: the statements in their order, and their execution. The only place that changes
// the objects around the rows, used to enable a column, to enable another, to take over one of sqlite-zstd's, and to disable one.

import { TampError } from '../../core/errors.ts'
import { sameName } from './catalogue.ts'
import { isReadByTable, withExpression, withoutExpressions, withType } from './create-table.ts'
import { createdStatement, dependentsOf, droppedStatements, inMain, viewsAndTriggers } from './dependents.ts'
import type { Broken } from './dependents.ts'
import { readsColumns, rewrittenIndex } from './indexes.ts'
import { decodedTerm, pendingStatement, viewStatement, viewTriggerStatements } from './layout.ts'
import type { Compressed, Layout } from './layout.ts'
import { dictColumn, literal, pendingIndex, quoted, rowsTable, viewTrigger, wholeDictIndex } from './names.ts'
import { execute, query, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import { columnOf } from './table.ts'
import type { SchemaObject } from './schema-objects.ts'
import type { Table } from './table.ts'
import { rewrittenTrigger } from './triggers.ts'

/** A change to make. */
export interface Restructuring {
  readonly table: Table
  /** Compressed columns as they are; without a pending index those that are being disabled. */
  readonly from: readonly Compressed[]
  readonly to: readonly Compressed[]
  /** Of the columns of `to`, those that get no index of pending rows. */
  readonly withoutPending?: readonly string[]
  readonly scope: number
  /** What does not work before the change. */
  readonly broken?: readonly Broken[]
}

/** One statement, or an edit of the text of a table in the schema, with a statement that says the same. */
type Step = { readonly sql: string } | { readonly edit: (sql: string) => string; readonly sql: string }

/** The statements of a change, in order. */
export function* restructuringSteps(change: Restructuring): Policy<readonly Step[]> {
  const { table, from, to, scope } = change
  const rows = rowsTable(table.name)
  const all = yield* viewsAndTriggers()
  const ofView =
    from.length === 0 ? [] : all.filter(({ type, table: on }) => type === 'trigger' && sameName(on, table.name))
  const isOurs = ({ name }: SchemaObject): boolean => isViewTrigger(table, name)
  const foreign = ofView.filter((trigger) => !isOurs(trigger))
  const aside = dependentsOf(
    table.name,
    all,
    (object) =>
      object.type === 'trigger' && (sameName(object.table, table.stored) || sameName(object.table, table.name)),
    change.broken,
  )
  const layout: Layout = { table, columns: to, scope }
  const touched = table.indexes.filter(({ sql }) => readsColumns(sql, from) || readsColumns(sql, to))
  const steps: Step[] = droppedStatements(aside).map((sql) => ({ sql }))
  const say = (...statements: readonly string[]): void => void steps.push(...statements.map((sql) => ({ sql })))

  if (from.length > 0) say(`DROP VIEW ${table.viewMissing ? 'IF EXISTS ' : ''}main.${quoted(table.name)}`)
  say(...table.triggers.toReversed().map(({ name }) => `DROP TRIGGER main.${quoted(name)}`))
  say(...(yield* indexesToDrop(change, touched)))
  if (from.length === 0) say(`ALTER TABLE main.${quoted(table.name)} RENAME TO ${quoted(rows)}`)
  const added = to.filter(({ column }) => !from.some((old) => old.column === column))
  const removed = from.filter(({ column }) => !to.some((kept) => kept.column === column))
  for (const { column } of added)
    say(`ALTER TABLE main.${quoted(rows)} ADD COLUMN ${quoted(dictColumn(column))} INTEGER DEFAULT NULL`)
  const edit = (sql: string): string => editedTable(sql, change)
  if (edit(table.sql) !== table.sql || removed.some(({ column }) => isReadByTable(table.plainSql, column))) {
    const text = edit(table.sql)
    steps.push({
      edit,
      sql: `UPDATE sqlite_schema SET sql = ${literal(text)} WHERE type = 'table' AND name = ${literal(rows)}`,
    })
  }
  for (const { column } of removed) say(`ALTER TABLE main.${quoted(rows)} DROP COLUMN ${quoted(dictColumn(column))}`)

  if (to.length === 0) {
    say(`ALTER TABLE main.${quoted(rows)} RENAME TO ${quoted(table.name)}`)
    say(...[...touched, ...table.triggers].map(({ sql }) => inMain(sql)))
  } else {
    say(...[viewStatement(layout), ...viewTriggerStatements(layout)].map(inMain))
    // The indexes of pending rows last: up to 3.53, SQLite takes UPDATE OR REPLACE of a key for a violation where a unique index is younger
    // than one with a condition.
    say(
      ...touched.map(({ sql }) => inMain(readsColumns(sql, to) ? rewrittenIndex(sql, layout) : onRows(sql, layout))),
      ...to
        .filter(({ column }) => change.withoutPending?.includes(column) !== true)
        .map((column) => inMain(pendingStatement(table.name, column))),
    )
    for (const { name, sql } of table.triggers) {
      const rewritten = rewrittenTrigger(sql, layout)
      if ('refused' in rewritten)
        throw new TampError('failed', `The trigger ${name} cannot be carried over: ${rewritten.refused}.`, {
          hint: 'Rewrite it, or drop it while the column is compressed.',
        })
      say(inMain(rewritten.sql))
    }
    say(...foreign.map(createdStatement))
  }
  say(...aside.map(createdStatement))
  return steps
}

/** Makes the change, and remembers the plain statements. To be called in a transaction. @returns the statements that were run */
export function* restructure(change: Restructuring): Policy<readonly string[]> {
  const { table, to } = change
  const steps = yield* restructuringSteps(change)
  const legacy = yield* queryValue('PRAGMA legacy_alter_table')
  if (legacy === 1) yield* query('PRAGMA legacy_alter_table = OFF')
  try {
    for (const step of steps)
      if ('edit' in step) yield* editSchema(rowsTable(table.name), step.edit)
      else yield* query(step.sql)
  } finally {
    if (legacy === 1) yield* query('PRAGMA legacy_alter_table = ON')
  }
  if (to.length === 0) yield* query('DELETE FROM main._tamp_schema WHERE table_name = ? COLLATE NOCASE', table.name)
  else yield* remember(table, to)
  return steps.map(({ sql }) => sql)
}

/** The names of triggers on the view that compression made: tamp's, and sqlite-zstd's. */
export function isViewTrigger(table: Table, name: string): boolean {
  const ours = (['insert', 'update', 'delete'] as const).map((event) => viewTrigger(table.name, event))
  const theirs = [
    `${table.name}_insert_trigger`,
    `${table.name}_delete_trigger`,
    ...table.columns.map((column) => `${table.name}_update_${column.name}_trigger`),
  ]
  return [...ours, ...theirs].some((candidate) => sameName(candidate, name))
}

function* indexesToDrop({ table, from }: Restructuring, touched: readonly SchemaObject[]): Policy<readonly string[]> {
  const made = from.flatMap(({ column }) => [pendingIndex(table.name, column), wholeDictIndex(column)])
  const there = yield* query(
    `SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? COLLATE NOCASE ORDER BY rowid DESC`,
    table.stored,
  )
  return there
    .map(([name]) => String(name))
    .filter((name) => [...made, ...touched.map((index) => index.name)].some((other) => sameName(other, name)))
    .map((name) => `DROP INDEX main.${quoted(name)}`)
}

/** An index that reads no compressed column any more, on the rows of those that still are. */
function onRows(sql: string, layout: Layout): string {
  return rewrittenIndex(sql, { ...layout, columns: [] })
}

/** The statement of the rows table: with types and expressions that compressed cells can pass. */
function editedTable(sql: string, { table, from, to, scope }: Restructuring): string {
  const replaced = from.map((column) => ({ column: column.column, expression: decodedTerm(column, scope) }))
  const plain = { sql: table.plainSql, table: table.name }
  let text = withoutExpressions(sql, replaced, plain, rowsTable(table.name))
  for (const { column, only } of from)
    if (only !== undefined) text = withType(text, column, columnOf(table, column).type)
  for (const column of to) {
    if (isReadByTable(table.plainSql, column.column))
      text = withExpression(text, column.column, decodedTerm(column, scope))
    if (column.only !== undefined) text = withType(text, column.column, 'ANY')
  }
  return text
}

/** Changes the text of a table in the schema, as https://sqlite.org/lang_altertable.html describes, and has SQLite read it again. */
function* editSchema(table: string, edit: (sql: string) => string): Policy<void> {
  const sql = String(
    yield* queryValue(`SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`, table),
  )
  const was = (yield { kind: 'defensive', on: false }) as boolean
  try {
    yield* query('PRAGMA writable_schema = ON')
    const changed = yield* execute(
      `UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ? COLLATE NOCASE`,
      edit(sql),
      table,
    )
    if (changed !== 1) throw new Error(`the statement of ${table} could not be changed`)
    const version = Number(yield* queryValue('PRAGMA schema_version'))
    yield* query(`PRAGMA schema_version = ${version + 1}`)
  } finally {
    try {
      yield* query('PRAGMA writable_schema = RESET')
    } finally {
      if (was) yield { kind: 'defensive', on: true }
    }
  }
}

function* remember(table: Table, columns: readonly Compressed[]): Policy<void> {
  yield* query(
    `DELETE FROM main._tamp_schema WHERE table_name = ? COLLATE NOCASE AND type IN ('index', 'trigger')`,
    table.name,
  )
  const insert = `INSERT OR REPLACE INTO main._tamp_schema (table_name, type, name, sql) VALUES (?, ?, ?, ?)`
  yield* query(insert, table.name, 'table', table.name, table.plainSql)
  const kept = [...table.indexes.filter(({ sql }) => readsColumns(sql, columns)), ...table.triggers]
  for (const { type, name, sql } of kept) yield* query(insert, table.name, type, name, sql)
}
