// `synapse_compress_state`: one room, the old way to ask for it and the old lines to tell it, our way to write.
import { TampError } from '../../core/errors.ts'
import type { Left } from '../../core/unit.ts'
import { compact } from '../compact.ts'
import type { SynapseDatabase } from '../database.ts'
import { Bar } from '../history.ts'
import type { Bases, RoomHistory } from '../history.ts'
import { levelBases } from '../plan/level-plan.ts'
import type { GroupRange } from '../read/read-room.ts'
import { readRoom } from '../read/read-room.ts'
import { planRoom } from '../plan/room-plan.ts'
import type { RoomPlan } from '../plan/room-plan.ts'
import type { CompressStateRequest, OldPlan } from './arguments.ts'
import { graphFiles } from './graph-files.ts'
import type { GraphFiles } from './graph-files.ts'
import type { Tell } from './messages.ts'
import { oldSql } from './sql-file.ts'

export interface CompressStateSinks {
  readonly tell: Tell
  /** Takes the text of the SQL file, piece by piece; not called where there is nothing to write. */
  readonly sql?: (text: string) => Promise<void>
  /** Takes the four CSV files. */
  readonly graphs?: (files: GraphFiles) => Promise<void>
  readonly signal?: AbortSignal | undefined
}

/**
 * Compresses a room, or says why not.
 * @returns what was left as it is although the plan would have changed it, with the reasons
 * @throws TampError
 */
export async function compressState(
  database: SynapseDatabase,
  request: CompressStateRequest,
  sinks: CompressStateSinks,
): Promise<readonly Left[]> {
  const { tell, signal } = sinks
  const { room } = request
  tell('info', `Fetching state from DB for room '${room}'...`)
  const whole = await readRoom(database, room, { signal })
  tell('debug', 'Got initial state from database. Checking for any missing state groups...')
  const range = rangeOf(whole.ids, request)
  const history = within(whole, range)
  tell('info', `Fetched state groups up to ${range.to}`)
  const shown = groupsShown(history, range)
  const before = rowsOf(shown, (group) => history.deltas.start[group + 1]! - history.deltas.start[group]!)
  tell('info', `Number of state groups: ${shown.length}`)
  tell('info', `Number of rows in current table: ${before}`)

  tell('info', 'Compressing state...')
  const { plan, after, changed, resets } = planned(history, request.plan)
  const rows = rowsOf(shown, (group) => after.rows[group]!)
  const saved = before - rows
  tell('info', `Number of rows after compression: ${rows} (${((100 * rows) / before).toFixed(2)}%)`)
  tell('info', 'Compression Statistics:')
  tell('info', `  Number of forced resets due to lacking prev: ${resets.groups}`)
  tell('info', `  Number of compressed rows caused by the above: ${resets.rows}`)
  tell('info', `  Number of state groups changed: ${changed}`)
  if (request.graphs) await sinks.graphs?.(graphFiles(history, shown, after))
  if (saved < 1) {
    tell('warn', 'This compression would not remove any rows. Exiting.')
    return []
  }
  const minSavedRows = Math.max(1, request.minSavedRows ?? 0)
  if (saved < minSavedRows) {
    tell('warn', `Only ${saved} rows would be saved by this compression. Skipping output.`)
    return []
  }
  if (request.verify) tell('info', 'Checking that state maps match...')
  const { mismatches } = plan.summary.proof
  if (mismatches > 0)
    throw new TampError('proof-failed', `The plan would change the state of ${mismatches} groups; nothing was written.`)
  if (request.verify) tell('info', 'New state map matches old one')

  if (request.file !== undefined || request.commit) tell('info', 'Writing changes...')
  if (request.file !== undefined && sinks.sql !== undefined) {
    await using connection = await database.connectState()
    for await (const text of oldSql(connection, plan, request.transactions)) {
      if (signal?.aborted) throw new TampError('interrupted', 'Interrupted; nothing was written.')
      await sinks.sql(text)
    }
  }
  if (!request.commit) return []
  // Planned again from what is there by then: what was read above may be minutes old.
  const { left } = await carryOut(database, room, { range, plan: request.plan, minSavedRows, signal })
  return left
}

