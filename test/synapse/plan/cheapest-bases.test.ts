// The cheapest base of every group: exactly the least where the search says so, never less, and legal whatever the budget.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cheapestForest } from '../../../src/synapse/plan/best-plan.ts'
import { cheapestBases } from '../../../src/synapse/plan/cheapest-bases.ts'
import type { CheapestBases } from '../../../src/synapse/plan/cheapest-bases.ts'
import { fingerprints } from '../../../src/synapse/plan/fingerprints.ts'
import { twins } from '../../../src/synapse/plan/twins.ts'
import { damagedRooms, readDrawn, soundRooms } from '../../support/synapse/random-history.ts'
import type { DrawnRoom } from '../../support/synapse/random-history.ts'
import { deltaRows, mayChange, statesOf } from '../../support/synapse/reference.ts'

/** The search over a room whose groups are all free, with a budget of its own. */
function searched(room: DrawnRoom, budget: number): CheapestBases {
  const { base, deltas, entries, ids } = readDrawn(room)
  return cheapestBases(
    {
      count: ids.length,
      seed: (group) => base[group]!,
      describe(group, tree) {
        const [from, to] = [deltas.start[group]!, deltas.start[group + 1]!]
        if (base[group]! < 0) tree.setAll(deltas.rows, from, to)
        else for (let r = from; r < to; r++) tree.set(deltas.rows[r]!)
      },
      hints: (group) => (group > 0 ? [group - 1] : []),
      twin: () => -1,
      mayBeBase: (one) => one % 7 !== 3,
      fixedBase: () => null,
      preferred: (group) => group % 2 === 0,
    },
    entries.key,
    entries.keyCount,
    budget,
  )
}

const rooms = soundRooms({ groups: 30 })

describe('of groups that are free', () => {
  test('the cheapest of all that there are, and of those the shallowest, where the budget allows a look at all', () => {
    fc.assert(
      fc.property(rooms, (room) => {
        const found = searched(room, 1 << 20)
        const states = [...statesOf(room).values()].map((state) => state!)
        expect(found.exact).toBe(true)
        for (const [i, state] of states.entries()) {
          const legal = states.slice(0, i).map((base, b) => (b % 7 === 3 ? null : deltaRows(base, state)))
          const least = Math.min(state.size, ...legal.map((rows) => rows ?? Infinity))
          expect(found.cost[i]).toBe(least)
          expect(found.size[i]).toBe(state.size)
          const base = found.base[i]!
          if (base < 0) expect(found.cost[i]).toBe(state.size)
          else expect(legal[base]).toBe(least)
          expect(found.depth[i]).toBe(base < 0 ? 0 : found.depth[base]! + 1)
          // Of bases that cost one row or none the search looks at the near ones alone.
          if (base >= 0 && least > 1) {
            const shallowest = Math.min(...legal.flatMap((rows, b) => (rows === least ? [found.depth[b]!] : [])))
            expect(found.depth[base]).toBe(shallowest)
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  test('with any budget the bases are legal, the costs true, and "exact" is no empty word', () => {
    fc.assert(
      fc.property(soundRooms({ groups: 80 }), fc.constantFrom(0, 100), (room, budget) => {
        const found = searched(room, budget)
        const best = searched(room, 1 << 24)
        const states = [...statesOf(room).values()].map((state) => state!)
        for (const [i, state] of states.entries()) {
          const base = found.base[i]!
          expect(found.cost[i]).toBe(base < 0 ? state.size : deltaRows(states[base]!, state))
          expect(base % 7).not.toBe(3)
          expect(found.cost[i]).toBeGreaterThanOrEqual(best.cost[i]!)
          if (found.exact) expect(found.cost[i]).toBe(best.cost[i])
        }
      }),
    )
  })

  test('the tree holds the state of every member', () => {
    fc.assert(
      fc.property(rooms, (room) => {
        const { tree } = searched(room, 1000)
        const states = [...statesOf(room).values()]
        for (const [i, state] of states.entries()) {
          tree.moveTo(i + 1)
          expect(tree.size).toBe(state!.size)
          for (const [j, other] of states.entries()) {
            if (j > i) break
            let [rows, removed] = [0, 0]
            tree.compare(j + 1, i + 1)
            tree.eachChange((_, after) => (after === 0 ? removed++ : rows++))
            expect(removed === 0 ? rows : null).toBe(deltaRows(other!, state!))
          }
        }
      }),
      { numRuns: 50 },
    )
  })
})

test('groups that must not be changed keep their base and what it costs; damaged and pending ones are nobody’s new base', () => {
  fc.assert(
    fc.property(fc.oneof(damagedRooms(), soundRooms({ pending: true, range: true })), (room) => {
      const history = readDrawn(room)
      const { base, cost, exact } = cheapestForest(history, fingerprints(history))
      const changeable = mayChange(room)
      expect(exact).toBe(true)
      for (const [i, { id, rows }] of room.groups.entries()) {
        if (!changeable(id)) {
          expect(base[i]).toBe(history.base[i])
          expect(cost[i]).toBe(rows.length)
        } else if (base[i]! >= 0 && base[i] !== history.base[i]) expect([0, 3]).toContain(history.bar[base[i]!])
      }
    }),
    { numRuns: 300 },
  )
})

test('twins are the lowest groups with the same state', () => {
  fc.assert(
    fc.property(soundRooms(), fc.integer({ min: 2, max: 5 }), (room, n) => {
      const eligible = (group: number): boolean => group % n !== 1
      const states = [...statesOf(room).values()].map((state) => [...state!].sort().join())
      const expected = states.map((state, i) => states.findIndex((other, j) => j < i && eligible(j) && other === state))
      expect([...twins(fingerprints(readDrawn(room)), eligible)]).toEqual(expected)
    }),
  )
})
