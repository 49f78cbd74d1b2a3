// `tamp sqlite check`: whether everything that was compressed can be read, and what breaks a rule.
import type { FlagParametersForType } from '@stricli/core'
import { checkSqlite } from '../sqlite/index.ts'
import type { Checked } from '../sqlite/index.ts'
import { checkOutputFlags, limitFlags, outputFlags, tampCommand } from './command.ts'
import type { LimitFlags, OutputFlags, TampContext } from './command.ts'
import { count, counted, duration } from './figures.ts'
import { summaryLine } from './json-lines.ts'
import { blocksText, findingsText } from './report-text.ts'
import { checkColumnFlags, columnFlags, fileBrief, oneColumn } from './sqlite-options.ts'
import type { ColumnFlags } from './sqlite-options.ts'
import { runSqlite, sqliteSummary } from './sqlite-run.ts'
import type { Terminal } from './terminal.ts'

interface CheckFlags extends ColumnFlags, LimitFlags, OutputFlags {}

const flags: FlagParametersForType<CheckFlags, TampContext> = {
  ...columnFlags('Only columns of this table. Default: every compressed column.', 'Only this column.'),
  ...limitFlags,
  ...outputFlags,
}

export const sqliteCheckCommand: ReturnType<typeof tampCommand> = tampCommand<CheckFlags>({
  brief: 'Look whether every compressed cell can be read, and for damage.',
  description: `Reads every compressed cell, compares every dictionary with its hash, looks for what is missing or left over around compressed columns, \
and has SQLite check the whole file. Only reads.

  tamp sqlite check events.db

Of each kind of finding the first hundred are named. docs/findings.md says what each means and what to do about it. Some are only remarks: \
then the exit status is 0.

Exit status: 0 no fault found; 1 failed; 2 wrong use; 4 something found; 10 not a database; 11 locked; 75 stopped by --max-duration; \
130 interrupted.`,
  file: fileBrief,
  flags,
  run: runCheck,
})

async function runCheck(terminal: Terminal, given: CheckFlags, file: string): Promise<number> {
  checkOutputFlags(given)
  checkColumnFlags(given)
  const { json, load, maxDuration } = given
  const run = await runSqlite(
    terminal,
    given,
    {
      file,
      beginning: 'Checking the file …',
      units: 'steps',
      stopping: 'Stopping.',
      withoutLibrary: 'Going on without it, in JavaScript, which is slower.',
    },
    (control) =>
      checkSqlite(
        file,
        { ...oneColumn(given), load, ...(maxDuration === undefined ? {} : { maxSeconds: maxDuration }) },
        control,
      ),
  )
  const { findings, complete, stopped, cells, counts, columns, dictionaries, throttledSeconds } = run.result
  if (json) {
    const summary = sqliteSummary('check', false, run, {
      complete,
      ...(stopped === undefined ? {} : { stopped }),
      before: { rows: cells, fileBytes: run.fileBytesBefore },
      after: { rows: cells, fileBytes: run.fileBytesAfter },
      findings,
      throttledSeconds,
    })
    terminal.out(summaryLine(summary, {}, { counts, columns, dictionaries }))
  } else terminal.out(checkedText(run.result, run.seconds, given, terminal))
  return exitStatusOf(run.result)
}

function exitStatusOf({ faults, stopped }: Checked): number {
  if (stopped === 'interrupted') return 130
  return faults > 0 ? 4 : stopped === 'limit' ? 75 : 0
}

function checkedText(checked: Checked, seconds: number, { quiet, verbose }: CheckFlags, terminal: Terminal): string {
  const { findings, counts, faults, columns, cells, dictionaries, stopped } = checked
  const all = Object.values(counts).reduce((sum, here) => sum + here, 0)
  const remarks = all - faults
  const verdict =
    faults > 0
      ? terminal.style('bold', `${counted(faults, 'finding')} (docs/findings.md says what to do)`)
      : terminal.style('green', remarks > 0 ? `No fault found, ${counted(remarks, 'remark')}` : 'Nothing found')
  const looked =
    columns === 0
      ? 'no column is compressed here; the file itself is sound'
      : `${counted(cells, 'compressed cell')} in ${counted(columns, 'column')} read, ` +
        `${counted(dictionaries, 'dictionary', 'dictionaries')} compared`
  const lines = [
    `${verdict}: ${columns === 0 && faults > 0 ? 'no column is compressed here' : looked}, ${duration(seconds)}.`,
  ]
  if (quiet) for (const [code, number] of Object.entries(counts)) lines.push(`  ${code}: ${count(number)}`)
  if (stopped !== undefined)
    lines.push(
      stopped === 'limit'
        ? 'Stopped by --max-duration: the rest was not looked at.'
        : 'Interrupted: the rest was not looked at.',
    )
  return blocksText(quiet ? [lines] : [findingsText(findings, verbose, terminal), lines])
}
