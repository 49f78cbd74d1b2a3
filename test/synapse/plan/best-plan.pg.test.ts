// The plans for real rooms: as few rows as the prototype of the method reached, at every depth limit it was tried at.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSynapse } from '../../../src/synapse/index.ts'
import type { RoomHistory } from '../../../src/synapse/history.ts'
import { readRoom } from '../../../src/synapse/read/read-room.ts'
import { planRoom } from '../../../src/synapse/plan/room-plan.ts'
import type { PlanOptions, RoomPlan } from '../../../src/synapse/plan/room-plan.ts'
import { freshDatabase } from '../../support/postgres.ts'
import type { DatabaseKind } from '../../support/postgres.ts'

interface Golden {
  readonly database: DatabaseKind
  /** How the room's id starts. */
  readonly room: string
  readonly groups: number
  readonly rows: number
  readonly bound: number
  /** Rows the prototype reached, by depth limit. */
  readonly reached: Readonly<Record<number, number>>
  /** Rows the algorithm of levels ends with, at 100,50,25; null where it would make the room larger. */
  readonly levels: number | null
}

const golden: readonly Golden[] = [
  {
    database: 'homeserver',
    room: '!rMKF',
    groups: 1426,
    rows: 6352,
    bound: 1997,
    reached: { 100: 2189, 50: 2462, 30: 2761, 20: 2944 },
    levels: 4011,
  },
  {
    database: 'homeserver',
    room: '!rTUy',
    groups: 1006,
    rows: 2040,
    bound: 1005,
    reached: { 100: 1922, 50: 2020, 30: 2260, 20: 2710 },
    levels: 1995,
  },
  {
    database: 'homeserver',
    room: '!pegu',
    groups: 306,
    rows: 902,
    bound: 305,
    reached: { 100: 531, 50: 563, 30: 640, 20: 765 },
    levels: 602,
  },
  {
    database: 'homeserver',
    room: '!gen:',
    groups: 2001,
    rows: 9841,
    bound: 2001,
    reached: { 100: 3769, 50: 4737, 30: 5653 },
    levels: 3796,
  },
  {
    database: 'homeserver',
    room: '!genf',
    groups: 2001,
    rows: 4114,
    bound: 2001,
    reached: { 100: 2216, 50: 2251, 30: 2384, 20: 2599 },
    levels: null,
  },
  {
    database: 'half-compressed',
    room: '!nVMB',
    groups: 699,
    rows: 2158,
    bound: 738,
    reached: { 100: 769, 50: 809, 30: 856, 20: 929 },
    levels: 1277,
  },
  {
    database: 'half-compressed',
    room: '!BYhB',
    groups: 263,
    rows: 393,
    bound: 255,
    reached: { 100: 336, 50: 383, 30: 428, 20: 488 },
    levels: 361,
  },
]

/** Rooms of which only the figures of the levels are known. */
const others: readonly Pick<Golden, 'database' | 'room' | 'levels'>[] = [
  { database: 'homeserver', room: '!rAEA', levels: null },
  { database: 'half-compressed', room: '!8FC7', levels: 644 },
  { database: 'half-compressed', room: '!30nU', levels: null },
]

const rooms = new Map<string, RoomHistory>()

async function readAll(kind: DatabaseKind): Promise<void> {
  await using database = await freshDatabase(kind)
  const synapse = await openSynapse({ connection: database.url, env: {} })
  for (const [room] of await database.query<[string]>('SELECT DISTINCT room_id FROM state_groups'))
    rooms.set(room.slice(0, 5), await readRoom(synapse, room))
}

beforeAll(async () => {
  await readAll('homeserver')
  await readAll('half-compressed')
})
afterAll(() => rooms.clear())

