// The plan `levels` against the old compressor's algorithm in plain words, on random histories.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Bar } from '../../../src/synapse/history.ts'
import type { RoomHistory } from '../../../src/synapse/history.ts'
import { levelBases } from '../../../src/synapse/plan/level-plan.ts'
import { planRoom } from '../../../src/synapse/plan/room-plan.ts'
import { stateKey } from '../../support/synapse/full-state.ts'
import { emptyLevels, naiveChunks, naiveLevels } from '../../support/synapse/naive-levels.ts'
import { damagedRooms, readDrawn, soundRooms } from '../../support/synapse/random-history.ts'
import type { DrawnRoom } from '../../support/synapse/random-history.ts'
import { carriedOut, rowsOf, statesOf, written } from '../../support/synapse/reference.ts'

const sizes = fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 3 })
const rooms = soundRooms({ groups: 60, pending: true, range: true })

/** A chain of groups, each with one new event; `lacking` are snapshots without the key that all others have. */
function chain(length: number, lacking: readonly number[] = []): DrawnRoom {
  const groups = Array.from({ length }, (_, id) => ({
    id,
    bases: id === 0 || lacking.includes(id) ? [] : [id - 1],
    rows: [
      [stateKey('m.room.topic', ''), `$${id}`] as const,
      ...(id === 0 ? [[stateKey('old', ''), '$old'] as const] : []),
    ],
  }))
  return { groups, pending: [], referenced: [], tips: [], strangers: [], range: null }
}

/** Base and number of rows of each group, by id. */
function described(room: DrawnRoom) {
  return room.groups.map(({ id, bases, rows }) => [id, bases[0] ?? null, rows.length])
}

function planned(history: RoomHistory, { bases, rows }: { readonly bases: Int32Array; readonly rows: Uint32Array }) {
  return Array.from(history.ids, (id, group) => [
    id,
    bases[group]! < 0 ? null : history.ids[bases[group]!]!,
    rows[group]!,
  ])
}

const sorted = (room: DrawnRoom) => room.groups.map(({ id, bases, rows }) => [id, bases, rows.map(String).sort()])

