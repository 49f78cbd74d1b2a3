// `tamp powersync inspect`: the survey of buckets, largest waste first.
import type { FlagParametersForType } from '@stricli/core'
import { inspectBuckets } from '../powersync/index.ts'
import type { BucketSurvey, InspectSummary } from '../powersync/index.ts'
import { checkOutputFlags, outputFlags, tampCommand } from './command.ts'
import type { OutputFlags, TampContext } from './command.ts'
import { Interruption } from './interruption.ts'
import { jsonLine } from './json-lines.ts'
import { wholeNumber } from './option-values.ts'
import { inspectedText } from './powersync-inspected-text.ts'
import {
  bucketFlags,
  checkStorageFlags,
  openStorage,
  resyncFlags,
  selectionOf,
  storageAliases,
  storageFlags,
} from './powersync-options.ts'
import type { BucketFlags, ResyncFlags, StorageFlags } from './powersync-options.ts'
import { graceFlag } from './powersync-run.ts'
import { Progress } from './progress.ts'
import type { Terminal } from './terminal.ts'

interface InspectFlags extends StorageFlags, BucketFlags, ResyncFlags, OutputFlags {
  readonly grace?: number
  readonly limit?: number
}

/** Buckets shown where nobody says how many. */
const usualLimit = 20

const flags: FlagParametersForType<InspectFlags, TampContext> = {
  ...storageFlags,
  ...bucketFlags,
  ...resyncFlags,
  grace: graceFlag.grace,
  limit: {
    kind: 'parsed',
    parse: wholeNumber(1),
    optional: true,
    placeholder: 'N',
    brief: `Show so many buckets; the totals are of all. Default: ${usualLimit}; all with --json or --verbose.`,
  },
  ...outputFlags,
}

export const powersyncInspectCommand: ReturnType<typeof tampCommand> = tampCommand<InspectFlags>({
  brief: 'Survey the buckets: what is there and what could be saved.',
  description: `Lists buckets by the operations that they hold beyond what their live rows need: what a new client downloads now, after \
compacting, after defragmenting, and at the very least; with the streams there are, and what is odd. Changes nothing and blocks nobody.

  tamp powersync inspect --config /config/powersync.yaml
  tamp powersync inspect --definition by_user --max-resync-rows 100

Operations and rows are counted; what ends in bytes is an estimate of the lines that a client is sent. The survey reads every operation once, \
in one snapshot, and sorts on the server: some five seconds a million operations.
Exit status: 0 done; 1 failed; 2 wrong use; 10 schema not recognised; 130 interrupted.`,
  flags,
  aliases: storageAliases,
  run: runInspect,
})

async function runInspect(terminal: Terminal, given: InspectFlags): Promise<number> {
  checkOutputFlags(given)
  checkStorageFlags(given)
  const { json, quiet, verbose, grace, maxResyncRows, maxResyncBytes, targetRatio } = given
  using interruption = new Interruption(terminal, 'Stopping.')
  const storage = await openStorage(given, interruption)
  const limit = given.limit ?? (json || verbose ? Infinity : usualLimit)
  const started = performance.now()
  const inspection = inspectBuckets(storage, {
    ...selectionOf(given),
    grace,
    maxResyncRows,
    maxResyncBytes,
    targetRatio,
    signal: interruption.signal,
  })
  const shown: BucketSurvey[] = []
  const findings: BucketSurvey['findings'][number][] = []
  let printed = 0
  {
    using progress = new Progress(terminal, {
      show: quiet ? null : json ? 'bar-only' : 'auto',
      beginning: 'Looking at the buckets …',
      units: 'buckets',
    })
    for await (const bucket of inspection) {
      findings.push(...bucket.findings)
      if (!json && shown.length < limit) shown.push(bucket)
      // There may be millions: none is kept that is only printed.
      if (!json || printed >= limit) continue
      printed++
      progress.clear()
      terminal.out(jsonLine({ type: 'bucket', ...bucket }))
    }
  }
  const seconds = Math.round((performance.now() - started) / 10) / 100
  const summary = inspection.summary!
  if (json) terminal.out(inspectSummaryLine(summary, findings, seconds))
  else
    terminal.out(
      inspectedText(
        { buckets: shown, summary, findings: [...summary.findings, ...findings], seconds },
        given,
        terminal,
      ),
    )
  return 0
}

function inspectSummaryLine(summary: InspectSummary, ofBuckets: InspectSummary['findings'], seconds: number): string {
  const { now, compacted, defragmented, bound, findings, buckets, ...more } = summary
  return jsonLine({
    type: 'summary',
    command: 'powersync inspect',
    mode: 'dry-run',
    complete: true,
    buckets,
    before: now,
    compacted,
    defragmented,
    bound,
    ...more,
    findings: [...findings, ...ofBuckets],
    seconds,
  })
}
