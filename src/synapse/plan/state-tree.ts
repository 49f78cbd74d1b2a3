// Many full states of a room, kept as a tree of small differences with one of them in hand.
//
// A node is a full state; its differences from its parent may also remove keys, so any state can hang on any other. The tree is
// for finding and comparing states and is independent of which state groups are bases of which. Moving the map in hand from one
// node to another costs the differences on the path between them, never a full state.

/** The parent of the first node: the state in which no key is set. */
export const emptyState = 0

export class StateTree {
  readonly #keyOf: Uint32Array
  /** The entry of every key in the state in hand, 0 where the key is not set. */
  readonly map: Uint32Array
  /** Number of keys set in the state in hand. */
  size = 0
  /** The node in hand. */
  at: number = emptyState
  /** Nodes so far, the empty state included; the next node gets this number. */
  count = 1
  readonly parent: Int32Array
  readonly depth: Int32Array
  readonly #lastChild: Int32Array
  readonly #olderSibling: Int32Array
  // Differences of node v from its parent: pairs (entry before, entry after), #changes[2 * start] … of start[v] ≤ i < start[v + 1].
  readonly #start: Float64Array
  #changes: Uint32Array = new Uint32Array(4096)
  // The set keys of the state in hand, dense, so that they can be listed without looking at every key.
  readonly #set: Uint32Array
  readonly #setAt: Uint32Array
  // Scratch for comparing: keys touched in this comparison, with their entry at both ends.
  readonly #stamp: Uint32Array
  #stampNow = 0
  readonly #touched: number[] = []
  readonly #before: Uint32Array
  readonly #after: Uint32Array
  readonly #descent: number[] = []

  /**
   * @param keyOf key of each entry
   * @param capacity nodes at most, without the empty state
   */
  constructor(keyOf: Uint32Array, keyCount: number, capacity: number) {
    this.#keyOf = keyOf
    this.map = new Uint32Array(keyCount)
    this.#set = new Uint32Array(keyCount)
    this.#setAt = new Uint32Array(keyCount)
    this.#stamp = new Uint32Array(keyCount)
    this.#before = new Uint32Array(keyCount)
    this.#after = new Uint32Array(keyCount)
    this.parent = new Int32Array(capacity + 1).fill(-1)
    this.depth = new Int32Array(capacity + 1)
    this.#lastChild = new Int32Array(capacity + 1).fill(-1)
    this.#olderSibling = new Int32Array(capacity + 1).fill(-1)
    this.#start = new Float64Array(capacity + 2)
  }

  /** Differences of a node from its parent. */
  weight(node: number): number {
    return this.#start[node + 1]! - this.#start[node]!
  }

  /** Youngest first, at most `most` of them. */
  eachChild(node: number, most: number, visit: (child: number) => void): void {
    let child = this.#lastChild[node]!
    for (let n = 0; child >= 0 && n < most; n++) {
      visit(child)
      child = this.#olderSibling[child]!
    }
  }

