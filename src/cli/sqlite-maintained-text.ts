// What maintenance did, or would do, as text.
import type { RunSummary } from '../core/report.ts'
import type { Maintained } from '../sqlite/index.ts'
import { bytes, count, counted, duration, percent, printable } from './figures.ts'
import { blocksText, leftText } from './report-text.ts'
import type { ReportStyle } from './report-text.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'
import type { Terminal } from './terminal.ts'

/** The whole report, ending with a line end. */
export function maintainedText(
  maintained: Maintained,
  summary: RunSummary,
  { quiet, verbose }: ReportStyle,
  terminal: Terminal,
): string {
  const blocks = quiet
    ? [leftText(summary.skipped, verbose, terminal), resultLines(maintained, summary, terminal)]
    : [
        summary.mode === 'execute' ? doneTable(maintained, terminal) : planTable(maintained, verbose, terminal),
        verbose ? dictionaryLines(maintained) : [],
        remarks(maintained),
        leftText(summary.skipped, verbose, terminal),
        resultLines(maintained, summary, terminal),
      ]
  return blocksText(blocks)
}

const doneColumns: readonly Column[] = [
  { title: 'Column', align: 'left' },
  { title: 'Rows', align: 'right' },
  { title: 'Bytes', align: 'right' },
  { title: 'After', align: 'right' },
  { title: '', align: 'right' },
  { title: 'Still plain', align: 'right' },
]

function doneTable({ columns }: Maintained, terminal: Terminal): string[] {
  const touched = columns.filter(({ rows, recompressed, pendingRows }) => rows + recompressed.rows + pendingRows > 0)
  if (touched.length === 0) return []
  return table(
    doneColumns,
    touched.map(({ lane, rows, bytesBefore, bytesAfter, recompressed, pendingRows }) => {
      const before = bytesBefore + recompressed.bytesBefore
      const after = bytesAfter + recompressed.bytesAfter
      return [
        printable(lane),
        count(rows + recompressed.rows),
        bytes(before),
        bytes(after),
        before === 0 ? '' : percent(after, before),
        pendingRows === 0 ? '' : count(pendingRows),
      ]
    }),
    undefined,
    { title: (text) => terminal.style('dim', text) },
  )
}

const planColumns: readonly Column[] = [
  { title: 'Column', align: 'left' },
  { title: 'Key', align: 'left' },
  { title: 'Rows', align: 'right' },
  { title: 'Bytes', align: 'right' },
  { title: 'After, about', align: 'right' },
  { title: '', align: 'right' },
  { title: 'What', align: 'left' },
]

/** Keys in the table, unless `verbose`. */
const tableKeys = 20

function planTable({ columns }: Maintained, verbose: boolean, terminal: Terminal): string[] {
  const rows = columns.flatMap(({ lane, plan = [] }) =>
    plan.map((group) => [
      printable(lane),
      group.key === null ? '' : printable(group.key),
      count(group.rows),
      bytes(group.bytes),
      group.action === 'leave' ? '' : bytes(group.bytesAfterEstimate),
      group.action === 'leave' ? '' : percent(group.bytesAfterEstimate, group.bytes),
      whatOf(group),
    ]),
  )
  if (rows.length === 0) return []
  const shown = verbose ? rows : rows.slice(0, tableKeys)
  return [
    ...table(planColumns, shown, undefined, { title: (text) => terminal.style('dim', text) }),
    ...(rows.length > shown.length ? [`${counted(rows.length - shown.length, 'more key')}; --verbose shows all.`] : []),
  ]
}

type Group = NonNullable<Maintained['columns'][number]['plan']>[number]

function whatOf({ action, dictionaryBytes, level, reason }: Group): string {
  if (action === 'leave') return `stay plain: ${printable(reason ?? '')}`
  const at = level === null ? '' : ` at level ${level}`
  return action === 'train' ? `train a dictionary of ${bytes(dictionaryBytes)}, compress${at}` : `compress${at}`
}

function dictionaryLines({ columns }: Maintained): string[] {
  return columns.flatMap(({ lane, dictionaries }) =>
    dictionaries.map(
      ({ id, key, trainer, bytes: size, level, ratio, seconds, replaced }) =>
        `${printable(lane)}: dictionary ${id} for ${printable(key)}: ${bytes(size)}, trainer ${trainer}, level ${level}, ` +
        `${percent(ratio, 1)} of the plain bytes on rows held back; ${duration(seconds)}` +
        (replaced === null ? '' : `, in the place of ${replaced}`),
    ),
  )
}

/** Rows that stay plain are no fault, but somebody may wonder. */
function remarks({ columns }: Maintained): string[] {
  return columns.flatMap(({ lane, left, drifted, notes }) => [
    ...notes.map((note) => `${printable(note)}.`),
    ...left
      .filter(({ code }) => code !== 'failed')
      .map(
        ({ key, rows, reason }) =>
          `${printable(lane)}: ${counted(rows, 'row')}${key === null ? '' : ` of ${printable(key)}`} stay plain: ${printable(reason)}.`,
      ),
    ...drifted.map(
      ({ key, worse }) =>
        `${printable(lane)}: the dictionary for ${printable(key)} takes ${percent(worse, 1)} more bytes than when it was new; ` +
        '--retrain --recompress makes a better one.',
    ),
  ])
}

function resultLines(maintained: Maintained, summary: RunSummary, terminal: Terminal): string[] {
  const { mode, before, after, stopped, seconds, throttledSeconds } = summary
  const execute = mode === 'execute'
  const lines: string[] = []
  if (maintained.columns.length === 0 && summary.skipped.length === 0)
    lines.push('No column is compressed here. "tamp sqlite inspect" says which would be worth it.')
  else if (before.rows === 0) lines.push(terminal.style('bold', 'Nothing to compress.'))
  else {
    const plain = before.bytes ?? 0
    const small = after.bytes ?? after.bytesEstimate ?? 0
    lines.push(
      terminal.style(
        'bold',
        execute
          ? `${counted(before.rows, 'row')} compressed: ${bytes(plain)} → ${bytes(small)} (${percent(small, plain)}), each cell compared.`
          : `${counted(before.rows, 'row')} would be compressed: ${bytes(plain)} → about ${bytes(small)} (${percent(small, plain)}).`,
      ) + ` ${duration(seconds)}.`,
    )
  }
  if (throttledSeconds > 0) lines.push(`Paused for ${duration(throttledSeconds)} to keep to the load asked for.`)
  if (execute) lines.push(...spaceLines(maintained, summary))
  if (stopped === 'interrupted')
    lines.push(
      execute
        ? 'Interrupted. What was done is whole and stays; the next run goes on from here.'
        : 'Interrupted. Nothing was changed.',
    )
  else if (stopped === 'limit')
    lines.push('Stopped by --max-duration: there is more to do. The next run goes on from here.')
  else if (!execute && before.rows > 0)
    lines.push('Nothing was changed. The same command with --execute carries this out.')
  return lines
}

function spaceLines({ space, collected }: Maintained, { before, after }: RunSummary): string[] {
  const file = `The file has ${bytes(after.fileBytes ?? 0)}${before.fileBytes === after.fileBytes ? '' : ` (${bytes(before.fileBytes ?? 0)} before)`}`
  return [
    ...(collected.length > 0
      ? [`${counted(collected.length, 'dictionary', 'dictionaries')} that nothing needed any more dropped.`]
      : []),
    space.vacuumSavesBytesEstimate > 0
      ? `${file}; a VACUUM would give about ${bytes(space.vacuumSavesBytesEstimate)} of it back to the disk, while nobody else works on it.`
      : `${file}.`,
  ]
}
