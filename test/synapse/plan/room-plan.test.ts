// Properties of a room's plan, held against plain maps of text: what the promises P1, P4 and P5 say of planning.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { moveUnits } from '../../../src/synapse/move/move-unit.ts'
import { planRoom } from '../../../src/synapse/plan/room-plan.ts'
import type { PlanOptions, RoomPlan } from '../../../src/synapse/plan/room-plan.ts'
import { stateKey } from '../../support/synapse/full-state.ts'
import { imagineRoom } from '../../support/synapse/grow.ts'
import { damagedRooms, readDrawn, shuffle, soundRooms } from '../../support/synapse/random-history.ts'
import type { DrawnRoom } from '../../support/synapse/random-history.ts'
import {
  carriedOut,
  damagedGroups,
  deltaRows,
  depthsOf,
  leastRows,
  maxDepthOf,
  mayChange,
  rowsOf,
  statesOf,
  written,
} from '../../support/synapse/reference.ts'
import type { WrittenMove } from '../../support/synapse/reference.ts'

const depthLimits = fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 12 }) }, fc.constant(100))
const options = (shorten: fc.Arbitrary<boolean>): fc.Arbitrary<PlanOptions> =>
  fc.record({ maxDepth: depthLimits, shorten })
const levels = fc
  .array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 })
  .map((sizes): PlanOptions => ({ plan: { levels: sizes } }))
const anyOptions = fc.oneof({ weight: 4, arbitrary: options(fc.boolean()) }, { weight: 1, arbitrary: levels })
const anyRoom = fc.oneof(
  { weight: 2, arbitrary: soundRooms() },
  { weight: 1, arbitrary: soundRooms({ groups: 12 }) },
  { weight: 1, arbitrary: soundRooms({ pending: true, range: true }) },
  { weight: 1, arbitrary: damagedRooms() },
)
const soundRoom = soundRooms({ pending: true, range: true })

interface Planned {
  readonly plan: RoomPlan
  readonly moves: readonly WrittenMove[]
  readonly after: DrawnRoom
}

function planned(room: DrawnRoom, wanted: PlanOptions): Planned {
  const history = readDrawn(room)
  const plan = planRoom(history, wanted)
  const moves = written(room, history, plan.moves)
  return { plan, moves, after: carriedOut(room, moves) }
}

/** The deepest that a chain of groups that must not be changed is bound to be. */
function fixedDepth(room: DrawnRoom): number {
  const changeable = mayChange(room)
  const depth = new Map<number, number>()
  for (const { id, bases } of room.groups) {
    const base = bases.findLast((one) => one < id && depth.has(one))
    depth.set(id, changeable(id) || base === undefined ? 0 : depth.get(base)! + 1)
  }
  return Math.max(...depth.values())
}

/** PROPERTY_RUNS=20 tries twenty times as much. */
const times = Number(process.env['PROPERTY_RUNS'] ?? 1)
const runs = { numRuns: 250 * times }

describe('P1: the same answer', () => {
  test('every move is legal: its base older, sound and not about to vanish, its keys among the own ones', () => {
    fc.assert(
      fc.property(anyRoom, anyOptions, (room, wanted) => {
        const { moves } = planned(room, wanted)
        const states = statesOf(room)
        const changeable = mayChange(room)
        const damaged = damagedGroups(room)
        const baseOf = new Map(room.groups.map(({ id, bases }) => [id, bases[0]]))
        expect(moves.map(({ id }) => id)).toEqual(moves.map(({ id }) => id).sort((a, b) => a - b))
        for (const { id, base, rows } of moves) {
          expect(changeable(id), `group ${id} may be changed`).toBe(true)
          const state = states.get(id)!
          if (base === null) {
            expect(rows.length).toBe(state.size)
            continue
          }
          expect(base).toBeLessThan(id)
          expect(damaged).not.toContain(base)
          if (base !== baseOf.get(id)) expect(room.pending).not.toContain(base)
          expect(deltaRows(states.get(base)!, state)).toBe(rows.length)
        }
      }),
      runs,
    )
  })

  test('the plan keeps every state, that of damaged groups too', () => {
    fc.assert(
      fc.property(anyRoom, anyOptions, (room, wanted) => {
        const { plan, after } = planned(room, wanted)
        expect(statesOf(after)).toEqual(statesOf(room))
        expect(plan.summary.proof).toEqual({ checked: room.groups.length, mismatches: 0 })
      }),
      { numRuns: 400 * times },
    )
  })

  test('any of the moves, in any order, keep every state', () => {
    fc.assert(
      fc.property(anyRoom, anyOptions, fc.nat(), fc.nat({ max: 100 }), (room, wanted, seed, share) => {
        const { moves } = planned(room, wanted)
        const states = statesOf(room)
        const some = shuffle([...moves], seed).slice(0, Math.ceil((moves.length * share) / 100))
        let now = room
        for (const [n, move] of some.entries()) {
          now = carriedOut(now, [move])
          if (n % 5 === 4 || n === some.length - 1) expect(statesOf(now)).toEqual(states)
        }
      }),
      { numRuns: 150 * times },
    )
  })
})