  #apply(before: number, after: number): void {
    const key = this.#keyOf[after === 0 ? before : after]!
    this.map[key] = after
    if (before === 0) {
      this.#set[this.size] = key
      this.#setAt[key] = this.size++
    } else if (after === 0) {
      const last = this.#set[--this.size]!
      const place = this.#setAt[key]!
      this.#set[place] = last
      this.#setAt[last] = place
    }
  }

  #applyDown(node: number): void {
    for (let i = this.#start[node]!; i < this.#start[node + 1]!; i++)
      this.#apply(this.#changes[2 * i]!, this.#changes[2 * i + 1]!)
  }

  #applyUp(node: number): void {
    for (let i = this.#start[node]!; i < this.#start[node + 1]!; i++)
      this.#apply(this.#changes[2 * i + 1]!, this.#changes[2 * i]!)
  }

  /** Takes the state of `node` in hand. Returns the number of differences walked over. */
  moveTo(node: number): number {
    let steps = 0
    this.#walk(
      this.at,
      node,
      (up) => {
        steps += this.weight(up)
        this.#applyUp(up)
      },
      (down) => {
        steps += this.weight(down)
        this.#applyDown(down)
      },
    )
    this.at = node
    return steps
  }

  /** Visits the path from one node to another: nodes left upwards, then nodes entered downwards, in order. */
  #walk(from: number, to: number, leave: (node: number) => void, enter: (node: number) => void): void {
    let up = from
    let down = to
    const descent = this.#descent
    descent.length = 0
    while (up !== down) {
      if (this.depth[up]! >= this.depth[down]!) {
        leave(up)
        up = this.parent[up]!
      } else {
        descent.push(down)
        down = this.parent[down]!
      }
    }
    for (let i = descent.length - 1; i >= 0; i--) enter(descent[i]!)
  }

  // --- comparing -------------------------------------------------------------------------------------------------------

  /** Starts a list of differences, from the state in hand: all of them must go through `set`. */
  startChanges(): void {
    this.#stampNow++
    this.#touched.length = 0
  }

  #touch(before: number, after: number): void {
    const key = this.#keyOf[after === 0 ? before : after]!
    if (this.#stamp[key] !== this.#stampNow) {
      this.#stamp[key] = this.#stampNow
      this.#touched.push(key)
      this.#before[key] = before
    }
    this.#after[key] = after
  }

  /** Says that the state being described has this entry (of a key named at most once). */
  set(entry: number): void {
    const before = this.map[this.#keyOf[entry]!]!
    if (before !== entry) this.#touch(before, entry)
  }

  /** Describes a whole state by its entries, each key at most once: keys that are not named are not set. */
  setAll(entries: Uint32Array, from: number, to: number): void {
    let kept = 0
    for (let i = from; i < to; i++) {
      const entry = entries[i]!
      const before = this.map[this.#keyOf[entry]!]!
      if (before !== 0) kept++
      if (before !== entry) this.#touch(before, entry)
    }
    if (kept === this.size) return
    const named = new Set<number>()
    for (let i = from; i < to; i++) named.add(this.#keyOf[entries[i]!]!)
    for (let i = 0; i < this.size; i++) {
      const key = this.#set[i]!
      if (!named.has(key)) this.#touch(this.map[key]!, 0)
    }
  }

  /** Lists the differences from node `from` to node `to`. */
  compare(from: number, to: number): void {
    this.startChanges()
    this.#walk(
      from,
      to,
      (up) => {
        for (let i = this.#start[up]!; i < this.#start[up + 1]!; i++)
          this.#touch(this.#changes[2 * i + 1]!, this.#changes[2 * i]!)
      },
      (down) => {
        for (let i = this.#start[down]!; i < this.#start[down + 1]!; i++)
          this.#touch(this.#changes[2 * i]!, this.#changes[2 * i + 1]!)
      },
    )
  }

  /** The listed differences that are some: (entry before, entry after), 0 for a key that is not set. */
  eachChange(visit: (before: number, after: number) => void): void {
    for (const key of this.#touched) {
      const before = this.#before[key]!
      const after = this.#after[key]!
      if (before !== after) visit(before, after)
    }
  }

  /** Adds one difference to the list. */
  change(before: number, after: number): void {
    this.#touch(before, after)
  }

  /** Takes the listed state in hand. It has no node yet: `hang` must follow before anything else moves the map. */
  take(): void {
    this.eachChange((before, after) => this.#apply(before, after))
  }

  /** Makes the state in hand, taken from the node `at`, a node of its own below `parent`. Returns its number. */
  hang(parent: number): number {
    if (parent !== this.at) {
      const changed = this.#touched.map((key) => [key, this.#before[key]!] as const)
      this.compare(parent, this.at)
      for (const [key, before] of changed) {
        if (this.#stamp[key] === this.#stampNow) continue
        this.#stamp[key] = this.#stampNow
        this.#touched.push(key)
        this.#before[key] = before
      }
      for (const key of this.#touched) this.#after[key] = this.map[key]!
    }
    const node = this.count++
    let end = this.#start[node]!
    const room = (end + this.#touched.length) * 2
    if (room > this.#changes.length) {
      const larger = new Uint32Array(Math.max(room, this.#changes.length + (this.#changes.length >> 1)))
      larger.set(this.#changes)
      this.#changes = larger
    }
    this.eachChange((before, after) => {
      this.#changes[2 * end] = before
      this.#changes[2 * end + 1] = after
      end++
    })
    this.#start[node + 1] = end
    this.parent[node] = parent
    this.depth[node] = this.depth[parent]! + 1
    this.#olderSibling[node] = this.#lastChild[parent]!
    this.#lastChild[parent] = node
    this.at = node
    return node
  }

  /**
   * How the distance to the state in hand changes when one goes from a node to its parent (`up`) or from the parent to the node.
   * Adds to `out[0]` the rows a delta needs more, to `out[1]` the keys more that a delta would have to remove.
   */
  step(node: number, up: boolean, out: Int32Array): void {
    const changes = this.#changes
    const [from, to] = up ? [1, 0] : [0, 1]
    for (let i = 2 * this.#start[node]!, end = 2 * this.#start[node + 1]!; i < end; i += 2) {
      const before = changes[i + from]!
      const after = changes[i + to]!
      const here = this.map[this.#keyOf[after === 0 ? before : after]!]!
      if (here !== 0) out[0]! += (after !== here ? 1 : 0) - (before !== here ? 1 : 0)
      else out[1]! += (after !== 0 ? 1 : 0) - (before !== 0 ? 1 : 0)
    }
  }
}
