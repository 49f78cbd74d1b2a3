// The tree of states against plain maps: whatever was described is found again, and distances are what two maps differ in.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { emptyState, StateTree } from '../../../src/synapse/plan/state-tree.ts'

const keys = 6
const versions = 3
/** Entry e sets key keyOf[e]; three entries a key, entry 0 unused. */
const keyOf = Uint32Array.from({ length: 1 + keys * versions }, (_, entry) => (entry === 0 ? 0 : (entry - 1) % keys))

/** A state as the entry of each key, 0 where it is not set. */
const states = fc
  .array(fc.nat({ max: versions }), { minLength: keys, maxLength: keys })
  .map((chosen) => chosen.map((version, key) => (version === 0 ? 0 : 1 + key + keys * (version - 1))))

const steps = fc.array(
  fc.record({ state: states, from: fc.nat(), parent: fc.nat(), how: fc.constantFrom('whole', 'changes', 'sets') }),
  { minLength: 1, maxLength: 25 },
)

/** Builds the tree, in the many ways it is used. Returns the states of its nodes, the empty one first. */
function grown(tree: StateTree, drawn: typeof steps extends fc.Arbitrary<infer T> ? T : never): number[][] {
  const known = [Array.from({ length: keys }, () => 0)]
  for (const { state, from, parent, how } of drawn) {
    tree.moveTo(from % known.length)
    const here = known[tree.at]!
    let wanted = state
    tree.startChanges()
    if (how === 'whole') {
      const entries = Uint32Array.from([9, ...state.filter((entry) => entry !== 0), 9])
      tree.setAll(entries, 1, entries.length - 1)
    } else if (how === 'changes') {
      for (let key = 0; key < keys; key++) if (here[key] !== state[key]) tree.change(here[key]!, state[key]!)
    } else {
      // A delta of a store: sets keys, some of them to what they are already, and removes none.
      for (const entry of state) if (entry !== 0) tree.set(entry)
      wanted = state.map((entry, key) => (entry === 0 ? here[key]! : entry))
    }
    tree.take()
    expect([...tree.map]).toEqual(wanted)
    expect(tree.hang(parent % known.length)).toBe(known.length)
    known.push(wanted)
  }
  return known
}

const differing = (from: readonly number[], to: readonly number[]): number[] =>
  from.flatMap((entry, key) => (entry === to[key] ? [] : [key]))

test('every node is found again from every other, with its size', () => {
  fc.assert(
    fc.property(steps, fc.array(fc.nat()), (drawn, visits) => {
      const tree = new StateTree(keyOf, keys, drawn.length)
      const known = grown(tree, drawn)
      expect(tree.count).toBe(known.length)
      for (const visit of [...visits, 0]) {
        const node = visit % known.length
        tree.moveTo(node)
        expect([...tree.map]).toEqual(known[node])
        expect(tree.size).toBe(known[node]!.filter((entry) => entry !== 0).length)
        expect(tree.at).toBe(node)
      }
    }),
    { numRuns: 300 },
  )
})

test('a node weighs what it differs from its parent in', () => {
  fc.assert(
    fc.property(steps, (drawn) => {
      const tree = new StateTree(keyOf, keys, drawn.length)
      const known = grown(tree, drawn)
      for (let node = 1; node < known.length; node++) {
        const parent = tree.parent[node]!
        expect(tree.weight(node)).toBe(differing(known[parent]!, known[node]!).length)
        expect(tree.depth[node]).toBe(tree.depth[parent]! + 1)
      }
    }),
  )
})

test('two nodes are compared key by key, wherever the map in hand is', () => {
  fc.assert(
    fc.property(steps, fc.nat(), fc.nat(), fc.nat(), (drawn, a, b, at) => {
      const tree = new StateTree(keyOf, keys, drawn.length)
      const known = grown(tree, drawn)
      tree.moveTo(at % known.length)
      const [from, to] = [known[a % known.length]!, known[b % known.length]!]
      tree.compare(a % known.length, b % known.length)
      const changes: number[][] = []
      tree.eachChange((before, after) => changes.push([before, after]))
      const expected = differing(from, to).map((key) => [from[key]!, to[key]!])
      const byKey = (one: number[], other: number[]): number =>
        keyOf[one[0]! || one[1]!]! - keyOf[other[0]! || other[1]!]!
      expect(changes.sort(byKey)).toEqual(expected)
      expect([...tree.map]).toEqual(known[at % known.length])
    }),
    { numRuns: 300 },
  )
})

test('steps along the edges add up to the rows of a delta and the keys in its way', () => {
  fc.assert(
    fc.property(steps, fc.nat(), (drawn, at) => {
      const tree = new StateTree(keyOf, keys, drawn.length)
      const known = grown(tree, drawn)
      tree.moveTo(at % known.length)
      const here = known[at % known.length]!
      const distance = (node: number): number[] => [
        differing(known[node]!, here).filter((key) => here[key] !== 0).length,
        differing(known[node]!, here).filter((key) => here[key] === 0).length,
      ]
      for (let node = 1; node < known.length; node++) {
        const parent = tree.parent[node]!
        const up = new Int32Array(distance(node))
        tree.step(node, true, up)
        expect([...up]).toEqual(distance(parent))
        const down = new Int32Array(distance(parent))
        tree.step(node, false, down)
        expect([...down]).toEqual(distance(node))
      }
    }),
    { numRuns: 300 },
  )
})

test('children are listed youngest first, as many as are asked for', () => {
  const tree = new StateTree(keyOf, keys, 5)
  for (const parent of [0, 1, 1, 2, 1]) {
    tree.moveTo(parent)
    tree.startChanges()
    tree.take()
    tree.hang(parent)
  }
  const childrenOf = (node: number, most: number): number[] => {
    const children: number[] = []
    tree.eachChild(node, most, (child) => children.push(child))
    return children
  }
  expect([childrenOf(emptyState, 9), childrenOf(1, 9), childrenOf(1, 2), childrenOf(4, 9)]).toEqual([
    [1],
    [5, 3, 2],
    [5, 3],
    [],
  ])
})
