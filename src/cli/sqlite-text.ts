// The parts of a report as text that `tamp sqlite` commands share.
import type { Remark } from '../sqlite/index.ts'
import { printable } from './figures.ts'
import type { Terminal } from './terminal.ts'

/** What is to be known of a change, each with the other way to do it. */
export function remarkLines(title: string, remarks: readonly Remark[], terminal: Terminal): string[] {
  if (remarks.length === 0) return []
  return [
    terminal.style('yellow', title),
    ...remarks.flatMap(({ detail, hint }) => [
      `  - ${printable(detail)}`,
      ...(hint === undefined ? [] : [`    ${printable(hint)}`]),
    ]),
  ]
}

/** Statements as they would be typed. */
export function statementLines(statements: readonly string[], terminal: Terminal): string[] {
  return statements.map((sql) => terminal.style('dim', `${sql.split('\n').map(printable).join('\n')};`))
}

/** A command line as it would be typed into a shell. */
export function commandWords(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${printable(word).replaceAll("'", "'\\''")}'`))
    .join(' ')
}
