// Stores a new state group on an existing one, as Synapse does when an event arrives.
import type { Session } from '../session.ts'
import { fullState, stateKey } from './full-state.ts'
import { inTransaction, type Steps } from './steps.ts'

/** From this length of the chain on, Synapse stores a snapshot instead of a delta. */
export const maxHops = 100

export interface StoredGroup {
  readonly id: number
  readonly snapshot: boolean
}

/**
 * `delta` lists what differs from `base`, as [type, state_key, event_id]. Fails where the base is gone, as Synapse does. An event
 * is made up for the group and refers to it. Steps: begin, lock, bump, hops, (read,) id, insert-group, (insert-edge,) insert-rows,
 * insert-event, commit.
 */
export function storeStateGroup(
  session: Session,
  group: {
    readonly room: string
    readonly event: string
    readonly base: number
    readonly delta: readonly (readonly [type: string, key: string, event: string])[]
    readonly now?: number
  },
): Steps<StoredGroup> {
  return inTransaction(session, async function* () {
    const there = await session.query('SELECT id FROM state_groups WHERE id = ANY ($1) FOR KEY SHARE', [[group.base]])
    yield 'lock'
    if (there.length === 0) throw new Error(`the base ${group.base} is not there`)
    await session.execute(
      `UPDATE state_groups_pending_deletion SET sequence_number = DEFAULT, insertion_ts = $2 WHERE state_group = ANY ($1)`,
      [[group.base], group.now ?? Date.now()],
    )
    yield 'bump'
    // Counts the groups of the chain, the base itself included.
    const hops = await session.query<[number]>(
      `WITH RECURSIVE chain (state_group) AS (
         VALUES ($1::bigint)
         UNION ALL
         SELECT e.prev_state_group FROM state_group_edges e JOIN chain c ON c.state_group = e.state_group
       ) SELECT count(*) FROM chain`,
      [group.base],
    )
    yield 'hops'
    const snapshot = hops[0]![0] >= maxHops
    const rows = new Map(group.delta.map(([type, key, event]) => [stateKey(type, key), event]))
    if (snapshot) {
      for (const [key, event] of await fullState(session, group.base)) if (!rows.has(key)) rows.set(key, event)
      yield 'read'
    }
    const [[id]] = (await session.query<[number]>(`SELECT nextval('state_group_id_seq')`)) as [[number]]
    yield 'id'
    await session.execute('INSERT INTO state_groups (id, room_id, event_id) VALUES ($1, $2, $3)', [
      id,
      group.room,
      group.event,
    ])
    yield 'insert-group'
    if (!snapshot) {
      await session.execute('INSERT INTO state_group_edges (state_group, prev_state_group) VALUES ($1, $2)', [
        id,
        group.base,
      ])
      yield 'insert-edge'
    }
    const columns = [...rows].map(([key, event]) => [...key.split('\0'), event])
    await session.execute(
      `INSERT INTO state_groups_state (state_group, room_id, type, state_key, event_id)
       SELECT $1, $2, t, k, e FROM unnest($3::text[], $4::text[], $5::text[]) AS s (t, k, e)`,
      [id, group.room, ...[0, 1, 2].map((column) => columns.map((row) => row[column]))],
    )
    yield 'insert-rows'
    await session.execute('INSERT INTO event_to_state_groups (event_id, state_group) VALUES ($1, $2)', [
      group.event,
      id,
    ])
    yield 'insert-event'
    return { id, snapshot }
  })
}
