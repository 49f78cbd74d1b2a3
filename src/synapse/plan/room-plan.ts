// The plan for one room: which groups get another base, with which rows, what that saves, and the proof that no state changes.
// Pure: columns in, columns out.
import type { LanePlan, Measure } from '../../core/report.ts'
import { bestBases, cheapestForest } from './best-plan.ts'
import type { CheapestBases } from './cheapest-bases.ts'
import { fingerprints, mismatches } from './fingerprints.ts'
import type { Moves } from './fingerprints.ts'
import { Bar } from '../history.ts'
import type { Bases, RoomHistory } from '../history.ts'
import { levelBases } from './level-plan.ts'
import { depths } from './limit-depth.ts'
import type { Assignment } from './limit-depth.ts'
import type { StateTree } from './state-tree.ts'

export interface PlanOptions {
  /** Deepest chain wanted, in edges. Default 100. */
  readonly maxDepth?: number
  /** `best`, or the level sizes of the old compressor's algorithm, lowest level first. Default `best`. */
  readonly plan?: 'best' | { readonly levels: readonly number[] }
  /** Change nothing unless at least this many rows are saved. Default 1. */
  readonly minSavedRows?: number
  /** Shorten chains deeper than `maxDepth` even where that costs rows. */
  readonly shorten?: boolean
}

/** How the groups of a room are to be stored. */
export interface RoomPlan {
  readonly history: RoomHistory
  /** Fingerprints of all states, four words a group. */
  readonly states: Uint32Array
  readonly moves: Moves
  readonly summary: LanePlan
}

/** Rounds of planning on top of one's own plan, until nothing more is found. */
const rounds = 4

/** Chooses the bases of a room and proves that they keep every state. Throws nothing: a plan that cannot help has no moves. */
export function planRoom(history: RoomHistory, options: PlanOptions = {}): RoomPlan {
  const { maxDepth = 100, plan = 'best', minSavedRows = 1, shorten = false } = options
  const today = storedAssignment(history)
  const deepest = deepestShortenable(history)
  const states = fingerprints(history)
  const notes: string[] = []
  let tipsCost = 0
  let bound: { rows: number; exact: boolean }
  let bases: Bases = today.base
  let rows: Uint32Array = today.cost
  let tree: StateTree
  if (plan === 'best') {
    let forest = cheapestForest(history, states)
    const { tree: allStates } = forest
    tree = allStates
    bound = { rows: total(forest.cost), exact: forest.exact }
    let limit = maxDepth
    let found = bestBases(history, forest, today, limit)
    let least: Assignment = today
    let better = found.rows < today.rows
    if (!better && deepest > maxDepth) {
      const price = found.rows - today.rows
      if (shorten) better = true
      else {
        if (price > 0)
          notes.push(
            `chains are up to ${deepest} deep; bringing them to ${maxDepth} would cost ${price} more rows (--shorten)`,
          )
        limit = deepest
        if (bound.rows < today.rows) found = bestBases(history, forest, today, limit)
        better = found.rows < today.rows
      }
    }
    // A plan is planned upon again until that finds nothing: then a second run finds nothing either.
    for (let round = 1; better; round++) {
      least = found
      tipsCost = found.shallowTipsCost
      if (round === rounds) break
      const after = applied(history, movesTo(history, least.base, least.cost, tree))
      const next = cheapestForest(after, states)
      if (!bound.exact) bound = { rows: Math.min(bound.rows, total(next.cost)), exact: next.exact }
      if (sameForest(forest, next)) break
      found = bestBases(after, next, storedAssignment(after), limit)
      better = found.rows < least.rows
      forest = next
    }
    bases = least.base
    rows = least.cost
  } else {
    const leveled = levelBases(history, plan.levels)
    bases = leveled.bases
    rows = leveled.rows
    tree = leveled.tree
    bound = leveled.bound
  }
  const saved = today.rows - total(rows)
  const shortened = plan === 'best' && shorten && deepest > maxDepth
  if (saved < Math.max(1, minSavedRows) && !shortened) {
    bases = today.base
    rows = today.cost
    if (saved > 0) notes.push(`a plan would save ${saved} rows, fewer than asked for`)
    if (saved < 0) notes.push(`this plan would make the room ${-saved} rows larger: declined`)
  }
  const moves = movesTo(history, bases, rows, tree)
  return {
    history,
    states,
    moves,
    summary: summarize(history, moves, states, bound, { depth: Math.floor(maxDepth / 2), cost: tipsCost }, notes),
  }
}

/**
 * Depth of the deepest group that other bases could make shallower. Below a snapshot, groups that must not be changed are as deep as
 * they are.
 */
function deepestShortenable({ base, bar }: RoomHistory): number {
  const depth = depths(base)
  const held = new Uint8Array(base.length)
  let deepest = 0
  for (let group = 0; group < base.length; group++) {
    const on = base[group]!
    if (on < 0 || (bar[group] !== Bar.none && held[on] === 1)) held[group] = 1
    else deepest = Math.max(deepest, depth[group]!)
  }
  return deepest
}

/** Whether two searches came to the same bases: then so does all that follows from them. */
function sameForest(one: CheapestBases, other: CheapestBases): boolean {
  return one.base.every((base, group) => base === other.base[group])
}

