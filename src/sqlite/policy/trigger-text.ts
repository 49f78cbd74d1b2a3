// The text of a CREATE TRIGGER statement, taken apart as far as compression needs it. Pure.

import { closing, isSign, isWord, tokensOf } from './sql-tokens.ts'
import type { Token } from './sql-tokens.ts'

export type TriggerEvent = 'INSERT' | 'UPDATE' | 'DELETE'

export interface TriggerText {
  readonly tokens: readonly Token[]
  readonly event: TriggerEvent
  /** Index of the token of the event. */
  readonly eventAt: number
  /** The columns after UPDATE OF. */
  readonly of: readonly string[] | undefined
  /** Index of ON, and of the table's name. */
  readonly onAt: number
  readonly tableAt: number
  /** Token range of the condition after WHEN, the end exclusive. */
  readonly when: readonly [from: number, to: number] | undefined
  readonly beginAt: number
  readonly statements: readonly TriggerStatement[]
}

export interface TriggerStatement {
  /** Token range, without the semicolon. */
  readonly from: number
  readonly to: number
  /** What it writes: undefined for a SELECT. */
  readonly write: { readonly event: TriggerEvent; readonly table: string; readonly tableAt: number } | undefined
}

/** @returns undefined for a text that is no CREATE TRIGGER */
export function triggerText(sql: string): TriggerText | undefined {
  const tokens = tokensOf(sql)
  const trigger = tokens.findIndex((token) => isWord(token, 'TRIGGER'))
  // The first event word after the name: the name itself may be spelled like one.
  let eventAt = trigger + (isWord(tokens[trigger + 1], 'IF') ? 5 : 2)
  if (isSign(tokens[eventAt - 1], '.') || isSign(tokens[eventAt], '.')) eventAt += 2
  while (eventAt < tokens.length && eventOf(tokens[eventAt]) === undefined) eventAt++
  const event = eventOf(tokens[eventAt])
  const onAt = tokens.findIndex((token, i) => i > eventAt && isWord(token, 'ON'))
  if (trigger < 0 || event === undefined || onAt < 0) return undefined
  const of = isWord(tokens[eventAt + 1], 'OF')
    ? tokens.slice(eventAt + 2, onAt).flatMap((token) => (isSign(token, ',') ? [] : [token.value]))
    : undefined
  const tableAt = isSign(tokens[onAt + 2], '.') ? onAt + 3 : onAt + 1
  const whenAt = tokens.findIndex((token, i) => i > tableAt && (isWord(token, 'WHEN') || isWord(token, 'BEGIN')))
  let beginAt = whenAt
  for (; beginAt < tokens.length && !isWord(tokens[beginAt], 'BEGIN'); beginAt++)
    if (isSign(tokens[beginAt], '(')) beginAt = closing(tokens, beginAt)
  return {
    tokens,
    event,
    eventAt,
    of,
    onAt,
    tableAt,
    when: isWord(tokens[whenAt], 'WHEN') ? [whenAt + 1, beginAt] : undefined,
    beginAt,
    statements: statementsOf(tokens, beginAt + 1),
  }
}

function eventOf(token: Token | undefined): TriggerEvent | undefined {
  return (['INSERT', 'UPDATE', 'DELETE'] as const).find((event) => isWord(token, event))
}

function statementsOf(tokens: readonly Token[], first: number): readonly TriggerStatement[] {
  const statements: TriggerStatement[] = []
  for (let from = first, i = first; i < tokens.length; i++) {
    if (isSign(tokens[i], '(')) i = closing(tokens, i)
    if (!isSign(tokens[i], ';')) continue
    statements.push({ from, to: i, write: writeOf(tokens, from) })
    from = i + 1
  }
  return statements
}

function writeOf(tokens: readonly Token[], from: number): TriggerStatement['write'] {
  const event = isWord(tokens[from], 'REPLACE') ? 'INSERT' : eventOf(tokens[from])
  if (event === undefined) return undefined
  let at = from + 1
  if (isWord(tokens[at], 'OR')) at += 2
  if (isWord(tokens[at], 'INTO') || isWord(tokens[at], 'FROM')) at++
  if (isSign(tokens[at + 1], '.')) at += 2
  return { event, table: tokens[at]?.value ?? '', tableAt: at }
}
