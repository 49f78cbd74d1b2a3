// What planners and proofs are held against: the plainest code that can say what a state is, what a legal base is, what the least
// rows are. Maps of text, no hashes, no trees; quadratic and worse.
import type { Moves } from '../../../src/synapse/plan/fingerprints.ts'
import type { RoomHistory } from '../../../src/synapse/history.ts'
import type { State } from './full-state.ts'
import { copyRow } from './random-history.ts'
import type { DrawnGroup, DrawnRoom, Row } from './random-history.ts'

/** The groups that a reader's query would look at, or null where it would never end. */
function chainOf(byId: ReadonlyMap<number, DrawnGroup>, id: number): ReadonlySet<number> | null {
  const chain = new Set<number>()
  const onPath = new Set<number>()
  const endless = (at: number): boolean => {
    if (onPath.has(at)) return true
    if (chain.has(at)) return false
    chain.add(at)
    onPath.add(at)
    const found = (byId.get(at)?.bases ?? []).some(endless)
    onPath.delete(at)
    return found
  }
  return endless(id) ? null : chain
}

/**
 * The full state of every group as Synapse reads it: of all rows of the chain, the highest group wins. Null where the reader would
 * not end. Where one group has several rows for a key, the reader may see any: they are given together.
 */
export function statesOf(room: DrawnRoom): ReadonlyMap<number, State | null> {
  const byId = new Map(room.groups.map((group) => [group.id, group]))
  return new Map(
    room.groups.map(({ id }) => {
      const chain = chainOf(byId, id)
      if (chain === null) return [id, null]
      const state = new Map<string, string>()
      for (const at of [...chain].sort((a, b) => a - b)) {
        const here = new Map<string, string[]>()
        for (const [key, event] of byId.get(at)?.rows ?? []) here.set(key, [...(here.get(key) ?? []), event])
        for (const [key, events] of here) state.set(key, events.sort().join(' or '))
      }
      return [id, state]
    }),
  )
}

/** Groups whose answer does not follow from the rule "a base and the rows that differ from it", and all that hangs on them. */
export function damagedGroups(room: DrawnRoom): ReadonlySet<number> {
  const ids = new Set(room.groups.map(({ id }) => id))
  const damaged = new Set<number>()
  for (const { id, bases, rows } of room.groups) {
    const [base] = bases
    const sound =
      bases.length <= 1 &&
      (base === undefined || (base < id && ids.has(base) && !damaged.has(base))) &&
      new Set(rows.map(([key]) => key)).size === rows.length
    if (!sound) damaged.add(id)
  }
  return damaged
}

/** Groups that a reader looks at on behalf of one with several bases, or a base that is not older: how they are stored matters. */
export function entangledGroups(room: DrawnRoom): ReadonlySet<number> {
  const byId = new Map(room.groups.map((group) => [group.id, group]))
  const entangled = new Set<number>()
  const open = room.groups.filter(({ id, bases }) => bases.length > 1 || bases.some((base) => base >= id))
  for (let group = open.pop(); group !== undefined; group = open.pop()) {
    for (const base of group.bases) {
      if (entangled.has(base) || !byId.has(base)) continue
      entangled.add(base)
      open.push(byId.get(base)!)
    }
  }
  return entangled
}

/** Whether a plan may change the group. */
export function mayChange(room: DrawnRoom): (id: number) => boolean {
  const barred = new Set([...damagedGroups(room), ...entangledGroups(room), ...room.pending])
  const { from, to } = room.range ?? { from: -Infinity, to: Infinity }
  return (id) => !barred.has(id) && id >= from && id <= to
}

/** Rows that a delta needs on this base, or null if the group cannot stand on it. */
export function deltaRows(base: State, state: State): number | null {
  for (const key of base.keys()) if (!state.has(key)) return null
  let rows = 0
  for (const [key, event] of state) if (base.get(key) !== event) rows++
  return rows
}

/** The fewest rows that any choice of legal bases gives. */
export function leastRows(room: DrawnRoom): number {
  const states = statesOf(room)
  const changeable = mayChange(room)
  const damaged = damagedGroups(room)
  let total = 0
  for (const { id, bases, rows } of room.groups) {
    if (!changeable(id)) {
      total += rows.length
      continue
    }
    const state = states.get(id)!
    let least = state.size
    for (const { id: base } of room.groups) {
      if (base >= id || damaged.has(base) || (room.pending.includes(base) && base !== bases[0])) continue
      least = Math.min(least, deltaRows(states.get(base)!, state) ?? Infinity)
    }
    total += least
  }
  return total
}

export function rowsOf(room: DrawnRoom): number {
  return room.groups.reduce((sum, { rows }) => sum + rows.length, 0)
}

/** Edges from each group to its snapshot; edges to nothing, upwards or in circles count as none, as does all but the last. */
export function depthsOf(room: DrawnRoom): ReadonlyMap<number, number> {
  const depth = new Map<number, number>()
  for (const { id, bases } of room.groups) {
    const base = bases.findLast((one) => one < id && depth.has(one))
    depth.set(id, base === undefined ? 0 : depth.get(base)! + 1)
  }
  return depth
}

export function maxDepthOf(room: DrawnRoom): number {
  return Math.max(...depthsOf(room).values())
}

/** The text of each entry of a history. */
function textOf(room: DrawnRoom, history: RoomHistory): (entry: number) => Row {
  const texts = new Map<number, Row>()
  for (const row of room.groups.flatMap(({ rows }) => rows)) {
    const bytes = copyRow(row)
    texts.set(history.entries.find(bytes, 0, bytes.lastIndexOf(9), bytes.length), row)
  }
  return (entry) => texts.get(entry)!
}

/** A move in words: the group, its new base, its new rows. */
export interface WrittenMove {
  readonly id: number
  readonly base: number | null
  readonly rows: readonly Row[]
}

/** Moves by their text, in their order. */
export function written(room: DrawnRoom, history: RoomHistory, moves: Moves): WrittenMove[] {
  const text = textOf(room, history)
  return Array.from(moves.position, (position, m) => ({
    id: history.ids[position]!,
    base: moves.base[m]! < 0 ? null : history.ids[moves.base[m]!]!,
    rows: Array.from(moves.deltas.rows.subarray(moves.deltas.start[m], moves.deltas.start[m + 1]), text),
  }))
}

/** The room after these moves. */
export function carriedOut(room: DrawnRoom, moves: readonly WrittenMove[]): DrawnRoom {
  const moveOf = new Map(moves.map((move) => [move.id, move]))
  return {
    ...room,
    groups: room.groups.map((group) => {
      const move = moveOf.get(group.id)
      return move === undefined
        ? group
        : { id: group.id, bases: move.base === null ? [] : [move.base], rows: move.rows }
    }),
  }
}
