// The text of a CREATE TABLE statement, read as far as compression needs it, and edited: a column's type, and a column's name inside
// CHECK constraints and generated columns. Everything else stays as it was written.

import { sameName } from './catalogue.ts'
import { quoted } from './names.ts'
import { closing, columnReferences, edited, isName, isReference, isSign, isWord, tokensOf } from './sql-tokens.ts'
import type { Edit, Token } from './sql-tokens.ts'

export interface ColumnText {
  readonly name: string
  /** The declared type as written, empty where there is none. */
  readonly type: string
  readonly typeStart: number
  readonly typeEnd: number
  /** The collation it declares; BINARY where it says nothing. */
  readonly collation: string
}

interface TableText {
  readonly tokens: readonly Token[]
  readonly columns: readonly ColumnText[]
  /** Token ranges of the expressions of CHECK constraints and generated columns, without their parentheses. */
  readonly expressions: readonly (readonly [from: number, to: number])[]
}

const constraintWords = ['CONSTRAINT', 'PRIMARY', 'UNIQUE', 'CHECK', 'FOREIGN']
const afterType = [...constraintWords, 'NOT', 'NULL', 'DEFAULT', 'COLLATE', 'REFERENCES', 'GENERATED', 'AS']

/** The columns as the text declares them. */
export function columnTexts(sql: string): readonly ColumnText[] {
  return read(sql).columns
}

/** The text with another type for a column. */
export function withType(sql: string, column: string, type: string): string {
  const found = read(sql).columns.find(({ name }) => isName(asToken(name), column))
  if (found === undefined || found.type.toUpperCase() === type.toUpperCase()) return sql
  const { typeStart: start, typeEnd: end } = found
  return edited(sql, [{ start, end, text: start === end ? ` ${type}` : type }])
}

/**
 * The text with `expression` where CHECK constraints and generated columns read `column`. A CHECK without a name gets what it said as its
 * name, because that is what SQLite says when it fails.
 */
export function withExpression(sql: string, column: string, expression: string): string {
  const { tokens, expressions } = read(sql)
  const edits: Edit[] = []
  for (const [from, to] of expressions) {
    const before = edits.length
    for (const i of columnReferences(tokens, column, from, to))
      edits.push({ start: tokens[i]!.start, end: tokens[i]!.end, text: expression })
    // A CHECK may put the table's name in front.
    for (let i = from; i < to; i++)
      if (isReference(tokens[i], column) && isSign(tokens[i - 1], '.') && !isSign(tokens[i + 1], '('))
        edits.push({ start: tokens[i - 2]!.start, end: tokens[i]!.end, text: expression })
    const check = tokens[from - 2]
    if (edits.length > before && isWord(check, 'CHECK') && !isNamed(tokens, from))
      edits.push({
        start: check!.start,
        end: check!.start,
        text: `CONSTRAINT ${quoted(inside(sql, tokens, from, to))} `,
      })
  }
  return edited(sql, edits)
}

/** What stands where for a column's name, in a text that `withExpression` has been through. */
export interface Replaced {
  readonly column: string
  readonly expression: string
}

/**
 * The text as it was before `withExpression`: with the words of the plain statement where it still says the same, else with the names.
 * @param stored what the table is called in `sql`
 */
export function withoutExpressions(
  sql: string,
  replaced: readonly Replaced[],
  plain: { readonly sql: string; readonly table: string },
  stored: string,
): string {
  const [now, before] = [read(sql), read(plain.sql)]
  const named = (text: string): string =>
    replaced.reduce((named, { column, expression }) => named.replaceAll(expression, quoted(column)), text)
  const edits: Edit[] = []
  for (const [from, to] of now.expressions) {
    const text = inside(sql, now.tokens, from, to)
    if (named(text) === text) continue
    const columns = replaced.map(({ column }) => column)
    const meaning = withoutQualifiers(tokensOf(named(text)), columns)
    const original = before.expressions.find((range) =>
      sameTokens(withoutQualifiers(before.tokens.slice(...range), columns), meaning),
    )
    const [first, last] = [now.tokens[from]!, now.tokens[to - 1]!]
    const words =
      original === undefined
        ? named(text)
        : qualifiedBy(inside(plain.sql, before.tokens, ...original), plain.table, stored)
    edits.push({ start: first.start, end: last.end, text: words })
    const constraint = now.tokens[from - 4]
    const isOurs = original !== undefined && !isNamed(before.tokens, original[0]) && isNamed(now.tokens, from)
    if (isOurs) edits.push({ start: constraint!.start, end: now.tokens[from - 2]!.start, text: '' })
  }
  return edited(sql, edits)
}

