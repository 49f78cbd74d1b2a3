// `tamp sqlite enable`: puts a column behind a view, so that maintenance can compress it.
import type { FlagParametersForType } from '@stricli/core'
import { TampError } from '../core/errors.ts'
import type { Finding } from '../core/report.ts'
import { enableColumn, inspectSqlite } from '../sqlite/index.ts'
import type { Enabled, RunControl } from '../sqlite/index.ts'
import { checkOutputFlags, outputFlags, tampCommand } from './command.ts'
import type { OutputFlags, TampContext } from './command.ts'
import { bytes, counted, duration, printable } from './figures.ts'
import { jsonLine, summaryLine } from './json-lines.ts'
import { nameOf, shown } from './option-values.ts'
import { blocksText } from './report-text.ts'
import { checkColumnFlags, columnFlags, executeFlags, fileBrief } from './sqlite-options.ts'
import type { ColumnFlags, ExecuteFlags } from './sqlite-options.ts'
import { worthwhile } from './sqlite-inspect.ts'
import { commandWords, remarkLines, statementLines } from './sqlite-text.ts'
import { runSqlite, sqliteSummary } from './sqlite-run.ts'
import type { SqliteRun } from './sqlite-run.ts'
import type { Terminal } from './terminal.ts'

interface EnableFlags extends ColumnFlags, ExecuteFlags, OutputFlags {
  readonly level: number | 'auto'
  readonly dictChooser?: string
}

const flags: FlagParametersForType<EnableFlags, TampContext> = {
  ...columnFlags('The table.', 'The column to compress; may be repeated. Without it: says which would be worth it.'),
  level: {
    kind: 'parsed',
    parse: level,
    default: 'auto',
    placeholder: 'LEVEL',
    brief: 'zstd level, 1 to 22; auto tries levels, dictionary sizes and trainers on a sample and takes what is best.',
  },
  dictChooser: {
    kind: 'parsed',
    parse: nameOf('an expression'),
    optional: true,
    placeholder: 'EXPR',
    brief:
      'SQL expression over a row that gives the key of its dictionary, a text: rows of one key share one. NULL leaves the row ' +
      "plain for now, '[nodict]' compresses it without. Default: one dictionary for the column.",
  },
  ...executeFlags,
  ...outputFlags,
}

export const sqliteEnableCommand: ReturnType<typeof tampCommand> = tampCommand<EnableFlags>({
  brief: 'Prepare a column for compression; with --execute, do it.',
  description: `Puts a view in the place of a table, under its name, so that the rows behind it can be compressed. Takes no time to speak of and \
compresses nothing yet: that is what "maintain" does. Says before what will work differently afterwards, and refuses what would not work.

  tamp sqlite enable events.db --table events --column data
  tamp sqlite enable events.db --table events --column data --execute
  tamp sqlite enable events.db --table events --column data --dict-chooser "'m' || substr(at, 1, 7)" --execute

From then on programs need the extension to read the column: "tamp sqlite shell-init" prints how they load it. A column that sqlite-zstd \
compresses is taken over. "tamp sqlite disable" gives the table back as it was.
Exit status: 0 done; 1 failed, or the column cannot be compressed; 2 wrong use; 10 not a database; 11 locked; 130 interrupted.`,
  file: fileBrief,
  flags,
  run: runEnable,
})

function level(text: string): number | 'auto' {
  const value = /^\d{1,2}$/.test(text) ? Number(text) : 0
  if (text === 'auto') return 'auto'
  if (value >= 1 && value <= 22) return value
  throw new Error(`${shown(text)} is not a whole number from 1 to 22, or auto`)
}

async function runEnable(terminal: Terminal, given: EnableFlags, file: string): Promise<number> {
  checkOutputFlags(given)
  checkColumnFlags(given)
  const { table, column: columns = [], json, execute } = given
  const run = await runSqlite(
    terminal,
    given,
    {
      file,
      beginning: 'Looking at the table …',
      stopping: 'Stopping.',
      withoutLibrary: null,
    },
    async (control) => {
      if (table === undefined || columns.length === 0) throw await whichColumn(file, table, control)
      const each = async (dryRun: boolean): Promise<Enabled[]> => {
        const enabled: Enabled[] = []
        for (const column of columns)
          enabled.push(
            await enableColumn(
              file,
              {
                table,
                column,
                level: given.level,
                dryRun,
                ...(given.dictChooser === undefined ? {} : { dictChooser: given.dictChooser }),
              },
              control,
            ),
          )
        return enabled
      }
      // All are looked at before the first is changed.
      if (execute && columns.length > 1) await each(true)
      return each(!execute)
    },
  )
  if (!json) {
    terminal.out(enabledText(run, file, given, terminal))
    return 0
  }
  for (const enabled of run.result) terminal.out(jsonLine({ type: 'plan', ...enabled }))
  terminal.out(summaryLine(sqliteSummary('enable', execute, run, { findings: findingsOf(run.result) })))
  return 0
}

/** What `inspect` would pick, as the hint of the complaint that no column was named. */
async function whichColumn(file: string, table: string | undefined, control: RunControl): Promise<TampError> {
  const inspected = await inspectSqlite(file, table === undefined ? {} : { table }, control)
  const best = worthwhile(inspected)
  const missing = table === undefined ? '--table and --column say which column' : '--column says which column'
  const [first] = best
  const hint =
    first === undefined
      ? 'No column here is worth it; "tamp sqlite inspect" says why.'
      : `Most is saved by ${first.words} (about ${bytes(first.savedBytes)})` +
        (best.length > 1 ? `; "tamp sqlite inspect" lists ${counted(best.length - 1, 'other')}.` : '.')
  return new TampError('usage', `Which column is to be compressed? ${missing}.`, { hint })
}

/** Remarks, for the summary. */
function findingsOf(enabled: readonly Enabled[]): Finding[] {
  return enabled.flatMap(({ table, column, remarks }) =>
    remarks.map(({ code, detail }) => ({ code, subject: `${table}.${column}`, detail })),
  )
}

function enabledText(
  { result, seconds }: SqliteRun<readonly Enabled[]>,
  file: string,
  { execute, quiet, verbose }: EnableFlags,
  terminal: Terminal,
): string {
  const remarks = result.flatMap((enabled) => enabled.remarks)
  const names = result.map(({ table, column }) => printable(`${table}.${column}`)).join(', ')
  const takenOver = result.some((enabled) => enabled.takenOver)
    ? ' It was sqlite-zstd that compressed it until now.'
    : ''
  const [{ table }] = result as [Enabled]
  const next = execute
    ? [
        `${terminal.style('bold', `${names} can be compressed now.`)}${takenOver} ${duration(seconds)}.`,
        `Next: ${commandWords(['tamp', 'sqlite', 'maintain', file, '--table', table, '--execute'])}, which compresses the rows that are there.`,
        'Programs need the extension from now on: "tamp sqlite shell-init" says how they load it.',
      ]
    : [
        `${terminal.style('bold', `${names} can be compressed.`)}${takenOver}`,
        'Nothing was changed. The same command with --execute carries this out; --verbose shows its statements.',
      ]
  return blocksText(
    quiet
      ? [next]
      : [
          verbose
            ? statementLines(
                result.flatMap(({ statements }) => statements),
                terminal,
              )
            : [],
          execute && !verbose
            ? []
            : remarkLines(execute ? 'What is different from now on:' : 'What will be different:', remarks, terminal),
          next,
        ],
  )
}
