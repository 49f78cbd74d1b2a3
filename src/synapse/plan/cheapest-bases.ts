// The cheapest legal base of every state group, when depth is free. The sum of these costs is the lower bound of any plan.
//
// For each group in id order, a best-first walk over the tree of the states before it, nearest states first, from several seeds:
// the present base, the group before, the groups that first had its newest events. Walking an edge costs its few differences.
// Where the room is small enough the walk visits everything, and the minimum is exact.
import { emptyState, StateTree } from './state-tree.ts'

/** The states to choose bases for, in ascending id order; one member of the room, or of a part of it, after the other. */
export interface States {
  readonly count: number
  /** Member to describe member i from: an earlier one (its base, where that is fixed), or -1 for whichever is in hand. */
  seed(i: number): number
  /** Lists the differences of member i from the state in hand, through `tree.set`, `setAll` or `change`. */
  describe(i: number, tree: StateTree): void
  /** More members, older than i, whose state may be near. */
  hints(i: number): readonly number[]
  /** An earlier member with the same state, or -1. */
  twin(i: number): number
  /** Whether member `base` may become, or stay, the base of member i. */
  mayBeBase(base: number, i: number): boolean
  /** The base of a member that must not be changed (-1 for a snapshot), or null if any will do. */
  fixedBase(i: number): number | null
  /** True if i is the better base of two that cost the same and are equally deep. */
  preferred(i: number): boolean
}

export interface CheapestBases {
  /** Member that is the cheapest base of each member, -1 for none. */
  readonly base: Int32Array
  /** Rows of each member on that base. */
  readonly cost: Uint32Array
  /** Rows of each member as a snapshot. */
  readonly size: Uint32Array
  readonly depth: Int32Array
  /** True if no other base can be cheaper for any member. */
  readonly exact: boolean
  /** Node of each member is its number plus one. */
  readonly tree: StateTree
}

/** Differences that one walk may look at, besides what the budget of the whole room gives. */
const leastSteps = 300
/** … and once it has found a base for one row, the least there can be: bases as cheap but shallower are mostly near. */
const stepsForTies = 40
const childrenLookedAt = 40
/** A hint this many differences away, along the tree, is left out: branches may run side by side for ever. */
const farthestHint = 3000

/**
 * @param keyOf key of each entry
 * @param budget differences to look at, for all members together; more for members that no small budget serves
 */
export function cheapestBases(states: States, keyOf: Uint32Array, keyCount: number, budget: number): CheapestBases {
  const { count } = states
  const tree = new StateTree(keyOf, keyCount, count)
  const base = new Int32Array(count).fill(-1)
  const cost = new Uint32Array(count)
  const size = new Uint32Array(count)
  const depth = new Int32Array(count)
  const search = new Search(tree, count)
  const stepsEach = Math.max(leastSteps, Math.floor(budget / Math.max(1, count)))
  let exact = true
  for (let i = 0; i < count; i++) {
    const seed = states.seed(i)
    const moved = seed >= 0 ? tree.moveTo(seed + 1) : 0
    tree.startChanges()
    states.describe(i, tree)
    let rows = 0
    let removed = 0
    tree.eachChange((_, after) => (after === 0 ? removed++ : rows++))
    tree.take()
    size[i] = tree.size
    const fixed = states.fixedBase(i)
    const twin = states.twin(i)
    if (fixed !== null) {
      base[i] = fixed
      cost[i] = fixed < 0 ? tree.size : rows
      tree.hang(tree.at)
    } else if (twin >= 0 && states.mayBeBase(twin, i)) {
      base[i] = twin
      tree.hang(twin + 1)
    } else {
      search.start(tree.at, rows, removed)
      for (const hint of states.hints(i)) search.reach(hint + 1, Math.max(leastSteps, Math.min(moved, farthestHint)))
      search.walk(stepsEach, (member) => states.mayBeBase(member, i))
      let best = emptyState
      let least = tree.size
      let nearest: number = emptyState
      let nearestDistance = tree.size
      for (const node of search.visited) {
        const distance = search.rows[node]! + search.removed[node]!
        if (distance < nearestDistance) {
          nearestDistance = distance
          nearest = node
        }
        if (node === emptyState || search.removed[node] !== 0 || !states.mayBeBase(node - 1, i)) continue
        const here = search.rows[node]!
        const better =
          here < least || (here === least && best !== emptyState && shallower(node - 1, best - 1, depth, states))
        if (better) {
          least = here
          best = node
        }
      }
      if (best !== emptyState) {
        base[i] = best - 1
        cost[i] = least
      } else cost[i] = tree.size
      if (cost[i]! > 1 && search.visited.length <= i) exact = false
      tree.hang(best !== emptyState && least <= nearestDistance ? best : nearest)
    }
    depth[i] = base[i]! < 0 ? 0 : depth[base[i]!]! + 1
  }
  return { base, cost, size, depth, exact, tree }
}

