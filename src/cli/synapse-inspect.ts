// `tamp synapse inspect`: the survey of rooms, largest expected saving first.
import type { FlagParametersForType } from '@stricli/core'
import { inspectRooms } from '../synapse/index.ts'
import type { RoomSurvey, SurveySummary } from '../synapse/index.ts'
import { checkOutputFlags, outputFlags, tampCommand } from './command.ts'
import type { OutputFlags, TampContext } from './command.ts'
import { findingsText } from './report-text.ts'
import { checkConnectionFlags, connectionFlags, openDatabase, roomFlag } from './connection-options.ts'
import type { ConnectionFlags } from './connection-options.ts'
import { bytes, count, counted, duration, mean, percent, printable } from './figures.ts'
import { Interruption } from './interruption.ts'
import { jsonLine } from './json-lines.ts'
import { wholeNumber } from './option-values.ts'
import { Progress } from './progress.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'
import type { Terminal } from './terminal.ts'

interface InspectFlags extends ConnectionFlags, OutputFlags {
  readonly room?: readonly string[]
  readonly limit?: number
}

/** Rooms shown where nobody says how many. */
const usualLimit = 20

const flags: FlagParametersForType<InspectFlags, TampContext> = {
  ...connectionFlags,
  room: { ...roomFlag, brief: 'Only this room, with exact figures; may be repeated.' },
  limit: {
    kind: 'parsed',
    parse: wholeNumber(1),
    optional: true,
    placeholder: 'N',
    brief: `Show so many rooms; the total is of all. Default: ${usualLimit}; all with --json, --room or --verbose.`,
  },
  ...outputFlags,
}

export const synapseInspectCommand: ReturnType<typeof tampCommand> = tampCommand<InspectFlags>({
  brief: 'Survey the rooms: what is there and what could be saved.',
  description: `Lists rooms by the rows that compacting them is expected to save, with groups, chain depths, groups that no event refers \
to, and what is odd. Changes nothing and blocks nobody.

  tamp synapse inspect --homeserver /etc/matrix-synapse/homeserver.yaml
  tamp synapse inspect --room '!abc:example.org'

Groups and depths are counted. Rows are counted in tables up to 80 MB and sampled beyond; a figure with ~ is an estimate, and what \
compacting would save always is. The survey reads state_groups and state_group_edges once (seconds a million groups), up to 80 MB of \
state_groups_state, and about 200,000 state rows of each of the forty most promising rooms: that does not grow with the number of rows. \
With --room all rows of these rooms are counted, by index.
Exit status: 0 done; 1 failed; 2 wrong use; 10 schema not recognised; 130 interrupted.`,
  flags,
  run: runInspect,
})

async function runInspect(terminal: Terminal, given: InspectFlags): Promise<number> {
  checkOutputFlags(given)
  checkConnectionFlags(given)
  const { json, quiet, verbose } = given
  using interruption = new Interruption(terminal, 'Stopping.')
  const database = await openDatabase(given, interruption)
  const asked = (given.room ?? []).length > 0
  const limit = given.limit ?? (json || verbose || asked ? undefined : usualLimit)
  const started = performance.now()
  const inspection = inspectRooms(database, { rooms: given.room, limit, signal: interruption.signal })
  const rooms: RoomSurvey[] = []
  {
    using _progress = new Progress(terminal, {
      show: quiet ? null : json ? 'bar-only' : 'auto',
      beginning: 'Looking at the rooms …',
      units: 'rooms',
    })
    for await (const room of inspection) rooms.push(room)
  }
  const seconds = Math.round((performance.now() - started) / 10) / 100
  const summary = inspection.summary!
  if (json) {
    for (const room of rooms) terminal.out(jsonLine({ type: 'room', ...room }))
    terminal.out(inspectSummaryLine(summary, seconds))
  } else terminal.out(surveyText(rooms, summary, seconds, given, terminal))
  return 0
}

function inspectSummaryLine(summary: SurveySummary, seconds: number): string {
  const { rooms, groups, rows, bytesEstimate, maxDepth, meanDepth, unreferencedGroups } = summary
  return jsonLine({
    type: 'summary',
    command: 'synapse inspect',
    mode: 'dry-run',
    complete: true,
    rooms,
    before: { groups, rows, bytesEstimate, maxDepth, meanDepth: Math.round(meanDepth * 10) / 10 },
    unreferencedGroups,
    expectedRows: summary.expectedRows,
    expectedSavedRows: summary.expectedSavedRows,
    estimated: summary.estimated,
    estimates: summary.estimates,
    findings: summary.findings,
    seconds,
  })
}

const columns: readonly Column[] = [
  { title: 'Room', align: 'left' },
  { title: 'Groups', align: 'right' },
  { title: 'Rows', align: 'right' },
  { title: 'Size', align: 'right' },
  { title: 'To save', align: 'right' },
  { title: '', align: 'right' },
  { title: 'Deepest', align: 'right' },
  { title: 'Mean depth', align: 'right' },
  { title: 'Unreferenced', align: 'right' },
]

/** The survey as text, ending with a line end. */
export function surveyText(
  rooms: readonly RoomSurvey[],
  summary: SurveySummary,
  seconds: number,
  { quiet, verbose }: Pick<InspectFlags, 'quiet' | 'verbose'>,
  terminal: Terminal,
): string {
  const lines: string[] = []
  if (summary.rooms > 0 && !quiet) {
    lines.push(
      ...table(
        columns,
        rooms.map((room) => [printable(room.room), ...figures(room)]),
        summary.rooms > 1 ? [counted(summary.rooms, 'room'), ...figures(summary)] : undefined,
        { title: (text) => terminal.style('dim', text) },
      ),
    )
    if (rooms.length < summary.rooms)
      lines.push(`${counted(summary.rooms - rooms.length, 'room')} with less to save not shown; --limit N shows more.`)
    lines.push('')
  }
  const findings = [...rooms.flatMap((room) => room.findings), ...summary.findings]
  if (findings.length > 0 && !quiet) lines.push(...findingsText(findings, verbose, terminal), '')
  if (summary.rooms === 0) lines.push('There are no state groups here.')
  else {
    const { expectedSavedRows: saved, rows } = summary
    lines.push(
      terminal.style(
        'bold',
        `About ${count(saved)} of ${counted(rows, 'row')} could be saved (${percent(saved, rows)}).`,
      ) + ` ~ is an estimate; ${duration(seconds)}.`,
      '"tamp synapse compact" makes the plan, exactly, and changes nothing yet.',
    )
  }
  return lines.join('\n') + '\n'
}

function figures(survey: RoomSurvey | SurveySummary): string[] {
  const about = (figure: (typeof survey.estimates)[number]): string => (survey.estimates.includes(figure) ? '~' : '')
  const { unreferencedGroups: unreferenced } = survey
  return [
    count(survey.groups),
    about('rows') + count(survey.rows),
    about('bytesEstimate') + bytes(survey.bytesEstimate),
    about('expectedSavedRows') + count(survey.expectedSavedRows),
    percent(survey.expectedSavedRows, survey.rows),
    count(survey.maxDepth),
    mean(survey.meanDepth),
    unreferenced === null ? '' : about('unreferencedGroups') + count(unreferenced),
  ]
}
