// P1: groups that come while we work: with a new id, or with a low one whose transaction commits late. Never harmed; the next run has them.
import { expect, test } from 'vitest'
import { fullState } from '../../support/synapse/full-state.ts'
import { rememberStates } from '../../support/synapse/judge.ts'
import { storeStateGroup } from '../../support/synapse/store-state-group.ts'
import { execute, harm, pausable, plannedMoves, scene, unharmed, unitStatements } from './scene.ts'

const shape = { seed: 5, groups: 40, keys: 8, shape: 'forked', snapshotEvery: 6, identical: 0.1 } as const

test('P1: groups whose transaction began before the newest one read, and commits after the run', async () => {
  await using room = await scene(shape)
  const { session, synapse } = room
  const name = room.grown.room
  const moved = room.moves.at(-1)!.group
  await using late = await room.database.connect()
  await late.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  // One is a delta on a group that is about to move, one a snapshot that could be a delta.
  const state = await fullState(session, moved)
  const [[delta], [snapshot]] = (await late.query<[number]>(
    `SELECT nextval('state_group_id_seq') FROM generate_series(1, 2)`,
  )) as [[number], [number]]
  for (const id of [delta, snapshot])
    await late.query('INSERT INTO state_groups (id, room_id, event_id) VALUES ($1, $2, $3)', [id, name, `$late${id}`])
  await late.query('INSERT INTO state_group_edges (state_group, prev_state_group) VALUES ($1, $2)', [delta, moved])
  await late.query(`INSERT INTO state_groups_state VALUES ($1, $2, 'late', '', '$late')`, [delta, name])
  for (const [key, event] of state)
    await late.query('INSERT INTO state_groups_state VALUES ($1, $2, $3, $4, $5)', [
      snapshot,
      name,
      ...key.split('\0'),
      event,
    ])

  // Newer ids are committed and read meanwhile.
  const { id: newer } = await storeStateGroup(session, {
    room: name,
    event: '$n',
    base: moved,
    delta: [['t', 'n', '$n']],
  }).run()
  expect(newer).toBeGreaterThan(snapshot)
  const run = pausable(synapse)
  const pause = run.pauseBefore(unitStatements.at(-1)![1])
  const running = execute(run.database)
  await pause.reached
  await late.query('COMMIT')
  pause.resume()
  expect(await running).toMatchObject({
    complete: true,
    skipped: [],
    units: { done: 1, failed: 0 },
    proof: { mismatches: 0 },
  })

  expect(await harm(session, room.states)).toEqual(unharmed)
  expect(await fullState(session, delta)).toEqual(new Map([...state, ['late\0', '$late']]))
  expect(await fullState(session, snapshot)).toEqual(state)
  const states = await rememberStates(session)
  expect((await plannedMoves(synapse, name)).map(({ group }) => group)).toContain(snapshot)
  expect(await execute(synapse)).toMatchObject({ complete: true, skipped: [], units: { done: 1 } })
  expect(await harm(session, states)).toEqual(unharmed)
  expect(
    await session.query('SELECT prev_state_group FROM state_group_edges WHERE state_group = $1', [snapshot]),
  ).toHaveLength(1)
})

test.each(unitStatements.map(([name, pattern]) => ({ name, pattern })))(
  'P1: a group that is stored on a moving group just before $name is unharmed',
  async ({ pattern }) => {
    await using room = await scene(shape)
    const { session } = room
    const run = pausable(room.synapse)
    const stored: number[] = []
    run.before(pattern, async () => {
      for (const { group, newBase } of room.moves)
        for (const base of [group, newBase!])
          stored.push(
            (
              await storeStateGroup(session, {
                room: room.grown.room,
                event: `$on${base}`,
                base,
                delta: [['t', 'on', `$on${base}`]],
              }).run()
            ).id,
          )
    })
    const running = execute(run.database, { rooms: [room.grown.room] })
    const report = await running
    // Not every unit has every statement.
    if (stored.length === 0) expect(run.statements.some((statement) => pattern.test(statement))).toBe(false)
    expect(report).toMatchObject({ complete: true, skipped: [], units: { done: 1, failed: 0 } })
    expect(await harm(session, room.states)).toEqual(unharmed)
    for (const id of stored) expect((await fullState(session, id)).get('t\0on')).toMatch(/^\$on/)
  },
)