function shallower(a: number, b: number, depth: Int32Array, states: States): boolean {
  if (depth[a] !== depth[b]) return depth[a]! < depth[b]!
  if (states.preferred(a) !== states.preferred(b)) return states.preferred(a)
  return a > b
}

/** A best-first walk over a state tree, by the distance to the state in hand. */
class Search {
  readonly #tree: StateTree
  readonly #seen: Uint32Array
  #now = 0
  /** Rows of a delta from each visited node to the state in hand. */
  readonly rows: Int32Array
  /** Keys of each visited node that the state in hand does not have. */
  readonly removed: Int32Array
  visited: number[] = []
  // A binary heap of nodes to expand, nearest first.
  readonly #heap: number[] = []
  readonly #out = new Int32Array(2)

  constructor(tree: StateTree, count: number) {
    this.#tree = tree
    this.#seen = new Uint32Array(count + 1)
    this.rows = new Int32Array(count + 1)
    this.removed = new Int32Array(count + 1)
  }

  start(node: number, rows: number, removed: number): void {
    this.#now++
    this.visited = []
    this.#heap.length = 0
    this.#visit(node, rows, removed)
  }

  #visit(node: number, rows: number, removed: number): void {
    this.#seen[node] = this.#now
    this.rows[node] = rows
    this.removed[node] = removed
    this.visited.push(node)
    this.#push(node)
  }

  /** Goes straight to a node, if the path from a node already visited costs at most `most` differences. */
  reach(node: number, most: number): void {
    const { parent, depth } = this.#tree
    if (this.#seen[node] === this.#now) return
    // Climb from both ends to the common ancestor or to something visited.
    let up = this.visited[0]!
    let down = node
    let steps = 0
    const rises: number[] = []
    const falls: number[] = []
    while (up !== down) {
      if (this.#seen[down] === this.#now) break
      if (depth[up]! >= depth[down]!) {
        rises.push(up)
        steps += this.#tree.weight(up)
        up = parent[up]!
      } else {
        falls.push(down)
        steps += this.#tree.weight(down)
        down = parent[down]!
      }
      if (steps > most || rises.length + falls.length > most) return
    }
    const out = this.#out
    if (this.#seen[down] !== this.#now) {
      let at = this.visited[0]!
      out[0] = this.rows[at]!
      out[1] = this.removed[at]!
      for (const left of rises) {
        this.#tree.step(left, true, out)
        at = parent[left]!
        if (this.#seen[at] !== this.#now) this.#visit(at, out[0]!, out[1]!)
      }
    }
    out[0] = this.rows[down]!
    out[1] = this.removed[down]!
    for (let n = falls.length - 1; n >= 0; n--) {
      this.#tree.step(falls[n]!, false, out)
      this.#visit(falls[n]!, out[0]!, out[1]!)
    }
  }

  /** Expands the nearest nodes until `steps` differences have been looked at, or everything has. */
  walk(steps: number, mayBeBase: (member: number) => boolean): void {
    const tree = this.#tree
    const out = this.#out
    let left = steps
    const go = (from: number, edge: number, to: number): void => {
      if (this.#seen[to] === this.#now || left <= 0) return
      out[0] = this.rows[from]!
      out[1] = this.removed[from]!
      tree.step(edge, edge === from, out)
      left -= tree.weight(edge) + 1
      this.#visit(to, out[0]!, out[1]!)
    }
    while (left > 0 && this.#heap.length > 0) {
      const node = this.#pop()
      if (this.rows[node]! <= 1 && this.removed[node] === 0 && (node === emptyState || mayBeBase(node - 1)))
        left = Math.min(left, stepsForTies)
      if (tree.parent[node]! >= 0) go(node, node, tree.parent[node]!)
      // A state may have any number of children: no more are looked at than there are steps left.
      const children = steps > leastSteps ? Math.max(childrenLookedAt, left) : childrenLookedAt
      tree.eachChild(node, children, (child) => go(node, child, child))
    }
  }

  #distance(node: number): number {
    return this.rows[node]! + this.removed[node]!
  }

  #push(node: number): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(node)
    const distance = this.#distance(node)
    while (at > 0) {
      const above = (at - 1) >> 1
      if (this.#distance(heap[above]!) <= distance) break
      heap[at] = heap[above]!
      at = above
    }
    heap[at] = node
  }

  #pop(): number {
    const heap = this.#heap
    const top = heap[0]!
    const node = heap.pop()!
    if (heap.length === 0) return top
    const distance = this.#distance(node)
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && this.#distance(heap[below + 1]!) < this.#distance(heap[below]!)) below++
      if (this.#distance(heap[below]!) >= distance) break
      heap[at] = heap[below]!
      at = below
    }
    heap[at] = node
    return top
  }
}
