// `tamp sqlite maintain`: compresses what is pending, trains dictionaries, gives pages back. For cron as for a terminal.
import type { FlagParametersForType } from '@stricli/core'
import type { RunSummary } from '../core/report.ts'
import type { Left } from '../core/unit.ts'
import { maintainSqlite } from '../sqlite/index.ts'
import type { Maintained } from '../sqlite/index.ts'
import { checkOutputFlags, limitFlags, outputFlags, tampCommand, toggle } from './command.ts'
import type { LimitFlags, OutputFlags, TampContext } from './command.ts'
import { compactExitStatuses, exitStatus } from './exit-status.ts'
import { jsonLine, summaryLine } from './json-lines.ts'
import { maintainedText } from './sqlite-maintained-text.ts'
import { checkColumnFlags, columnFlags, executeFlags, fileBrief, oneColumn } from './sqlite-options.ts'
import type { ColumnFlags, ExecuteFlags } from './sqlite-options.ts'
import { runSqlite, sqliteSummary } from './sqlite-run.ts'
import type { SqliteRun } from './sqlite-run.ts'
import type { Terminal } from './terminal.ts'

interface MaintainFlags extends ColumnFlags, ExecuteFlags, LimitFlags, OutputFlags {
  readonly retrain: boolean
  readonly recompress: boolean
}

const flags: FlagParametersForType<MaintainFlags, TampContext> = {
  ...executeFlags,
  ...columnFlags('Only columns of this table. Default: every compressed column.', 'Only this column.'),
  ...limitFlags,
  retrain: toggle('Train new dictionaries on the rows as they are now, and take those that are better.'),
  recompress: toggle('Compress anew what was compressed with dictionaries that have been replaced, and drop those.'),
  ...outputFlags,
}

export const sqliteMaintainCommand: ReturnType<typeof tampCommand> = tampCommand<MaintainFlags>({
  brief: 'Compress what is pending; with --execute, do it.',
  description: `Compresses the rows that were written since the last time, in every column that "enable" has prepared: trains the dictionaries \
that are missing, and works in transactions of about half a second, so that others can read and write meanwhile. It can be stopped, killed \
and run again at any time, and never looks twice at what it has done.

  tamp sqlite maintain events.db
  tamp sqlite maintain events.db --execute --max-duration 1h --load 0.3

Every cell is decompressed and compared before it takes the place of the plain one. Pages that become free are given back at once where the \
file has incremental vacuum; otherwise it says what a VACUUM would give back.
Exit status: ${compactExitStatuses}`,
  file: fileBrief,
  flags,
  run: runMaintain,
})

async function runMaintain(terminal: Terminal, given: MaintainFlags, file: string): Promise<number> {
  checkOutputFlags(given)
  checkColumnFlags(given)
  const { json, execute, load, retrain, recompress } = given
  const run = await runSqlite(
    terminal,
    given,
    {
      file,
      beginning: 'Looking what is pending …',
      stopping: execute ? 'Stopping: the transaction at hand is finished first.' : 'Stopping.',
      withoutLibrary: null,
    },
    (control) =>
      maintainSqlite(
        file,
        { ...oneColumn(given), maxSeconds: given.maxDuration ?? null, load, retrain, recompress, dryRun: !execute },
        control,
      ),
  )
  const summary = summaryOf(run, execute)
  if (json) {
    for (const column of run.result.columns) terminal.out(jsonLine({ type: 'plan', ...column, column: column.lane }))
    const { collected, space } = run.result
    terminal.out(summaryLine(summary, {}, { collected, space }))
  } else terminal.out(maintainedText(run.result, summary, given, terminal))
  return exitStatus(summary)
}

function summaryOf(run: SqliteRun<Maintained>, execute: boolean): RunSummary {
  const { columns, complete, stopped, throttledSeconds } = run.result
  const sum = (of: (column: Maintained['columns'][number]) => number): number =>
    columns.reduce((total, column) => total + of(column), 0)
  const planned = columns.flatMap(({ plan }) => plan ?? [])
  const rows = execute
    ? sum((column) => column.rows + column.recompressed.rows)
    : planned.reduce((total, group) => total + (group.action === 'leave' ? 0 : group.rows), 0)
  const before = execute
    ? sum((column) => column.bytesBefore + column.recompressed.bytesBefore)
    : planned.reduce((total, group) => total + group.bytes, 0)
  const after = execute
    ? { bytes: sum((column) => column.bytesAfter + column.recompressed.bytesAfter), fileBytes: run.fileBytesAfter }
    : { bytesEstimate: planned.reduce((total, group) => total + group.bytesAfterEstimate, 0) }
  const chunks = sum((column) => column.chunks)
  return sqliteSummary('maintain', execute, run, {
    complete,
    ...(stopped === undefined ? {} : { stopped }),
    before: { rows, bytes: before, fileBytes: run.fileBytesBefore },
    after: { rows, ...after },
    units: { planned: chunks, done: chunks, skipped: 0, failed: 0 },
    // The function that compresses a cell decompresses it again before it answers.
    proof: { checked: execute ? rows : 0, mismatches: 0 },
    skipped: [...run.result.skipped, ...refused(run.result)],
    throttledSeconds: Math.round(throttledSeconds * 100) / 100,
  })
}

/** Rows that should have been compressed and could not. */
function refused({ columns }: Maintained): Left[] {
  return columns.flatMap(({ lane, left }) =>
    left
      .filter(({ code }) => code === 'failed')
      .map(({ rows, reason }) => ({ subject: `${lane}, ${rows} rows`, reason })),
  )
}