/** Plans a room, and looks at what any plan must be. */
function planned(room: string, options: PlanOptions): RoomPlan {
  const history = rooms.get(room)!
  const plan = planRoom(history, options)
  const { before, after, proof, onTheWay } = plan.summary
  expect(proof).toEqual({ checked: history.ids.length, mismatches: 0 })
  const depth = Math.max(before.maxDepth!, options.maxDepth ?? 100)
  expect(after.maxDepth).toBeLessThanOrEqual(options.shorten === true ? options.maxDepth! : depth)
  if (options.shorten !== true) {
    expect(after.rows).toBeLessThanOrEqual(before.rows)
    expect(onTheWay.rows).toBeLessThanOrEqual((options.maxDepth === undefined ? 1.1 : 1.2) * before.rows)
  }
  return plan
}

function tipDepth({ history, moves }: RoomPlan): number {
  const base = history.base.slice()
  for (const [m, group] of moves.position.entries()) base[group] = moves.base[m]!
  let deepest = 0
  for (const tip of history.tips) {
    let depth = 0
    for (let at = tip; base[at]! >= 0; at = base[at]!) depth++
    deepest = Math.max(deepest, depth)
  }
  return deepest
}

describe.each(golden)('$database $room', ({ room, groups, rows, bound, reached }) => {
  test('is read as it is, and its bound is exact', () => {
    const { summary } = planned(room, {})
    expect(summary.before).toMatchObject({ groups, rows })
    expect(summary.bound).toEqual({ rows: bound, exact: true })
  })

  test.each(Object.entries(reached).map(([depth, most]) => [Number(depth), most]))(
    'at a depth of %i has %i rows at most, and one in a hundred more',
    (maxDepth, most) => {
      const allowed = Math.floor(1.01 * most!)
      const shortened = planned(room, { maxDepth: maxDepth!, shorten: true })
      expect(shortened.summary.after.rows).toBeLessThanOrEqual(allowed)
      const kept = planned(room, { maxDepth: maxDepth! })
      expect(kept.summary.after.rows).toBeLessThanOrEqual(Math.min(allowed, rows))
      // What is left to the admin to decide is said.
      if (kept.summary.after.maxDepth! > maxDepth!) expect(kept.summary.notes.join()).toContain('--shorten')
    },
  )

  test('no shorter limit of depth costs fewer rows', () => {
    const byDepth = [100, 50, 30, 20].map((maxDepth) => planned(room, { maxDepth, shorten: true }).summary.after.rows)
    for (const [n, here] of byDepth.slice(1).entries()) expect(1.02 * here).toBeGreaterThanOrEqual(byDepth[n]!)
  })
})

test.each([
  ['!rMKF', 50],
  ['!nVMB', 50],
  ['!rTUy', 80],
])('the tips of %s are left at a depth of %i, for little', (room, most) => {
  const plan = planned(room, {})
  expect(plan.history.tips.length).toBeGreaterThan(0)
  expect(tipDepth(plan)).toBeLessThanOrEqual(most)
  const { after } = planRoom({ ...plan.history, tips: [] }, {}).summary
  expect(plan.summary.after.rows).toBeLessThanOrEqual(1.015 * after.rows)
})

test('a chunk of a room: groups outside it stay, and the chains that hang on it stay within the limit', () => {
  const whole = rooms.get('!rMKF')!
  const bar = whole.bar.map((_, group) => (group >= 400 && group < 800 ? 0 : 3))
  const { summary, moves } = planRoom({ ...whole, bar }, {})
  expect(summary.after.rows).toBeLessThan(0.9 * summary.before.rows)
  expect(summary.after.maxDepth).toBeLessThanOrEqual(100)
  expect(Math.min(...moves.position)).toBeGreaterThanOrEqual(400)
  expect(Math.max(...moves.position)).toBeLessThan(800)
})

test.each([...golden, ...others])('the levels 100,50,25 on $database $room: $levels rows', ({ room, levels }) => {
  const { summary } = planRoom(rooms.get(room)!, { plan: { levels: [100, 50, 25] } })
  expect(summary.proof.mismatches).toBe(0)
  if (levels === null) {
    expect(summary.changes).toBe(0)
    expect(summary.notes.join()).toContain('larger: declined')
  } else expect(summary.after.rows).toBe(levels)
})
