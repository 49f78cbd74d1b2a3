// The proof of a plan: it accepts what plain maps call the same, and nothing else. A plan that is wrong in one row or base is caught.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addEntry, fingerprints, mismatches, noMoves, sameFingerprint } from '../../../src/synapse/plan/fingerprints.ts'
import type { Moves } from '../../../src/synapse/plan/fingerprints.ts'
import { planRoom } from '../../../src/synapse/plan/room-plan.ts'
import { damagedRooms, readDrawn, soundRooms } from '../../support/synapse/random-history.ts'
import type { DrawnRoom } from '../../support/synapse/random-history.ts'
import { carriedOut, statesOf, written } from '../../support/synapse/reference.ts'

/** How many groups have another state, by plain maps. */
function changed(room: DrawnRoom, after: DrawnRoom): number {
  const text = (one: DrawnRoom): string[] =>
    [...statesOf(one).values()].map((state) => JSON.stringify([...state!].sort()))
  const now = text(after)
  return text(room).filter((state, i) => state !== now[i]).length
}

test('a fingerprint is the sum of the hashes of its state, and equal where, and only where, states are', () => {
  fc.assert(
    fc.property(soundRooms(), (room) => {
      const history = readDrawn(room)
      const prints = fingerprints(history)
      const states = [...statesOf(room).values()].map((state) => JSON.stringify([...state!].sort()))
      const word = (group: number): string => prints.slice(4 * group, 4 * group + 4).join()
      const known = new Map<string, string>()
      for (const [group, state] of states.entries()) {
        expect(known.get(state) ?? word(group)).toBe(word(group))
        known.set(state, word(group))
      }
      expect(new Set(known.values()).size).toBe(known.size)
    }),
    { numRuns: 200 },
  )
})

test('sums carry over all 128 bits, and wrap around', () => {
  fc.assert(
    fc.property(
      fc.array(fc.bigInt({ min: (1n << 128n) - (1n << 40n), max: (1n << 128n) - 1n }), { minLength: 1, maxLength: 9 }),
      (hashes) => {
        const hash = new Uint32Array(4 * (hashes.length + 1))
        for (const [n, one] of hashes.entries())
          for (let word = 0; word < 4; word++)
            hash[4 * (n + 1) + word] = Number((one >> BigInt(32 * word)) & 0xffffffffn)
        const key = Uint32Array.from(hash.keys())
          .map((n) => Math.max(0, n - 1))
          .slice(0, hashes.length + 1)
        const entries = {
          count: hashes.length + 1,
          keyCount: hashes.length,
          key,
          hash,
          holder: new Uint32Array(hashes.length + 1),
          find: () => 0,
        }
        const sum = new Uint32Array(4)
        for (let entry = 1; entry <= hashes.length; entry++) addEntry(sum, entries, entry)
        const value = [...sum].reduce((whole, word, n) => whole + (BigInt(word) << BigInt(32 * n)), 0n)
        expect(value).toBe(hashes.reduce((a, b) => a + b) % (1n << 128n))
        // One snapshot of all, and a chain that sets them one by one, give that sum too.
        const chain = hashes.length
        const rows = Uint32Array.from([...hashes.keys(), ...hashes.keys()]).map((n) => n + 1)
        const base = Int32Array.from({ length: 1 + chain }, (_, n) => (n <= 1 ? -1 : n - 1))
        const start = Uint32Array.from([0, chain, ...hashes.keys().map((n) => chain + n + 1)])
        const prints = fingerprints({ base, deltas: { start, rows }, entries })
        expect(sameFingerprint(sum, prints, 0)).toBe(true)
        expect(sameFingerprint(sum, prints, chain)).toBe(true)
        if (chain > 1) expect(sameFingerprint(sum, prints, chain - 1)).toBe(hashes.at(-1) === 0n)
      },
    ),
  )
})

type Mutation = 'swap a row' | 'drop a row' | 'add a row' | 'change a base' | 'drop a base'

