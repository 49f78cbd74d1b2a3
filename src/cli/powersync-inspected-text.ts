// A survey of buckets as text: buckets and definitions by what they waste, the streams, what else is stored, what is odd, and what to do next.
import type { BucketSurvey, InspectSummary } from '../powersync/index.ts'
import { bytes, count, counted, duration, percent, printable } from './figures.ts'
import { checkpointText } from './powersync-report-text.ts'
import { blocksText, findingsText } from './report-text.ts'
import type { ReportStyle } from './report-text.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'
import type { Terminal } from './terminal.ts'

export interface Inspected {
  readonly buckets: readonly BucketSurvey[]
  readonly summary: InspectSummary
  readonly findings: InspectSummary['findings']
  readonly seconds: number
}

type Prospects = Pick<InspectSummary, 'now' | 'compacted' | 'defragmented' | 'bound' | 'operationsPerRow'>

const figureColumns: readonly Column[] = [
  { title: 'Operations', align: 'right' },
  { title: 'Live rows', align: 'right' },
  { title: 'Per row', align: 'right' },
  { title: 'Download', align: 'right' },
  { title: 'Compacted', align: 'right' },
  { title: 'Defragmented', align: 'right' },
  { title: 'At least', align: 'right' },
]

/** Definitions in their table, unless `verbose`. */
const tableDefinitions = 20

/** The survey as text, ending with a line end. */
export function inspectedText(inspected: Inspected, style: ReportStyle, terminal: Terminal): string {
  const { summary, findings } = inspected
  return blocksText(
    style.quiet
      ? [resultBlock(inspected, terminal)]
      : [
          bucketBlock(inspected, terminal),
          definitionBlock(summary, style.verbose, terminal),
          storageBlock(summary),
          findingsText(findings, style.verbose, terminal),
          resultBlock(inspected, terminal),
        ],
  )
}

function bucketBlock({ buckets, summary }: Inspected, terminal: Terminal): string[] {
  if (summary.buckets === 0) return []
  const lines = table(
    [{ title: 'Bucket', align: 'left' }, ...figureColumns, { title: 'Oldest row', align: 'right' }],
    buckets.map((bucket) => [
      printable(bucket.bucket),
      ...figures(bucket),
      bucket.oldestRow === null ? '–' : String(bucket.oldestRow),
    ]),
    summary.buckets > 1 ? [counted(summary.buckets, 'bucket'), ...figures(summary), ''] : undefined,
    { title: (text) => terminal.style('dim', text) },
  )
  const hidden = summary.buckets - buckets.length
  if (hidden > 0) lines.push(`${counted(hidden, 'more bucket')} with less to save; --limit N shows more.`)
  lines.push(
    terminal.style(
      'dim',
      'Download: what a new client is sent, an estimate. At least: the live rows and one operation. Oldest row: its op id; nothing above it can be cleared.',
    ),
  )
  return lines
}

function definitionBlock({ definitions }: InspectSummary, verbose: boolean, terminal: Terminal): string[] {
  if (definitions.length < 2) return []
  const shown = verbose ? definitions : definitions.slice(0, tableDefinitions)
  const lines = table(
    [{ title: 'Definition', align: 'left' }, { title: 'Buckets', align: 'right' }, ...figureColumns],
    shown.map((definition) => [printable(definition.definition), count(definition.buckets), ...figures(definition)]),
    undefined,
    { title: (text) => terminal.style('dim', text) },
  )
  if (shown.length < definitions.length)
    lines.push(`${counted(definitions.length - shown.length, 'more definition')}; --verbose shows all.`)
  return lines
}

function figures({ now, compacted, defragmented, bound, operationsPerRow }: Prospects): string[] {
  return [
    count(now.operations),
    count(now.rows),
    operationsPerRow === null ? '–' : operationsPerRow.toFixed(1),
    ...[now, compacted, defragmented, bound].map(({ bytesEstimate }) => `~${bytes(bytesEstimate)}`),
  ]
}

function storageBlock(summary: InspectSummary): string[] {
  const { streams, stream, checkpoint, aboveCheckpoint, writeCheckpoints, parameters, space } = summary
  const lines = streams.map(({ id, state, storageVersion, serves, lastCheckpoint, checkpointAge }) => {
    const published =
      lastCheckpoint === null
        ? 'no checkpoint yet'
        : `checkpoint ${lastCheckpoint}${checkpointAge === null ? '' : `, published ${duration(checkpointAge)} ago`}`
    return `Stream ${id}: ${state}, storage version ${storageVersion}${serves ? ', serves clients' : ''}; ${published}.`
  })
  if (stream !== null)
    lines.push(
      `Figures are ${checkpointText(checkpoint)}` +
        (aboveCheckpoint > 0 ? ` ${counted(aboveCheckpoint, 'newer operation')} stay for now.` : ''),
    )
  for (const { table: name, tableBytes, indexBytes } of space)
    lines.push(`On disk: ${name} ${bytes(tableBytes)}, indexes ${bytes(indexBytes)}.`)
  if (writeCheckpoints.stored > 0)
    lines.push(
      `${counted(writeCheckpoints.stored, 'write checkpoint')} stored` +
        (writeCheckpoints.old > 0 ? `, ${count(writeCheckpoints.old)} of them for more than an hour.` : '.'),
    )
  if (parameters !== null && parameters.superseded > 0)
    lines.push(
      `${count(parameters.superseded)} of ${counted(parameters.entries, 'entry', 'entries')} of the parameter indexes were superseded.`,
    )
  return lines
}

function resultBlock({ summary, seconds }: Inspected, terminal: Terminal): string[] {
  const { now, compacted, defragmented, buckets } = summary
  if (buckets === 0) return [`There are no operations here; ${duration(seconds)}.`]
  const gone = now.operations - compacted.operations
  const more = compacted.operations - defragmented.operations
  return [
    terminal.style(
      'bold',
      `Compacting removes ${count(gone)} of ${counted(now.operations, 'operation')} (${percent(gone, now.operations)}), ` +
        `defragmenting first ${count(more)} more (${percent(more, now.operations)}).`,
    ),
    `${counted(summary.compactableBuckets, 'bucket')} of ${count(buckets)} can be compacted; ${duration(seconds)}.`,
    '"tamp powersync compact" and "tamp powersync defragment" make the plan, and change nothing yet.',
  ]
}
