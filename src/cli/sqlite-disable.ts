// `tamp sqlite disable`: decompresses a column and puts the table back in its place, here or in a copy.
import { resolve } from 'node:path'
import type { FlagParametersForType } from '@stricli/core'
import { TampError } from '../core/errors.ts'
import type { RunSummary } from '../core/report.ts'
import { compressedColumns, disableColumn, exportPlain } from '../sqlite/index.ts'
import type { ColumnName, Disabled, RunControl } from '../sqlite/index.ts'
import { checkOutputFlags, contradict, limitFlags, outputFlags, tampCommand } from './command.ts'
import type { LimitFlags, OutputFlags, TampContext } from './command.ts'
import { compactExitStatuses, exitStatus } from './exit-status.ts'
import { bytes, counted, duration, printable } from './figures.ts'
import { jsonLine, summaryLine } from './json-lines.ts'
import { nameOf } from './option-values.ts'
import { blocksText, leftText } from './report-text.ts'
import { checkColumnFlags, columnFlags, executeFlags, fileBrief } from './sqlite-options.ts'
import type { ColumnFlags, ExecuteFlags } from './sqlite-options.ts'
import { runSqlite, sqliteSummary } from './sqlite-run.ts'
import type { SqliteRun } from './sqlite-run.ts'
import { statementLines } from './sqlite-text.ts'
import type { Terminal } from './terminal.ts'

interface DisableFlags extends ColumnFlags, ExecuteFlags, LimitFlags, OutputFlags {
  readonly export?: string
}

const flags: FlagParametersForType<DisableFlags, TampContext> = {
  ...columnFlags('Only columns of this table. Default: every compressed column.', 'Only this column; may be repeated.'),
  ...executeFlags,
  ...limitFlags,
  export: {
    kind: 'parsed',
    parse: nameOf('a file'),
    optional: true,
    placeholder: 'NEW',
    brief:
      'Leave the database as it is, and write a plain copy of all of it to this file, which must not be there yet. ' +
      'The copy is there whole or not at all.',
  },
  ...outputFlags,
}

export const sqliteDisableCommand: ReturnType<typeof tampCommand> = tampCommand<DisableFlags>({
  brief: 'Back to the plain table; with --execute, do it.',
  description: `Decompresses columns in transactions of about half a second, then puts each table back as it was: columns, types, indexes, \
triggers and views. It can be stopped and run again at any time; until the end the table reads and writes as before.

  tamp sqlite disable events.db --table events --column data --execute
  tamp sqlite disable events.db --export plain.db

Works without the native extension, too. The file becomes as large as it was before it was compressed.
Exit status: ${compactExitStatuses}`,
  file: fileBrief,
  flags,
  run: runDisable,
})

type Done = Disabled & ColumnName

async function runDisable(terminal: Terminal, given: DisableFlags, file: string): Promise<number> {
  checkFlags(given, file)
  const writes = given.execute || given.export !== undefined
  let exported: number | undefined
  const run = await runSqlite(
    terminal,
    given,
    {
      file,
      beginning: given.export === undefined ? 'Looking at the table …' : 'Copying …',
      stopping: writes ? 'Stopping: the transaction at hand is finished first.' : 'Stopping.',
      withoutLibrary: 'Going on without it, in JavaScript, which is slower.',
    },
    async (control): Promise<Done[]> => {
      const columns = await columnsMeant(file, given, control)
      if (given.export === undefined) return disableAll(file, columns, given, control)
      const made = await exportPlain(file, given.export, { columns }, control)
      exported = made.fileBytes
      return made.columns.map((column) => ({
        ...column,
        complete: true,
        left: [],
        statements: [],
        throttledSeconds: 0,
      }))
    },
  )
  const summary = summaryOf(run, given, exported)
  if (given.json) {
    for (const { statements, ...done } of run.result) terminal.out(jsonLine({ type: 'plan', ...done, statements }))
    terminal.out(summaryLine(summary))
  } else terminal.out(disabledText(run.result, summary, given, terminal))
  return exitStatus(summary)
}

function checkFlags(given: DisableFlags, file: string): void {
  checkOutputFlags(given)
  checkColumnFlags(given)
  if (given.export === undefined) return
  if (given.execute)
    contradict('--execute', '--export', 'Give --execute to change the database, or --export to write a copy.')
  if (given.maxDuration !== undefined) contradict('--export', '--max-duration', 'A copy is made whole or not at all.')
  if (resolve(given.export) === resolve(file))
    throw new TampError('usage', 'The copy cannot be written over the database itself.', {
      hint: 'Name another file for --export, or use --execute.',
    })
}

