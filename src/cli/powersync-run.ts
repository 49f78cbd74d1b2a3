// What `compact` and `defragment` have in common: a plan for buckets, a script of it or its execution, and the report of it.
import type { FlagParametersForType } from '@stricli/core'
import type { Measure, Mode } from '../core/report.ts'
import type { RunOptions } from '../core/run.ts'
import type { BucketReport, BucketSelection, BucketStorage } from '../powersync/index.ts'
import { checkOutputFlags, contradict, limitFlags, outputFlags, toggle } from './command.ts'
import type { LimitFlags, OutputFlags, TampContext } from './command.ts'
import { exitStatus } from './exit-status.ts'
import { tellFailure } from './failure.ts'
import { Interruption } from './interruption.ts'
import { summaryLine } from './json-lines.ts'
import { nameOf, secondsOrNone, wholeNumber } from './option-values.ts'
import { bucketFlags, checkStorageFlags, openStorage, selectionOf, storageFlags } from './powersync-options.ts'
import type { BucketFlags, StorageFlags } from './powersync-options.ts'
import { Progress } from './progress.ts'
import type { ReportStyle } from './report-text.ts'
import { runListener } from './run-events.ts'
import { openScript } from './script-file.ts'
import type { Terminal } from './terminal.ts'

export interface BucketRunFlags extends StorageFlags, BucketFlags, LimitFlags, OutputFlags {
  readonly execute: boolean
  readonly sql?: string
  readonly grace?: number
  readonly jobs: number
}

type Flags<Which extends keyof BucketRunFlags> = FlagParametersForType<Pick<BucketRunFlags, Which>, TampContext>

/** @param script what `--sql` writes */
export function writeFlags(script: string): Flags<'execute' | 'sql'> {
  return {
    execute: toggle('Write. Without it nothing is changed, and the figures are those that execution would reach.'),
    sql: { kind: 'parsed', parse: nameOf('a file'), optional: true, placeholder: 'FILE', brief: script },
  }
}

export const whichFlags: FlagParametersForType<StorageFlags & BucketFlags, TampContext> = {
  ...storageFlags,
  ...bucketFlags,
}

export const paceFlags: Flags<'grace' | 'maxDuration' | 'load' | 'jobs'> = {
  grace: {
    kind: 'parsed',
    parse: secondsOrNone,
    optional: true,
    placeholder: 'TIME',
    brief:
      'Touch only operations up to a checkpoint that was published at least that long ago, so that no client is still being served ' +
      'an older one. 0 takes the newest checkpoint. Default: 10m.',
  },
  ...limitFlags,
  jobs: {
    kind: 'parsed',
    parse: wholeNumber(1, 64),
    default: '1',
    placeholder: 'N',
    brief: 'Buckets at once, on as many connections.',
  },
}

export { outputFlags }

/** @throws TampError `usage` */
export function checkRunFlags(given: BucketRunFlags): void {
  checkOutputFlags(given)
  checkStorageFlags(given)
  if (given.execute && given.sql !== undefined)
    contradict('--execute', '--sql', 'Give --execute to write to the database, or --sql to write a script.')
  if (given.json && given.sql === '-')
    contradict('--json', '--sql -', 'Both need standard output: name a file for the script.')
}

export interface BucketRun<Of extends BucketReport> {
  /** What is said until the first figure is there. */
  readonly beginning: string
  /** Buckets named in another way than by `--bucket`. */
  readonly list?: readonly string[] | undefined
  act(storage: BucketStorage, options: RunOptions & BucketSelection & { readonly grace?: number }): Promise<Of>
  /** The report as text, ending with a line end. */
  text(report: Of, style: ReportStyle, terminal: Terminal): string
  /** What only this command has: lines of JSON before the summary, and fields of it. */
  json?(report: Of): { readonly lines: readonly string[]; readonly summary: Readonly<Record<string, unknown>> }
}

const nothingMeasured: Measure = { operations: 0, rows: 0, bytesEstimate: 0 }

/** Opens the storage, carries the run out and prints its report. @returns the exit status */
export async function runOnBuckets<Of extends BucketReport>(
  terminal: Terminal,
  given: BucketRunFlags,
  run: BucketRun<Of>,
): Promise<number> {
  const { json, quiet, verbose } = given
  const mode: Mode = given.execute ? 'execute' : given.sql === undefined ? 'dry-run' : 'script'
  using interruption = new Interruption(
    terminal,
    mode === 'execute' ? 'Stopping: the unit at hand is finished first.' : 'Stopping.',
  )
  await using script = given.sql === undefined ? undefined : await openScript(given.sql, terminal, interruption)
  const storage = await openStorage(given, interruption)
  const progress = new Progress(terminal, {
    show: quiet ? null : json ? 'bar-only' : 'auto',
    beginning: run.beginning,
    units: 'units done',
  })
  const report = await (async () => {
    using shown = progress
    return await run.act(storage, {
      ...selectionOf(given, run.list),
      ...(given.grace === undefined ? {} : { grace: given.grace }),
      mode,
      jobs: given.jobs,
      load: given.load,
      maxSeconds: given.maxDuration,
      signal: interruption.signal,
      write: script === undefined ? undefined : (text) => script.write(text),
      onEvent: runListener(terminal, given, shown, { lane: 'lane', item: 'operation' }),
    })
  })()
  if (report.stopped !== 'interrupted' && report.failure === undefined) await script?.finish()

  if (report.failure !== undefined) tellFailure(terminal, report.failure, json)
  if (json) terminal.out(jsonText(report, run))
  else {
    const text = run.text(report, { quiet, verbose }, terminal)
    // The script has standard output to itself.
    if (given.sql === '-') terminal.err(text)
    else terminal.out(text)
  }
  return exitStatus(report)
}

function jsonText<Of extends BucketReport>(report: Of, run: BucketRun<Of>): string {
  const { stream, checkpoint, definitions, unchangedBuckets, space, notes } = report
  const { lines, summary } = run.json?.(report) ?? { lines: [], summary: {} }
  const more = { stream, checkpoint, definitions, unchangedBuckets, space, notes, ...summary }
  return [...lines, summaryLine(report, nothingMeasured, more)].join('')
}
