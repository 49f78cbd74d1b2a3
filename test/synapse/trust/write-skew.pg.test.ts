// R10 and its like: two transactions that each change something the other only reads. PostgreSQL's REPEATABLE READ lets both commit,
// unless both write a common row. Groups that had no edge are the hard case: there is none to collide on.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openSynapse } from '../../../src/synapse/index.ts'
import type { SynapseDatabase } from '../../../src/synapse/index.ts'
import { freshDatabase, type FreshDatabase } from '../../support/postgres.ts'
import { stateKey } from '../../support/synapse/full-state.ts'
import { insertRoom, type GrownGroup } from '../../support/synapse/grow.ts'
import { rememberStates, type Memory } from '../../support/synapse/judge.ts'
import { markPending, pendingGroups, purgeUnreferencedStateGroups } from '../../support/synapse/purger.ts'
import { execute, harm, pausable, plannedMoves, someoneWaits, unharmed, unitStatements } from './scene.ts'

const room = '!skew:example.org'
const begin = unitStatements[0]![1]
const commit = unitStatements.at(-1)![1]

let database: FreshDatabase
let synapse: SynapseDatabase
let states: Memory

beforeEach(async () => {
  database = await freshDatabase('empty')
  synapse = await openSynapse({ connection: database.url, env: {} })
})
afterEach(() => database[Symbol.asyncDispose]())

/** Groups 1, 2, …, given as their deltas, each on a base or on nothing; the last is named by an event. */
async function insert(...groups: readonly { on?: number; rows: Readonly<Record<string, string>> }[]): Promise<void> {
  const made: GrownGroup[] = []
  for (const [i, { on, rows }] of groups.entries()) {
    const delta = Object.entries(rows).map(([key, event]) => ['t', key, `$${event}`] as const)
    const state = new Map(on === undefined ? [] : made[on - 1]!.state)
    for (const [type, key, event] of delta) state.set(stateKey(type, key), event)
    made.push({ id: i + 1, base: on, delta, state, referenced: i === groups.length - 1 })
  }
  await insertRoom(database.session, {
    room,
    groups: made,
    rows: made.reduce((sum, { delta }) => sum + delta.length, 0),
  })
  states = await rememberStates(database.session)
}

/** Ends the session that holds the lock against a second tamp. */
async function stealLock(): Promise<void> {
  const ended = await database.query(
    `SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
      WHERE l.locktype = 'advisory' AND d.datname = current_database()`,
  )
  expect(ended).toEqual([[true]])
}

describe('two tamps at once', () => {
  test('R10: the second is told so, and writes nothing', async () => {
    await insert({ rows: { a: '1', b: '1' } }, { rows: { a: '1', b: '2' } })
    const first = pausable(synapse)
    const pause = first.pauseBefore(begin)
    const running = execute(first.database)
    await pause.reached
    await expect(execute(synapse)).rejects.toMatchObject({ code: 'locked', exitStatus: 11 })
    pause.resume()
    expect(await running).toMatchObject({ units: { done: 1 } })
    expect(await execute(synapse)).toMatchObject({ units: { planned: 0 } })
    expect(await harm(database.session, states)).toEqual(unharmed)
  })

  /** Both plan, the second without the base that the first has chosen; then both carry out, neither seeing the other's change. */
  async function collide(group: number): Promise<[number, number]> {
    const first = pausable(synapse)
    const firstBegins = first.pauseBefore(begin)
    const firstCommits = first.pauseBefore(commit)
    const firstRun = execute(first.database, { rooms: [room] })
    await firstBegins.reached
    const { newBase } = (await plannedMoves(synapse, room)).find((move) => move.group === group)!
    await stealLock()
    await markPending(database.session, [newBase!], Date.now())
    const other = (await plannedMoves(synapse, room)).find((move) => move.group === group)!
    const second = pausable(synapse)
    const secondBegins = second.pauseBefore(begin)
    const secondCommits = second.pauseBefore(commit)
    const secondRun = execute(second.database, { rooms: [room] })
    await secondBegins.reached
    await database.query('TRUNCATE state_groups_pending_deletion')
    firstBegins.resume()
    await firstCommits.reached
    secondBegins.resume()
    // The second either gets as far, or it waits for the first.
    await Promise.race([secondCommits.reached, someoneWaits(database.session)])
    firstCommits.resume()
    secondCommits.resume()
    for (const { units } of await Promise.all([firstRun, secondRun])) expect(units.failed).toBe(0)
    return [newBase!, other.newBase!]
  }

  test('R10: without the lock, a snapshot that both give a base ends with one', async () => {
    await insert({ rows: { a: '1', b: '9' } }, { rows: { a: '9', b: '1' } }, { rows: { a: '1', b: '1' } })
    const [one, two] = await collide(3)
    expect(one).not.toBe(two)
    expect(await harm(database.session, states)).toEqual(unharmed)
  })

  test('R10: without the lock, a group of which one takes a row away and the other changes the base keeps its state', async () => {
    await insert({ rows: { a: '1', b: '9' } }, { rows: { a: '9', b: '1' } }, { on: 1, rows: { a: '1', b: '1' } })
    const bases = await collide(3)
    expect(bases.sort()).toEqual([1, 2])
    expect(await harm(database.session, states)).toEqual(unharmed)
  })
})

test('R3: a purge with an old snapshot of a group that we have just given its first base', async () => {
  // Level plans change bases also where no row is saved: nothing of group 2 but its edge is written.
  const plan = { levels: [2] }
  await insert({ rows: { a: '1' } }, { rows: { a: '2' } }, { rows: { a: '3' } }, { rows: { a: '3' } })
  expect(await plannedMoves(synapse, room, { plan })).toContainEqual({ group: 2, oldBase: null, newBase: 1 })
  const run = pausable(synapse)
  const pause = run.pauseBefore(commit)
  const running = execute(run.database, { rooms: [room], plan })
  await pause.reached
  await markPending(database.session, [2], 0)
  await using purger = await database.connect()
  const purge = purgeUnreferencedStateGroups(purger, await pendingGroups(database.session, [2]))
  const purging = purge.run()
  await someoneWaits(database.session)
  pause.resume()
  expect(await running).toMatchObject({ units: { done: 1, failed: 0 } })
  expect((await purging).deleted).toEqual([2])
  expect(await harm(database.session, states)).toEqual(unharmed)
})
