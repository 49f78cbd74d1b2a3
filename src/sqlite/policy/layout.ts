// Layout 1: the statements of the objects that stand around the rows of a compressed table. Pure: a description in, statements out.
//
// A cell that an UPDATE leaves alone keeps its compressed form; one that is written is plain until maintenance comes by.

import { defaults } from './catalogue.ts'
import { dictColumn, literal, pendingIndex, quoted, rowsTable, viewTrigger } from './names.ts'
import { tokensOf } from './sql-tokens.ts'
import type { Column, Table } from './table.ts'

/** A column whose cells are compressed. */
export interface Compressed {
  readonly column: string
  /** Compressed cells are text unless their dictionary says otherwise. */
  readonly text: boolean
  readonly minLength: number
  readonly collation: string
  /** What a STRICT table lets into the column; undefined where anything goes. */
  readonly only: 'TEXT' | 'BLOB' | undefined
}

/** What a compressed table is made of. */
export interface Layout {
  readonly table: Table
  readonly columns: readonly Compressed[]
  /** The number of `_tamp_scope`. */
  readonly scope: number
}

/** How the compressed column `column` of `table` is stored. */
export function compressedAs(
  table: Table,
  column: Column,
  text: boolean,
  minLength: number = defaults.minLength,
): Compressed {
  const type = column.type.toUpperCase()
  return {
    column: column.name,
    text,
    minLength,
    collation: column.collation,
    only: table.strict && (type === 'TEXT' || type === 'BLOB') ? type : undefined,
  }
}

/** The cell as the user wrote it. `row` is empty, or `new.` or `old.` in a trigger of the rows. */
export function decodedCell({ column, text, only }: Compressed, scope: number, row: '' | 'new.' | 'old.' = ''): string {
  const dict = row + quoted(dictColumn(column))
  const cell = `zstd_decompress_col(${row}${quoted(column)}, ${dict} IS ${text ? 'NOT ' : ''}-2, ${dict}, ${scope})`
  // A STRICT table vouches for the type, so the column keeps its affinity.
  return only === undefined ? cell : `CAST(${cell} AS ${only})`
}

/** The cell in the place of the column's name in an expression: with the collation that comparisons take from the column. */
export function decodedTerm(column: Compressed, scope: number, row: '' | 'new.' | 'old.' = ''): string {
  const cell = decodedCell(column, scope, row)
  return isBinary(column) ? cell : `(${cell} COLLATE ${quoted(column.collation)})`
}

/**
 * The cell in the place of the column's name in an index. SQLite puts COLLATE around a view's expression when it looks for an index, so the
 * index must have it too, BINARY or not.
 */
export function decodedIndexTerm(column: Compressed, scope: number): string {
  return `(${decodedCell(column, scope)} COLLATE ${isBinary(column) ? 'BINARY' : quoted(column.collation)})`
}

function isBinary({ collation }: Compressed): boolean {
  return collation.toUpperCase() === 'BINARY'
}

/** The view that stands in the table's place. */
export function viewStatement({ table, columns, scope }: Layout): string {
  const list = table.columns.map(({ name }) => {
    const compressed = columns.find(({ column }) => column === name)
    return compressed === undefined ? quoted(name) : `${decodedTerm(compressed, scope)} AS ${quoted(name)}`
  })
  return `CREATE VIEW ${quoted(table.name)} AS SELECT ${list.join(', ')} FROM ${quoted(rowsTable(table.name))}`
}

/** The index of the rows that are still to be compressed. */
export function pendingStatement(table: string, { column, minLength }: Compressed): string {
  const [cell, dict] = [quoted(column), quoted(dictColumn(column))]
  return `CREATE INDEX ${quoted(pendingIndex(table, column))} ON ${quoted(rowsTable(table))}(${dict}) WHERE ${dict} IS NULL AND typeof(${cell}) IN ('text','blob') AND length(${cell}) >= ${minLength}`
}

/** The triggers that carry writing to the view over to the rows. */
export function viewTriggerStatements(layout: Layout): readonly string[] {
  const { table } = layout
  const rows = quoted(rowsTable(table.name))
  const trigger = (event: 'insert' | 'update' | 'delete', statements: readonly string[]): string =>
    `CREATE TRIGGER ${quoted(viewTrigger(table.name, event))} INSTEAD OF ${event.toUpperCase()} ON ${quoted(table.name)} FOR EACH ROW BEGIN ${statements.map((sql) => `${sql};`).join(' ')} END`
  const written = table.columns.filter(({ generated }) => generated === undefined)
  return [
    trigger('insert', [
      ...refusals(layout, 'INSERT'),
      `INSERT INTO ${rows}(${written.map(({ name }) => quoted(name)).join(', ')}) VALUES (${written.map((column) => inserted(layout, column)).join(', ')})`,
    ]),
    trigger('update', [...refusals(layout, 'UPDATE'), ...updates(layout, written)]),
    trigger('delete', [`DELETE FROM ${rows} WHERE ${sameKey(table)}`]),
  ]
}

/** An INSERT that leaves a column out gives NULL for it to the trigger, and the table's default must come in. */
function inserted(layout: Layout, column: Column): string {
  const value = taken(layout, column)
  // SQLite picks the INTEGER PRIMARY KEY, whatever its DEFAULT.
  const given = column.name === layout.table.rowidAlias ? undefined : defaultExpression(column)
  return given === undefined ? value : `coalesce(${value}, ${given})`
}

