// A report of a run over buckets as text: definitions before and after, the checkpoint and why it is safe, what was left out, and what it came to.
import type { BucketReport, DefinitionFigures, SafeCheckpoint } from '../powersync/index.ts'
import { bytes, count, counted, duration, percent, printable } from './figures.ts'
import { blocksText, findingsText, leftText, listed } from './report-text.ts'
import type { ReportStyle } from './report-text.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'
import type { Terminal } from './terminal.ts'

/** Definitions and buckets in a table, unless `verbose`. */
const tableLines = 40

const columns: readonly Column[] = [
  { title: 'Definition', align: 'left' },
  { title: 'Buckets', align: 'right' },
  { title: 'Operations', align: 'right' },
  { title: 'After', align: 'right' },
  { title: 'Fewer', align: 'right' },
  { title: 'Live rows', align: 'right' },
  { title: 'Per row', align: 'right' },
  { title: 'Download', align: 'right' },
]

/** The whole report, ending with a line end. */
export function bucketReportText(report: BucketReport, { quiet, verbose }: ReportStyle, terminal: Terminal): string {
  const blocks = quiet
    ? [leftText(report.skipped, verbose, terminal), resultBlock(report, terminal)]
    : [
        tableBlock(report, verbose, terminal),
        storageBlock(report),
        notesBlock(report),
        findingsText(report.findings, verbose, terminal),
        leftText(report.skipped, verbose, terminal),
        resultBlock(report, terminal),
      ]
  return blocksText(blocks)
}

function tableBlock({ definitions, before, after }: BucketReport, verbose: boolean, terminal: Terminal): string[] {
  const saved = ({ before: from, after: to }: DefinitionFigures): number =>
    from.operations - to.operations || from.bytesEstimate - to.bytesEstimate
  const ranked = [...definitions].sort((a, b) => saved(b) - saved(a))
  const rows = verbose ? ranked : ranked.slice(0, tableLines)
  if (rows.length === 0) return []
  const buckets = definitions.reduce((sum, definition) => sum + definition.buckets, 0)
  const all = {
    before: { operations: 0, bytesEstimate: 0, ...before },
    after: { operations: 0, bytesEstimate: 0, ...after },
  }
  const lines = table(
    columns,
    rows.map((definition) => [printable(definition.definition), count(definition.buckets), ...figures(definition)]),
    definitions.length > 1 ? [counted(definitions.length, 'definition'), count(buckets), ...figures(all)] : undefined,
    { title: (text) => terminal.style('dim', text) },
  )
  const hidden = ranked.length - rows.length
  if (hidden > 0) lines.push(`${counted(hidden, 'more definition')} with less to save; --verbose shows all.`)
  return lines
}

function figures({ before, after }: Pick<DefinitionFigures, 'before' | 'after'>): string[] {
  const perRow = (operations: number, rows: number): string => (rows === 0 ? '–' : (operations / rows).toFixed(1))
  return [
    count(before.operations),
    count(after.operations),
    percent(before.operations - after.operations, before.operations),
    count(after.rows),
    `${perRow(before.operations, before.rows)} → ${perRow(after.operations, after.rows)}`,
    `~${bytes(before.bytesEstimate)} → ~${bytes(after.bytesEstimate)}`,
  ]
}

/** The stream, how far it may be touched, what was not read, and what the tables take. */
export function storageBlock(report: BucketReport): string[] {
  const { stream, checkpoint, unchangedBuckets, space, mode } = report
  const lines = [
    `Stream ${stream.id} (${stream.state}, storage version ${stream.storageVersion}), ${checkpointText(checkpoint, mode)}`,
  ]
  if (unchangedBuckets > 0)
    lines.push(
      `${counted(unchangedBuckets, 'bucket')} had nothing new since ${unchangedBuckets === 1 ? 'its' : 'their'} last run and ` +
        `${unchangedBuckets === 1 ? 'was' : 'were'} not read; --full reads them all.`,
    )
  const { before, after } = space
  if (mode === 'execute' && (before.tableBytes !== after.tableBytes || before.indexBytes !== after.indexBytes))
    lines.push(
      `On disk: table ${bytes(before.tableBytes)} → ${bytes(after.tableBytes)}, indexes ${bytes(before.indexBytes)} → ${bytes(after.indexBytes)}.`,
    )
  else lines.push(`On disk: table ${bytes(before.tableBytes)}, indexes ${bytes(before.indexBytes)}.`)
  return lines
}

export function checkpointText(checkpoint: SafeCheckpoint | null, mode: BucketReport['mode'] = 'dry-run'): string {
  if (checkpoint === null)
    return mode === 'execute'
      ? 'no checkpoint that is known to be old enough: nothing was touched.'
      : 'no checkpoint that is known to be old enough yet: the figures are for the newest one; executing waits until it has aged.'
  const { opId, age, source } = checkpoint
  const upTo = `up to checkpoint ${opId}`
  switch (source) {
    case 'last_checkpoint_ts':
      return `${upTo}, published ${duration(age)} ago: no client is still being served an older one.`
    case 'ledger':
      return `${upTo}, which an earlier run saw ${duration(age)} ago: no client is still being served an older one.`
    case 'waited':
      return `${upTo}, which this run has watched for ${duration(age)}: no client is still being served an older one.`
    case 'no-grace':
      return `${upTo}, the newest one: a client that is in the middle of a download may have to begin again.`
  }
}

