// The judge, the purger and the grown rooms: what the tests of the Synapse compactor stand on.
import { describe, expect, test } from 'vitest'
import { freshDatabase, type FreshDatabase } from '../postgres.ts'
import { fullState, stateKey } from './full-state.ts'
import { growLargeRoom } from './grow-large-room.ts'
import { damageRoom, growRoom, type Damage, type RoomShape } from './grow.ts'
import { compareStates, faults, fingerprintOf, measure, rememberStates } from './judge.ts'
import { deletionDelay, dueGroups, lockRoom, markPending, pendingGroups, purgeHistory } from './purger.ts'
import { purgeRoom, purgeUnreferencedStateGroups } from './purger.ts'
import { finish, stepTo } from './steps.ts'
import { storeStateGroup } from './store-state-group.ts'

const longAgo = () => Date.now() - 2 * deletionDelay

describe('the judge', () => {
  test('measures the fixtures as they are known', async () => {
    await using database = await freshDatabase('homeserver')
    const rooms = [...(await measure(database.session))].map(([room, { groups, rows, maxDepth }]) => [
      room.slice(0, 5),
      groups,
      rows,
      maxDepth,
    ])
    expect(rooms.sort()).toEqual([
      ['!gen:', 2001, 9841, 99],
      ['!genf', 2001, 4114, 99],
      ['!pegu', 306, 902, 99],
      ['!rAEA', 3006, 3005, 3005],
      ['!rMKF', 1426, 6352, 99],
      ['!rTUy', 1006, 2040, 99],
    ])
    expect(await faults(database.session)).toEqual([])
  })

  test("resolves states as Synapse's own query does", async () => {
    await using database = await freshDatabase('half-compressed')
    const memory = await rememberStates(database.session)
    expect(memory.size).toBe(1584)
    for (const [id, print] of memory) {
      if (id % 20 === 0) expect(fingerprintOf(await fullState(database.session, id)), `group ${id}`).toBe(print)
    }
  })

  test('sees a single changed row', async () => {
    await using database = await freshDatabase('half-compressed')
    const before = await rememberStates(database.session)
    await database.query(
      `UPDATE state_groups_state SET event_id = '$other' WHERE state_group = 3 AND type = 'm.room.member'`,
    )
    const { changed, gone, added } = compareStates(before, await rememberStates(database.session))
    expect(changed[0]).toBe(3)
    expect([gone, added]).toEqual([[], []])
  })
})

describe('grown rooms', () => {
  const shapes: Omit<RoomShape, 'seed'>[] = [
    { shape: 'linear', groups: 250 },
    { shape: 'forked', removals: 0.1, identical: 0.1, gaps: 0.1 },
    { shape: 'backfill', groups: 150 },
    { shape: 'initial', groups: 150 },
    { shape: 'forked', awkward: true, removals: 0.05 },
  ]
  test.for(shapes.map((shape, seed) => ({ ...shape, seed })))('$shape, seed $seed', async (shape) => {
    await using database = await freshDatabase('empty')
    const grown = await growRoom(database.session, shape)
    expect(grown.groups).toHaveLength(shape.groups ?? 200)
    expect(await faults(database.session)).toEqual([])
    const memory = await rememberStates(database.session)
    for (const { id, state } of grown.groups) expect(memory.get(id)).toBe(fingerprintOf(state))
    expect((await measure(database.session)).get(grown.room)).toMatchObject({
      groups: grown.groups.length,
      rows: grown.rows,
    })
    const removed = grown.groups.some(
      ({ base, state }, at) => base === undefined && at > 0 && state.size < grown.groups[at - 1]!.state.size,
    )
    if (shape.removals) expect(removed).toBe(true)
  })

  test('every damage is found, and nothing else', async () => {
    const damages: [Damage, string][] = [
      ['dangling-base', 'dangling-base'],
      ['phantom-base', 'dangling-base'],
      ['base-not-older', 'base-not-older'],
      ['cycle', 'cycle'],
      ['several-bases', 'several-bases'],
      ['duplicate-key', 'duplicate-key'],
      ['rows-without-group', 'rows-without-group'],
      ['edge-without-group', 'edge-without-group'],
      ['room-mismatch', 'room-mismatch'],
      ['event-without-group', 'event-without-group'],
    ]
    for (const [damage, code] of damages) {
      await using database = await freshDatabase('empty')
      const broken = await damageRoom(database.session, await growRoom(database.session, { seed: 7 }), damage)
      const found = await faults(database.session)
      for (const group of broken) expect(found, damage).toContain(`${code} ${group}`)
      if (damage !== 'cycle' && damage !== 'phantom-base') expect(found, damage).toHaveLength(broken.length)
      const memory = await rememberStates(database.session)
      expect([...memory.values()].includes('cycle')).toBe(damage === 'cycle')
    }
  })

  test('the large room has the size it says', async () => {
    await using database = await freshDatabase('empty')
    const large = await growLargeRoom(database.session, { groups: 1000, snapshotEvery: 100 })
    const rows = Array.from({ length: 10 }, (_, n) => n * 100 + 1).reduce((sum, size) => sum + size, 0) + 990
    expect(large.rows).toBe(rows)
    expect(await faults(database.session)).toEqual([])
    expect((await measure(database.session)).get(large.room)).toEqual({
      groups: 1000,
      rows,
      maxDepth: 99,
      meanDepth: 49.5,
    })
    expect((await fullState(database.session, 950)).size).toBe(950)
  })
})

