// Depth of every chain, and every cycle, from the edges alone: linear in their number, in typed arrays, without recursion.
// About 40 bytes an edge while it is computed.

/** Depth and cycles of a set of edges. */
export interface Chains {
  /** Groups that have a base, ascending. */
  readonly groups: Float64Array
  /** Edges from each of these groups down to its snapshot; the longest way where it has several bases; `endless` above a cycle. */
  readonly depth: Int32Array
  /** Groups of each cycle, ascending. */
  readonly cycles: readonly (readonly number[])[]
}

/** Depth of a group whose chain runs into a cycle. */
export const endless = -1
const unknown = -2

/** Collects edges in ascending order of their group and works the chains out. */
export class EdgeForest {
  #count = 0
  #groups = new Float64Array(1024)
  #bases = new Float64Array(1024)

  /** Adds an edge. Groups must come in ascending order; a group may come again, with another base. */
  append(group: number, base: number): void {
    if (this.#count === this.#groups.length) {
      this.#groups = grown(this.#groups)
      this.#bases = grown(this.#bases)
    }
    this.#groups[this.#count] = group
    this.#bases[this.#count] = base
    this.#count += 1
  }

  chains(): Chains {
    const edges = this.#count
    const groups = new Float64Array(edges)
    /** Edges of node i: first[i] … first[i + 1] - 1. */
    const first = new Uint32Array(edges + 1)
    let nodes = 0
    for (let edge = 0; edge < edges; edge++) {
      if (nodes > 0 && groups[nodes - 1] === this.#groups[edge]) continue
      groups[nodes] = this.#groups[edge]!
      first[nodes] = edge
      nodes += 1
    }
    first[nodes] = edges
    const named = groups.subarray(0, nodes)
    const target = new Int32Array(edges)
    for (let edge = 0; edge < edges; edge++) target[edge] = find(named, this.#bases[edge]!)
    return { groups: named, ...depths(first, target, nodes, named) }
  }
}

/** Position of a value in an ascending array, or -1. */
export function find(ascending: Float64Array, value: number): number {
  let low = 0
  let high = ascending.length - 1
  while (low <= high) {
    const middle = (low + high) >>> 1
    const met = ascending[middle]!
    if (met === value) return middle
    if (met < value) low = middle + 1
    else high = middle - 1
  }
  return -1
}

/** A copy of the array with twice the room. */
export function grown<Column extends Float64Array | Uint32Array | Int32Array>(column: Column): Column {
  const larger = new (column.constructor as new (length: number) => Column)(column.length * 2)
  larger.set(column)
  return larger
}

/**
 * In ascending id order a sound base has its depth before its group needs it. What is left, groups above an edge to a newer
 * group, goes through Tarjan's algorithm (SIAM J. Comput. 1972): its components come out bases first, and one of more than
 * one node, or with an edge to itself, is a cycle.
 */
function depths(
  first: Uint32Array,
  target: Int32Array,
  nodes: number,
  groups: Float64Array,
): { depth: Int32Array; cycles: number[][] } {
  const depth = new Int32Array(nodes).fill(unknown)
  const cycles: number[][] = []
  let order: Int32Array | undefined
  let lowest = new Int32Array(0)
  let cursor = new Uint32Array(0)
  let visited = 0
  const open: number[] = []

  const settle = (node: number): boolean => {
    let deepest = 0
    for (let edge = first[node]!; edge < first[node + 1]!; edge++) {
      const base = target[edge]!
      const below = base < 0 ? 0 : depth[base]!
      if (below === unknown) return false
      deepest = below === endless || deepest === endless ? endless : Math.max(deepest, below)
    }
    depth[node] = deepest === endless ? endless : deepest + 1
    return true
  }

  for (let start = 0; start < nodes; start++) {
    if (depth[start] !== unknown || settle(start)) continue
    if (order === undefined) {
      order = new Int32Array(nodes)
      lowest = new Int32Array(nodes)
      cursor = new Uint32Array(nodes)
    }
    const path = [start]
    while (path.length > 0) {
      const node = path.at(-1)!
      if (order[node] === 0) {
        order[node] = lowest[node] = ++visited
        cursor[node] = first[node]!
        open.push(node)
      }
      const edge = cursor[node]!
      if (edge < first[node + 1]!) {
        cursor[node] = edge + 1
        const base = target[edge]!
        if (base < 0 || depth[base] !== unknown) continue
        if (order[base] === 0) path.push(base)
        else lowest[node] = Math.min(lowest[node]!, order[base]!)
        continue
      }
      path.pop()
      const above = path.at(-1)
      if (above !== undefined) lowest[above] = Math.min(lowest[above]!, lowest[node]!)
      if (lowest[node] !== order[node]) continue
      const members = open.splice(open.lastIndexOf(node))
      if (members.length === 1 && settle(node)) continue
      for (const member of members) depth[member] = endless
      cycles.push(members.map((member) => groups[member]!).sort((a, b) => a - b))
    }
  }
  cycles.sort((a, b) => a[0]! - b[0]!)
  return { depth, cycles }
}