/** The columns that the options name, or all. @throws TampError `usage` where one is not compressed */
async function columnsMeant(file: string, given: ColumnFlags, control: RunControl): Promise<readonly ColumnName[]> {
  const all = await compressedColumns(file, control)
  const { table, column = [] } = given
  if (table === undefined) return all
  const same = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase()
  const ofTable = all.filter((name) => same(name.table, table))
  const missing =
    ofTable.length === 0 ? table : column.find((wanted) => !ofTable.some((name) => same(name.column, wanted)))
  if (missing !== undefined)
    throw new TampError(
      'usage',
      `No column of ${printable(table)}${missing === table ? '' : ` named ${printable(missing)}`} is compressed.`,
      {
        hint:
          all.length === 0
            ? 'Nothing in this database is.'
            : `Compressed are: ${all.map((name) => printable(`${name.table}.${name.column}`)).join(', ')}.`,
      },
    )
  return column.length === 0 ? ofTable : ofTable.filter((name) => column.some((wanted) => same(name.column, wanted)))
}

/** One column after the other, within the time for all. */
async function disableAll(
  file: string,
  columns: readonly ColumnName[],
  { execute, load, maxDuration }: DisableFlags,
  control: RunControl,
): Promise<Done[]> {
  const started = performance.now()
  const done: Done[] = []
  for (const column of columns) {
    const left = maxDuration === undefined ? undefined : maxDuration - (performance.now() - started) / 1000
    const disabled = await disableColumn(
      file,
      { ...column, load, dryRun: !execute, ...(left === undefined ? {} : { maxSeconds: Math.max(0.001, left) }) },
      control,
    )
    done.push({ ...disabled, ...column })
    if (disabled.stopped !== undefined) break
  }
  return done
}

function summaryOf(
  run: SqliteRun<readonly Done[]>,
  { execute, export: target }: DisableFlags,
  exported: number | undefined,
): RunSummary {
  const rows = run.result.reduce((sum, done) => sum + done.rows, 0)
  const complete = run.result.every((done) => done.complete)
  const stopped = run.result.find((done) => done.stopped !== undefined)?.stopped
  const throttledSeconds = run.result.reduce((sum, done) => sum + done.throttledSeconds, 0)
  return sqliteSummary('disable', execute || target !== undefined, run, {
    complete,
    ...(stopped === undefined ? {} : { stopped }),
    skipped: run.result.flatMap((done) => done.left),
    throttledSeconds: Math.round(throttledSeconds * 100) / 100,
    before: { rows, fileBytes: run.fileBytesBefore },
    after: { rows, fileBytes: exported ?? run.fileBytesAfter },
  })
}

function disabledText(done: readonly Done[], summary: RunSummary, given: DisableFlags, terminal: Terminal): string {
  const { before, after, complete, stopped, seconds } = summary
  const names = done.map(({ table, column }) => printable(`${table}.${column}`)).join(', ')
  const lines: string[] = []
  if (done.length === 0 && given.export === undefined) lines.push('No column is compressed here.')
  else if (given.export !== undefined)
    lines.push(
      terminal.style('bold', `A plain copy is in ${printable(given.export)}: ${bytes(after.fileBytes ?? 0)}.`) +
        ` ${counted(before.rows, 'row')} decompressed, ${duration(seconds)}.`,
    )
  else if (!given.execute)
    lines.push(
      terminal.style('bold', `${names}: ${counted(before.rows, 'row')} would be decompressed.`),
      'Nothing was changed. The same command with --execute carries this out; --verbose shows its statements.',
    )
  else if (complete)
    lines.push(
      `${terminal.style('bold', `${names}: plain again.`)} ${counted(before.rows, 'row')} decompressed, ${duration(seconds)}.`,
      `The file has ${bytes(after.fileBytes ?? 0)} (${bytes(before.fileBytes ?? 0)} before). A VACUUM packs it.`,
    )
  else
    lines.push(
      `${counted(before.rows, 'row')} decompressed, ${duration(seconds)}.`,
      stopped === undefined
        ? 'The table stays a view as long as there are cells that cannot be read. Once they are seen to, the same command goes on.'
        : stopped === 'interrupted'
          ? 'Interrupted. The table reads and writes as before; the next run goes on from here.'
          : 'Stopped by --max-duration: there is more to do. The next run goes on from here.',
    )
  const statements = done.flatMap((one) => one.statements)
  const left = leftText(summary.skipped, given.verbose, terminal)
  return blocksText([given.verbose ? statementLines(statements, terminal) : [], left, lines])
}