describe('the purger', () => {
  test('deletes queued groups, gives their children their full state, and harms nobody', async () => {
    await using database = await freshDatabase('homeserver')
    const { session } = database
    const before = await rememberStates(session)
    // A group in the middle of a chain: its child stays.
    const [[group, child]] = await middle(database)
    await session.execute('DELETE FROM event_to_state_groups WHERE state_group = $1', [group])
    await markPending(session, [group], longAgo())
    const due = await dueGroups(session)
    expect([...due.keys()]).toEqual([group])
    const purged = await purgeUnreferencedStateGroups(session, due).run()
    expect(purged.deleted).toEqual([group])
    expect(purged.expanded).toContain(child)
    expect(await faults(session)).toEqual([])
    const { changed, gone } = compareStates(before, await rememberStates(session))
    expect([changed, gone]).toEqual([[], [group]])
    expect(await session.query('SELECT FROM state_group_edges WHERE state_group = $1', [child])).toEqual([])
  })

  test('leaves a group whose place in the queue has changed, with all it is built on', async () => {
    await using database = await freshDatabase('homeserver')
    const { session } = database
    const [[base, group]] = await middle(database)
    await markPending(session, [base, group], longAgo())
    const queued = await pendingGroups(session, [base, group])
    const [[room]] = (await session.query<[string]>('SELECT room_id FROM state_groups WHERE id = $1', [group])) as [
      [string],
    ]
    await storeStateGroup(session, { room, event: '$new', base: group, delta: [['m.room.topic', '', '$new']] }).run()
    expect(await purgeUnreferencedStateGroups(session, queued).run()).toEqual({ deleted: [], expanded: [] })
    // Too young, too.
    const young = await pendingGroups(session, [base, group])
    await session.execute('UPDATE state_groups_pending_deletion SET insertion_ts = $1', [Date.now()])
    expect((await purgeUnreferencedStateGroups(session, young).run()).deleted).toEqual([])
  })

  test('goes from events to groups as a purge of history does', async () => {
    await using database = await freshDatabase('homeserver')
    const { session } = database
    const before = await rememberStates(session)
    const old = await session.query<[number]>(
      `SELECT id FROM state_groups WHERE room_id LIKE '!rMKF%' ORDER BY id LIMIT 700`,
    )
    const queued = await purgeHistory(session, old.flat(), longAgo())
    expect(queued.length).toBeGreaterThan(600)
    const { deleted } = await purgeUnreferencedStateGroups(session, await dueGroups(session)).run()
    expect(deleted.length).toBe(queued.length)
    expect(await faults(session)).toEqual([])
    expect(compareStates(before, await rememberStates(session))).toMatchObject({ changed: [], gone: deleted })
  })

  test('step by step it makes the known corruption: a base given to a group behind its snapshot', async () => {
    await using database = await freshDatabase('empty')
    const { session } = database
    const grown = await growRoom(session, { seed: 3, groups: 20, referenced: 0 })
    const [old, young] = [grown.groups[5]!, grown.groups[15]!]
    const before = await rememberStates(session)
    await markPending(session, [old.id], longAgo())
    await using other = await database.connect()
    const steps = purgeUnreferencedStateGroups(other, await pendingGroups(session, [old.id])).steps()
    await stepTo(steps, 'children')
    // What the old compressor does: no lock, no look at the queue.
    const rows = [...young.state].filter(([key, event]) => old.state.get(key) !== event)
    await session.query('BEGIN')
    await session.execute('UPDATE state_group_edges SET prev_state_group = $2 WHERE state_group = $1', [
      young.id,
      old.id,
    ])
    await session.execute('DELETE FROM state_groups_state WHERE state_group = $1', [young.id])
    for (const [key, event] of rows) {
      await session.execute('INSERT INTO state_groups_state VALUES ($1, $2, $3, $4, $5)', [
        young.id,
        grown.room,
        ...key.split('\0'),
        event,
      ])
    }
    await session.query('COMMIT')
    await finish(steps)
    expect(await faults(session)).toEqual([`dangling-base ${young.id}`])
    expect(compareStates(before, await rememberStates(session)).changed).toContain(young.id)
  })

  test('a fence on the base makes it start again, and then it sees the new child', async () => {
    await using database = await freshDatabase('empty')
    const { session } = database
    const grown = await growRoom(session, { seed: 3, groups: 20, referenced: 0 })
    const old = grown.groups[5]!
    await markPending(session, [old.id], longAgo())
    const queued = await pendingGroups(session, [old.id])
    await using holder = await database.connect()
    await holder.query('BEGIN')
    await holder.execute('UPDATE state_groups SET event_id = event_id WHERE id = $1', [old.id])
    const purge = purgeUnreferencedStateGroups(session, queued)
    const running = purge.run()
    await holder.query('SELECT pg_sleep(0.2)')
    await holder.query('COMMIT')
    expect((await running).deleted).toEqual([old.id])
    expect(purge.retries).toBe(1)
    expect(await faults(session)).toEqual([])
  })

  test('removes a room', async () => {
    await using database = await freshDatabase('homeserver')
    const { session } = database
    const unlock = await lockRoom(session, '!gen:x')
    expect(await session.query('SELECT lock_key, write_lock FROM worker_read_write_locks')).toEqual([['!gen:x', true]])
    expect(await purgeRoom(session, '!gen:x').run()).toEqual({ groups: 2001, rows: 9841 })
    await unlock()
    expect(await session.query('SELECT count(*) FROM worker_read_write_locks')).toEqual([[0]])
    const found = (await faults(session)).filter((fault) => !fault.startsWith('event-without-group'))
    expect(found).toEqual([])
    expect((await measure(session)).has('!gen:x')).toBe(false)
  })
})

