// A report of a compaction of rooms as text: the table, what was found, what was left out, and what it came to.
import type { Bound, LanePlan, Measure, Report } from '../core/report.ts'
import { bytes, count, counted, duration, mean, percent, printable } from './figures.ts'
import { blocksText, findingsText, leftText, listed } from './report-text.ts'
import type { ReportStyle } from './report-text.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'
import type { Terminal } from './terminal.ts'

/** Rooms in the table, unless `verbose`. */
const tableRooms = 40

const columns: readonly Column[] = [
  { title: 'Room', align: 'left' },
  { title: 'Groups', align: 'right' },
  { title: 'Rows', align: 'right' },
  { title: 'After', align: 'right' },
  { title: 'Saved', align: 'right' },
  { title: 'At least', align: 'right' },
  { title: 'Deepest', align: 'right' },
  { title: 'Mean depth', align: 'right' },
  { title: 'On the way', align: 'right' },
]

/** The whole report, ending with a line end. */
export function compactionText(report: Report, { quiet, verbose }: ReportStyle, terminal: Terminal): string {
  const blocks = quiet
    ? [leftText(report.skipped, verbose, terminal), resultBlock(report, terminal)]
    : [
        tableBlock(report, verbose, terminal),
        notesBlock(report.lanes),
        findingsText(report.findings, verbose, terminal),
        leftText(report.skipped, verbose, terminal),
        resultBlock(report, terminal),
      ]
  return blocksText(blocks)
}

function tableBlock({ lanes, before, after, bound }: Report, verbose: boolean, terminal: Terminal): string[] {
  const saved = (lane: LanePlan): number => lane.before.rows - lane.after.rows
  const changed = lanes.filter(({ changes }) => changes > 0)
  const ranked = (verbose ? [...lanes] : changed).sort((a, b) => saved(b) - saved(a))
  const rows = verbose ? ranked : ranked.slice(0, tableRooms)
  const lines: string[] = []
  if (rows.length > 0) {
    lines.push(
      ...table(
        columns,
        rows.map((lane) => [
          printable(lane.lane),
          ...figures(lane.before, lane.after, lane.bound),
          `${count(lane.onTheWay.rows)} / ${count(lane.onTheWay.maxDepth ?? 0)}`,
        ]),
        lanes.length > 1 ? [`${counted(lanes.length, 'room')}`, ...figures(before, after, bound), ''] : undefined,
        { title: (text) => terminal.style('dim', text) },
      ),
    )
    lines.push(
      terminal.style(
        'dim',
        `At least: the rows that any plan needs${bound.exact ? '' : ' (~ where that is an estimate)'}. ` +
          'On the way: most rows / deepest chain at any moment.',
      ),
    )
  }
  const hidden = ranked.length - rows.length
  if (hidden > 0) lines.push(`${counted(hidden, 'more room')} with less to save; --verbose shows all.`)
  const unchanged = lanes.length - changed.length
  if (unchanged > 0 && !verbose) lines.push(`${counted(unchanged, 'room')} with nothing to save.`)
  return lines
}

function figures(before: Measure, after: Measure, bound: Bound): string[] {
  return [
    count(before.groups ?? 0),
    count(before.rows),
    count(after.rows),
    percent(before.rows - after.rows, before.rows),
    `${bound.exact ? '' : '~'}${count(bound.rows)}`,
    `${count(before.maxDepth ?? 0)} → ${count(after.maxDepth ?? 0)}`,
    `${mean(before.meanDepth ?? 0)} → ${mean(after.meanDepth ?? 0)}`,
  ]
}

function notesBlock(lanes: readonly LanePlan[]): string[] {
  const notes = lanes.flatMap(({ lane, notes: of }) => of.map((note) => `${printable(lane)}: ${printable(note)}.`))
  return notes.length <= 2 * listed
    ? notes
    : [...notes.slice(0, 2 * listed), `… and ${counted(notes.length - 2 * listed, 'more remark')}.`]
}

function resultBlock(report: Report, terminal: Terminal): string[] {
  const { mode, before, after, units, proof, lanes } = report
  const saved = before.rows - after.rows
  const changes = lanes.reduce((sum, lane) => sum + lane.changes, 0)
  const anew = mode === 'execute' ? report.itemsChanged : changes
  const verb = { 'dry-run': 'would be saved', script: 'are saved by the script', execute: 'saved' }[mode]
  const freed = (before.bytesEstimate ?? 0) - (after.bytesEstimate ?? 0)
  const lines: string[] = []
  if (lanes.length === 0 && !report.complete) lines.push('No room was planned.')
  else if (lanes.length === 0 && report.skipped.length > 0) lines.push('No room could be planned.')
  else if (lanes.length === 0) lines.push('There are no state groups here.')
  else if (changes === 0) lines.push(terminal.style('bold', 'Nothing to save: no plan is smaller than what is there.'))
  else {
    const figure = `${count(saved)} of ${counted(before.rows, 'row')} ${verb} (${percent(saved, before.rows)}), about ${bytes(freed)}`
    const work =
      mode === 'execute'
        ? `${counted(units.done, 'unit')} done${units.skipped > 0 ? `, ${count(units.skipped)} skipped` : ''}${units.failed > 0 ? `, ${count(units.failed)} failed` : ''}, `
        : mode === 'script'
          ? `${counted(units.planned, 'unit')}, `
          : ''
    lines.push(
      terminal.style('bold', `${figure}.`),
      `${work}${counted(anew, 'state group')} stored anew, ${duration(report.seconds)}.`,
    )
  }
  if (proof.mismatches > 0)
    lines.push(
      terminal.style(
        'red',
        `Proof failed: ${counted(proof.mismatches, 'state')} differed. A unit whose proof fails is rolled back; see what is said above of each.`,
      ),
    )
  else if (proof.checked > 0)
    lines.push(`Proof: ${counted(proof.checked, 'comparison')} of full states, no difference.`)
  if (report.throttledSeconds > 0)
    lines.push(`Paused for ${duration(report.throttledSeconds)} to keep to the load asked for.`)
  const end = closing(report, changes)
  return end === '' ? lines : [...lines, '', ...end.split('\n')]
}

function closing({ mode, stopped }: Report, changes: number): string {
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
  if (mode === 'execute' && changes > 0)
    return (
      'New state takes up the freed space. To give it back to the disk: VACUUM FULL state_groups_state, which locks the table; ' +
      'REINDEX INDEX CONCURRENTLY state_groups_state_type_idx shrinks its index without that.'
    )
  return limited.trim()
}
