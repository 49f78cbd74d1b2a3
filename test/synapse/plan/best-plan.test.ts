// Plans of larger rooms: near the bound of what any plan could reach, at any size and shape, within the limit of depth.
import { describe, expect, test } from 'vitest'
import { planRoom } from '../../../src/synapse/plan/room-plan.ts'
import type { RoomShape } from '../../support/synapse/grow.ts'
import { imaginedHistory, imaginedRoom } from '../../support/synapse/imagined-history.ts'
import { readDrawn } from '../../support/synapse/random-history.ts'
import type { DrawnRoom, Row } from '../../support/synapse/random-history.ts'
import { carriedOut, leastRows, maxDepthOf, rowsOf, statesOf, written } from '../../support/synapse/reference.ts'

const shapes: readonly RoomShape[] = [
  { seed: 1, shape: 'linear' },
  { seed: 2, shape: 'linear', removals: 0.05, snapshotEvery: 30 },
  { seed: 3, shape: 'forked', identical: 0.1, removals: 0.05 },
  { seed: 4, shape: 'forked', snapshotEvery: 10, keys: 100 },
  { seed: 5, shape: 'backfill', gaps: 0.2 },
  { seed: 6, shape: 'initial' },
]

describe.each(shapes)('a room of 400 groups, $shape, seed $seed', (shape) => {
  const room = imaginedRoom({ groups: 400, ...shape })
  const history = readDrawn(room)

  test('its bound is that of plain counting', () => {
    expect(planRoom(history).summary.bound).toEqual({ rows: leastRows(room), exact: true })
  })

  test.each([100, 30, 10])('at a depth of %i: every state kept, no more rows, and the figures are true', (maxDepth) => {
    const plan = planRoom(history, { maxDepth })
    const after = carriedOut(room, written(room, history, plan.moves))
    expect(statesOf(after)).toEqual(statesOf(room))
    expect(plan.summary.after).toMatchObject({ rows: rowsOf(after), maxDepth: maxDepthOf(after) })
    expect(rowsOf(after)).toBeLessThanOrEqual(rowsOf(room))
    expect(maxDepthOf(after)).toBeLessThanOrEqual(Math.max(maxDepth, maxDepthOf(room)))
    expect(planRoom(readDrawn(after), { maxDepth }).summary.changes).toBe(0)
  })
})

test('createRoom with much state: a chain of thousands is kept, or shortened where that is asked for', () => {
  const history = imaginedHistory({ seed: 7, shape: 'initial', groups: 1500 })
  const kept = planRoom(history).summary
  expect([kept.before.maxDepth, kept.changes]).toEqual([1499, 0])
  expect(kept.notes.join()).toMatch(/up to 1499 deep; bringing them to 100 would cost \d+ more rows/)
  const price = Number(/cost (\d+) more/.exec(kept.notes.join())![1])
  const { after, proof } = planRoom(history, { shorten: true }).summary
  expect(after.maxDepth).toBeLessThanOrEqual(100)
  expect(after.rows).toBe(kept.before.rows + price)
  expect(proof.mismatches).toBe(0)
})

test.each<[NonNullable<RoomShape['shape']>, number]>([
  ['forked', 1.1],
  ['linear', 1.4],
  ['backfill', 1.1],
])('20,000 groups, %s: near the bound, within the limit, every state proven', (shape, share) => {
  const history = imaginedHistory({ seed: 8, shape, groups: 20_000, removals: 0.02, identical: 0.05 })
  const { summary } = planRoom(history)
  expect(summary.proof).toEqual({ checked: 20_000, mismatches: 0 })
  expect(summary.after.maxDepth).toBeLessThanOrEqual(100)
  expect(summary.after.rows).toBeLessThan(summary.before.rows)
  expect(summary.after.rows).toBeLessThan(share * summary.bound.rows)
  expect(summary.bound.rows).toBeGreaterThanOrEqual(history.entries.count - 1)
  expect(summary.bound.rows).toBeLessThanOrEqual(summary.after.rows)
})

test('branches that run side by side for ever and have little in common: each is packed down as if it were alone', () => {
  const [branches, keys, groups] = [4, 200, 8000]
  const states = Array.from({ length: branches }, (_, branch) =>
    Array.from({ length: keys }, (_, key): Row => [`k${key}\0`, `$${branch}.${key}`]),
  )
  const room: DrawnRoom = {
    groups: Array.from({ length: groups }, (_, n) => {
      const state = states[n % branches]!
      const set: Row = [`k${n % keys}\0`, `$new${n}`]
      state[n % keys] = set
      const snapshot = Math.floor(n / branches) % 100 === 0
      return { id: n + 1, bases: snapshot ? [] : [n + 1 - branches], rows: snapshot ? [...state] : [set] }
    }),
    pending: [],
    referenced: [],
    tips: [groups],
    strangers: [],
    range: null,
  }
  const { summary } = planRoom(readDrawn(room))
  // A group sets one key; the first of each branch has them all.
  expect(summary.bound.rows).toBe(groups - branches + branches * keys)
  expect(summary.after.rows).toBeLessThan(2 * summary.bound.rows)
  expect(summary.after.maxDepth).toBeLessThanOrEqual(100)
})

test('a state that thousands of others differ from in a key or two', () => {
  const groups = Array.from({ length: 12_000 }, (_, n) => ({
    id: n + 1,
    bases: n === 0 ? [] : [1],
    rows: Array.from({ length: n === 0 ? 40 : 2 }, (_, k): Row => [
      `k${n === 0 ? k : (n * (k + 1)) % 41}\0`,
      `$${n}.${k}`,
    ]),
  }))
  const room: DrawnRoom = { groups, pending: [], referenced: [], tips: [1], strangers: [], range: null }
  const sound = { ...room, groups: groups.filter(({ rows }) => new Set(rows.map(([key]) => key)).size === rows.length) }
  const { before, after, bound } = planRoom(readDrawn(sound)).summary
  expect(after).toEqual(before)
  expect(bound.rows).toBe(before.rows)
})
