// `tamp powersync check`: every structural rule of the bucket storage, and what breaks one.
import type { FlagParametersForType } from '@stricli/core'
import { checkBuckets } from '../powersync/index.ts'
import type { BucketFinding, CheckSummary } from '../powersync/index.ts'
import { checkOutputFlags, outputFlags, tampCommand } from './command.ts'
import type { OutputFlags, TampContext } from './command.ts'
import { count, counted, duration } from './figures.ts'
import { Interruption } from './interruption.ts'
import { jsonLine } from './json-lines.ts'
import {
  bucketFlags,
  checkStorageFlags,
  openStorage,
  selectionOf,
  storageAliases,
  storageFlags,
} from './powersync-options.ts'
import type { BucketFlags, StorageFlags } from './powersync-options.ts'
import { Progress } from './progress.ts'
import { blocksText, findingsText } from './report-text.ts'
import type { Terminal } from './terminal.ts'

interface CheckFlags extends StorageFlags, BucketFlags, OutputFlags {
  readonly checksums: boolean
}

const flags: FlagParametersForType<CheckFlags, TampContext> = {
  ...storageFlags,
  ...bucketFlags,
  checksums: {
    kind: 'boolean',
    default: true,
    brief: 'Do not compute the checksum of every operation from its data, which takes most of the time.',
  },
  ...outputFlags,
}

export const powersyncCheckCommand: ReturnType<typeof tampCommand> = tampCommand<CheckFlags>({
  brief: 'Look for damage in the bucket storage.',
  description: `Looks at every structural rule that the operations of the buckets have to keep, compares them with the rows the replicator knows, \
computes their checksums anew, and names what breaks a rule. Reads only, in one snapshot, and blocks nobody.

  tamp powersync check --config /config/powersync.yaml

Of each kind of finding the first hundred are named. docs/findings.md says what each means and what to do about it. Some are only remarks: \
then the exit status is 0.

Exit status: 0 no fault found; 1 failed; 2 wrong use; 4 something found; 10 schema not recognised; 130 interrupted.`,
  flags,
  aliases: storageAliases,
  run: runCheck,
})

async function runCheck(terminal: Terminal, given: CheckFlags): Promise<number> {
  checkOutputFlags(given)
  checkStorageFlags(given)
  const { json, quiet, checksums } = given
  using interruption = new Interruption(terminal, 'Stopping.')
  const storage = await openStorage(given, interruption)
  const started = performance.now()
  const findings: BucketFinding[] = []
  const check = checkBuckets(storage, { ...selectionOf(given), checksums, signal: interruption.signal })
  {
    using progress = new Progress(terminal, {
      show: quiet ? null : json ? 'bar-only' : 'auto',
      beginning: 'Looking at the operations …',
      units: 'buckets',
    })
    for await (const finding of check) {
      findings.push(finding)
      if (!json) continue
      progress.clear()
      terminal.out(jsonLine({ type: 'finding', ...finding }))
    }
  }
  const seconds = Math.round((performance.now() - started) / 10) / 100
  const { summary } = check
  if (json) {
    const { complete, operations, counts, ...more } = summary
    terminal.out(
      jsonLine({
        type: 'summary',
        command: 'powersync check',
        mode: 'dry-run',
        complete,
        before: { operations },
        ...more,
        counts,
        findings,
        seconds,
      }),
    )
  } else terminal.out(checkedText(findings, summary, seconds, given, terminal))
  return summary.faults > 0 ? 4 : 0
}

function checkedText(
  findings: readonly BucketFinding[],
  { faults, counts, operations, buckets, checksumsComputed, rowsCompared }: CheckSummary,
  seconds: number,
  { quiet, verbose }: CheckFlags,
  terminal: Terminal,
): string {
  const remarks = Object.values(counts).reduce((sum, here) => sum + here, 0) - faults
  const verdict =
    faults > 0
      ? terminal.style('bold', `${counted(faults, 'finding')} (docs/findings.md says what to do)`)
      : terminal.style('green', remarks > 0 ? `No fault found, ${counted(remarks, 'remark')}` : 'Nothing found')
  const lines = [
    `${verdict}: ${counted(operations, 'operation')} in ${counted(buckets, 'bucket')} looked at, ${duration(seconds)}.`,
  ]
  if (quiet) for (const [code, number] of Object.entries(counts)) lines.push(`  ${code}: ${count(number)}`)
  if (!checksumsComputed) lines.push('Checksums were not computed.')
  if (!rowsCompared)
    lines.push('Operations were not compared with the rows the replicator knows: these cannot be read.')
  return blocksText(quiet ? [lines] : [findingsText(findings, verbose, terminal), lines])
}
