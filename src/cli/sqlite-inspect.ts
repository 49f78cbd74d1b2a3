// `tamp sqlite inspect`: the survey of a SQLite file, largest saving first.
import type { FlagParametersForType } from '@stricli/core'
import { inspectSqlite } from '../sqlite/index.ts'
import type { Inspected, InspectedColumn } from '../sqlite/index.ts'
import { checkOutputFlags, outputFlags, tampCommand } from './command.ts'
import type { OutputFlags, TampContext } from './command.ts'
import { exitStatus } from './exit-status.ts'
import { jsonLine, summaryLine } from './json-lines.ts'
import { seconds } from './option-values.ts'
import { inspectedText } from './sqlite-inspected-text.ts'
import { checkColumnFlags, columnFlags, fileBrief, oneColumn } from './sqlite-options.ts'
import type { ColumnFlags } from './sqlite-options.ts'
import { runSqlite, sqliteSummary } from './sqlite-run.ts'
import { commandWords } from './sqlite-text.ts'
import type { Terminal } from './terminal.ts'

interface InspectFlags extends ColumnFlags, OutputFlags {
  readonly maxDuration?: number
}

const flags: FlagParametersForType<InspectFlags, TampContext> = {
  ...columnFlags('Only this table.', 'Only this column of it, measured however small it is.'),
  maxDuration: {
    kind: 'parsed',
    parse: seconds,
    optional: true,
    placeholder: 'TIME',
    brief: 'Measure no further column after that long (90s, 5m). Exit status 75.',
  },
  ...outputFlags,
}

export const sqliteInspectCommand: ReturnType<typeof tampCommand> = tampCommand<InspectFlags>({
  brief: 'Survey the tables: what is there and what compression would save.',
  description: `Lists columns by the bytes that compressing them would take off the file, measured on a sample of rows that no dictionary was trained \
on; says what would work differently, and what stands in the way; and how columns that are compressed already do. Only reads.

  tamp sqlite inspect events.db
  tamp sqlite inspect events.db --table events --column data --verbose

Up to 20,000 rows of a table are read, spread over all of it: figures are estimates. "Not worth it" is an answer: a column that saves less than a \
tenth of the file had better stay as it is.
Exit status: 0 done; 1 failed; 2 wrong use; 3 a table could not be read; 10 not a database; 11 locked; 75 stopped by --max-duration; \
130 interrupted.`,
  file: fileBrief,
  flags,
  run: runInspect,
})

async function runInspect(terminal: Terminal, given: InspectFlags, file: string): Promise<number> {
  checkOutputFlags(given)
  checkColumnFlags(given)
  const run = await runSqlite(
    terminal,
    given,
    {
      file,
      beginning: 'Looking at the tables …',
      units: 'columns',
      stopping: 'Stopping.',
      withoutLibrary: 'Going on without it: no dictionaries can be tried, so the savings are larger than shown.',
    },
    (control) => inspectSqlite(file, { ...oneColumn(given), maxSeconds: given.maxDuration ?? null }, control),
  )
  const { complete, stopped, tables, columns, skipped } = run.result
  const rows = tables.reduce((sum, table) => sum + table.rows, 0)
  const summary = sqliteSummary('inspect', false, run, {
    complete,
    ...(stopped === undefined ? {} : { stopped }),
    before: {
      rows,
      bytesEstimate: tables.reduce((sum, table) => sum + table.bytesEstimate, 0),
      fileBytes: run.fileBytesBefore,
    },
    after: { rows, fileBytesEstimate: Math.max(0, run.fileBytesBefore - savedBytes(columns)) },
    skipped,
  })
  if (given.json) {
    for (const column of columns) terminal.out(columnLine(column))
    terminal.out(summaryLine(summary, {}, { tables, file: run.result.file }))
  } else terminal.out(inspectedText(run.result, summary, given, file, terminal))
  return exitStatus(summary)
}

function columnLine({ type: declaredType, ...column }: InspectedColumn): string {
  return jsonLine({ type: 'column', declaredType, ...column })
}

function savedBytes(columns: readonly InspectedColumn[]): number {
  return columns.reduce((sum, { verdict, gainBytesEstimate }) => sum + (verdict === 'worth' ? gainBytesEstimate : 0), 0)
}

/** The columns that are worth it, most saving first, with the options that name each. */
export function worthwhile({ columns }: Inspected): { readonly words: string; readonly savedBytes: number }[] {
  return columns
    .filter(({ verdict }) => verdict === 'worth')
    .map(({ table, column, gainBytesEstimate }) => ({
      words: commandWords(['--table', table, '--column', column]),
      savedBytes: gainBytesEstimate,
    }))
}
