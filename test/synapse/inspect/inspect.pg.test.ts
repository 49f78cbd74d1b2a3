// The survey's counted figures are exact, its estimates are near what a plan reaches, and it ranks rooms rightly.
import { describe, expect, test } from 'vitest'
import { openSynapse } from '../../../src/synapse/database.ts'
import { inspectRooms } from '../../../src/synapse/inspect/inspect.ts'
import type { InspectOptions, RoomSurvey, SurveySummary } from '../../../src/synapse/inspect/inspect.ts'
import { freshDatabase } from '../../support/postgres.ts'
import type { DatabaseKind } from '../../support/postgres.ts'

const forked = '!rMKFBGqLQdKklgjXbl:localhost:18801'
const deep = '!rAEAcNPMMvPvtuNKyz:localhost:18801'

interface Known {
  readonly groups: number
  readonly rows: number
  readonly unreferenced: number
  readonly maxDepth: number
  readonly meanDepth: number
  /** Rows of a plan of depth 100 that is known. */
  readonly planned: number
}

/** By the beginning of the room's id. */
const known: Readonly<Record<'homeserver' | 'half-compressed', Readonly<Record<string, Known>>>> = {
  homeserver: {
    '!gen:': { groups: 2001, rows: 9841, unreferenced: 2001, maxDepth: 99, meanDepth: 49.5, planned: 3769 },
    '!rMKF': { groups: 1426, rows: 6352, unreferenced: 421, maxDepth: 99, meanDepth: 47.5, planned: 2189 },
    '!genf': { groups: 2001, rows: 4114, unreferenced: 2001, maxDepth: 99, meanDepth: 48.6, planned: 2216 },
    '!rAEA': { groups: 3006, rows: 3005, unreferenced: 1, maxDepth: 3005, meanDepth: 1502.5, planned: 3005 },
    '!rTUy': { groups: 1006, rows: 2040, unreferenced: 1, maxDepth: 99, meanDepth: 49.2, planned: 1922 },
    '!pegu': { groups: 306, rows: 902, unreferenced: 1, maxDepth: 99, meanDepth: 48.6, planned: 531 },
  },
  'half-compressed': {
    '!nVMB': { groups: 699, rows: 2158, unreferenced: 260, maxDepth: 146, meanDepth: 78.5, planned: 769 },
    '!8FC7': { groups: 466, rows: 644, unreferenced: 1, maxDepth: 101, meanDepth: 48.2, planned: 644 },
    '!BYhB': { groups: 263, rows: 393, unreferenced: 22, maxDepth: 99, meanDepth: 44.5, planned: 336 },
    '!30nU': { groups: 156, rows: 155, unreferenced: 1, maxDepth: 155, meanDepth: 77.5, planned: 155 },
  },
}

async function inspect(
  url: string,
  options?: InspectOptions,
): Promise<{ rooms: RoomSurvey[]; summary: SurveySummary }> {
  const run = inspectRooms(await openSynapse({ connection: url }), options)
  const rooms = await Array.fromAsync(run)
  return { rooms, summary: run.summary! }
}

function measured(rooms: readonly RoomSurvey[]): Record<string, Omit<Known, 'planned'>> {
  return Object.fromEntries(
    rooms.map(({ room, groups, rows, unreferencedGroups, maxDepth, meanDepth }) => [
      room.slice(0, 5),
      { groups, rows, unreferenced: unreferencedGroups ?? -1, maxDepth, meanDepth: Math.round(meanDepth * 10) / 10 },
    ]),
  )
}

function expectedOf(kind: keyof typeof known): Record<string, Omit<Known, 'planned'>> {
  return Object.fromEntries(
    Object.entries(known[kind]).map(([room, { groups, rows, unreferenced, maxDepth, meanDepth }]) => [
      room,
      { groups, rows, unreferenced, maxDepth, meanDepth },
    ]),
  )
}