/** The new value as the column takes it: a STRICT column converts, but the rows of a compressed one would take anything. */
function taken({ columns }: Layout, { name }: Column): string {
  const value = `new.${quoted(name)}`
  const only = columns.find(({ column }) => column === name)?.only
  return only === 'TEXT' ? `iif(typeof(${value}) IN ('integer', 'real'), CAST(${value} AS TEXT), ${value})` : value
}

/** What DEFAULT stands for; undefined where it is NULL. */
export function defaultExpression({ default: text }: Pick<Column, 'default'>): string | undefined {
  if (text === undefined || /^null$/i.test(text)) return undefined
  // A bare word after DEFAULT is a string, but for these.
  if (
    /^[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*$/.test(text) &&
    !/^(true|false|current_(time|date|timestamp))$/i.test(text)
  )
    return literal(text)
  // So is a quoted one.
  const [quotedWord, ...more] = tokensOf(text)
  if (quotedWord?.kind === 'name' && more.length === 0) return literal(quotedWord.value)
  return `(${text})`
}

/**
 * SQLite reads all rows that an UPDATE on a view is for before it writes the first, so what nobody set may be old by the time it is this row's
 * turn, after a cascade or a trigger: it stays as the row has it.
 */
function updates(layout: Layout, written: readonly Column[]): readonly string[] {
  const { table, columns } = layout
  const rows = quoted(rowsTable(table.name))
  const set = (which: readonly Column[]): string =>
    which
      .flatMap((column) => {
        const compressed = columns.find((candidate) => candidate.column === column.name)
        const [cell, value] = [quoted(column.name), taken(layout, column)]
        const same = isSame(column.name)
        const kept = `${cell} = iif(${same}, ${cell}, ${value})`
        if (compressed === undefined) return [kept]
        const dict = quoted(dictColumn(column.name))
        return [kept, `${dict} = iif(${same}, ${dict}, NULL)`]
      })
      .join(', ')
  const key = table.key.map(({ name }) => name)
  const others = written.filter(({ name }) => !key.includes(name))
  const where = sameKey(table)
  const keyStays = key.map(isSame).join(' AND ')
  const all = `UPDATE ${rows} SET ${set(written)} WHERE ${where}`
  // Writing the key again makes SQLite look at every index and foreign key. But triggers must see a column that is not compressed.
  const isSeen = others.some(({ name }) => !columns.some(({ column }) => column === name))
  if (others.length === 0 || (!isSeen && table.triggers.length > 0)) return [all]
  return [`UPDATE ${rows} SET ${set(others)} WHERE ${where} AND ${keyStays}`, `${all} AND NOT (${keyStays})`]
}

/** Whether an UPDATE leaves a column as it is: 1 and 1.0 are not the same, nor are letters that a collation takes for the same. */
export function isSame(column: string): string {
  const [one, other] = [`new.${quoted(column)}`, `old.${quoted(column)}`]
  return `(${one} IS ${other} COLLATE BINARY AND typeof(${one}) = typeof(${other}))`
}

function sameKey({ key, columns }: Table): string {
  return key
    .map(({ name, collation }) => {
      const declared = columns.find((column) => column.name === name)?.collation ?? 'BINARY'
      const plain = collation.toUpperCase() === 'BINARY' && declared.toUpperCase() === 'BINARY'
      return `${quoted(name)} = old.${quoted(name)}${plain ? '' : ` COLLATE ${quoted(collation)}`}`
    })
    .join(' AND ')
}

/** What the table refuses and the rows alone would not. */
function refusals({ table, columns }: Layout, event: 'INSERT' | 'UPDATE'): readonly string[] {
  const refuse = (message: string, condition: string): string =>
    `SELECT raise(ABORT, ${literal(message)}) WHERE ${condition}`
  const nullKeys = table.columns.filter(
    ({ name, notNull }) =>
      !notNull && !table.withoutRowid && name !== table.rowidAlias && table.key.some((key) => key.name === name),
  )
  return [
    ...nullKeys.map((column) =>
      refuse(
        `NULL in the key of a compressed table: ${table.name}.${column.name}`,
        `${event === 'INSERT' ? (defaultExpression(column) ?? 'NULL') : 'NULL'} IS NULL AND new.${quoted(column.name)} IS NULL`,
      ),
    ),
    ...table.columns
      .filter(({ generated }) => generated !== undefined)
      .map(({ name }) =>
        refuse(
          `cannot ${event === 'INSERT' ? 'INSERT into' : 'UPDATE'} generated column "${name}"`,
          event === 'INSERT' ? `new.${quoted(name)} IS NOT NULL` : `NOT ${isSame(name)}`,
        ),
      ),
    ...columns.flatMap(({ column, only }) => {
      const types = only === 'TEXT' ? ['BLOB'] : only === 'BLOB' ? ['TEXT', 'INT', 'REAL'] : []
      return types.map((type) =>
        refuse(
          `cannot store ${type} value in ${only} column ${table.name}.${column}`,
          `typeof(new.${quoted(column)}) = '${type === 'INT' ? 'integer' : type.toLowerCase()}'`,
        ),
      )
    }),
  ]
}
