// The survey: what is in each room, what compacting it could save, and what is odd, the largest expected saving first.
import { TampError } from '../../core/errors.ts'
import type { Measure } from '../../core/report.ts'
import type { SynapseDatabase } from '../database.ts'
import { endless } from '../edge-forest.ts'
import type { StateGroupFinding } from '../findings.ts'
import { probeDeltas } from './delta-probe.ts'
import { noBase, readGroupTable } from './group-table.ts'
import type { GroupTable } from './group-table.ts'
import { countUnreferenced } from './references.ts'
import type { Unreferenced } from './references.ts'
import { countRows, sampleRows } from './row-counts.ts'
import type { RowCounts } from './row-counts.ts'
import { probeSnapshots } from './snapshot-probe.ts'
import { ReadSnapshot } from '../../database/read-snapshot.ts'
import { requireRooms } from '../require-rooms.ts'

export interface InspectOptions {
  /** Only these rooms, with exact figures instead of samples. None, or an empty list: all. */
  readonly rooms?: readonly string[] | undefined
  /** Hand out only the first so many rooms; the summary is of all. */
  readonly limit?: number | undefined
  /** Pages of state_groups_state (8 KiB) that may be read; a larger table is sampled. Unused with `rooms`. */
  readonly pages?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export type EstimatedFigure = 'rows' | 'bytesEstimate' | 'unreferencedGroups' | 'expectedRows' | 'expectedSavedRows'

interface Figures extends Omit<Measure, 'operations'> {
  readonly groups: number
  readonly bytesEstimate: number
  readonly maxDepth: number
  readonly meanDepth: number
  /** Groups that no event refers to; null where it was not, or could not be, looked up. */
  readonly unreferencedGroups: number | null
  /** Rows to expect after compaction to the usual depth. An estimate, always. */
  readonly expectedRows: number
  readonly expectedSavedRows: number
  /** True where a figure that could have been counted (rows, unreferencedGroups) was sampled. */
  readonly estimated: boolean
  /** The figures that are not exact, those included that never are. */
  readonly estimates: readonly EstimatedFigure[]
  readonly findings: readonly StateGroupFinding[]
}

/** One room. Groups, depths and findings are exact. */
export interface RoomSurvey extends Figures {
  readonly room: string
}

/** All rooms together. `findings` are those of no room: edges from groups that do not exist. */
export interface SurveySummary extends Figures {
  readonly rooms: number
}

/** Rooms as they rank; the summary is there once the first room is, and undefined before. */
export interface RoomInspection extends AsyncIterable<RoomSurvey> {
  readonly summary: SurveySummary | undefined
}

/** Rooms whose saving is measured on a sample of their groups; the others are taken to be like these. */
const probedRooms = 40
/** Groups that are looked up in event_to_state_groups when no room was asked for. */
const lookups = 20_000

/**
 * Surveys the rooms of a database.
 *
 * Cost without `rooms`: one read of state_groups and one of state_group_edges in id order (seconds a million groups), at most
 * `pages` pages (10,000, that is 80 MB) of state_groups_state, 20,000 lookups in event_to_state_groups, and for the forty
 * rooms with most to gain about 200,000 state rows each by index. That does not grow with the number of state rows.
 * Memory: about 70 bytes a group. With `rooms`: the groups, edges and index entries of these rooms, all of them.
 * Everything in one read-only snapshot, under no lock but ACCESS SHARE.
 *
 * Expected rows: the first snapshot stays; every other is expected to cost what differs from the snapshot before it; deltas
 * are expected to shrink as those of a few windows would on the best base nearby. On the rooms of real servers we have, this is
 * within a few per cent of what the planner reaches; docs/findings.md has the figures.
 *
 * @throws TampError `no-such-room`, `interrupted`, `usage`
 */
export function inspectRooms(database: SynapseDatabase, options: InspectOptions = {}): RoomInspection {
  for (const [name, value] of [
    ['number of rooms', options.limit],
    ['number of pages', options.pages],
  ] as const) {
    if (value === undefined || (Number.isSafeInteger(value) && value > 0)) continue
    throw new TampError('usage', `the ${name} must be a whole number above 0`)
  }
  let summary: SurveySummary | undefined
  return {
    async *[Symbol.asyncIterator]() {
      const surveyed = await survey(database, options)
      summary = surveyed.summary
      yield* surveyed.rooms.slice(0, options.limit)
    },
    get summary() {
      return summary
    },
  }
}

async function survey(
  database: SynapseDatabase,
  { rooms: asked, pages = 10_000, signal }: InspectOptions,
): Promise<{ rooms: RoomSurvey[]; summary: SurveySummary }> {
  const wanted = asked?.length === 0 ? undefined : asked
  await using main =
    database.schema.eventReferences && !database.oneDatabase
      ? await ReadSnapshot.open(() => database.connectMain(), signal)
      : undefined
  await using state = await ReadSnapshot.open(() => database.connectState(), signal)
  const events = database.schema.eventReferences ? (main ?? state) : undefined
  if (wanted !== undefined) {
    await state.preferIndexes(true)
    await requireRooms(wanted, state)
  }
  const table = await readGroupTable(state, wanted)
  const counts = wanted === undefined ? await sampleRows(state, table, pages) : await countRows(state, table)
  await state.preferIndexes(true)
  await main?.preferIndexes(true)
  const references = await countUnreferenced(events, table, wanted === undefined ? lookups : Infinity)
  const expected = await expectRows(state, table, counts, wanted === undefined ? probedRooms : Infinity)

  const rooms = table.rooms.map((name, room): RoomSurvey => {
    const rows = Math.round(counts.snapshot[room]! + counts.delta[room]!)
    const expectedRows = Math.max(0, Math.min(rows, Math.round(expected(room))))
    const { groups, exact } = references.of(room)
    const sampledReferences = groups !== null && !exact
    return {
      room: name,
      groups: table.start[room + 1]! - table.start[room]!,
      rows,
      bytesEstimate: Math.round(rows * counts.bytesPerRow),
      ...depthOf(table, table.byRoom.subarray(table.start[room]!, table.start[room + 1]!)),
      unreferencedGroups: groups,
      expectedRows,
      expectedSavedRows: rows - expectedRows,
      estimated: !counts.exact || sampledReferences,
      estimates: estimatesOf(!counts.exact, sampledReferences),
      findings: table.findings(room),
    }
  })
  rooms.sort((a, b) => b.expectedSavedRows - a.expectedSavedRows || b.rows - a.rows || (a.room < b.room ? -1 : 1))
  return { rooms, summary: summarise(rooms, table, references.all) }
}

function summarise(rooms: readonly RoomSurvey[], table: GroupTable, unreferenced: Unreferenced): SurveySummary {
  const sum = (figure: (room: RoomSurvey) => number): number => rooms.reduce((total, room) => total + figure(room), 0)
  const sampledRows = rooms.some((room) => room.estimates.includes('rows'))
  const sampledReferences = unreferenced.groups !== null && !unreferenced.exact
  return {
    rooms: rooms.length,
    groups: table.ids.length,
    rows: sum((room) => room.rows),
    bytesEstimate: sum((room) => room.bytesEstimate),
    ...depthOf(table, table.byRoom),
    unreferencedGroups: unreferenced.groups,
    expectedRows: sum((room) => room.expectedRows),
    expectedSavedRows: sum((room) => room.expectedSavedRows),
    estimated: sampledRows || sampledReferences,
    estimates: estimatesOf(sampledRows, sampledReferences),
    findings: table.homeless,
  }
}

function estimatesOf(rows: boolean, references: boolean): EstimatedFigure[] {
  return [
    ...(rows ? (['rows'] as const) : []),
    'bytesEstimate',
    ...(references ? (['unreferencedGroups'] as const) : []),
    'expectedRows',
    'expectedSavedRows',
  ]
}

function depthOf(table: GroupTable, positions: Uint32Array): { maxDepth: number; meanDepth: number } {
  let maxDepth = 0
  let sum = 0
  let count = 0
  for (const position of positions) {
    const depth = table.depth[position]!
    if (depth === endless) continue
    maxDepth = Math.max(maxDepth, depth)
    sum += depth
    count += 1
  }
  return { maxDepth, meanDepth: count === 0 ? 0 : sum / count }
}

/** Rows to expect of each room. The rooms with most rows beyond one a delta are measured, the rest goes by their mean. */
async function expectRows(
  state: ReadSnapshot,
  table: GroupTable,
  counts: RowCounts,
  most: number,
): Promise<(room: number) => number> {
  const deltas = new Float64Array(table.rooms.length)
  for (let position = 0; position < table.ids.length; position++) {
    if (table.base[position] !== noBase) deltas[table.room[position]!]! += 1
  }
  const gain = (room: number): number => counts.snapshot[room]! + counts.delta[room]! - deltas[room]!
  const ranked = table.rooms.map((_, room) => room).sort((a, b) => gain(b) - gain(a))
  const asked = most === Infinity

  const measured = new Map<number, number>()
  const pooled = { snapshots: 0, expectedSnapshots: 0, deltas: 0, expectedDeltas: 0 }
  for (const room of ranked.slice(0, asked ? ranked.length : most)) {
    const snapshot = await probeSnapshots(state, table, room, counts.snapshot[room]!, asked ? 1_000_000 : 100_000)
    const delta = await probeDeltas(state, table, room, asked ? 24 : 8)
    const ofSnapshots = ratio(snapshot.expected, snapshot.now)
    const ofDeltas = ratio(delta.expected, delta.now)
    const first = Math.min(snapshot.first, counts.snapshot[room]!)
    const expectedSnapshots = first + (counts.snapshot[room]! - first) * ofSnapshots
    const expectedDeltas = counts.delta[room]! * ofDeltas
    measured.set(room, expectedSnapshots + expectedDeltas)
    pooled.snapshots += counts.snapshot[room]!
    pooled.expectedSnapshots += expectedSnapshots
    pooled.deltas += counts.delta[room]!
    pooled.expectedDeltas += expectedDeltas
  }
  const snapshotRatio = ratio(pooled.expectedSnapshots, pooled.snapshots)
  const deltaRatio = ratio(pooled.expectedDeltas, pooled.deltas)
  return (room) => measured.get(room) ?? counts.snapshot[room]! * snapshotRatio + counts.delta[room]! * deltaRatio
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 1
}
