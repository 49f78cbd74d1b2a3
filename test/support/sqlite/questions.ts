// Random questions over a random schema, and conditions on its rows.
import { comparesAsIs, withoutAffinity } from './announced-differences.ts'
import type { Schema } from './built-schema.ts'
import type { DrawnStep, DrawnWhere } from './random-statements.ts'
import { keyOrder, oneKey } from './row-values.ts'
import { typed } from './schema-words.ts'
import type { Line } from './story-lines.ts'

const at = <Item>(items: readonly Item[], n: number): Item => items[n % items.length]!

/** A condition over a row of the table. */
export function condition({ form, column: n, key, value }: DrawnWhere, schema: Schema): string {
  const column = at(schema.columns, n)
  const c = column.sql
  const v = value.kind !== 'number' || comparesAsIs(column, 'number') ? withoutAffinity(value) : `'w${key}'`
  const p = schema.payloads[0]!.sql
  switch (form) {
    case 0:
    case 1:
      return oneKey(key, schema)
    case 2:
      return `${c} = ${v}`
    case 3:
      return `${p} IS NULL`
    case 4:
      return `length(${p}) > 30`
    case 5:
      return `${c} IN (${v}, 'Abc', x'')`
    case 6:
      return `${c} > ${v}`
    case 7:
      return `${c} LIKE 'a%' OR ${c} LIKE '%movie%'`
    case 8:
      return `CASE WHEN json_valid(${p}) THEN json_extract(${p}, '$.y') END = ${key % 13}`
    case 9:
      return `lower(${c}) = 'abc'`
    case 10:
      return `${c} BETWEEN 'A' AND 'b' AND ${p} IS NOT NULL`
    default:
      return 'true'
  }
}

export function question(form: number, where: DrawnWhere, schema: Schema): Line {
  const t = schema.sql
  const column = at([...schema.payloads, ...schema.columns], where.column)
  const c = column.sql
  const filter = condition(where, schema)
  const key = keyOrder(schema)
  const ask = (sql: string, ordered = true): Line => ({ kind: 'ask', sql, ordered })
  switch (form) {
    case 0:
      return ask(`SELECT * FROM ${t} WHERE ${filter} ORDER BY ${key}`)
    case 1:
      return ask(
        `SELECT ${typed(c)}, ${key.replaceAll(' COLLATE BINARY', '')} FROM ${t} WHERE ${filter} ORDER BY ${c}, ${key}`,
      )
    case 2:
      return ask(`SELECT ${typed(c)} FROM ${t} ORDER BY ${c} DESC, ${key} LIMIT 5 OFFSET 1`)
    case 3:
      return ask(`SELECT count(*), count(${c}), count(DISTINCT ${c}), total(length(${c})) FROM ${t} WHERE ${filter}`)
    case 4:
      return ask(`SELECT count(*), min(hex(${c})) FROM ${t} GROUP BY ${c}`, false)
    case 5:
      return ask(`SELECT count(*) FROM ${t} AS a JOIN ${t} AS b ON a.${c} = b.${c} WHERE length(a.${c}) < 60`)
    case 6:
      return ask(`SELECT count(*) FROM ${t} WHERE ${c} IN (SELECT ${c} FROM ${t} WHERE ${filter})`)
    case 7:
      return ask(`SELECT count(*) FROM (SELECT ${c} FROM ${t} EXCEPT SELECT ${c} FROM ${t} WHERE ${filter})`)
    case 8:
      return ask(
        `SELECT typeof(max(${c})), length(max(${c})), typeof(min(${c})), length(min(${c})) FROM ${t} WHERE ${filter}`,
      )
    case 9:
      return ask(
        `SELECT ${typed(`upper(${c})`)}, instr(${c}, 'o'), ${typed(`substr(${c}, 2, 9)`)}, ${typed(`CAST(${c} AS INTEGER)`)}, ${typed(`${c} || ''`)}, ${typed(`${c} + 0`)} FROM ${t} WHERE ${filter} ORDER BY ${key}`,
      )
    case 10:
      return ask(`SELECT count(*) FROM ${t} AS a WHERE EXISTS (SELECT 1 FROM ${t} AS b WHERE b.${c} < a.${c} LIMIT 1)`)
    case 11:
      return ask(
        `SELECT value, type FROM (SELECT ${c} AS c FROM ${t} WHERE json_valid(${c}) ORDER BY ${key} LIMIT 10), json_each(c) WHERE atom IS NOT NULL`,
      )
    case 12:
      return ask(
        `SELECT ${typed(`first_value(${c}) OVER (ORDER BY ${key})`)}, count(*) OVER (PARTITION BY ${c}) FROM ${t} ORDER BY ${key}`,
      )
    case 13:
      return ask(
        `WITH x AS MATERIALIZED (SELECT ${c} AS c FROM ${t} WHERE ${filter}) SELECT count(*) FROM x, ${t} WHERE c = ${c} AND length(c) < 60`,
      )
    case 14:
      return ask(`SELECT ${typed(c)} FROM ${t} WHERE ${c} >= 'a' AND ${c} < 'b' ORDER BY ${c}, ${key}`)
    default:
      return ask(
        `SELECT ${typed(c)} FROM ${t} WHERE ${filter} UNION ALL SELECT ${typed(c)} FROM ${t} WHERE NOT (${filter})`,
        false,
      )
  }
}

/** The rows that an index gives and those that a scan gives. */
export function askedOfIndex(step: DrawnStep & { readonly do: 'ask index' }, schema: Schema): readonly Line[] {
  if (schema.indexed.length === 0) return []
  const { term, numeric, where } = at(schema.indexed, step.index)
  // Which of two conditions comes first is SQLite's affair, and rows outside a partial index may hold no JSON.
  if (where !== null && term.includes('->>') && !term.startsWith('CASE')) return []
  const value = numeric
    ? String(step.row * 20)
    : step.value.kind === 'number'
      ? `'w${step.value.sql}'`
      : withoutAffinity(step.value)
  const more = where === null ? '' : ` AND ${where}`
  const select = `SELECT ${keyOrder(schema).replaceAll(' COLLATE BINARY', '')} FROM ${schema.sql}`
  const order = `ORDER BY ${keyOrder(schema)}`
  return [`= ${value}`, `> ${value}`, `IN (${value}, ${numeric ? 7 : `'Abc'`})`].map((test) => ({
    kind: 'agree',
    sql: `${select} WHERE ${term} ${test}${more} ${order}`,
    other: `${select} WHERE +(${term}) ${test}${more} ${order}`,
  }))
}
