// SQL cut into the tokens that SQLite itself sees, with their places in the text, so that names can be replaced and nothing else moves.
// Exact for what SQLite has accepted before; it does not judge what SQLite would refuse.

import { sameName } from './catalogue.ts'

/** `word` is an identifier or keyword without quotes, `name` an identifier in one of the quotings. */
export type TokenKind = 'word' | 'name' | 'string' | 'blob' | 'number' | 'parameter' | 'operator'

export interface Token {
  readonly kind: TokenKind
  /** What a quoted token means; for others the text as it stands. */
  readonly value: string
  /** Offsets in the statement, the end exclusive. */
  readonly start: number
  readonly end: number
}

const space = /(?:[ \t\n\f\r]+|--[^\n]*|\/\*[^]*?(?:\*\/|$))+/y
const shapes: readonly (readonly [TokenKind, RegExp])[] = [
  ['blob', /[xX]'[0-9a-fA-F]*'/y],
  ['word', /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y],
  ['name', /"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]/y],
  ['string', /'(?:[^']|'')*'/y],
  ['number', /0[xX][0-9a-fA-F_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?/y],
  ['parameter', /\?[0-9]*|[:@#$][A-Za-z0-9_$:\u0080-\uffff]+/y],
  ['operator', /->>|->|\|\||<<|>>|<=|<>|>=|!=|==|[^]/y],
]

/** The tokens of a statement, without spaces and comments. */
export function tokensOf(sql: string): readonly Token[] {
  const tokens: Token[] = []
  for (let at = 0; ;) {
    space.lastIndex = at
    if (space.test(sql)) at = space.lastIndex
    if (at >= sql.length) return tokens
    for (const [kind, shape] of shapes) {
      shape.lastIndex = at
      if (!shape.test(sql)) continue
      tokens.push({ kind, value: meaning(kind, sql.slice(at, shape.lastIndex)), start: at, end: shape.lastIndex })
      at = shape.lastIndex
      break
    }
  }
}

function meaning(kind: TokenKind, text: string): string {
  if (kind === 'string') return text.slice(1, -1).replaceAll("''", "'")
  if (kind !== 'name') return text
  const quote = text[0]!
  return quote === '[' ? text.slice(1, -1) : text.slice(1, -1).replaceAll(quote + quote, quote)
}

/** Whether a token is this keyword. */
export function isWord(token: Token | undefined, word: string): boolean {
  return token?.kind === 'word' && token.value.toUpperCase() === word
}

/** Whether a token is this sign. */
export function isSign(token: Token | undefined, sign: string): boolean {
  return token?.kind === 'operator' && token.value === sign
}

/** Whether a token can be this name: in any quoting, or, as SQLite also takes it where a name must stand, as a string. */
export function isName(token: Token | undefined, name: string): boolean {
  return (
    token !== undefined &&
    (token.kind === 'word' || token.kind === 'name' || token.kind === 'string') &&
    sameName(token.value, name)
  )
}

/** Whether a token is this name where an expression is wanted: a string is a string there. */
export function isReference(token: Token | undefined, name: string): boolean {
  return token !== undefined && token.kind !== 'string' && isName(token, name)
}

/** Index of the parenthesis that closes the one at `open`; the end of the tokens where none does. */
export function closing(tokens: readonly Token[], open: number): number {
  let depth = 0
  for (let i = open; i < tokens.length; i++) {
    if (isSign(tokens[i], '(')) depth++
    else if (isSign(tokens[i], ')') && --depth === 0) return i
  }
  return tokens.length
}

/** A part of a text and what comes in its place. */
export interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** A text with the edits made, which must not overlap. */
export function edited(sql: string, edits: readonly Edit[]): string {
  let text = sql
  for (const edit of edits.toSorted((one, other) => other.start - one.start || other.end - one.end))
    text = text.slice(0, edit.start) + edit.text + text.slice(edit.end)
  return text
}

/** Whether a statement has this name anywhere. */
export function mentions(tokens: readonly Token[], name: string): boolean {
  return tokens.some((token) => isName(token, name))
}

/**
 * The places between two tokens where an expression reads column `name` by its bare name. Not a function of that name, a type in CAST or a
 * collation.
 */
export function* columnReferences(tokens: readonly Token[], name: string, from: number, to: number): Iterable<number> {
  for (let i = from; i < to; i++)
    if (
      isReference(tokens[i], name) &&
      !isSign(tokens[i + 1], '(') &&
      // `new.data` reads no column called new.
      !isSign(tokens[i + 1], '.') &&
      !isSign(tokens[i - 1], '.') &&
      !isWord(tokens[i - 1], 'COLLATE') &&
      !isCastType(tokens, i) &&
      !isOrder(tokens, i)
    )
      yield i
}

const beforeOperand = new Set(
  'AND OR NOT IS IN LIKE GLOB MATCH REGEXP BETWEEN ESCAPE CASE WHEN THEN ELSE SELECT DISTINCT ALL WHERE HAVING BY ON SET'.split(
    ' ',
  ),
)

/** DESC or ASC behind what is ordered by. Bare, both may also be columns: where an operand is wanted. */
function isOrder(tokens: readonly Token[], i: number): boolean {
  const before = tokens[i - 1]
  if (before === undefined || !(isWord(tokens[i], 'DESC') || isWord(tokens[i], 'ASC'))) return false
  if (before.kind === 'word') return !beforeOperand.has(before.value.toUpperCase())
  return before.kind !== 'operator' || before.value === ')'
}

/** `CAST(x AS name)`: nothing else in an expression has AS, but for the columns and tables of a subquery, which are no references either. */
function isCastType(tokens: readonly Token[], i: number): boolean {
  return isWord(tokens[i - 1], 'AS')
}
