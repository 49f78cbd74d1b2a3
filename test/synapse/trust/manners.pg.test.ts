// P3: in nobody's way. Lock waits end after 300 ms, writers beside us are not held up, a process that stands still is thrown out, and
// somebody else's lock costs the groups it is on and nothing more.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openSynapse } from '../../../src/synapse/index.ts'
import { freshDatabase } from '../../support/postgres.ts'
import { compareStates, faults, rememberStates } from '../../support/synapse/judge.ts'
import { markPending, pendingGroups, purgeUnreferencedStateGroups } from '../../support/synapse/purger.ts'
import { storeStateGroup } from '../../support/synapse/store-state-group.ts'
import { execute, harm, pausable, scene, unharmed, unitStatements } from './scene.ts'

const small = {
  seed: 2,
  groups: 30,
  keys: 6,
  shape: 'forked',
  snapshotEvery: 6,
  identical: 0.1,
  removals: 0.05,
  gaps: 0.1,
} as const
const at = (name: string): RegExp => unitStatements.find(([statement]) => statement === name)![1]

test('P3: storing and purging groups goes on beside compaction', async () => {
  await using database = await freshDatabase('homeserver')
  const { session } = database
  const states = await rememberStates(session)
  const synapse = await openSynapse({ connection: database.url, env: {} })
  const rooms = await session.query<[string, number]>('SELECT room_id, max(id) FROM state_groups GROUP BY 1 ORDER BY 1')
  let over = false
  const waits: number[] = []
  const timed = async (work: Promise<unknown>): Promise<void> => {
    const started = performance.now()
    await work
    waits.push(performance.now() - started)
  }
  const writer = async (): Promise<void> => {
    await using other = await database.connect()
    for (let n = 0; !over; n++)
      for (const [room, base] of rooms)
        await timed(
          storeStateGroup(other, { room, base, event: `$w${base}-${n}`, delta: [['t', `k${n}`, `$w${n}`]] }).run(),
        )
  }
  const purger = async (): Promise<void> => {
    await using other = await database.connect()
    const groups = await other.query<[number]>('SELECT id FROM state_groups WHERE id % 7 = 3 ORDER BY id DESC')
    for (let n = 0; !over && n < groups.length; n += 3) {
      const some = groups.slice(n, n + 3).flat()
      await other.query('DELETE FROM event_to_state_groups WHERE state_group = ANY ($1)', [some])
      await markPending(other, some, 0)
      await timed(purgeUnreferencedStateGroups(other, await pendingGroups(other, some)).run())
    }
  }
  const running = execute(synapse, { jobs: 2 }).finally(() => (over = true))
  const [report] = await Promise.all([running, writer(), purger()])
  expect(report.units.failed).toBe(0)
  expect(report.units.done).toBeGreaterThan(0)
  expect(waits.length).toBeGreaterThan(10)
  // Loose, for machines that do other things besides; a wait for a lock of ours is a wait for one unit.
  expect(Math.max(...waits)).toBeLessThan(2000)
  expect(compareStates(states, await rememberStates(session)).changed).toEqual([])
  expect(await faults(session)).toEqual([])
})

test('P3 P7: a lock that somebody never lets go costs its group, which is named, and nothing else', async () => {
  await using room = await scene(small)
  const { session } = room
  const held = room.moves.find(({ oldBase }) => oldBase !== null)!
  await using holder = await room.database.connect()
  await holder.query('BEGIN')
  await holder.query('UPDATE state_group_edges SET prev_state_group = prev_state_group WHERE state_group = $1', [
    held.group,
  ])
  let over = false
  let longest = 0
  const watcher = async (): Promise<void> => {
    while (!over) {
      const [row] = await session.query<[number | null]>(
        `SELECT max(extract(epoch FROM clock_timestamp() - query_start) * 1000)::float8 FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'tamp' AND wait_event_type = 'Lock'`,
      )
      longest = Math.max(longest, row![0] ?? 0)
      await sleep(20)
    }
  }
  const running = execute(room.synapse, { rooms: [room.grown.room] }).finally(() => (over = true))
  const [report] = await Promise.all([running, watcher()])
  expect(longest).toBeGreaterThan(50)
  expect(longest).toBeLessThan(600)
  expect(report.skipped).toEqual([
    { subject: `state group ${held.group}`, reason: expect.stringMatching(/^others kept it busy: .*lock timeout/) },
  ])
  await holder.query('ROLLBACK')
  expect(await harm(session, room.states)).toEqual(unharmed)
  expect(await execute(room.synapse)).toMatchObject({ skipped: [], units: { done: 1 } })
  expect((await execute(room.synapse)).units.planned).toBe(0)
})

test('P2 P3: told to stop while it waits for a lock, it stops', async () => {
  await using room = await scene(small)
  await using holder = await room.database.connect()
  await holder.query('BEGIN')
  await holder.query('UPDATE state_group_edges SET prev_state_group = prev_state_group')
  const stop = new AbortController()
  const run = pausable(room.synapse)
  const pause = run.pauseBefore(at('fence'))
  const running = execute(run.database, { rooms: [room.grown.room], signal: stop.signal })
  await pause.reached
  stop.abort()
  pause.resume()
  const started = performance.now()
  expect(await running).toMatchObject({ complete: false, stopped: 'interrupted', units: { done: 0 } })
  expect(performance.now() - started).toBeLessThan(3000)
  await holder.query('ROLLBACK')
  expect(await harm(room.session, room.states)).toEqual(unharmed)
})

test.concurrent.each(['fence', 'commit'])(
  'P3: a process that stands still before its %s is thrown out after ten seconds, and does not come back late',
  async (name) => {
    await using room = await scene(small)
    const { session } = room
    const victim = room.moves.find(({ oldBase }) => oldBase !== null)!.newBase!
    const run = pausable(room.synapse)
    const pause = run.pauseBefore(at(name))
    const running = execute(run.database, { rooms: [room.grown.room] })
    await pause.reached
    await markPending(session, [victim], 0)
    await using purger = await room.database.connect()
    const started = performance.now()
    const purge = purgeUnreferencedStateGroups(purger, await pendingGroups(session, [victim]))
    expect((await purge.run()).deleted).toEqual([victim])
    expect(performance.now() - started).toBeLessThan(12_000)
    pause.resume()
    const report = await running
    expect(report.units.failed).toBe(0)
    expect(report.skipped.map(({ reason }) => reason)).toContain(
      `its new base ${victim} is locked, gone or about to be deleted`,
    )
    expect(await harm(session, room.states)).toEqual(unharmed)
  },
)