describe('P4: never worse', () => {
  test('no more rows, no deeper than today or the limit, and the figures are the true ones', () => {
    fc.assert(
      fc.property(anyRoom, options(fc.constant(false)), (room, wanted) => {
        const { plan, moves, after } = planned(room, wanted)
        const { summary } = plan
        expect(summary.before).toMatchObject({ groups: room.groups.length, rows: rowsOf(room) })
        expect(summary.before.maxDepth).toBe(maxDepthOf(room))
        expect(summary.after.rows).toBe(rowsOf(after))
        expect(summary.after.maxDepth).toBe(maxDepthOf(after))
        expect(summary.changes).toBe(moves.length)
        expect(rowsOf(after)).toBeLessThanOrEqual(rowsOf(room))
        expect(maxDepthOf(after)).toBeLessThanOrEqual(Math.max(maxDepthOf(room), wanted.maxDepth!))
        if (moves.length > 0) expect(rowsOf(after)).toBeLessThan(rowsOf(room))
      }),
      { numRuns: 400 * times },
    )
  })

  test('shortening brings every chain that can be to the limit', () => {
    fc.assert(
      fc.property(anyRoom, depthLimits, (room, maxDepth) => {
        const { plan, after } = planned(room, { maxDepth, shorten: true })
        const changeable = mayChange(room)
        expect(maxDepthOf(after)).toBeLessThanOrEqual(Math.max(maxDepth, fixedDepth(room)))
        const depth = depthsOf(after)
        for (const { id } of room.groups) if (changeable(id)) expect(depth.get(id)).toBeLessThanOrEqual(maxDepth)
        expect(plan.summary.after.rows).toBe(rowsOf(after))
        if (maxDepthOf(room) <= maxDepth) expect(rowsOf(after)).toBeLessThanOrEqual(rowsOf(room))
      }),
      runs,
    )
  })

  test('the algorithm of levels never makes a room larger, whatever else is asked for', () => {
    fc.assert(
      fc.property(anyRoom, levels, fc.boolean(), (room, wanted, shorten) => {
        const { plan, moves, after } = planned(room, { ...wanted, shorten, maxDepth: 2 })
        expect(plan.summary.after.rows).toBe(rowsOf(after))
        expect(rowsOf(after)).toBeLessThanOrEqual(rowsOf(room))
        if (moves.length > 0) expect(rowsOf(after)).toBeLessThan(rowsOf(room))
        expect(plan.summary.bound.rows).toBeLessThanOrEqual(rowsOf(after))
      }),
      { numRuns: 150 * times },
    )
  })

  test('on the way: rows exactly and depth exactly the worst of any number of moves, in ascending order', () => {
    fc.assert(
      fc.property(anyRoom, anyOptions, (room, wanted) => {
        const { plan, moves } = planned(room, wanted)
        let now = room
        let rows = rowsOf(now)
        let depth = maxDepthOf(now)
        for (const move of moves) {
          now = carriedOut(now, [move])
          rows = Math.max(rows, rowsOf(now))
          depth = Math.max(depth, maxDepthOf(now))
        }
        expect(plan.summary.onTheWay).toEqual({ rows, maxDepth: depth })
      }),
      { numRuns: 150 * times },
    )
  })

  test('a second run finds nothing to do', () => {
    fc.assert(
      fc.property(anyRoom, options(fc.boolean()), (room, wanted) => {
        const { after } = planned(room, wanted)
        const second = planned(after, wanted)
        expect(second.plan.summary.after).toEqual(second.plan.summary.before)
        expect(second.moves).toEqual([])
      }),
      { numRuns: 400 * times },
    )
  })

  test('a group that gains nothing by a move keeps its base, and with it its rows', () => {
    fc.assert(
      fc.property(anyRoom, depthLimits, (room, maxDepth) => {
        const { moves } = planned(room, { maxDepth })
        const stored = new Map(room.groups.map((group) => [group.id, group]))
        for (const { id, base, rows } of moves) {
          const [was] = stored.get(id)!.bases
          if (base === (was ?? null)) expect(rows.length).toBeLessThan(stored.get(id)!.rows.length)
        }
      }),
      runs,
    )
  })

  test('fewer saved rows than asked for: no move, and the report says so', () => {
    fc.assert(
      fc.property(soundRoom, depthLimits, fc.integer({ min: 1, max: 60 }), (room, maxDepth, minSavedRows) => {
        const { plan, moves, after } = planned(room, { maxDepth })
        const saved = rowsOf(room) - rowsOf(after)
        const asked = planned(room, { maxDepth, minSavedRows })
        if (saved >= minSavedRows) expect(asked.moves).toEqual(moves)
        else {
          expect(asked.moves).toEqual([])
          const fewer = `a plan would save ${saved} rows, fewer than asked for`
          expect(asked.plan.summary.notes).toEqual([
            ...plan.summary.notes.filter((note) => !note.includes('the next event will build on')),
            ...(saved > 0 ? [fewer] : []),
          ])
        }
      }),
      runs,
    )
  })
})

