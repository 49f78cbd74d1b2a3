// A table's own triggers, rewritten for the rows behind the view: they see the cells as the user wrote them, and never see maintenance. Pure.

import { columnReferences, edited, isReference, isSign, isWord, mentions } from './sql-tokens.ts'
import type { Edit } from './sql-tokens.ts'
import { sameName } from './catalogue.ts'
import { decodedTerm, isSame } from './layout.ts'
import type { Layout } from './layout.ts'
import { dictColumn, quoted, rowsTable } from './names.ts'
import { triggerText } from './trigger-text.ts'
import type { TriggerStatement, TriggerText } from './trigger-text.ts'

/** The trigger for the rows, or why it cannot be written. */
export type Rewritten = { readonly sql: string } | { readonly refused: string }

/** The trigger `sql` of the plain table as a trigger of the rows. */
export function rewrittenTrigger(sql: string, layout: Layout): Rewritten {
  const text = triggerText(sql)
  if (text === undefined) return { refused: 'its statement cannot be read' }
  const edits: Edit[] = [place(text, text.tableAt, text.tableAt, quoted(rowsTable(layout.table.name)))]
  edits.push(...rowReferences(text, layout))
  if (text.event === 'UPDATE') edits.push(...updateHeader(text, layout))
  for (const statement of text.statements) {
    if (statement.write === undefined || !sameName(statement.write.table, layout.table.name)) continue
    const own = ownWrite(text, statement, layout)
    if (typeof own === 'string') return { refused: own }
    edits.push(...own)
  }
  return { sql: edited(sql, edits) }
}

/** An edit that puts `text` in the place of two tokens and all between them. */
function place({ tokens }: TriggerText, from: number, to: number, text: string): Edit {
  return { start: tokens[from]!.start, end: tokens[to]!.end, text }
}

function before({ tokens }: TriggerText, at: number, text: string): Edit {
  return { start: tokens[at]!.start, end: tokens[at]!.start, text }
}

function after({ tokens }: TriggerText, at: number, text: string): Edit {
  return { start: tokens[at]!.end, end: tokens[at]!.end, text }
}

/** `new.data` and `old.data`, decoded. */
function rowReferences(text: TriggerText, { columns, scope }: Layout): readonly Edit[] {
  const { tokens } = text
  const edits: Edit[] = []
  for (let i = text.tableAt + 3; i < tokens.length; i++) {
    const row = (['new.', 'old.'] as const).find((name) => isReference(tokens[i - 2], name.slice(0, 3)))
    const compressed = columns.find(({ column }) => isReference(tokens[i], column))
    if (row !== undefined && compressed !== undefined && isSign(tokens[i - 1], '.'))
      edits.push(place(text, i - 2, i, decodedTerm(compressed, scope, row)))
  }
  return edits
}

/**
 * Every UPDATE on the view writes all columns of the row, and maintenance only the compressed ones: so a trigger waits for the others, and
 * one that waited for certain columns asks whether they changed.
 */
function updateHeader(text: TriggerText, { table, columns }: Layout): readonly Edit[] {
  const plain = table.columns.filter(
    ({ name, generated }) => generated === undefined && !columns.some(({ column }) => column === name),
  )
  const edits = [
    place(text, text.eventAt, text.onAt - 1, `UPDATE OF ${plain.map(({ name }) => quoted(name)).join(', ')}`),
  ]
  if (text.of === undefined) return edits
  const changed = text.of.flatMap((name) => {
    const column = table.columns.find((candidate) => sameName(candidate.name, name))
    if (column === undefined || column.generated !== undefined) return []
    const compressed = columns.find((candidate) => candidate.column === column.name)
    const dict =
      compressed === undefined
        ? []
        : [`new.${quoted(dictColumn(column.name))} IS NOT old.${quoted(dictColumn(column.name))}`]
    return [`NOT ${isSame(column.name)}`, ...dict]
  })
  const condition = changed.length === 0 ? '0' : changed.join(' OR ')
  if (text.when === undefined) edits.push(before(text, text.beginAt, `WHEN ${condition} `))
  else edits.push(before(text, text.when[0], `(${condition}) AND (`), after(text, text.when[1] - 1, ')'))
  return edits
}

/**
 * What a trigger writes into its own table it must write into the rows: through the view the same trigger would be entered again, which
 * SQLite silently does not do.
 * @returns why it cannot be done
 */