/** Whether the CHECK around the expression has a name. */
function isNamed(tokens: readonly Token[], from: number): boolean {
  return isWord(tokens[from - 2], 'CHECK') && isWord(tokens[from - 4], 'CONSTRAINT')
}

/** Without the table's name in front of the columns. */
function withoutQualifiers(tokens: readonly Token[], columns: readonly string[]): readonly Token[] {
  const isColumn = (i: number): boolean => columns.some((column) => isReference(tokens[i], column))
  return tokens.filter(
    (token, i) => !(isSign(tokens[i + 1], '.') && isColumn(i + 2)) && !(isSign(token, '.') && isColumn(i + 1)),
  )
}

function qualifiedBy(expression: string, table: string, stored: string): string {
  const tokens = tokensOf(expression)
  return edited(
    expression,
    tokens.flatMap((token, i) =>
      isReference(token, table) && isSign(tokens[i + 1], '.')
        ? [{ start: token.start, end: token.end, text: quoted(stored) }]
        : [],
    ),
  )
}

function inside(sql: string, tokens: readonly Token[], from: number, to: number): string {
  return sql.slice(tokens[from]!.start, tokens[to - 1]!.end)
}

function sameTokens(one: readonly Token[], other: readonly Token[]): boolean {
  return one.length === other.length && one.every(({ value }, i) => sameName(value, other[i]!.value))
}

/** Whether CHECK constraints or generated columns read the column. */
export function isReadByTable(sql: string, column: string): boolean {
  return withExpression(sql, column, '') !== sql
}

/** Whether the primary key counts up without using an id twice. */
export function hasAutoincrement(sql: string): boolean {
  return read(sql).tokens.some((token) => isWord(token, 'AUTOINCREMENT'))
}

function asToken(value: string): Token {
  return { kind: 'name', value, start: 0, end: 0 }
}

function read(sql: string): TableText {
  const tokens = tokensOf(sql)
  const open = tokens.findIndex((token) => isSign(token, '('))
  const close = open < 0 ? tokens.length : closing(tokens, open)
  const columns: ColumnText[] = []
  const expressions: (readonly [number, number])[] = []
  let first = true
  for (let i = open + 1; i < close; i++) {
    const token = tokens[i]
    if (first && !constraintWords.some((word) => isWord(token, word))) columns.push(readColumn(tokens, i, close, sql))
    first = false
    if (isSign(token, ',')) first = true
    if (!isSign(token, '(')) continue
    const end = closing(tokens, i)
    if (isWord(tokens[i - 1], 'CHECK') || isWord(tokens[i - 1], 'AS')) expressions.push([i + 1, end])
    i = end
  }
  return { tokens, columns, expressions }
}

function readColumn(tokens: readonly Token[], at: number, close: number, sql: string): ColumnText {
  const name = tokens[at]!
  let i = at + 1
  while (i < close && !isSign(tokens[i], ',') && !afterType.some((word) => isWord(tokens[i], word)))
    i = isSign(tokens[i], '(') ? closing(tokens, i) + 1 : i + 1
  const typeStart = i > at + 1 ? tokens[at + 1]!.start : name.end
  const typeEnd = i > at + 1 ? tokens[i - 1]!.end : name.end
  let collation = 'BINARY'
  for (; i < close && !isSign(tokens[i], ','); i = isSign(tokens[i], '(') ? closing(tokens, i) + 1 : i + 1)
    if (isWord(tokens[i], 'COLLATE')) collation = tokens[i + 1]?.value ?? collation
  return { name: name.value, type: sql.slice(typeStart, typeEnd), typeStart, typeEnd, collation }
}
