// Keeps every chain within a depth, for the fewest rows more than the cheapest bases cost.
//
// The forest of cheapest bases is cut, from the youngest group down, into pieces of bounded height. The roots of the pieces are then
// a smaller room of their own: its cheapest bases are found and cut in the same way, and so on; the last roots become snapshots.
// A piece carries its height along, so that what one level leaves over the next may use, and a second round makes pieces taller
// where the first found their roots to be shallow. At the end single groups move to cheaper bases wherever depth is left.
// The heights play the part of the levels of rust-synapse-compress-state, but follow the branches of the room.
import { cheapestBases } from './cheapest-bases.ts'
import type { CheapestBases } from './cheapest-bases.ts'

/** A base for every member, -1 for a snapshot, and what each costs in rows. */
export interface Assignment {
  readonly base: Int32Array
  readonly cost: Uint32Array
  readonly rows: number
}

/** A room as the depth limit sees it. Members are in ascending id order. */
export interface DepthProblem {
  readonly cheapest: CheapestBases
  readonly keyOf: Uint32Array
  readonly keyCount: number
  /** Depth of the deepest group at most, in edges. */
  readonly maxDepth: number
  /** Members that must stay shallow: at most `maxDepth - reserve` deep. */
  readonly tips: readonly number[]
  /** 1 for members that keep the base they have, and their rows. */
  readonly fixed: Uint8Array
  mayBeBase(member: number): boolean
  preferred(member: number): boolean
}

/** Differences to look at when the roots of pieces look for bases, for each list of heights. */
const rootBudget = 1 << 16
const farthestRelaxed = 400

/**
 * Shares of the depth at which each level of pieces ends. The first entry is cheapest on bushy rooms, the later ones on long
 * chains and for shallow limits.
 */
const shapes: readonly (readonly number[])[] = [
  [1],
  [0.95, 1],
  [0.8, 1],
  [0.6, 1],
  [0.5, 1],
  [0.4, 1],
  [0.6, 0.9, 1],
  [0.5, 0.75, 1],
  [0.25, 0.5, 0.75, 1],
]

/** Shapes whose pieces are fitted, in a second round, to how deep they stand; and assignments that are relaxed. */
const worthwhile = 3

/**
 * Tries lists of heights, with every tip `reserve` above the limit.
 * @param candidates shares of the depth at which each level ends
 * @returns the best assignment, and the lists, best first
 */
export function limitDepth(
  problem: DepthProblem,
  reserve: number,
  candidates: readonly (readonly number[])[] = shapes,
): { readonly assignment: Assignment; readonly shapes: readonly (readonly number[])[] } {
  const plain = candidates.map((shape) => {
    const limits = shape.map((share) => Math.max(1, Math.round(share * problem.maxDepth)))
    return { shape, limits, assignment: solve(problem, limits, null, reserve) }
  })
  plain.sort((a, b) => a.assignment.rows - b.assignment.rows)
  const best = plain.slice(0, worthwhile)
  const assignments: Assignment[] = []
  for (const { limits, assignment } of best) {
    assignments.push(relax(problem, assignment, reserve))
    if (limits.length === 1) continue
    const fitted = solve(problem, limits, depthOfRoots(assignment), reserve)
    assignments.push(relax(problem, fitted, reserve))
  }
  assignments.sort((a, b) => a.rows - b.rows)
  return { assignment: assignments[0]!, shapes: plain.map(({ shape }) => shape) }
}

/** Depth of the root of each member's first-level piece: how deep a piece stands. */
function depthOfRoots(solved: Assignment & { readonly firstRoot: Int32Array }): Int32Array {
  const depth = depths(solved.base)
  return solved.firstRoot.map((root) => depth[root]!)
}

export function depths(base: Int32Array): Int32Array {
  const depth = new Int32Array(base.length)
  for (let i = 0; i < base.length; i++) depth[i] = base[i]! < 0 ? 0 : depth[base[i]!]! + 1
  return depth
}

/**
 * One list of heights.
 * @param limits height, from the bottom, at which the pieces of each level end; the last is the maximum depth
 * @param standing how deep the root of each member's piece is expected to be: its piece may fill what is left
 */
