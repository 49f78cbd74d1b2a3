// The frame of a command that plans, writes a script or executes: its options, its interruption, its progress, and the report at the end.
import type { FlagParametersForType } from '@stricli/core'
import type { Measure, Mode, Report } from '../core/report.ts'
import type { RunOptions } from '../core/run.ts'
import { checkOutputFlags, contradict, limitFlags, outputFlags, toggle } from './command.ts'
import type { LimitFlags, OutputFlags, TampContext } from './command.ts'
import { exitStatus } from './exit-status.ts'
import { tellFailure } from './failure.ts'
import { Interruption } from './interruption.ts'
import { summaryLine } from './json-lines.ts'
import { nameOf, wholeNumber } from './option-values.ts'
import { Progress } from './progress.ts'
import type { ReportStyle } from './report-text.ts'
import { runListener } from './run-events.ts'
import type { RunWords } from './run-events.ts'
import { openScript } from './script-file.ts'
import type { Terminal } from './terminal.ts'

export interface PlannedRunFlags extends LimitFlags, OutputFlags {
  readonly execute: boolean
  readonly sql?: string
  readonly jobs: number
}

/** @param script what `--sql` writes */
export function writeFlags(
  script: string,
): FlagParametersForType<Pick<PlannedRunFlags, 'execute' | 'sql'>, TampContext> {
  return {
    execute: toggle('Write. Without it nothing is changed, and the figures are those that execution would reach.'),
    sql: { kind: 'parsed', parse: nameOf('a file'), optional: true, placeholder: 'FILE', brief: script },
  }
}

/** @param lanes what runs side by side */
export function paceFlags(
  lanes: string,
): FlagParametersForType<Pick<PlannedRunFlags, 'maxDuration' | 'load' | 'jobs'>, TampContext> {
  return {
    ...limitFlags,
    jobs: {
      kind: 'parsed',
      parse: wholeNumber(1, 64),
      default: '1',
      placeholder: 'N',
      brief: `${lanes} at once, on as many connections.`,
    },
  }
}

export { outputFlags }

/** @throws TampError `usage` */
export function checkPlannedRunFlags(given: PlannedRunFlags): void {
  checkOutputFlags(given)
  if (given.execute && given.sql !== undefined)
    contradict('--execute', '--sql', 'Give --execute to write to the database, or --sql to write a script.')
  if (given.json && given.sql === '-')
    contradict('--json', '--sql -', 'Both need standard output: name a file for the script.')
}

export interface PlannedRun<Database, Of extends Report> {
  /** What is said until the first figure is there. */
  readonly beginning: string
  readonly words: RunWords
  /** What a summary says where nothing was measured. */
  readonly nothing: Measure
  open(interruption: Interruption): Promise<Database>
  /** Plans or executes. */
  act(database: Database, options: RunOptions): Promise<Of>
  /** The report as text, ending with a line end. */
  text(report: Of, style: ReportStyle, terminal: Terminal): string
  /** What only this command has: lines of JSON before the summary, and fields of it. */
  json?(report: Of): { readonly lines: readonly string[]; readonly summary: Readonly<Record<string, unknown>> }
}

/** Carries a run out and prints its report. @returns the exit status */
export async function carryOut<Database, Of extends Report>(
  terminal: Terminal,
  given: PlannedRunFlags,
  run: PlannedRun<Database, Of>,
): Promise<number> {
  const { json, quiet, verbose } = given
  const mode: Mode = given.execute ? 'execute' : given.sql === undefined ? 'dry-run' : 'script'
  using interruption = new Interruption(
    terminal,
    mode === 'execute' ? 'Stopping: the unit at hand is finished first.' : 'Stopping.',
  )
  await using script = given.sql === undefined ? undefined : await openScript(given.sql, terminal, interruption)
  const database = await run.open(interruption)
  const report = await (async () => {
    using progress = new Progress(terminal, {
      show: quiet ? null : json ? 'bar-only' : 'auto',
      beginning: run.beginning,
      units: 'units done',
    })
    const options: RunOptions = {
      mode,
      jobs: given.jobs,
      load: given.load,
      maxSeconds: given.maxDuration,
      signal: interruption.signal,
      write: script === undefined ? undefined : (text) => script.write(text),
      onEvent: runListener(terminal, given, progress, run.words),
    }
    return await run.act(database, options)
  })()
  if (report.stopped !== 'interrupted' && report.failure === undefined) await script?.finish()

  if (report.failure !== undefined) tellFailure(terminal, report.failure, json)
  if (json) {
    const { lines, summary } = run.json?.(report) ?? { lines: [], summary: {} }
    terminal.out([...lines, summaryLine(report, run.nothing, summary)].join(''))
  } else {
    const text = run.text(report, { quiet, verbose }, terminal)
    // The script has standard output to itself.
    if (given.sql === '-') terminal.err(text)
    else terminal.out(text)
  }
  return exitStatus(report)
}
