// A report of a defragmentation as text: buckets now, compacted and after it, what existing clients download for it, and what is left to do.
import type { DefragmentReport } from '../powersync/index.ts'
import { bytes, count, counted, duration, percent, printable } from './figures.ts'
import { closing, notesBlock, proofLines, storageBlock } from './powersync-report-text.ts'
import { blocksText, leftText } from './report-text.ts'
import type { ReportStyle } from './report-text.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'
import type { Terminal } from './terminal.ts'

/** Buckets in the table, unless `verbose`. */
const tableBuckets = 20

const columns: readonly Column[] = [
  { title: 'Bucket', align: 'left' },
  { title: 'Rows moved', align: 'right' },
  { title: 'Live rows', align: 'right' },
  { title: 'Operations', align: 'right' },
  { title: 'Compacted', align: 'right' },
  { title: 'Defragmented', align: 'right' },
  { title: 'Download', align: 'right' },
]

/** The whole report, ending with a line end. */
export function defragmentedText(report: DefragmentReport, style: ReportStyle, terminal: Terminal): string {
  const left = leftText(report.skipped, style.verbose, terminal)
  const result = resultBlock(report, terminal)
  return blocksText(
    style.quiet
      ? [left, result]
      : [tableBlock(report, style.verbose, terminal), storageBlock(report), notesBlock(report), left, result],
  )
}

function tableBlock({ buckets }: DefragmentReport, verbose: boolean, terminal: Terminal): string[] {
  if (buckets.length === 0) return []
  const shown = verbose ? buckets : buckets.slice(0, tableBuckets)
  const lines = table(
    columns,
    shown.map(({ bucket, rows, before, compacted, after }) => [
      printable(bucket),
      count(rows),
      count(before.rows),
      count(before.operations),
      count(compacted.operations),
      count(after.operations),
      `~${bytes(before.bytesEstimate)} → ~${bytes(after.bytesEstimate)}`,
    ]),
    undefined,
    { title: (text) => terminal.style('dim', text) },
  )
  if (shown.length < buckets.length)
    lines.push(`${counted(buckets.length - shown.length, 'more bucket')} with less to save; --verbose shows all.`)
  return lines
}

function resultBlock(report: DefragmentReport, terminal: Terminal): string[] {
  const { mode, how, before, after, buckets, resent, saved, limitedBy, next, seconds } = report
  if (buckets.length === 0) {
    const nothing =
      report.skipped.length > 0 || next !== null
        ? 'Nothing can be moved now.'
        : limitedBy === null
          ? 'Nothing to do: no row holds back enough to be worth moving.'
          : `Nothing to do: no row that is worth moving fits --max-resync-${limitedBy}.`
    return [terminal.style('bold', nothing), ...nextLines(report), ...tail(report, 0, terminal)]
  }
  const from = before.operations ?? 0
  const gone = mode === 'execute' ? from - (after.operations ?? 0) : 0
  const rows = buckets.reduce((sum, bucket) => sum + bucket.rows, 0)
  const verb = mode !== 'execute' ? 'would be' : next === null ? 'is' : 'will be'
  const lines = [
    terminal.style(
      'bold',
      `A new client ${verb} spared ${counted(saved.operations, 'operation')} more than compacting alone spares it ` +
        `(${percent(saved.operations, from)} of ${count(from)}), about ${bytes(saved.bytesEstimate)}.`,
    ),
    resent.operations === 0
      ? 'A client that is up to date downloads nothing for it.'
      : `Each existing client downloads up to ${counted(resent.operations, 'operation')} again for it, about ${bytes(resent.bytesEstimate)}.`,
    `${counted(rows, 'row')} in ${counted(buckets.length, 'bucket')} ${mode === 'execute' ? 'moved' : 'to move'} (--how ${how})` +
      `${gone > 0 ? `, ${count(gone)} of ${counted(from, 'operation')} gone` : ''}, ${duration(seconds)}.`,
  ]
  if (limitedBy !== null) lines.push(`More would pay, but does not fit --max-resync-${limitedBy}.`)
  lines.push(...nextLines(report))
  return [...lines, ...tail(report, rows, terminal)]
}

function tail(report: DefragmentReport, changes: number, terminal: Terminal): string[] {
  // Moving alone makes no room that could be given back.
  const itemsChanged = Math.max(0, (report.before.operations ?? 0) - (report.after.operations ?? 0))
  const end = closing({ ...report, itemsChanged }, changes)
  return [...proofLines(report, terminal), ...(end === '' ? [] : ['', end])]
}

/** What is left to be done, and when. */
function nextLines({ mode, next }: DefragmentReport): string[] {
  if (next === null) return []
  const text = /[.!?]$/.test(next) ? next : `${next}.`
  return [printable(mode === 'execute' ? `Next: ${text}` : text)]
}