export function notesBlock({ notes, lanes }: BucketReport): string[] {
  const all = [
    ...notes.map((note) => printable(note)),
    ...lanes.flatMap(({ lane, notes: of }) => of.map((note) => `${printable(lane)}: ${printable(note)}`)),
  ].map((note) => (/[.!?]$/.test(note) ? note : `${note}.`))
  return all.length <= 2 * listed
    ? all
    : [...all.slice(0, 2 * listed), `… and ${counted(all.length - 2 * listed, 'more remark')}.`]
}

function resultBlock(report: BucketReport, terminal: Terminal): string[] {
  const { mode, before, after, bound, units, lanes, definitions } = report
  const from = before.operations ?? 0
  const saved = from - (after.operations ?? 0)
  const changes = lanes.reduce((sum, lane) => sum + lane.changes, 0)
  const lines: string[] = []
  if (definitions.length === 0 && !report.complete) lines.push('No bucket was planned.')
  else if (definitions.length === 0 && report.skipped.length > 0) lines.push('No bucket could be planned.')
  else if (definitions.length === 0) lines.push(terminal.style('bold', 'Nothing to do: no bucket has anything new.'))
  else if (changes === 0) lines.push(terminal.style('bold', 'Nothing to do: no bucket has an operation to spare.'))
  else {
    const verb = { 'dry-run': 'would go', script: 'go with the script', execute: 'are gone' }[mode]
    const least =
      bound.operations === undefined
        ? ''
        : ` The live rows and one operation a bucket: ${bound.exact ? '' : '~'}${count(bound.operations)}.`
    lines.push(
      terminal.style('bold', `${count(saved)} of ${counted(from, 'operation')} ${verb} (${percent(saved, from)});`) +
        ` a new client downloads about ${bytes(after.bytesEstimate ?? 0)} instead of ${bytes(before.bytesEstimate ?? 0)}.${least}`,
      `${workText(report)}${counted(mode === 'execute' ? report.itemsChanged : changes, 'operation')} ` +
        `${mode === 'execute' ? 'changed or removed' : 'to change or remove'}, ${duration(report.seconds)}.`,
    )
  }
  lines.push(...proofLines(report, terminal))
  if (units.planned === 0 && changes > 0 && mode === 'execute') lines.push('No unit was begun.')
  const end = closing(report, changes)
  return end === '' ? lines : [...lines, '', ...end.split('\n')]
}

/** What was proven, and what pauses took. */
export function proofLines({ proof, throttledSeconds }: BucketReport, terminal: Terminal): string[] {
  const lines: string[] = []
  if (proof.mismatches > 0)
    lines.push(
      terminal.style(
        'red',
        `Proof failed: ${counted(proof.mismatches, 'bucket')} differed. A unit whose proof fails is rolled back; see what is said above of each.`,
      ),
    )
  else if (proof.checked > 0) lines.push(`Proof: ${counted(proof.checked, 'comparison')}, no difference.`)
  if (throttledSeconds > 0) lines.push(`Paused for ${duration(throttledSeconds)} to keep to the load asked for.`)
  return lines
}

function workText({ mode, units }: BucketReport): string {
  if (mode === 'script') return `${counted(units.planned, 'unit')}, `
  if (mode === 'dry-run') return ''
  const skipped = units.skipped > 0 ? `, ${count(units.skipped)} skipped` : ''
  const failed = units.failed > 0 ? `, ${count(units.failed)} failed` : ''
  return `${counted(units.done, 'unit')} done${skipped}${failed}, `
}

/** How to go on. @param changes what the plan would change */
export function closing({ mode, stopped, itemsChanged }: BucketReport, changes: number): string {
  if (stopped === 'interrupted')
    return mode === 'execute'
      ? 'Interrupted. What was done is whole and stays; the next run goes on from here.'
      : 'Interrupted. Nothing was changed.'
  const limited = stopped === 'limit' ? 'Stopped by --max-duration: there is more to do. ' : ''
  if (mode === 'dry-run' && changes > 0)
    return `${limited}Nothing was changed. The same command with --execute carries this out; with --sql FILE it writes it as a script.`
  if (mode === 'script' && changes > 0)
    return `${limited}Nothing was changed. Run the script with psql, soon: what has changed until then it leaves alone.`
  if (mode === 'execute' && stopped === 'limit') return `${limited}The next run goes on from here.`
  if (mode === 'execute' && itemsChanged > 0)
    return 'The file does not shrink by itself: "tamp powersync reclaim" says what can be given back, and how.'
  return limited.trim()
}