describe('the bound', () => {
  test('is the least that any plan could reach', () => {
    fc.assert(
      fc.property(anyRoom, depthLimits, (room, maxDepth) => {
        const { plan, after } = planned(room, { maxDepth })
        const { bound } = plan.summary
        const least = leastRows(room)
        // Rooms this small are looked at whole.
        expect(bound).toEqual({ rows: least, exact: true })
        expect(rowsOf(after)).toBeGreaterThanOrEqual(least)
      }),
      { numRuns: 400 * times },
    )
  })

  test('is reached where depth is free', () => {
    fc.assert(
      fc.property(soundRooms(), (room) => {
        const { plan } = planned(room, { maxDepth: 1000 })
        expect(plan.summary.after.rows).toBe(leastRows(room))
      }),
      runs,
    )
  })
})

describe('P5: no surprise', () => {
  test('neither the order of rows nor the key of the hashes decides anything', () => {
    fc.assert(
      fc.property(
        fc.oneof(soundRoom, damagedRooms()),
        anyOptions,
        fc.nat(),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        (room, wanted, order, key) => {
          const history = readDrawn(room, { order, hashKey: new Uint32Array(key.slice().buffer) })
          const other = planRoom(history, wanted)
          const { plan, moves } = planned(room, wanted)
          expect(other.summary).toEqual(plan.summary)
          const sorted = (all: readonly WrittenMove[]): unknown =>
            all.map(({ id, base, rows }) => [id, base, rows.map((row) => row.join('\0')).sort()])
          expect(sorted(written(room, history, other.moves))).toEqual(sorted(moves))
        },
      ),
      runs,
    )
  })

  test('units hold every move once, in order, and no more than they are asked to', () => {
    fc.assert(
      fc.property(soundRoom, fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (room, weights) => {
        const { plan } = planned(room, { maxDepth: 5 })
        const { moves, history } = plan
        const changes = (m: number): number => {
          const group = moves.position[m]!
          const stored = history.deltas.start[group + 1]! - history.deltas.start[group]!
          return stored + moves.deltas.start[m + 1]! - moves.deltas.start[m]!
        }
        let next = 0
        let n = 0
        let most = 0
        for (const unit of moveUnits(plan, () => (most = weights[n++ % weights.length]!))) {
          expect(unit).toMatchObject({ lane: plan.summary.lane, from: next, items: unit.to - unit.from })
          expect(unit.to).toBeGreaterThan(unit.from)
          let rows = 0
          for (let m = unit.from; m < unit.to; m++) rows += changes(m)
          expect(unit.weight).toBeGreaterThanOrEqual(rows)
          if (unit.items > 1) expect(rows - changes(unit.to - 1)).toBeLessThan(most)
          next = unit.to
        }
        expect(next).toBe(moves.position.length)
      }),
    )
  })
})

describe('tips', () => {
  const linear = (groups: number, snapshotEvery: number): DrawnRoom => ({
    groups: Array.from({ length: groups }, (_, n) => ({
      id: n + 1,
      bases: n % snapshotEvery === 0 ? [] : [n],
      rows: Array.from({ length: 20 }, (_, key): [string, string] => [
        `k${key}\0`,
        `$${n - ((n - key + 20) % 20)}`,
      ]).filter((_, key) => n % snapshotEvery === 0 || n % 20 === key),
    })),
    pending: [],
    referenced: [],
    tips: [groups],
    strangers: [],
    range: null,
  })

  test('the newest group is left at half of the limit where that costs next to nothing, shallower than the rest elsewhere', () => {
    const chain = planned(linear(400, 10), { maxDepth: 40 })
    expect(maxDepthOf(chain.after)).toBeGreaterThan(36)
    expect(depthsOf(chain.after).get(400)).toBeLessThanOrEqual(35)
    // What is deeper than half of the limit all the same is said.
    expect(chain.plan.summary.notes.join()).toContain(`up to ${depthsOf(chain.after).get(400)} deep`)
    const bushy: DrawnRoom = {
      ...linear(1, 1),
      groups: imagineRoom({ seed: 5, groups: 500, shape: 'forked' }).groups.map(({ id, base, delta }) => ({
        id,
        bases: base === undefined ? [] : [base],
        rows: delta.map(([type, key, event]): [string, string] => [stateKey(type, key), event]),
      })),
      tips: [500],
    }
    const { after, plan } = planned(bushy, {})
    expect(plan.summary.notes).toEqual([])
    expect(rowsOf(after)).toBeLessThan(rowsOf(bushy))
    expect(depthsOf(after).get(500)).toBeLessThanOrEqual(50)
    expect(maxDepthOf(after)).toBeGreaterThan(60)
  })
})
