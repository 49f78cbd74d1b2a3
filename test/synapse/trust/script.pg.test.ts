// The races again, with the script in the place of execution: it is run later, by somebody else's client, and still harms nothing.
import { expect, test } from 'vitest'
import { compact } from '../../../src/synapse/index.ts'
import type { CompactOptions } from '../../../src/synapse/index.ts'
import { insertRoom } from '../../support/synapse/grow.ts'
import { markPending, pendingGroups, purgeRoom, purgeUnreferencedStateGroups } from '../../support/synapse/purger.ts'
import { execute, harm, scene, someoneWaits, unharmed, type Scene } from './scene.ts'

const small = {
  seed: 1,
  groups: 30,
  keys: 6,
  shape: 'forked',
  snapshotEvery: 6,
  identical: 0.1,
  removals: 0.05,
  gaps: 0.1,
} as const

/** The script's head, and its one unit without its COMMIT. */
async function scriptOf(room: Scene, options: Partial<CompactOptions> = {}): Promise<readonly [string, string]> {
  let script = ''
  await compact(room.synapse, { mode: 'script', write: (text) => void (script += text), ...options })
  const [head, unit, ...others] = script.split(/^(?=BEGIN ISOLATION)/m)
  expect(others).toEqual([])
  expect(unit).toMatch(/\nCOMMIT;\n$/)
  return [head!, unit!.replace(/\nCOMMIT;\n$/, '\n')]
}

async function purge(room: Scene, group: number): Promise<{ readonly deleted: readonly number[] }> {
  await markPending(room.session, [group], 0)
  await using purger = await room.database.connect()
  return await purgeUnreferencedStateGroups(purger, await pendingGroups(room.session, [group])).run()
}

const rebased = (room: Scene) => room.moves.find(({ oldBase, newBase }) => oldBase !== null && newBase !== null)!

test.each(['new base', 'old base', 'group', 'room'] as const)(
  'R1 R4: a script that is run after the %s has been purged changes nothing',
  async (what) => {
    await using room = await scene(small)
    const [head, unit] = await scriptOf(room)
    const { group, oldBase, newBase } = rebased(room)
    if (what === 'room') await purgeRoom(room.session, room.grown.room).run()
    else await purge(room, { 'new base': newBase!, 'old base': oldBase!, group }[what])
    const before = await room.stored()
    await using psql = await room.database.connect()
    await psql.query(`${head}${unit}COMMIT`)
    expect(await room.stored()).toEqual(before)
    expect(await harm(room.session, room.states)).toEqual(unharmed)
  },
)

test('R3 R12: a purge that waited for the script starts again; nobody sees the unit before it is whole', async () => {
  await using room = await scene(small)
  const [head, unit] = await scriptOf(room)
  const before = await room.stored()
  await using psql = await room.database.connect()
  await psql.query(`${head}${unit}`)
  expect(await room.stored()).toEqual(before)
  const base = rebased(room).newBase!
  const purging = purge(room, base)
  await someoneWaits(room.session)
  await psql.query('COMMIT')
  expect((await purging).deleted).toEqual([base])
  expect(await room.stored()).not.toEqual(before)
  expect(await harm(room.session, room.states)).toEqual(unharmed)
})

test('R10: a script that is run twice at once, or beside a tamp, is carried out once', async () => {
  await using room = await scene(small)
  const [head, unit] = await scriptOf(room)
  await using psql = await room.database.connect()
  await psql.query(`${head}${unit}`)
  await using second = await room.database.connect()
  // The unit takes the lock of a tamp: the second script leaves its groups alone, and a tamp does not begin.
  await second.query(`${head}${unit}COMMIT`)
  await expect(execute(room.synapse, { rooms: [room.grown.room] })).rejects.toMatchObject({ code: 'locked' })
  await psql.query('COMMIT')
  expect(await execute(room.synapse, { rooms: [room.grown.room] })).toMatchObject({
    complete: true,
    units: { failed: 0 },
  })
  expect(await harm(room.session, room.states)).toEqual(unharmed)
  expect((await execute(room.synapse)).units.planned).toBe(0)
})

test('R3: a purge with an old snapshot of a group to which the script has just given its first base', async () => {
  await using room = await scene({ seed: 1, groups: 1 })
  // Level plans change bases also where no row is saved: nothing of the second group but its edge is written.
  const name = '!first:example.org'
  const rows = [['a'], ['b'], ['c'], ['c']].map(([event]) => ['t', 'k', `$${event}`] as const)
  const groups = rows.map((row, i) => ({
    id: 11 + i,
    base: undefined,
    delta: [row],
    state: new Map(),
    referenced: false,
  }))
  await insertRoom(room.session, { room: name, groups, rows: 4 })
  const [head, unit] = await scriptOf(room, { rooms: [name], plan: { levels: [2] } })
  await using psql = await room.database.connect()
  await psql.query(`${head}${unit}`)
  const purging = purge(room, 12)
  await someoneWaits(room.session)
  await psql.query('COMMIT')
  expect((await purging).deleted).toEqual([12])
  expect(await harm(room.session, room.states)).toEqual(unharmed)
})
