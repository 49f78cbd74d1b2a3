// The plan `levels`: the algorithm of rust-synapse-compress-state, for comparison and for the commands that stand in for it.
//
// Groups are taken in id order. Each level is a chain of bounded length; a new group goes on top of the lowest level that has room,
// and starts the chains of the full levels below it anew. Where that base has a key the group lacks, its own bases are tried in turn.
import { Bar } from '../history.ts'
import type { Bases, RoomHistory } from '../history.ts'
import { StateTree } from './state-tree.ts'

/** The level sizes that the old compressor uses when none are given, lowest level first. */
export const defaultLevels: readonly number[] = [100, 50, 25]

/** One level of chains: how long they may grow, how long the present one is, and its newest group. */
export interface Level {
  readonly maxLength: number
  length: number
  /** Position, -1 for none. */
  head: number
}

/** A stretch of groups that was taken at once. */
export interface LevelChunk {
  /** Positions of its first and last group. */
  readonly first: number
  readonly last: number
  /** Rows of its groups today, and as the levels would have them. */
  readonly rowsBefore: number
  readonly rowsAfter: number
  /** False where it would have had more rows than today: then its groups stay as they are. */
  readonly kept: boolean
}

export interface LevelPlan {
  readonly bases: Bases
  /** Rows of each group under the plan; a group that stays on its base keeps its rows, needless ones too. */
  readonly rows: Uint32Array
  /** Every entry has to be stored somewhere: no plan can have fewer rows, but perhaps none can have as few. */
  readonly bound: { readonly rows: number; readonly exact: boolean }
  /** All states of the room; node of a group is its position plus one. Damaged groups have a node, but nothing stands on it. */
  readonly tree: StateTree
  /** Groups whose delta was worked out anew: all that the levels put on another base than they have. */
  readonly changed: number
  /** Groups for which no base on their level's chain would do, and the rows of their snapshots. */
  readonly resets: { readonly groups: number; readonly rows: number }
  /** The levels after the last group: a later range goes on with them. */
  readonly levels: readonly Level[]
  /** The chunks, in order; one of all groups in range where no size was asked for. */
  readonly chunks: readonly LevelChunk[]
}

export interface LevelOptions {
  /**
   * Take so many groups of the range at a time. A chunk that would end with more rows is left as it is, and the levels start afresh
   * after it. Without a size nothing is left: whether all of it is worth it is for the caller to say.
   */
  readonly chunkSize?: number | undefined
}

/**
 * Chooses bases. Only groups with `Bar.none` are put on levels; a head may be outside the range. Linear in the rows and in the
 * differences between a group and the bases tried for it.
 * @param levels sizes for a fresh start, or the levels where an earlier range ended; lowest level first
 */
