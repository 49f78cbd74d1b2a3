// Rooms that Synapse deletes while a run is under way: the rest of the run goes on.
import { expect, test } from 'vitest'
import type { TampEvent } from '../../src/core/events.ts'
import { compact, openSynapse } from '../../src/synapse/index.ts'
import type { CompactOptions } from '../../src/synapse/index.ts'
import { freshDatabase } from '../support/postgres.ts'
import type { FreshDatabase } from '../support/postgres.ts'
import { growRoom } from '../support/synapse/grow.ts'

const [doomed, other] = ['!doomed:example.org', '!other:example.org']

/** Runs over two rooms, and deletes one of them when `moment` has come. */
async function compactWhileDeleting(
  database: FreshDatabase,
  moment: (event: TampEvent) => boolean,
  options: Partial<CompactOptions> = {},
) {
  // The doomed room is the larger one: it comes first.
  await growRoom(database.session, { seed: 1, room: doomed, groups: 400, shape: 'forked', snapshotEvery: 5 })
  await growRoom(database.session, { seed: 2, room: other, groups: 150, shape: 'forked', snapshotEvery: 5 })
  let deletion: Promise<unknown> | undefined
  const synapse = await openSynapse({ connection: database.url, env: {} })
  // What the run asks for next waits until the room is gone.
  const waiting = {
    ...synapse,
    connectState: async () => {
      await deletion
      return synapse.connectState()
    },
  }
  const onEvent = (event: TampEvent) => {
    if (deletion === undefined && moment(event)) deletion = deleteRoom(database)
  }
  const report = await compact(waiting, { mode: 'execute', onEvent, ...options })
  expect(deletion).toBeDefined()
  return report
}

async function deleteRoom(database: FreshDatabase): Promise<void> {
  for (const table of ['state_group_edges', 'state_groups_state'])
    await database.query(`DELETE FROM ${table} WHERE state_group IN (SELECT id FROM state_groups WHERE room_id = $1)`, [
      doomed,
    ])
  await database.query('DELETE FROM state_groups WHERE room_id = $1', [doomed])
}

test.each([
  ['all rooms', {}],
  ['rooms asked for by name', { rooms: [doomed, other] }],
])('P7: a room that is deleted before it is read is left out, and the rest is done: %s', async (_, options) => {
  await using database = await freshDatabase('empty')
  const atOnce = (event: TampEvent) => event.type === 'reading' && event.lane === doomed
  const report = await compactWhileDeleting(database, atOnce, options)
  expect(report).toMatchObject({ complete: true, units: { failed: 0 }, proof: { mismatches: 0 } })
  expect(report.lanes.map(({ lane }) => lane)).toEqual([other])
  expect(report.skipped).toEqual([{ subject: doomed, reason: 'it has been deleted since the run began' }])
  expect(report.after.rows).toBeLessThan(report.before.rows)
})

test('P7: a room that is deleted after it was compacted stops nothing', async () => {
  await using database = await freshDatabase('empty')
  const report = await compactWhileDeleting(database, (event) => event.type === 'unit' && event.lane === doomed)
  expect(report).toMatchObject({ complete: true, units: { failed: 0 }, proof: { mismatches: 0 } })
  expect(report.lanes.find(({ lane }) => lane === doomed)!.after).toMatchObject({ groups: 0, rows: 0 })
  const { before, after } = report.lanes.find(({ lane }) => lane === other)!
  expect(after.rows).toBeLessThan(before.rows)
})

test('P5: a room that never was there is refused before anything is written', async () => {
  await using database = await freshDatabase('empty')
  const { rows } = await growRoom(database.session, { seed: 2, room: other, groups: 150, snapshotEvery: 5 })
  const synapse = await openSynapse({ connection: database.url, env: {} })
  const run = compact(synapse, { mode: 'execute', rooms: [other, '!nowhere:example.org'] })
  await expect(run).rejects.toMatchObject({ code: 'no-such-room' })
  expect(await database.query('SELECT count(*) FROM state_groups_state')).toEqual([[rows]])
})