describe('the level algorithm', () => {
  test('two levels of three put fourteen groups on the bases the old tool gives them', () => {
    const { bases } = levelBases(readDrawn(chain(14)), [3, 3])
    expect([...bases]).toEqual([-1, 0, 1, -1, 3, 4, 3, 6, 7, 6, 9, 10, -1, 12])
  })

  test('where a base has a key too many, its own bases are tried, and a snapshot is the last resort', () => {
    const room = chain(6, [3])
    const history = readDrawn(room)
    const { bases, rows, resets } = levelBases(history, [10])
    // Group 3 lacks the key "old": none of 2, 1, 0 will do. Group 4 goes on top of it.
    expect([...bases]).toEqual([-1, 0, 1, -1, 3, 4])
    expect([...rows]).toEqual([2, 1, 1, 1, 1, 1])
    expect(resets).toEqual({ groups: 1, rows: 1 })
  })

  test('equals the naive algorithm: bases, rows, figures, levels', () => {
    fc.assert(
      fc.property(rooms, sizes, (room, levels) => {
        const history = readDrawn(room)
        const plan = levelBases(history, levels)
        const naive = naiveLevels(room, emptyLevels(levels))
        expect(planned(history, plan)).toEqual(described(naive.room))
        expect({ changed: plan.changed, resets: plan.resets }).toEqual({ changed: naive.changed, resets: naive.resets })
        expect(
          plan.levels.map(({ maxLength, length, head }) => [maxLength, length, head < 0 ? null : history.ids[head]]),
        ).toEqual(naive.levels.map(({ maxLength, length, head }) => [maxLength, length, head]))
      }),
      { numRuns: 500 },
    )
  })

  test('in chunks equals the naive algorithm, and no chunk ends with more rows', () => {
    fc.assert(
      fc.property(rooms, sizes, fc.integer({ min: 1, max: 20 }), (room, levels, chunkSize) => {
        const history = readDrawn(room)
        const plan = levelBases(history, levels, { chunkSize })
        const naive = naiveChunks(room, levels, chunkSize)
        expect(planned(history, plan)).toEqual(described(naive.room))
        expect(plan.chunks.map(({ last, kept }) => [history.ids[last], kept])).toEqual(
          naive.chunks.map(({ ids, kept }) => [ids.at(-1), kept]),
        )
        for (const { kept, rowsBefore, rowsAfter } of plan.chunks) expect(kept).toBe(rowsAfter <= rowsBefore)
        expect(plan.rows.reduce((sum, rows) => sum + rows, 0)).toBeLessThanOrEqual(rowsOf(room))
      }),
      { numRuns: 500 },
    )
  })

  test('a range that goes on with the levels of the one before gives what one run gives', () => {
    fc.assert(
      fc.property(soundRooms({ groups: 60 }), sizes, fc.nat(), (room, levels, where) => {
        const whole = levelBases(readDrawn(room), levels)
        const middle = room.groups[where % room.groups.length]!.id
        const first = { ...room, range: { from: 0, to: middle } }
        const half = levelBases(readDrawn(first), levels)
        const between = naiveLevels(first, emptyLevels(levels)).room
        const history = readDrawn({ ...between, range: { from: middle + 1, to: Infinity } })
        const rest = levelBases(history, half.levels)
        expect(planned(history, rest)).toEqual(planned(history, whole))
      }),
      { numRuns: 300 },
    )
  })

  test('P1 P4: what a plan writes is the naive room, every state stays, and a larger room is declined', () => {
    let saving = 0
    fc.assert(
      fc.property(rooms, sizes, (room, levels) => {
        const history = readDrawn(room)
        const { moves, summary } = planRoom(history, { plan: { levels } })
        const naive = naiveLevels(room, emptyLevels(levels)).room
        expect(summary.proof.mismatches).toBe(0)
        expect(summary.bound.rows).toBeLessThanOrEqual(summary.after.rows)
        const after = carriedOut(room, written(room, history, moves))
        if (rowsOf(naive) < rowsOf(room)) {
          saving++
          expect(sorted(after)).toEqual(sorted(naive))
        } else expect(moves.position).toHaveLength(0)
        expect(statesOf(after)).toEqual(statesOf(room))
      }),
      { numRuns: 500 },
    )
    expect(saving).toBeGreaterThan(50)
  })

  test('damaged, pending and other groups that may not be changed keep their place, and nothing is put on a damaged or pending one', () => {
    fc.assert(
      fc.property(damagedRooms(), sizes, (room, levels) => {
        const history = readDrawn(room)
        const { bases } = levelBases(history, levels)
        for (const [group, bar] of history.bar.entries()) {
          const base = bases[group]!
          if (bar !== Bar.none) expect(base).toBe(history.base[group])
          else if (base !== history.base[group] && base >= 0)
            expect([Bar.none, Bar.outOfRange]).toContain(history.bar[base])
        }
        expect(planRoom(history, { plan: { levels } }).summary.proof.mismatches).toBe(0)
      }),
      { numRuns: 500 },
    )
  })

  test('a second plan of the same levels finds nothing', () => {
    fc.assert(
      fc.property(soundRooms({ groups: 60 }), sizes, (room, levels) => {
        const history = readDrawn(room)
        const after = carriedOut(room, written(room, history, planRoom(history, { plan: { levels } }).moves))
        expect(planRoom(readDrawn(after), { plan: { levels } }).moves.position).toHaveLength(0)
      }),
      { numRuns: 300 },
    )
  })

  test('is near linear: a chain of 50,000 groups, with snapshots, takes well under a second', () => {
    const length = 50_000
    const room = chain(length)
    const groups = room.groups.map((group) =>
      group.id % 100 === 0 && group.id > 0
        ? { ...group, bases: [], rows: [...group.rows, [stateKey('old', ''), '$old'] as const] }
        : group,
    )
    const history = readDrawn({ ...room, groups })
    const started = performance.now()
    const { rows } = levelBases(history, [100, 50, 25])
    expect(performance.now() - started).toBeLessThan(1000)
    // One key more in every snapshot that is left: one each 5,000 groups but the first, and the starts of the levels.
    expect(rows.reduce((sum, here) => sum + here, 0)).toBeLessThan(length + 20)
  })
})