function ownWrite(text: TriggerText, { from, to, write }: TriggerStatement, layout: Layout): readonly Edit[] | string {
  const { tokens } = text
  const { table, columns } = layout
  const at = write!.tableAt
  if (text.event === 'UPDATE' && isBefore(text) && mayUpdate(text, from, to))
    return `it fires BEFORE UPDATE and updates ${table.name} itself, and what it writes into the row at hand would be overwritten (an AFTER trigger can do it)`
  const edits = [place(text, at, at, quoted(rowsTable(table.name)))]
  const selects = tokens.slice(from, to).some((token) => isWord(token, 'SELECT'))
  const unclear = (column: string): string =>
    `it writes ${table.name} itself, in a statement that also uses ${column} in a way that cannot be carried over`
  if (write!.event === 'INSERT') {
    const strict = columns.find(({ only }) => only !== undefined)
    if (strict !== undefined) return unclear(strict.column)
    const conflict = tokens.findIndex(
      (token, i) => i > at && i < to && isWord(token, 'ON') && isWord(tokens[i + 1], 'CONFLICT'),
    )
    if (conflict >= 0) {
      const upserted = columns.find(({ column }) => mentions(tokens.slice(conflict, to), column))
      if (upserted !== undefined) return unclear(upserted.column)
    }
    if (!isSign(tokens[at + 1], '(') && !isWord(tokens[at + 1], 'DEFAULT')) {
      const names = table.columns.filter(({ generated }) => generated === undefined).map(({ name }) => quoted(name))
      edits.push(after(text, at, `(${names.join(', ')})`))
    }
    return edits
  }
  const set = write!.event === 'UPDATE' ? setTargets(text, at + 1, to) : new Map<number, number>()
  for (const compressed of columns) {
    for (const i of columnReferences(tokens, compressed.column, at + 1, to)) {
      const ends = set.get(i)
      if (ends !== undefined) {
        if (compressed.only !== undefined) return unclear(compressed.column)
        edits.push(after(text, ends, `, ${quoted(dictColumn(compressed.column))} = NULL`))
      } else if (selects || isInTupleTarget(text, i, at, to)) return unclear(compressed.column)
      else edits.push(place(text, i, i, decodedTerm(compressed, layout.scope)))
    }
  }
  for (let i = at + 1; i < to; i++)
    if (isReference(tokens[i], table.name) && isSign(tokens[i + 1], '.')) {
      const compressed = columns.find(({ column }) => isReference(tokens[i + 2], column))
      if (selects) return unclear(`${table.name}.${tokens[i + 2]?.value ?? ''}`)
      edits.push(
        compressed === undefined
          ? place(text, i, i, quoted(rowsTable(table.name)))
          : place(text, i, i + 2, decodedTerm(compressed, layout.scope)),
      )
    }
  const also = seen(text, set, layout)
  return typeof also === 'string' ? also : [...edits, ...also]
}

/** BEFORE is what SQLite takes where nothing is said. */
function isBefore({ tokens, eventAt }: TriggerText): boolean {
  return !isWord(tokens[eventAt - 1], 'AFTER') || isWord(tokens[eventAt - 2], 'TRIGGER')
}

/** Whether a statement changes rows that are there: UPDATE, REPLACE and ON CONFLICT DO UPDATE. */
function mayUpdate({ tokens }: TriggerText, from: number, to: number): boolean {
  return tokens
    .slice(from, to)
    .some((token, i) => isWord(token, 'UPDATE') || (isWord(token, 'REPLACE') && !isSign(tokens[from + i + 1], '(')))
}

/** The names that SET gives values to, each with the last token of its value. */
function setTargets({ tokens }: TriggerText, from: number, to: number): Map<number, number> {
  const targets = new Map<number, number>()
  let depth = 0
  let target: number | undefined
  let inside = false
  for (let i = from; i <= to; i++) {
    const token = tokens[i]
    const ends = i === to || (depth === 0 && (isSign(token, ',') || isWord(token, 'WHERE') || isWord(token, 'FROM')))
    if (inside && ends) {
      if (target !== undefined) targets.set(target, i - 1)
      target = undefined
      inside = isSign(token, ',')
      if (inside && isSign(tokens[i + 2], '=')) target = i + 1
    }
    if (depth === 0 && !inside && targets.size === 0 && isWord(token, 'SET')) {
      inside = true
      if (isSign(tokens[i + 2], '=')) target = i + 1
    }
    if (isSign(token, '(')) depth++
    else if (isSign(token, ')')) depth--
  }
  return targets
}

/** `SET (a, b) = …`. */
function isInTupleTarget({ tokens }: TriggerText, i: number, from: number, to: number): boolean {
  for (let open = from; open < i; open++)
    if (isSign(tokens[open], '(') && (isWord(tokens[open - 1], 'SET') || isSign(tokens[open - 1], ','))) {
      const close = tokens.findIndex((token, at) => at > open && isSign(token, ')'))
      if (close > i && close < to && isSign(tokens[close + 1], '=')) return true
    }
  return false
}

/**
 * Triggers wait for a column that is not compressed, so an UPDATE of compressed ones alone must write one of those too. One without a key,
 * where there is one: of a row that refers to itself SQLite counts a key that is written again twice, and overlooks other violations.
 * @returns why it cannot be done
 */
function seen(
  text: TriggerText,
  set: ReadonlyMap<number, number>,
  { table, columns }: Layout,
): readonly Edit[] | string {
  const names = [...set.keys()].map((i) => text.tokens[i]!)
  if (names.length === 0 || !names.every((token) => columns.some(({ column }) => isReference(token, column)))) return []
  const plain = table.columns.filter(
    ({ name, generated }) => generated === undefined && !columns.some(({ column }) => column === name),
  )
  const keys = [
    ...table.constrained,
    ...table.foreignKeys.flatMap((key) => key.columns),
    ...table.referencedBy.flatMap(({ parentColumns }) => parentColumns),
  ]
  const free = plain.find(({ name }) => !keys.some((key) => sameName(key, name)))
  const refersToItself = table.foreignKeys.some(({ parent }) =>
    [table.name, table.stored].some((own) => sameName(own, parent)),
  )
  if (free === undefined && refersToItself)
    return `it writes ${table.name} itself, which refers to itself and has no column that is in no key`
  const written = quoted((free ?? plain[0]!).name)
  return [before(text, Math.min(...set.keys()), `${written} = ${written}, `)]
}