/**
 * Carries out a plan for some groups of one room, beside a running Synapse.
 * @returns what was left as it is, and the rows of the room before and after, those of groups that came meanwhile included
 * @throws TampError `interrupted`
 */
export async function carryOut(
  database: SynapseDatabase,
  room: string,
  options: {
    readonly range: GroupRange
    readonly plan: OldPlan
    readonly minSavedRows?: number
    readonly signal: AbortSignal | undefined
  },
): Promise<{ readonly left: readonly Left[]; readonly savedRows: number }> {
  const report = await compact(database, { ...options, mode: 'execute', rooms: [room] })
  if (report.failure !== undefined) throw report.failure
  if (report.stopped === 'interrupted')
    throw new TampError('interrupted', 'Interrupted; what was done up to here is whole.', {
      hint: 'Run the command again to go on.',
    })
  return { left: report.skipped, savedRows: report.before.rows - report.after.rows }
}

/** The ids that -b, -n and -s leave; `to` is the highest of them, or of all up to -s where there is none. */
function rangeOf(ids: Float64Array, { above, groups, upTo }: CompressStateRequest): { from: number; to: number } {
  const from = above === undefined ? 0 : above + 1
  let candidates = ids.filter((id) => id <= (upTo ?? Infinity))
  if (groups !== undefined) candidates = candidates.filter((id) => id >= from).slice(0, groups)
  const to = candidates.at(-1)
  if (to === undefined) {
    throw new TampError('failed', 'No state groups found within this range.', {
      hint: `The state groups of the room are ${ids[0]} to ${ids.at(-1)}.`,
    })
  }
  return { from, to }
}

/** The same history with a range. */
function within(history: RoomHistory, range: { readonly from: number; readonly to: number }): RoomHistory {
  const bar = history.bar.map((why, group) => {
    const id = history.ids[group]!
    return why === Bar.none && (id < range.from || id > range.to) ? Bar.outOfRange : why
  })
  return { ...history, bar }
}

/** The groups of the range and what they stand on: what the old tool loads, and counts. */
function groupsShown({ ids, base }: RoomHistory, { from, to }: { from: number; to: number }): number[] {
  const shown: number[] = []
  const needed = new Uint8Array(ids.length)
  for (let group = ids.length - 1; group >= 0; group--) {
    if ((ids[group]! < from || ids[group]! > to) && needed[group] === 0) continue
    shown.push(group)
    if (base[group]! >= 0) needed[base[group]!] = 1
  }
  return shown.reverse()
}

function rowsOf(groups: readonly number[], rows: (group: number) => number): number {
  return groups.reduce((sum, group) => sum + rows(group), 0)
}

interface Planned {
  /** Without moves where it saves nothing. */
  readonly plan: RoomPlan
  /** As the levels would have it, even where that is declined. */
  readonly after: { readonly bases: Bases; readonly rows: Uint32Array }
  readonly changed: number
  readonly resets: { readonly groups: number; readonly rows: number }
}

function planned(history: RoomHistory, how: OldPlan): Planned {
  const plan = planRoom(history, { plan: how })
  if (how !== 'best') {
    const leveled = levelBases(history, how.levels)
    return { plan, after: leveled, changed: leveled.changed, resets: leveled.resets }
  }
  const { moves } = plan
  const { start } = history.deltas
  const bases = history.base.slice()
  const rows = Uint32Array.from(bases, (_, group) => start[group + 1]! - start[group]!)
  moves.position.forEach((group, move) => {
    bases[group] = moves.base[move]!
    rows[group] = moves.deltas.start[move + 1]! - moves.deltas.start[move]!
  })
  return { plan, after: { bases, rows }, changed: moves.position.length, resets: { groups: 0, rows: 0 } }
}