describe.each(['homeserver', 'half-compressed'] as const)('%s', (kind) => {
  test('every counted figure of every room, asked for by name', async () => {
    await using database = await freshDatabase(kind satisfies DatabaseKind)
    const names = await database.query<[string]>('SELECT DISTINCT room_id FROM state_groups')
    const { rooms, summary } = await inspect(database.url, { rooms: names.map(([name]) => name) })
    expect(measured(rooms)).toEqual(expectedOf(kind))
    expect(summary.estimated).toBe(false)
    expect(rooms.every(({ estimates }) => estimates.join() === 'bytesEstimate,expectedRows,expectedSavedRows')).toBe(
      true,
    )
    expect(rooms.every(({ rows, bytesEstimate }) => bytesEstimate > 50 * rows && bytesEstimate < 1000 * rows)).toBe(
      true,
    )
  })

  test('a small database is counted, not sampled', async () => {
    await using database = await freshDatabase(kind)
    const { rooms, summary } = await inspect(database.url)
    expect(measured(rooms)).toEqual(expectedOf(kind))
    expect(summary).toMatchObject({ rooms: rooms.length, estimated: false })
    expect(summary.rows).toBe(kind === 'homeserver' ? 26_254 : 3350)
  })

  test('expected rows are near what a plan reaches, and rank the rooms', async () => {
    await using database = await freshDatabase(kind)
    const { rooms, summary } = await inspect(database.url)
    for (const { room, rows, expectedRows, expectedSavedRows } of rooms) {
      const { planned } = known[kind][room.slice(0, 5)]!
      expect(expectedSavedRows, room).toBe(rows - expectedRows)
      expect(expectedRows / planned, room).toBeGreaterThan(0.95)
      expect(expectedRows / planned, room).toBeLessThan(1.2)
    }
    const savings = Object.entries(known[kind]).map(([room, { rows, planned }]) => ({ room, saved: rows - planned }))
    const best = savings.sort((a, b) => b.saved - a.saved).map(({ room }) => room)
    const ranked = rooms.map(({ room }) => room.slice(0, 5))
    // Rooms that save nothing may come in any order.
    const saving = savings.filter(({ saved }) => saved > 0).length
    expect(ranked.slice(0, saving)).toEqual(best.slice(0, saving))
    expect(summary.expectedSavedRows).toBe(rooms.reduce((total, room) => total + room.expectedSavedRows, 0))
  })
})

test('a large table is sampled, and says so', async () => {
  await using database = await freshDatabase('homeserver')
  const { rooms, summary } = await inspect(database.url, { pages: 150 })
  expect(summary.estimated).toBe(true)
  expect(summary.rows).toBeGreaterThan(26_254 * 0.7)
  expect(summary.rows).toBeLessThan(26_254 * 1.3)
  expect(rooms[0]?.estimates).toContain('rows')
  expect(
    rooms
      .slice(0, 3)
      .map(({ room }) => room.slice(0, 5))
      .sort(),
  ).toEqual(['!gen:', '!genf', '!rMKF'])
  for (const { room, groups, maxDepth, rows, expectedRows } of rooms) {
    expect({ groups, maxDepth }).toEqual({
      groups: known.homeserver[room.slice(0, 5)]!.groups,
      maxDepth: known.homeserver[room.slice(0, 5)]!.maxDepth,
    })
    expect(expectedRows).toBeGreaterThan(0)
    expect(expectedRows).toBeLessThanOrEqual(rows)
  }
})

test('the limit shortens the list, not the summary', async () => {
  await using database = await freshDatabase('homeserver')
  const { rooms, summary } = await inspect(database.url, { limit: 2 })
  expect(rooms.map(({ room }) => room.slice(0, 5))).toEqual(['!gen:', '!rMKF'])
  expect(summary).toMatchObject({ rooms: 6, groups: 9746, rows: 26_254, unreferencedGroups: 4426, maxDepth: 3005 })
})

