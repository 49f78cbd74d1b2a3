// The survey of a SQLite file as text.
import type { RunSummary } from '../core/report.ts'
import type { CompressedState, Inspected, InspectedColumn } from '../sqlite/index.ts'
import { bytes, count, counted, duration, percent, printable } from './figures.ts'
import { blocksText, leftText } from './report-text.ts'
import type { ReportStyle } from './report-text.ts'
import { commandWords, remarkLines } from './sqlite-text.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'
import type { Terminal } from './terminal.ts'

/** The survey, ending with a line end. */
export function inspectedText(
  inspected: Inspected,
  summary: RunSummary,
  { quiet, verbose }: ReportStyle,
  file: string,
  terminal: Terminal,
): string {
  const { columns } = inspected
  const looked = columns.filter(({ verdict }) => verdict === 'worth' || verdict === 'refused')
  const blocks = quiet
    ? [leftText(summary.skipped, verbose, terminal), resultLines(inspected, summary, file, terminal)]
    : [
        columnTable(inspected, verbose, terminal),
        ...(verbose ? columns.map((column) => trialLines(column, terminal)) : []),
        ...columns.map((column) => compressedLines(column, verbose)),
        ...(verbose ? looked : looked.slice(0, 1)).map((column) => differenceLines(column, verbose, terminal)),
        leftText(summary.skipped, verbose, terminal),
        resultLines(inspected, summary, file, terminal),
      ]
  return blocksText(blocks)
}

const titles: readonly Column[] = [
  { title: 'Column', align: 'left' },
  { title: 'Rows', align: 'right' },
  { title: 'Bytes', align: 'right' },
  { title: 'After', align: 'right' },
  { title: '', align: 'right' },
  { title: 'To save', align: 'right' },
  { title: 'Verdict', align: 'left' },
]

function columnTable({ columns, tables }: Inspected, verbose: boolean, terminal: Terminal): string[] {
  const shown = verbose ? columns : columns.filter(({ verdict }) => verdict !== 'too-small')
  const sampled = new Set(tables.filter((one) => one.sampled).map((one) => one.table))
  const lines =
    shown.length === 0
      ? []
      : table(
          titles,
          shown.map((column) => row(column, sampled.has(column.table))),
          undefined,
          { title: (text) => terminal.style('dim', text) },
        )
  const hidden = columns.length - shown.length
  if (hidden > 0) lines.push(`${counted(hidden, 'column')} too small to matter; --verbose shows all.`)
  return lines
}

function row(column: InspectedColumn, sampled: boolean): string[] {
  const { lane, rows, bytesEstimate, trials, gainBytesEstimate, verdict, reason, compressed } = column
  const [best] = trials
  return [
    printable(lane),
    (sampled ? '~' : '') + count(rows),
    bytes(bytesEstimate),
    best === undefined ? '' : `~${bytes(best.bytesEstimate)}`,
    best === undefined
      ? compressed?.ratio == null
        ? ''
        : percent(compressed.ratio, 1)
      : percent(best.bytesEstimate, bytesEstimate),
    gainBytesEstimate > 0 ? `~${bytes(gainBytesEstimate)}` : '',
    verdict === 'worth'
      ? 'worth it'
      : verdict === 'compressed'
        ? stateOf(compressed)
        : verdict === 'not-worth-it'
          ? `not worth it: ${printable(reason)}`
          : verdict === 'refused'
            ? `not possible: ${printable(reason)}`
            : printable(reason),
  ]
}

function stateOf(compressed: CompressedState | null): string {
  if (compressed?.disabling === true) return 'compressed, being disabled'
  if (compressed === null || compressed.pendingRows === 0) return 'compressed'
  return `compressed, ${counted(compressed.pendingRows, 'row')} pending`
}

const trialTitles: readonly Column[] = [
  { title: 'Tried', align: 'left' },
  { title: 'Level', align: 'right' },
  { title: 'Bytes a cell', align: 'right' },
  { title: 'The file', align: 'right' },
  { title: 'To compress a cell', align: 'right' },
  { title: 'To read one', align: 'right' },
]

