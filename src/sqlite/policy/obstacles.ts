// What keeps a column from being compressed.

import { sameName } from './catalogue.ts'
import { viewsAndTriggers } from './dependents.ts'
import { compressedAs } from './layout.ts'
import type { Compressed, Layout } from './layout.ts'
import { dictColumn, pendingIndex, quoted, rowsTable, viewTrigger } from './names.ts'
import type { Remark } from './remarks.ts'
import { query, queryRow, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import { columnOf } from './table.ts'
import { temporaryNamesake } from './temporary-namesakes.ts'
import type { Column, Table } from './table.ts'
import { reenteredTriggers } from './trigger-cycles.ts'
import { rewrittenTrigger } from './triggers.ts'

/** All that stands in the way; of the rest nothing is said where the table itself is not fit. */
export function* obstaclesOf(table: Table, column: Column, others: readonly Compressed[]): Policy<readonly Remark[]> {
  const obstacles = [...structuralObstacles(table, column)]
  if (obstacles.length > 0) return obstacles
  return [
    ...(yield* contentObstacles(table, column)),
    ...(yield* nameObstacles(table, column)),
    ...(yield* triggerObstacles(table, column, others)),
    ...contentTableObstacles(table),
  ]
}

function* structuralObstacles(table: Table, column: Column): Iterable<Remark> {
  const lane = `${table.name}.${column.name}`
  const has = (names: readonly string[]): boolean => names.some((name) => sameName(name, column.name))
  if (table.key.length === 0)
    yield {
      code: 'no-primary-key',
      detail: `${table.name} has no PRIMARY KEY: an UPDATE through a view could not tell its rows apart.`,
      hint: `Make a table with a key, such as "id INTEGER PRIMARY KEY", copy the rows into it, and give it the name ${table.name}.`,
    }
  if (has(table.key.map(({ name }) => name)))
    yield { code: 'in-primary-key', detail: `${lane} is part of the PRIMARY KEY.`, hint: 'Compress another column.' }
  else if (has(table.constrained))
    yield {
      code: 'in-unique-constraint',
      detail: `${lane} is part of a UNIQUE constraint.`,
      hint: 'A separate CREATE UNIQUE INDEX can stay: it would be carried over.',
    }
  if (
    has(table.foreignKeys.flatMap(({ columns }) => columns)) ||
    has(table.referencedBy.flatMap(({ parentColumns }) => parentColumns))
  )
    yield { code: 'in-foreign-key', detail: `${lane} is part of a foreign key.`, hint: 'Compress another column.' }
  if (column.generated !== undefined)
    yield {
      code: 'generated-column',
      detail: `${lane} is a generated column.`,
      hint: 'Compress the column that it is computed from.',
    }
  if (table.columns.some(({ name }) => sameName(name, dictColumn(column.name))))
    yield { code: 'name-taken', detail: `${table.name} has a column ${dictColumn(column.name)} already.` }
  const type = column.type.toUpperCase()
  if (table.strict && !['TEXT', 'BLOB', 'ANY'].includes(type))
    yield {
      code: 'number-column',
      detail: `${lane} is declared ${type}: there is nothing in it that zstd could compress.`,
    }
}

function* contentObstacles(table: Table, column: Column): Policy<readonly Remark[]> {
  const obstacles: Remark[] = []
  const from = `FROM main.${quoted(table.stored)}`
  if (column.affinity === 'INTEGER' || column.affinity === 'REAL') {
    const number = yield* queryValue(
      `SELECT 1 ${from} WHERE typeof(${quoted(column.name)}) IN ('integer', 'real') LIMIT 1`,
    )
    if (number !== undefined)
      obstacles.push({
        code: 'number-column',
        detail: `${table.name}.${column.name} is declared ${column.type} and holds numbers: there is nothing in it that zstd could compress.`,
      })
  }
  const nullable = table.key.filter(
    ({ name }) => !table.withoutRowid && name !== table.rowidAlias && !columnOf(table, name).notNull,
  )
  if (nullable.length > 0) {
    const where = nullable.map(({ name }) => `${quoted(name)} IS NULL`).join(' OR ')
    if ((yield* queryRow(`SELECT 1 ${from} WHERE ${where} LIMIT 1`)) !== undefined)
      obstacles.push({
        code: 'null-in-key',
        detail: `${table.name} has rows with NULL in the PRIMARY KEY: an UPDATE through a view could not tell them apart.`,
        hint: `See SELECT * FROM ${quoted(table.name)} WHERE ${where}.`,
      })
  }
  return obstacles
}

/** Names that compression needs and that somebody else has. */
function* nameObstacles(table: Table, column: Column): Policy<readonly Remark[]> {
  const obstacles: Remark[] = []
  // Triggers have names of their own.
  const triggers = (['insert', 'update', 'delete'] as const).map((event) => viewTrigger(table.name, event))
  const names = table.madeBy === 'nobody' ? [rowsTable(table.name), ...triggers] : []
  for (const name of [pendingIndex(table.name, column.name), ...names]) {
    const there = yield* queryRow(
      `SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND (type = 'trigger') = ?`,
      name,
      triggers.includes(name) ? 1 : 0,
    )
    if (there !== undefined)
      obstacles.push({
        code: 'name-taken',
        detail: `There is ${triggers.includes(name) ? 'a trigger' : 'something'} of the name ${name} already, which compression needs.`,
      })
  }
  const namesake = yield* temporaryNamesake(table)
  return namesake === undefined ? obstacles : [...obstacles, namesake]
}

function* triggerObstacles(table: Table, column: Column, others: readonly Compressed[]): Policy<readonly Remark[]> {
  const obstacles: Remark[] = []
  const layout: Layout = { table, columns: [...others, compressedAs(table, column, true)], scope: 0 }
  for (const { name, sql } of table.triggers) {
    const rewritten = rewrittenTrigger(sql, layout)
    if ('refused' in rewritten)
      obstacles.push({
        code: 'trigger-not-portable',
        detail: `The trigger ${name} cannot be carried over: ${rewritten.refused}.`,
        hint: 'Rewrite it, or drop it while the column is compressed.',
      })
  }
  const all = yield* viewsAndTriggers()
  for (const { name, table: on, temp } of all)
    if (temp && sameName(on, table.stored))
      obstacles.push({
        code: 'temporary-trigger',
        detail: `This connection has a temporary trigger ${name} on ${table.name}.`,
        hint: 'Drop it: SQLite has no such triggers on views.',
      })
  for (const cycle of reenteredTriggers(table, all, yield* allForeignKeys()))
    obstacles.push({
      code: 'trigger-cycle',
      detail: `${cycle}, while ${table.name} itself is being written: through a view SQLite would silently leave that out.`,
      hint: 'Rewrite one of the triggers, or drop it while the column is compressed.',
    })
  return obstacles
}

function* allForeignKeys(): Policy<readonly { table: string; parent: string; onUpdate: string; onDelete: string }[]> {
  const rows = yield* query(
    `SELECT t.name, k."table", k.on_update, k.on_delete
      FROM sqlite_schema t, pragma_foreign_key_list(t.name, 'main') k
      WHERE t.type = 'table' AND upper(substr(t.sql, 1, 14)) <> 'CREATE VIRTUAL'`,
  )
  return rows.map(([table, parent, onUpdate, onDelete]) => ({
    table: String(table),
    parent: String(parent),
    onUpdate: String(onUpdate),
    onDelete: String(onDelete),
  }))
}

function contentTableObstacles(table: Table): readonly Remark[] {
  return table.contentOf
    .filter(({ sql }) => !/content_rowid\s*=/i.test(sql))
    .map(({ name }) => ({
      code: 'content-by-rowid',
      detail: `The virtual table ${name} reads ${table.name} by its rowid, and a view has none.`,
      hint: `Make it with content_rowid='${table.rowidAlias ?? 'id'}', or with content='${rowsTable(table.name)}' and columns of its own.`,
    }))
}
