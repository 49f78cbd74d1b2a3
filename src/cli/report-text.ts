// The parts of a report as text that all commands share: findings, what was left out, and blocks of lines.
import type { Finding } from '../core/report.ts'
import type { Left } from '../core/unit.ts'
import { count, counted, printable } from './figures.ts'
import type { Terminal } from './terminal.ts'

/** Subjects in a list, unless `verbose`. */
export const listed = 10

export interface ReportStyle {
  readonly quiet: boolean
  readonly verbose: boolean
}

/** Blocks of lines with an empty line between them, ending with a line end. */
export function blocksText(blocks: readonly (readonly string[])[]): string {
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n') + '\n')
    .join('\n')
}

/** Findings by code, with how many there are of each. */
export function findingsText(findings: readonly Finding[], verbose: boolean, terminal: Terminal): string[] {
  const codes = Map.groupBy(findings, ({ code }) => code)
  return [...codes].flatMap(([code, of]) => [
    `${terminal.style('yellow', code)} (${counted(of.length, 'finding')})`,
    ...shortened(of, verbose).map(({ subject, detail }) => `  ${printable(subject)}: ${printable(detail)}`),
    ...more(of, verbose),
  ])
}

/** What was left as it is, and why. */
export function leftText(skipped: readonly Left[], verbose: boolean, terminal: Terminal): string[] {
  if (skipped.length === 0) return []
  const line = ({ subject, reason }: Left): string => `  ${printable(subject)}: ${printable(reason)}`
  return [
    terminal.style('yellow', `Left as they are (${count(skipped.length)}):`),
    ...shortened(skipped, verbose).map(line),
    ...more(skipped, verbose),
  ]
}

function shortened<Item>(items: readonly Item[], verbose: boolean): readonly Item[] {
  return verbose ? items : items.slice(0, listed)
}

function more(items: readonly unknown[], verbose: boolean): string[] {
  return verbose || items.length <= listed ? [] : [`  … and ${count(items.length - listed)} more; --verbose shows all.`]
}