function solve(
  problem: DepthProblem,
  limits: readonly number[],
  standing: Int32Array | null,
  reserve: number,
): Assignment & { readonly firstRoot: Int32Array } {
  const { cheapest, keyOf, keyCount, maxDepth } = problem
  const count = cheapest.base.length
  const base = new Int32Array(count).fill(-1)
  const cost = new Uint32Array(count)
  const firstRoot = new Int32Array(count)
  let height = new Int32Array(count)
  if (reserve > 0) for (const tip of problem.tips) height[tip] = reserve
  const held = heldDepth(problem)
  let level = cheapest
  let members = new Int32Array(count).map((_, i) => i)
  for (let n = 0; ; n++) {
    const here = members
    const limitAt =
      n === 0 && standing !== null ? (member: number) => Math.max(1, maxDepth - standing[member]!) : () => limits[n]!
    const isRoot = cut(
      level.base,
      height,
      (i) => limitAt(here[i]!) - held[here[i]!]!,
      (i) => problem.fixed[here[i]!] === 1,
    )
    const roots: number[] = []
    for (let i = 0; i < here.length; i++) {
      const member = here[i]!
      if (isRoot[i] === 1) roots.push(i)
      else {
        base[member] = here[level.base[i]!]!
        cost[member] = level.cost[i]!
      }
      if (n === 0) firstRoot[member] = isRoot[i] === 1 ? member : firstRoot[base[member]!]!
    }
    if (n === limits.length - 1) {
      for (const i of roots) cost[here[i]!] = problem.fixed[here[i]!] === 1 ? cheapest.cost[here[i]!]! : level.size[i]!
      break
    }
    // The roots become the next room; each is described from the root of the piece it was cut from.
    const below = level
    const pieceOf = new Int32Array(here.length)
    for (let i = 0, next = 0; i < here.length; i++) pieceOf[i] = isRoot[i] === 1 ? next++ : pieceOf[below.base[i]!]!
    const seed = (root: number): number => {
      const from = below.base[roots[root]!]!
      return from < 0 ? root - 1 : pieceOf[from]!
    }
    level = cheapestBases(
      {
        count: roots.length,
        seed,
        describe(root, tree) {
          below.tree.compare(root === 0 ? 0 : roots[seed(root)]! + 1, roots[root]! + 1)
          below.tree.eachChange((before, after) => tree.change(before, after))
        },
        hints: (root) => (root > 0 ? [root - 1] : []),
        twin: () => -1,
        mayBeBase: (root) => problem.mayBeBase(here[roots[root]!]!),
        fixedBase: (root) => (problem.fixed[here[roots[root]!]!] === 1 ? -1 : null),
        preferred: (root) => problem.preferred(here[roots[root]!]!),
      },
      keyOf,
      keyCount,
      rootBudget,
    )
    height = Int32Array.from(roots, (i) => height[i]!)
    members = Int32Array.from(roots, (i) => here[i]!)
  }
  return { base, cost, rows: sum(cost), firstRoot }
}

/** How far below the next group that may be cut off, or the snapshot, each member is held by bases that must not change. */
function heldDepth({ cheapest, fixed }: DepthProblem): Int32Array {
  const held = new Int32Array(fixed.length)
  for (let i = 0; i < held.length; i++)
    if (fixed[i] === 1 && cheapest.base[i]! >= 0) held[i] = held[cheapest.base[i]!]! + 1
  return held
}

/**
 * Marks where a forest must be cut so that no piece is higher than the limit: the fewest pieces there can be.
 * @param height height of what already hangs below each member; on return that of its piece
 */
function cut(
  base: Int32Array,
  height: Int32Array,
  limit: (member: number) => number,
  fixed: (member: number) => boolean,
): Uint8Array {
  const isRoot = new Uint8Array(base.length)
  for (let i = base.length - 1; i >= 0; i--) {
    const b = base[i]!
    if (b < 0 || (height[i]! + 1 > limit(b) && !fixed(i))) isRoot[i] = 1
    else if (height[b]! < height[i]! + 1) height[b] = height[i]! + 1
  }
  return isRoot
}

/** Moves groups that cost more than they must to nearer bases, youngest first, as far as their chains have depth left. */
function relax(problem: DepthProblem, from: Assignment, reserve: number): Assignment {
  const { cheapest, maxDepth } = problem
  const base = from.base.slice()
  const cost = from.cost.slice()
  const depth = depths(base)
  const height = heights(base, problem.tips, reserve)
  const { tree } = cheapest
  for (let i = base.length - 1; i >= 0; i--) {
    if (cost[i]! <= cheapest.cost[i]! || problem.fixed[i] === 1) continue
    // A change never alters the depth of older groups, so their depths hold while we walk downwards.
    const deepest = maxDepth - 1 - height[i]!
    let ancestor = cheapest.base[i]!
    for (let hops = 0; ancestor >= 0 && hops < farthestRelaxed; hops++, ancestor = base[ancestor]!) {
      if (depth[ancestor]! > deepest || !problem.mayBeBase(ancestor)) continue
      let rows = 0
      let removed = 0
      tree.compare(ancestor + 1, i + 1)
      tree.eachChange((_, after) => (after === 0 ? removed++ : rows++))
      if (removed > 0) continue
      if (rows < cost[i]!) {
        cost[i] = rows
        base[i] = ancestor
        raise(base, height, i)
      }
      break
    }
  }
  return { base, cost, rows: sum(cost) }
}

/** Height of what hangs below each group; `reserve` below each tip. */
export function heights(base: Int32Array, tips: readonly number[], reserve: number): Int32Array {
  const height = new Int32Array(base.length)
  for (const tip of tips) height[tip] = reserve
  for (let i = base.length - 1; i >= 0; i--) {
    const b = base[i]!
    if (b >= 0 && height[b]! < height[i]! + 1) height[b] = height[i]! + 1
  }
  return height
}

/** Passes the height of a group on to the bases above it. */
export function raise(base: Int32Array, height: Int32Array, group: number): void {
  for (let i = group; base[i]! >= 0 && height[base[i]!]! < height[i]! + 1; i = base[i]!)
    height[base[i]!] = height[i]! + 1
}

function sum(cost: Uint32Array): number {
  let total = 0
  for (const rows of cost) total += rows
  return total
}