describe('a new group', () => {
  test('is a delta on its base, or a snapshot where the chain is long', async () => {
    await using database = await freshDatabase('empty')
    const { session } = database
    const { room, groups } = await growRoom(session, { seed: 5, groups: 99, shape: 'initial' })
    let base = groups.at(-1)!
    let id = base.id
    const kinds: boolean[] = []
    for (let n = 0; n < 3; n++) {
      const stored = await storeStateGroup(session, {
        room,
        event: `$n${n}`,
        base: id,
        delta: [['t', `k${n}`, `$n${n}`]],
      }).run()
      kinds.push(stored.snapshot)
      id = stored.id
    }
    // Chains of 99, 100 and 1 groups.
    expect(kinds).toEqual([false, true, false])
    const state = await fullState(session, id)
    expect(state.size).toBe(base.state.size + 3)
    expect(state.get(stateKey('t', 'k2'))).toBe('$n2')
    await session.execute('DELETE FROM state_groups WHERE id = $1', [id])
    const orphan = storeStateGroup(session, { room, event: '$late', base: id, delta: [] })
    await expect(orphan.run()).rejects.toThrow('is not there')
  })
})

/** Pairs of [base, child] from the middle of a chain of the room with forks. */
async function middle(database: FreshDatabase): Promise<[[number, number]]> {
  return (await database.query<[number, number]>(
    `SELECT e.prev_state_group, e.state_group
     FROM state_group_edges e JOIN state_group_edges b ON b.state_group = e.prev_state_group JOIN state_groups g ON g.id = e.state_group
     WHERE g.room_id LIKE '!rMKF%' ORDER BY 1 OFFSET 500 LIMIT 1`,
  )) as [[number, number]]
}
