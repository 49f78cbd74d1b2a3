// A table of plain text: numbers to the right, names to the left, a rule above the totals.
import { stripVTControlCharacters } from 'node:util'

export interface Column {
  readonly title: string
  readonly align: 'left' | 'right'
}

export interface TableStyle {
  readonly indent?: string
  readonly title?: (text: string) => string
}

const gap = '  '

/** Lines of the table, without line ends. Cells may be styled; a column of which every cell is empty is left out. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  totals: readonly string[] | undefined,
  { indent = '', title = (text) => text }: TableStyle = {},
): string[] {
  const all = totals === undefined ? rows : [...rows, totals]
  const used = columns.map((column, at) => ({ ...column, at })).filter(({ at }) => all.some((row) => row[at] !== ''))
  const widths = used.map(({ title: text, at }) => Math.max(text.length, ...all.map((row) => width(row[at]!))))
  const line = (cells: readonly string[]): string =>
    (indent + used.map(({ align, at }, i) => pad(cells[at]!, widths[i]!, align)).join(gap)).trimEnd()
  const rule = indent + '─'.repeat(widths.reduce((sum, here) => sum + here, gap.length * (widths.length - 1)))
  return [
    title(line(columns.map((column) => column.title))),
    ...rows.map(line),
    ...(totals === undefined ? [] : [title(rule), line(totals)]),
  ]
}

/** Characters that a terminal shows in two columns; names of buckets and rooms may be of any script. */
const wide =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60]/gu

/** Columns of a terminal. */
function width(text: string): number {
  const plain = stripVTControlCharacters(text)
  return [...plain.replace(/\p{Mark}/gu, '')].length + (plain.match(wide)?.length ?? 0)
}

function pad(text: string, to: number, align: 'left' | 'right'): string {
  const space = ' '.repeat(to - width(text))
  return align === 'left' ? text + space : space + text
}
