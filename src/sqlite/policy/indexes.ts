// Indexes over a compressed column, rewritten for the rows so that SQLite still finds them through the view. Pure.

import { closing, columnReferences, edited, isName, isSign, isWord, mentions, tokensOf } from './sql-tokens.ts'
import type { Edit, Token } from './sql-tokens.ts'
import { decodedIndexTerm } from './layout.ts'
import type { Compressed, Layout } from './layout.ts'
import { quoted, rowsTable } from './names.ts'

/** Whether an index reads one of these columns. */
export function readsColumns(sql: string, columns: readonly Compressed[]): boolean {
  const tokens = tokensOf(sql)
  return columns.some(({ column }) => mentions(tokens.slice(listAt(tokens)), column))
}

/** The index `sql` of the plain table as an index of the rows. */
export function rewrittenIndex(sql: string, { table, columns, scope }: Layout): string {
  const tokens = tokensOf(sql)
  const list = listAt(tokens)
  const name = tokens[list - 1]!
  const edits: Edit[] = [{ start: name.start, end: name.end, text: quoted(rowsTable(table.name)) }]
  for (const compressed of columns) {
    const term = decodedIndexTerm(compressed, scope)
    const replace = (i: number): void => void edits.push({ start: tokens[i]!.start, end: tokens[i]!.end, text: term })
    for (const i of columnReferences(tokens, compressed.column, list, tokens.length)) replace(i)
    // A column of the list may also stand there as a string.
    const end = closing(tokens, list)
    for (let i = list + 1; i < end; i++) {
      const isAlone = isSign(tokens[i - 1], '(') || isSign(tokens[i - 1], ',')
      if (tokens[i]!.kind === 'string' && isAlone && isItemEnd(tokens[i + 1]) && isName(tokens[i], compressed.column))
        replace(i)
    }
  }
  return edited(sql, edits)
}

function isItemEnd(token: Token | undefined): boolean {
  return isSign(token, ',') || isSign(token, ')') || ['ASC', 'DESC', 'COLLATE'].some((word) => isWord(token, word))
}

/** Index of the parenthesis after the table's name. */
function listAt(tokens: readonly Token[]): number {
  return tokens.findIndex((token) => isSign(token, '('))
}