/** How the room is stored today. A damaged group counts as it is, on nothing. */
function storedAssignment(history: RoomHistory): Assignment {
  const { start } = history.deltas
  const cost = new Uint32Array(history.ids.length)
  for (let group = 0; group < cost.length; group++) cost[group] = start[group + 1]! - start[group]!
  return { base: history.base, cost, rows: history.deltas.rows.length }
}

/** The room as it will be when the moves have been carried out. */
function applied(history: RoomHistory, moves: Moves): RoomHistory {
  const count = history.ids.length
  const base = history.base.slice()
  const start = new Uint32Array(count + 1)
  const moveOf = new Int32Array(count).fill(-1)
  for (let m = 0; m < moves.position.length; m++) {
    moveOf[moves.position[m]!] = m
    base[moves.position[m]!] = moves.base[m]!
  }
  const rowsOf = (group: number): Uint32Array => {
    const { start: from, rows: all } = moveOf[group]! < 0 ? history.deltas : moves.deltas
    const at = moveOf[group]! < 0 ? group : moveOf[group]!
    return all.subarray(from[at]!, from[at + 1]!)
  }
  for (let group = 0; group < count; group++) start[group + 1] = start[group]! + rowsOf(group).length
  const rows = new Uint32Array(start[count]!)
  for (let group = 0; group < count; group++) rows.set(rowsOf(group), start[group]!)
  return { ...history, base, deltas: { start, rows } }
}

/** The changes between today's bases and the planned ones. */
function movesTo(history: RoomHistory, bases: Bases, rows: Uint32Array, tree: StateTree): Moves {
  const { base, deltas, bar } = history
  const changed: number[] = []
  const start: number[] = [0]
  const entries: number[] = []
  for (let group = 0; group < base.length; group++) {
    const stored = deltas.start[group + 1]! - deltas.start[group]!
    if (bar[group] !== Bar.none || (bases[group] === base[group] && rows[group]! >= stored)) continue
    changed.push(group)
    tree.compare(bases[group]! + 1, group + 1)
    tree.eachChange((_, after) => {
      // A key that the group does not have would make the base illegal; the proof sees it, as the fingerprint then differs.
      if (after !== 0) entries.push(after)
    })
    start.push(entries.length)
  }
  return {
    position: Int32Array.from(changed),
    base: Int32Array.from(changed, (group) => bases[group]!),
    deltas: { start: Uint32Array.from(start), rows: Uint32Array.from(entries) },
  }
}

function summarize(
  history: RoomHistory,
  moves: Moves,
  states: Uint32Array,
  bound: { rows: number; exact: boolean },
  shallowTips: { readonly depth: number; readonly cost: number },
  notes: string[],
): LanePlan {
  const before = history.base
  const after = before.slice()
  const stored = history.deltas.rows.length
  let rows = stored
  let most = stored
  for (let m = 0; m < moves.position.length; m++) {
    const group = moves.position[m]!
    after[group] = moves.base[m]!
    rows += moves.deltas.start[m + 1]! - moves.deltas.start[m]!
    rows -= history.deltas.start[group + 1]! - history.deltas.start[group]!
    most = Math.max(most, rows)
  }
  const depthAfter = depths(after)
  const deepestTip = history.tips.reduce((most, tip) => Math.max(most, depthAfter[tip]!), 0)
  if (moves.position.length > 0 && deepestTip > shallowTips.depth && shallowTips.cost > 0)
    notes.push(
      `the groups that the next event will build on end up to ${deepestTip} deep; ${shallowTips.cost} more rows would keep them at ${shallowTips.depth}`,
    )
  const proof = moves.position.length === 0 ? 0 : mismatches(states, fingerprints(history, moves))
  return {
    lane: history.room,
    before: measure(history, stored, before),
    after: measure(history, rows, after),
    bound,
    onTheWay: { rows: most, maxDepth: maximum(depthsOnTheWay(before, depthAfter)) },
    changes: moves.position.length,
    proof: { checked: history.ids.length, mismatches: proof },
    findings: history.findings,
    notes,
  }
}

/** The size of a room that stores so many rows on these bases. */
export function measure(history: RoomHistory, rows: number, bases: Bases): Measure {
  const depth = depths(bases)
  return {
    groups: history.ids.length,
    rows,
    bytesEstimate: Math.round(rows * history.bytesPerRow),
    maxDepth: maximum(depth),
    meanDepth: mean(depth),
  }
}

/**
 * The deepest each group can be at any moment while moves are carried out in ascending order. When all groups up to x have moved, a
 * group above x stands on its old chain down to the first ancestor at or below x, and from there on the new one.
 */
function depthsOnTheWay(before: Bases, depthAfter: Int32Array): Int32Array {
  const worst = new Int32Array(before.length)
  for (let group = 0; group < before.length; group++) {
    const base = before[group]!
    worst[group] = Math.max(depthAfter[group]!, base < 0 ? 0 : Math.max(worst[base]!, depthAfter[base]!) + 1)
  }
  return worst
}

function total(rows: Uint32Array): number {
  let sum = 0
  for (const here of rows) sum += here
  return sum
}

function maximum(depth: Int32Array): number {
  let most = 0
  for (const here of depth) if (here > most) most = here
  return most
}

function mean(depth: Int32Array): number {
  let sum = 0
  for (const here of depth) sum += here
  return depth.length === 0 ? 0 : Math.round((sum / depth.length) * 10) / 10
}
