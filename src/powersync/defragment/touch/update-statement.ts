// The statements that touch source rows: every value a literal, every name qualified. Pure.
import type { SourceKey } from './source-key.ts'

/** A column of the key, and the type that its values are written as. */
export interface TypedColumn {
  readonly name: string
  /** As SQL writes it, qualified where it has to be. */
  readonly type: string
}

export interface TouchTarget {
  readonly schema: string
  readonly table: string
  readonly key: readonly TypedColumn[]
  /** The column that is set to itself. */
  readonly touched: string
}

/** Sets a column of the rows with these keys to what it is. */
export function updateStatement(target: TouchTarget, keys: readonly SourceKey[]): string {
  const column = quoteName(target.touched)
  return `UPDATE ${qualified(target)} AS t SET ${column} = t.${column}
  FROM (VALUES
${values(target, keys)}
  ) AS k (${target.key.map(({ name }) => quoteName(name)).join(', ')})
 WHERE ${matches(target, keys)}`
}

/** Which of the keys are there, by their place in the list; with `lock`, only those that nobody else has locked, and they are locked. */
export function findStatement(target: TouchTarget, keys: readonly SourceKey[], lock: boolean): string {
  const names = target.key.map(({ name }) => quoteName(name)).join(', ')
  return `SELECT k.tamp_place FROM ${qualified(target)} AS t
  JOIN (VALUES
${values(target, keys, true)}
  ) AS k (tamp_place, ${names}) ON ${matches(target, keys)}${lock ? '\n   FOR NO KEY UPDATE OF t SKIP LOCKED' : ''}`
}

function qualified({ schema, table }: TouchTarget): string {
  return `${quoteName(schema)}.${quoteName(table)}`
}

/** The first row names the types; literals in the others take them on. */
function values({ key }: TouchTarget, keys: readonly SourceKey[], numbered = false): string {
  return keys
    .map((values, place) => {
      const literals = values.map((value, at) => {
        const literal = value === null ? 'NULL' : quoteText(value)
        return place === 0 ? `${literal}::${valueType(key[at]!.type)}` : literal
      })
      return `    (${numbered ? [place, ...literals].join(', ') : literals.join(', ')})`
    })
    .join(',\n')
}

/** An equality where it can be, since an index serves it; these types have none. */
const withoutEquality: ReadonlySet<string> = new Set(['json', 'xml'])

function valueType(type: string): string {
  return withoutEquality.has(type) ? 'text' : type
}

function matches({ key }: TouchTarget, keys: readonly SourceKey[]): string {
  return key
    .map(({ name, type }, at) => {
      const column = `t.${quoteName(name)}${withoutEquality.has(type) ? '::text' : ''}`
      return `${column} ${keys.some((key) => key[at] === null) ? 'IS NOT DISTINCT FROM' : '='} k.${quoteName(name)}`
    })
    .join(' AND ')
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

export function quoteText(text: string): string {
  const quoted = text.replaceAll("'", "''")
  return text.includes('\\') ? `E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`
}

/** Types of PostgreSQL's own whose values the storage keeps in a form that PostgreSQL reads. */
export const builtinTypes: ReadonlyMap<number, string> = new Map([
  [16, 'boolean'],
  [17, 'bytea'],
  [18, '"char"'],
  [19, 'name'],
  [20, 'bigint'],
  [21, 'smallint'],
  [23, 'integer'],
  [25, 'text'],
  [26, 'oid'],
  [114, 'json'],
  [142, 'xml'],
  [650, 'cidr'],
  [700, 'real'],
  [701, 'double precision'],
  [829, 'macaddr'],
  [869, 'inet'],
  [1042, 'bpchar'],
  [1043, 'character varying'],
  [1082, 'date'],
  [1083, 'time without time zone'],
  [1114, 'timestamp without time zone'],
  [1184, 'timestamp with time zone'],
  [1266, 'time with time zone'],
  [1700, 'numeric'],
  [2950, 'uuid'],
  [3802, 'jsonb'],
])