function trialLines({ lane, trials }: InspectedColumn, terminal: Terminal): string[] {
  if (trials.length === 0) return []
  return [
    terminal.style('bold', printable(lane)),
    ...table(
      trialTitles,
      trials.map((trial) => [
        trial.trainer === null
          ? 'no dictionary'
          : `dictionary of ${bytes(trial.dictionaryBytes)}, trainer ${trial.trainer}`,
        String(trial.level),
        trial.bytesPerCell.toFixed(1),
        `~${bytes(trial.fileBytesEstimate)}`,
        `${trial.encodeMicroseconds.toFixed(1)} µs`,
        `${trial.decodeMicroseconds.toFixed(1)} µs`,
      ]),
      undefined,
      { indent: '  ', title: (text) => terminal.style('dim', text) },
    ),
  ]
}

/** A dictionary that does so much worse than when it was new had better be replaced. */
const muchDrift = 0.15

function compressedLines({ lane, compressed }: InspectedColumn, verbose: boolean): string[] {
  if (compressed === null) return []
  const { layout, level, dictChooser, disabling, plainRowsEstimate, dictionaries } = compressed
  const name = printable(lane)
  const drifted = dictionaries.filter(({ drift }) => (drift ?? 0) > muchDrift)
  return [
    ...(layout === 'sqlite-zstd'
      ? [`${name} is compressed by sqlite-zstd: "tamp sqlite enable" takes it over, and its indexes work then.`]
      : []),
    ...(disabling ? [`${name} is on its way back to plain: "tamp sqlite disable" goes on.`] : []),
    ...drifted.map(
      ({ key, drift }) =>
        `${name}: the dictionary for ${printable(key ?? '')} takes ${percent(drift ?? 0, 1)} more bytes than when it was new; ` +
        '"tamp sqlite maintain --retrain --recompress" makes a better one.',
    ),
    ...(verbose
      ? [
          `${name}: level ${level}, chooser ${printable(dictChooser)}, about ${counted(plainRowsEstimate, 'cell')} plain for good.`,
          ...dictionaries.map(
            ({ id, key, rowsEstimate, bytes: size, level: best, trainedRatio }) =>
              `  ${id < 0 ? 'without a dictionary' : `dictionary ${id} for ${key === null ? 'nothing new' : printable(key)}, ${bytes(size)}`}: ` +
              `about ${counted(rowsEstimate, 'row')}` +
              (best === null ? '' : `, level ${best}`) +
              (trainedRatio === null ? '' : `, ${percent(trainedRatio, 1)} of the plain bytes when it was new`),
          ),
        ]
      : []),
  ]
}

/** Remarks that hold for every table are many: they are counted unless `verbose`. */
function differenceLines(
  { lane, obstacles, remarks }: InspectedColumn,
  verbose: boolean,
  terminal: Terminal,
): string[] {
  const name = printable(lane)
  return [
    ...remarkLines(`${name} cannot be compressed as it is:`, obstacles, terminal),
    ...(verbose || remarks.length === 0
      ? remarkLines(`${name}, when it is compressed:`, remarks, terminal)
      : [
          `${name}: ${counted(remarks.length, 'thing')} would work differently; --verbose says which, and "tamp sqlite enable" before it does anything.`,
        ]),
  ]
}

function resultLines(
  { columns, tables, file }: Inspected,
  summary: RunSummary,
  path: string,
  terminal: Terminal,
): string[] {
  const { before, after, stopped, seconds } = summary
  const worth = columns.filter(({ verdict }) => verdict === 'worth')
  const lines: string[] = []
  const size = before.fileBytes ?? 0
  const saved = size - (after.fileBytesEstimate ?? size)
  if (tables.length === 0) lines.push('There is no table with rows here.')
  else if (worth.length === 0)
    lines.push(
      terminal.style('bold', `No further column is worth compressing in this file of ${bytes(size)}.`) +
        ` ${duration(seconds)}.`,
    )
  else {
    const [{ table: name, column }] = worth as [InspectedColumn]
    lines.push(
      `${terminal.style('bold', `About ${bytes(saved)} of ${bytes(size)} could be saved (${percent(saved, size)}).`)} ${duration(seconds)}.`,
      `Next: ${commandWords(['tamp', 'sqlite', 'enable', path, '--table', name, '--column', column])}, which changes nothing yet.`,
    )
  }
  if (file.vacuumSavesBytesEstimate > 0)
    lines.push(`A VACUUM alone would give back about ${bytes(file.vacuumSavesBytesEstimate)}.`)
  if (stopped === 'limit') lines.push('Stopped by --max-duration: not every column was measured.')
  if (stopped === 'interrupted') lines.push('Interrupted: not every column was looked at.')
  return lines
}