export function levelBases(
  history: RoomHistory,
  levels: readonly number[] | readonly Level[],
  { chunkSize = Infinity }: LevelOptions = {},
): LevelPlan {
  const { base, deltas, bar, entries } = history
  const count = history.ids.length
  let chains = levels.map((level) =>
    typeof level === 'number' ? { maxLength: level, length: 0, head: -1 } : { ...level },
  )
  const tree = new StateTree(entries.key, entries.keyCount, count)
  const bases = base.slice()
  const rows = new Uint32Array(count)
  const total = { changed: 0, resets: 0, resetRows: 0 }
  const chunks: LevelChunk[] = []
  const distance = new Int32Array(2)
  let chunk = emptyChunk()

  const endChunk = (): void => {
    const { first, last, rowsBefore, rowsAfter } = chunk
    const kept = chunkSize === Infinity || rowsAfter <= rowsBefore
    chunks.push({ first, last, rowsBefore, rowsAfter, kept })
    if (kept) {
      total.changed += chunk.changed
      total.resets += chunk.resets
      total.resetRows += chunk.resetRows
    } else {
      for (let group = first; group <= last; group++) {
        bases[group] = base[group]!
        rows[group] = deltas.start[group + 1]! - deltas.start[group]!
      }
      chains = chains.map(({ maxLength }) => ({ maxLength, length: 0, head: -1 }))
    }
    chunk = emptyChunk()
  }

  for (let group = 0; group < count; group++) {
    const stored = deltas.start[group + 1]! - deltas.start[group]!
    rows[group] = stored
    // A damaged group's state is not known and nobody asks for it; its node keeps nodes and groups in step.
    if (bar[group] === Bar.damaged) tree.startChanges()
    else takeState(tree, history, group, distance)
    if (bar[group] === Bar.none) {
      const wanted = putOnLevel(chains, group)
      if (wanted !== base[group]) {
        const chosen = legalBase(tree, distance, wanted, bases, bar)
        bases[group] = chosen
        rows[group] = chosen < 0 ? tree.size : distance[0]!
        chunk.changed++
        if (wanted >= 0 && chosen < 0) {
          chunk.resets++
          chunk.resetRows += tree.size
        }
      }
    }
    tree.hang(tree.at)
    if (bar[group] === Bar.outOfRange) continue
    if (chunk.groups++ === 0) chunk.first = group
    chunk.last = group
    chunk.rowsBefore += stored
    chunk.rowsAfter += rows[group]!
    if (chunk.groups >= chunkSize) endChunk()
  }
  if (chunk.groups > 0) endChunk()
  return {
    bases,
    rows,
    bound: { rows: entries.count - 1, exact: false },
    tree,
    changed: total.changed,
    resets: { groups: total.resets, rows: total.resetRows },
    levels: chains,
    chunks,
  }
}

function emptyChunk() {
  return { groups: 0, first: 0, last: 0, rowsBefore: 0, rowsAfter: 0, changed: 0, resets: 0, resetRows: 0 }
}

/** Takes a group's state in hand. `distance` becomes what differs from the node the tree is at: rows, and keys to remove. */
function takeState(tree: StateTree, { base, deltas }: RoomHistory, group: number, distance: Int32Array): void {
  const from = deltas.start[group]!
  const to = deltas.start[group + 1]!
  if (base[group]! >= 0) tree.moveTo(base[group]! + 1)
  tree.startChanges()
  if (base[group]! < 0) tree.setAll(deltas.rows, from, to)
  else for (let r = from; r < to; r++) tree.set(deltas.rows[r]!)
  distance.fill(0)
  tree.eachChange((_, after) => distance[after === 0 ? 1 : 0]!++)
  tree.take()
}

/** Makes a group the head of the lowest level that has room and of all below it; returns that level's head until now. */
function putOnLevel(chains: readonly Level[], group: number): number {
  for (const level of chains) {
    const head = level.head
    const full = level.length >= level.maxLength
    level.head = group
    level.length = full ? 1 : level.length + 1
    if (!full) return head
  }
  return -1
}

/**
 * The first of a group and its bases, as planned so far, on which the state in hand can stand; -1 for none.
 * @param distance of the state in hand from the node `tree.at`: rows, and keys to remove. Returned: that from the base
 */
function legalBase(tree: StateTree, distance: Int32Array, first: number, bases: Bases, bar: Uint8Array): number {
  let node = tree.at
  for (let base = first; base >= 0; base = bases[base]!) {
    if (bar[base] !== Bar.none && bar[base] !== Bar.outOfRange) continue
    follow(tree, node, base + 1, distance)
    node = base + 1
    if (distance[1] === 0) return base
  }
  return -1
}

/** Takes the distance to the state in hand along the path from one node to another. */
function follow(tree: StateTree, from: number, to: number, distance: Int32Array): void {
  const { parent, depth } = tree
  let up = from
  let down = to
  const falls: number[] = []
  while (up !== down) {
    if (depth[up]! >= depth[down]!) {
      tree.step(up, true, distance)
      up = parent[up]!
    } else {
      falls.push(down)
      down = parent[down]!
    }
  }
  for (let i = falls.length - 1; i >= 0; i--) tree.step(falls[i]!, false, distance)
}
