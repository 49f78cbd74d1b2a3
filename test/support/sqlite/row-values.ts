// Values for the columns of a random schema, as SQL: what is inserted, what is assigned, keys and the rows of a large INSERT.
import { mayInsertNull } from './announced-differences.ts'
import type { Column, Schema } from './built-schema.ts'
import type { DrawnRow } from './random-statements.ts'
import { nullValue } from './random-values.ts'
import type { Drawn } from './random-values.ts'

const at = <Item>(items: readonly Item[], n: number): Item => items[n % items.length]!

export function inserted(column: Column, row: DrawnRow, i: number, schema: Schema): string {
  if (column.part === 'key') return keyValue(column, row.key)
  if (column.part === 'parent') return row.key % 5 === 4 ? 'NULL' : String(row.key % 7)
  if (column.part === 'itself') return row.key % 3 > 0 ? 'NULL' : keyValue(schema.key[0]!, row.key + 1)
  const value = at(row.values, i)
  const fitting = row.fits === 0 ? value : fit(column, value, i, schema)
  return fitting.kind === 'null' && !mayInsertNull(column) ? column.default! : fitting.sql
}

/** A value that the column takes, most often the one given. */
export function fit(column: Column, value: Drawn, n: number, schema: Schema): Drawn {
  if (value.kind === 'null')
    return column.notNull ? fit(column, { sql: `'not null ${n}'`, kind: 'text' }, n, schema) : nullValue
  if (!schema.strict) return value
  switch (column.affinity) {
    case 'TEXT':
      return value.kind === 'blob' ? { sql: `'not a blob but text, ${n}'`, kind: 'text' } : value
    case 'BLOB':
      return value.kind === 'blob' ? value : { sql: `x'${Buffer.from(value.sql).toString('hex')}'`, kind: 'blob' }
    default:
      return value.kind === 'number' && !/[.e]|\d{16}/.test(value.sql) ? value : { sql: String(n), kind: 'number' }
  }
}

export function keyValue(column: Column, n: number): string {
  if (column.affinity === 'INTEGER') return String(n)
  if (column.affinity === 'BLOB') return ['1', `'1'`, `x'31'`, '1.5', `'a'`, `'A'`, '-0.0', `x''`][n % 8]!
  return `'${['a', 'B', 'ab', 'Ab', 'c ', 'c', 'Ä', 'x y'][n % 8]}'`
}

export function oneKey(n: number, schema: Schema): string {
  return schema.key.map((column) => `${column.sql} = ${keyValue(column, n)}`).join(' AND ')
}

export function keyOrder(schema: Schema): string {
  return schema.key.map(({ sql }) => `${sql} COLLATE BINARY`).join(', ')
}

export function manyOf(column: Column, n: number): string {
  const json = `printf('{"type":"movie","y":%d,"title":"Episode %d of the lost night","id":"tt%07d","genres":["Drama","Short"]}', i % 13, i * 7919 % 300, i)`
  switch (column.part) {
    case 'key':
      return column.affinity === 'INTEGER' ? 'i' : `'key ' || (i / 2)`
    case 'parent':
      return 'nullif(i % 5, 4)'
    case 'itself':
      return 'NULL'
    case 'payload':
      return column.affinity === 'BLOB' ? `CAST(${json} AS BLOB)` : json
    default:
      return column.affinity === 'TEXT'
        ? n % 2 === 0
          ? `'word ' || (i % 17)`
          : json
        : column.affinity === 'BLOB'
          ? `CAST(${json} AS BLOB)`
          : `i % 29`
  }
}

export function assigned(
  column: Column,
  { form, value }: { readonly form: number; readonly value: Drawn },
  schema: Schema,
): string {
  if (column.part === 'key')
    return column.affinity === 'INTEGER' && form % 3 === 0 ? `${column.sql} + 100` : keyValue(column, form)
  if (column.part === 'parent') return form % 4 === 0 ? 'NULL' : String(form % 7)
  if (column.part === 'itself') return form % 4 === 0 ? 'NULL' : keyValue(schema.key[0]!, form)
  const others = schema.columns.filter(({ part }) => part !== 'key')
  switch (form) {
    case 0:
      return column.sql
    case 1:
      return column.affinity === 'TEXT' ? `${column.sql} || ' and more'` : column.sql
    case 2:
      return `CASE WHEN json_valid(${column.sql}) THEN json_set(${column.sql}, '$.y', 5) ELSE ${column.sql} END`
    case 3:
      return at(others, value.sql.length).sql
    case 4:
    case 5:
      return `CASE WHEN typeof(${column.sql}) = 'text' THEN upper(${column.sql}) ELSE ${column.sql} + 1.0 END`
    default:
      return fit(column, value, form, schema).sql
  }
}