test('only the rooms that were asked for', async () => {
  await using database = await freshDatabase('homeserver')
  const { rooms, summary } = await inspect(database.url, { rooms: [deep] })
  expect(rooms).toHaveLength(1)
  expect(rooms[0]).toMatchObject({ room: deep, groups: 3006, rows: 3005, expectedSavedRows: 0 })
  expect(rooms[0]?.findings.map(({ code, subject }) => `${code} ${subject}`)).toEqual([`over-deep-chain ${deep}`])
  expect(summary).toMatchObject({ rooms: 1, groups: 3006 })
})

test('damage is told with its room, and the room is surveyed all the same', async () => {
  await using database = await freshDatabase('homeserver')
  const chain = await database.query<[number, number]>(
    `SELECT e.state_group, e.prev_state_group FROM state_group_edges e JOIN state_groups ON id = e.state_group
      WHERE room_id = '${forked}' ORDER BY 1 LIMIT 300`,
  )
  const [a, b, c] = [chain[50]![0], chain[120]![0], chain[200]![0]]
  await database.query(`UPDATE state_group_edges SET prev_state_group = 0 WHERE state_group = ${a}`)
  await database.query(`UPDATE state_group_edges SET prev_state_group = ${b} WHERE state_group = ${b}`)
  await database.query(`INSERT INTO state_group_edges VALUES (${c}, 1), (888888, 1)`)
  const expected = [
    `base-not-older ${b}`,
    `cycle ${b}`,
    `dangling-base ${a}`,
    `room-mismatch ${c}`,
    `several-bases ${c}`,
  ]
  for (const options of [{}, { rooms: [forked] }]) {
    const { rooms, summary } = await inspect(database.url, options)
    const survey = rooms.find(({ room }) => room === forked)!
    expect(survey.findings.map(({ code, subject }) => `${code} ${subject}`).sort()).toEqual(expected)
    expect(survey).toMatchObject({ groups: 1426, rows: 6352 })
    expect(survey.expectedRows).toBeLessThanOrEqual(survey.rows)
    expect(summary.findings.map(({ code, subject }) => `${code} ${subject}`)).toEqual(
      'rooms' in options ? [] : ['edge-without-group 888888'],
    )
  }
})

test('event references that cannot be read are not guessed', async () => {
  await using database = await freshDatabase('half-compressed')
  await database.query('DROP TABLE event_to_state_groups')
  const synapse = await openSynapse({ connection: database.url })
  const run = inspectRooms({ ...synapse, schema: { ...synapse.schema, eventReferences: false } })
  const rooms = await Array.fromAsync(run)
  expect(rooms.map(({ unreferencedGroups }) => unreferencedGroups)).toEqual([null, null, null, null])
  expect(run.summary?.unreferencedGroups).toBeNull()
})

test('stores in two databases', async () => {
  await using database = await freshDatabase('half-compressed')
  const synapse = await openSynapse({ connection: database.url })
  const rooms = await Array.fromAsync(inspectRooms({ ...synapse, oneDatabase: false }))
  expect(measured(rooms)).toEqual(expectedOf('half-compressed'))
})

test('an empty store, a room that is not there, a limit that is none, an interruption', async () => {
  await using database = await freshDatabase('empty')
  const { rooms, summary } = await inspect(database.url)
  expect(rooms).toEqual([])
  expect(summary).toMatchObject({ rooms: 0, groups: 0, rows: 0, expectedSavedRows: 0, maxDepth: 0, meanDepth: 0 })
  await expect(inspect(database.url, { rooms: ['!nowhere:x'] })).rejects.toMatchObject({
    code: 'no-such-room',
    message: 'There are no state groups of room !nowhere:x in this database.',
  })
  await expect(inspect(database.url, { limit: 0 })).rejects.toMatchObject({ code: 'usage' })
  await expect(inspect(database.url, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'interrupted' })
})
