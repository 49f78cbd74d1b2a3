// What a room's deltas would cost on the best base nearby: a few windows of consecutive groups, compared by their edges.
import type { ReadSnapshot } from '../../database/read-snapshot.ts'
import { noBase, unsoundBase } from './group-table.ts'
import type { GroupTable } from './group-table.ts'

export interface DeltaCost {
  /** Rows of the deltas that were compared. */
  readonly now: number
  /** Rows they would have on the best of the groups before them. */
  readonly expected: number
}

/** Groups looked at in one window, and how many before each are tried as its base. */
const targets = 32
const candidates = 40
/** Two groups further than this from a common ancestor are not compared: a chain as Synapse makes them. */
const reach = 100
/** A base may be this much deeper than the present one's child: else pieces cut on purpose would look like waste. */
const deeper = 8
/** A window with more rows than this is passed over. */
const mostRows = 100_000

/**
 * The difference of two groups follows from the deltas between them and their common ancestor; full states are never read.
 * Reads the rows of about 100 to 300 groups a window, by index.
 */
export async function probeDeltas(
  state: ReadSnapshot,
  table: GroupTable,
  room: number,
  windows: number,
): Promise<DeltaCost> {
  const groups = table.byRoom.subarray(table.start[room]!, table.start[room + 1]!)
  let now = 0
  let expected = 0
  const count = Math.min(windows, Math.ceil(groups.length / targets))
  for (let window = 0; window < count; window++) {
    const from = Math.floor(((window + 0.5) * groups.length) / count - targets / 2)
    const first = Math.max(0, Math.min(from, groups.length - targets))
    const cost = await probeWindow(state, table, groups, first)
    now += cost.now
    expected += cost.expected
  }
  return { now, expected }
}

async function probeWindow(
  state: ReadSnapshot,
  table: GroupTable,
  groups: Uint32Array,
  first: number,
): Promise<DeltaCost> {
  const end = Math.min(groups.length, first + targets)
  const paths = new Map<number, number[]>()
  for (let at = Math.max(0, first - candidates); at < end; at++) paths.set(groups[at]!, path(table, groups[at]!))
  const deltas = await readDeltas(state, table, new Set([...paths.values()].flat()))
  let now = 0
  let expected = 0
  if (deltas === undefined) return { now, expected }
  for (let at = first; at < end; at++) {
    const group = groups[at]!
    const rows = deltas.get(group)?.size ?? 0
    if (table.base[group] === noBase || table.base[group] === unsoundBase || rows === 0) continue
    let least = rows
    let related = 0
    const tried = Math.min(at, candidates)
    for (let other = at - tried; other < at && least > 0; other++) {
      const base = groups[other]!
      const difference = differentRows(paths.get(group)!, paths.get(base)!, deltas)
      if (difference !== Infinity) related += 1
      if (table.depth[base]! < table.depth[group]! + deeper) least = Math.min(least, difference)
    }
    // Most of its neighbours stand on other snapshots, as where a branch has just begun anew: nothing to go by.
    if (least === rows && related * 2 < tried) continue
    now += rows
    expected += least
  }
  return { now, expected }
}

/** The group and its ancestors, at most `reach` of them. */
function path(table: GroupTable, group: number): number[] {
  const steps = [group]
  for (let at = table.base[group]!; at >= 0 && steps.length <= reach; at = table.base[at]!) steps.push(at)
  return steps
}

type Delta = ReadonlyMap<string, string>

/** Rows that a group would need on another, or infinity where they have no ancestor in common within reach. */
function differentRows(group: readonly number[], base: readonly number[], deltas: ReadonlyMap<number, Delta>): number {
  const ancestors = new Set(base)
  const meeting = group.find((step) => ancestors.has(step))
  if (meeting === undefined) return Infinity
  const own = changes(group, meeting, deltas)
  const others = changes(base, meeting, deltas)
  let rows = 0
  for (const [key, event] of own) if (others.get(key) !== event) rows += 1
  for (const key of others.keys()) if (!own.has(key)) rows += 1
  return rows
}

/** Everything set between a group and one of its ancestors, the latest value of each key. */
function changes(path: readonly number[], ancestor: number, deltas: ReadonlyMap<number, Delta>): Map<string, string> {
  const set = new Map<string, string>()
  for (const step of path) {
    if (step === ancestor) break
    for (const [key, event] of deltas.get(step) ?? []) if (!set.has(key)) set.set(key, event)
  }
  return set
}

/** Rows of the deltas among the groups, or undefined where they are too many. Snapshots are left out. */
async function readDeltas(
  state: ReadSnapshot,
  table: GroupTable,
  groups: ReadonlySet<number>,
): Promise<Map<number, Map<string, string>> | undefined> {
  const positions = new Map<number, number>()
  for (const group of groups) if (table.base[group] !== noBase) positions.set(table.ids[group]!, group)
  const rows = await state.query<[number, string, string]>(
    `SELECT state_group, type || chr(31) || state_key, event_id
       FROM state_groups_state WHERE state_group = ANY ($1::bigint[]) LIMIT $2`,
    [[...positions.keys()], mostRows],
  )
  if (rows.length === mostRows) return undefined
  const deltas = new Map<number, Map<string, string>>()
  for (const [id, key, event] of rows) {
    const position = positions.get(id)!
    const delta = deltas.get(position) ?? new Map<string, string>()
    delta.set(key, event)
    deltas.set(position, delta)
  }
  return deltas
}
