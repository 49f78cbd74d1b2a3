// Depths and cycles of any set of edges agree with a naive walk, and long chains do not exhaust the stack.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EdgeForest, endless } from '../../src/synapse/edge-forest.ts'

function forestOf(edges: readonly (readonly [number, number])[]): ReturnType<EdgeForest['chains']> {
  const forest = new EdgeForest()
  for (const [group, base] of edges.toSorted((a, b) => a[0] - b[0] || a[1] - b[1])) forest.append(group, base)
  return forest.chains()
}

/** Every group that can be reached from one, by walking all ways. */
function reachable(from: number, edges: readonly (readonly [number, number])[]): Set<number> {
  const met = new Set<number>()
  const open = [from]
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const [group, base] of edges) {
      if (group !== at || met.has(base)) continue
      met.add(base)
      open.push(base)
    }
  }
  return met
}

function longest(from: number, edges: readonly (readonly [number, number])[]): number {
  const bases = edges.filter(([group]) => group === from).map(([, base]) => base)
  return bases.length === 0 ? 0 : 1 + Math.max(...bases.map((base) => longest(base, edges)))
}

test('random edges, forwards and backwards, several a group', () => {
  const id = fc.integer({ min: 1, max: 9 })
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(id, id), { maxLength: 14, selector: String }), (edges) => {
      const { groups, depth, cycles } = forestOf(edges)
      expect([...groups]).toEqual([...new Set(edges.map(([group]) => group))].sort((a, b) => a - b))
      const onCycle = [...groups].filter((group) => reachable(group, edges).has(group))
      expect(cycles.flat().sort((a, b) => a - b)).toEqual(onCycle)
      for (const cycle of cycles) {
        const around = [...groups].filter(
          (other) => reachable(cycle[0]!, edges).has(other) && reachable(other, edges).has(cycle[0]!),
        )
        expect(cycle).toEqual(around)
      }
      for (const [i, group] of [...groups].entries()) {
        const stuck = [group, ...reachable(group, edges)].some((step) => onCycle.includes(step))
        expect(depth[i]).toBe(stuck ? endless : longest(group, edges))
      }
    }),
    { numRuns: 2000 },
  )
})

test('a chain of 200,000 groups, in either direction', () => {
  const length = 200_000
  const older = forestOf(Array.from({ length }, (_, i) => [i + 2, i + 1] as const))
  expect(older.depth.at(-1)).toBe(length)
  const newer = forestOf(Array.from({ length }, (_, i) => [i + 1, i + 2] as const))
  expect(newer.depth[0]).toBe(length)
  expect(newer.cycles).toEqual([])
})