/** Breaks one move, so far as it can be broken like this. */
function mutated(moves: Moves, how: Mutation, which: number, what: number, entryCount: number): Moves {
  const at = which % moves.position.length
  const rows = Array.from(moves.position, (_, m) => [
    ...moves.deltas.rows.subarray(moves.deltas.start[m], moves.deltas.start[m + 1]),
  ])
  const base = moves.base.slice()
  const here = rows[at]!
  if (how === 'swap a row' && here.length > 0) here[what % here.length] = 1 + (what % (entryCount - 1))
  if (how === 'drop a row') here.splice(what % Math.max(1, here.length), 1)
  if (how === 'add a row') here.push(1 + (what % (entryCount - 1)))
  if (how === 'change a base') base[at] = what % Math.max(1, moves.position[at]!)
  if (how === 'drop a base' || base[at]! >= moves.position[at]!) base[at] = -1
  const start = new Uint32Array(rows.length + 1)
  for (const [m, one] of rows.entries()) start[m + 1] = start[m]! + one.length
  return { position: moves.position, base, deltas: { start, rows: Uint32Array.from(rows.flat()) } }
}

test('a plan that is wrong in one row or one base: exactly the groups whose state it would change are counted', () => {
  let caught = 0
  fc.assert(
    fc.property(
      soundRooms(),
      fc.constantFrom<Mutation>('swap a row', 'drop a row', 'add a row', 'change a base', 'drop a base'),
      fc.nat(),
      fc.nat(),
      (room, how, which, what) => {
        const history = readDrawn(room)
        const plan = planRoom(history, { maxDepth: 6 })
        fc.pre(plan.moves.position.length > 0 && history.entries.count > 1)
        const wrong = mutated(plan.moves, how, which, what, history.entries.count)
        const moves = written(room, history, wrong)
        const expected = changed(room, carriedOut(room, moves))
        const found = mismatches(plan.states, fingerprints(history, wrong))
        // Two rows for one key are never a state: what stands on such a group is refused as well.
        if (moves.some(({ rows }) => new Set(rows.map(([key]) => key)).size < rows.length))
          expect(found).toBeGreaterThanOrEqual(expected)
        else expect(found).toBe(expected)
        expect(mismatches(plan.states, fingerprints(history, plan.moves))).toBe(0)
        if (expected > 0) caught++
      },
    ),
    { numRuns: 400 },
  )
  expect(caught).toBeGreaterThan(200)
})

test('a row or a base that differs in the store is seen, by the same key of the hashes', () => {
  fc.assert(
    fc.property(soundRooms(), fc.nat(), fc.nat(), (room, which, what) => {
      const at = which % room.groups.length
      const groups = room.groups.map((group, n) => {
        if (n !== at || group.rows.length === 0) return group
        const rows = group.rows.filter((_, r) => r !== what % group.rows.length)
        return { ...group, rows: what % 2 === 0 ? rows : [...rows, [group.rows[0]![0], '$other'] as const] }
      })
      // Twice the same key in one group is another matter: damage.
      fc.pre(groups.every(({ rows }) => new Set(rows.map(([key]) => key)).size === rows.length))
      const other = { ...room, groups }
      const differing = mismatches(fingerprints(readDrawn(room)), fingerprints(readDrawn(other, { order: what })))
      expect(differing).toBe(changed(room, other))
    }),
    { numRuns: 300 },
  )
})

test('a damaged group has one fingerprint, in whatever order its rows come', () => {
  fc.assert(
    fc.property(damagedRooms(), fc.nat(), (room, order) => {
      expect(mismatches(fingerprints(readDrawn(room)), fingerprints(readDrawn(room, { order })))).toBe(0)
    }),
    { numRuns: 200 },
  )
})

test('no moves, no groups, no rows', () => {
  const nothing = { base: new Int32Array(0), deltas: noMoves.deltas }
  const entries = {
    count: 1,
    keyCount: 0,
    key: new Uint32Array(1),
    hash: new Uint32Array(4),
    holder: new Uint32Array(1),
    find: () => 0,
  }
  expect(fingerprints({ ...nothing, entries })).toHaveLength(0)
  const empty = { base: new Int32Array([-1, 0]), deltas: { start: new Uint32Array(3), rows: new Uint32Array(0) } }
  expect([...fingerprints({ ...empty, entries })]).toEqual(Array.from({ length: 8 }, () => 0))
})
