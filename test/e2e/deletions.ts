// Lets Synapse purge history and delete rooms, and hurries the deletion of the state groups, which takes it ten minutes otherwise.
import { setTimeout as sleep } from 'node:timers/promises'
import type { FreshDatabase } from '../support/postgres.ts'
import type { Homeserver } from './homeserver.ts'
import { part } from './rooms.ts'

/** Purges the older half of a room's history. The state groups of these events are only queued by that. */
export async function purgeHistory(server: Homeserver, database: FreshDatabase, room: string): Promise<void> {
  const events = await eventsOf(database, room)
  const event = events[events.length >> 1]!
  const path = `/v1/purge_history/${part(room)}/${part(event)}`
  const { purge_id } = await server.admin('POST', path, { delete_local_events: true })
  await succeeds(server, `/v1/purge_history_status/${purge_id}`)
}

/** Deletes a room with all its state groups, without the queue. */
export async function deleteRoom(server: Homeserver, room: string): Promise<void> {
  const { delete_id } = await server.admin('DELETE', `/v2/rooms/${part(room)}`, { purge: true, force_purge: true })
  await succeeds(server, `/v2/rooms/delete_status/${delete_id}`)
}

/** Has everything in the queue deleted now. Synapse looks at it once a minute. */
export async function emptyQueue(database: FreshDatabase): Promise<void> {
  await using session = await database.connect()
  const isEmpty = async (select: string) => (await session.query(`${select} LIMIT 1`)).length === 0
  await until("Synapse's deletion of state groups", async () => {
    await session.query('UPDATE state_groups_pending_deletion SET insertion_ts = 0 WHERE insertion_ts > 0')
    // A new server looks for groups that nothing refers to once, some time after its first start, and queues those too.
    return (
      (await isEmpty(`SELECT FROM background_updates WHERE update_name LIKE 'mark_unreferenced_state_groups%'`)) &&
      (await isEmpty('SELECT FROM state_groups_pending_deletion'))
    )
  })
}

/** The events of a room that have a state, oldest first. */
export async function eventsOf(database: FreshDatabase, room: string): Promise<string[]> {
  await using session = await database.connect()
  const events = await session.query<[string]>(
    'SELECT event_id FROM events WHERE room_id = $1 AND NOT outlier ORDER BY topological_ordering, stream_ordering',
    [room],
  )
  return events.map(([event]) => event)
}

async function succeeds(server: Homeserver, path: string): Promise<void> {
  await until(path, async () => {
    const { status, error } = await server.admin('GET', path)
    if (status === 'failed') throw new Error(`${path} failed: ${error}`)
    return status === 'complete'
  })
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 8 * 60_000; !(await isSo()); await sleep(500))
    if (Date.now() > deadline) throw new Error(`${what} takes too long`)
}
