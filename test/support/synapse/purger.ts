// Deletes state groups as Synapse does: the same reads, locks and writes in the same order, in SQL of our own.
import type { Session } from '../session.ts'
import { fullState } from './full-state.ts'
import { inTransaction, type Steps } from './steps.ts'

/** Synapse lets groups wait this long before it deletes them. */
export const deletionDelay = 10 * 60 * 1000

export interface Purged {
  readonly deleted: readonly number[]
  /** Children of deleted groups: they now hold their full state. */
  readonly expanded: readonly number[]
}

/** Queues groups for deletion. Groups that are queued already keep their place. */
export async function markPending(session: Session, groups: readonly number[], insertionTs: number): Promise<number> {
  return session.execute(
    `INSERT INTO state_groups_pending_deletion (state_group, insertion_ts)
     SELECT g, $2 FROM unnest($1::bigint[]) AS g
     ON CONFLICT (state_group) DO NOTHING`,
    [groups, insertionTs],
  )
}

/**
 * What Synapse's minute loop picks: the oldest batch (one room, one time of insertion) that has waited long enough and that
 * nobody is persisting events on, without the groups that an event names. The result goes into `purgeUnreferencedStateGroups`.
 */
export async function dueGroups(session: Session, now: number = Date.now()): Promise<Map<number, number>> {
  const rows = await session.query<[number, number]>(
    `WITH due AS (
       SELECT p.sequence_number, p.state_group, p.insertion_ts, g.room_id
       FROM state_groups_pending_deletion p JOIN state_groups g ON g.id = p.state_group
       WHERE p.insertion_ts <= $1
         AND NOT EXISTS (SELECT FROM state_groups_persisting s WHERE s.state_group = p.state_group)
     ), batch AS (SELECT room_id, insertion_ts FROM due ORDER BY insertion_ts, room_id LIMIT 1)
     SELECT state_group, sequence_number FROM due JOIN batch USING (room_id, insertion_ts)
     WHERE NOT EXISTS (SELECT FROM event_to_state_groups r WHERE r.state_group = due.state_group)
     ORDER BY state_group`,
    [now - deletionDelay],
  )
  return new Map(rows)
}

/** The sequence numbers of queued groups, whatever their age. */
export async function pendingGroups(session: Session, groups: readonly number[]): Promise<Map<number, number>> {
  return new Map(
    await session.query<[number, number]>(
      'SELECT state_group, sequence_number FROM state_groups_pending_deletion WHERE state_group = ANY ($1)',
      [groups],
    ),
  )
}

/**
 * Deletes queued groups (group → sequence number as read before), if they still are ready for it; a group that is not, and all it
 * is built on, stays. Children that stay get their full state first. Steps: begin, lock, pending, persisting, ancestors, children,
 * then per child read, delete-rows, delete-edge, insert-rows; delete-rows, delete-edges, delete-groups, delete-pending, commit.
 */
export function purgeUnreferencedStateGroups(
  session: Session,
  queued: ReadonlyMap<number, number>,
  options: { readonly now?: () => number } = {},
): Steps<Purged> {
  const now = options.now ?? Date.now
  return inTransaction(session, async function* () {
    const groups = [...queued.keys()].sort((a, b) => a - b)
    const there = await session.query<[number]>('SELECT id FROM state_groups WHERE id = ANY ($1) FOR UPDATE', [groups])
    yield 'lock'

    const pending = await session.query<[number, number, number]>(
      'SELECT state_group, sequence_number, insertion_ts FROM state_groups_pending_deletion WHERE state_group = ANY ($1)',
      [groups],
    )
    yield 'pending'
    const persisting = await session.query<[number]>(
      'SELECT state_group FROM state_groups_persisting WHERE state_group = ANY ($1)',
      [groups],
    )
    yield 'persisting'
    const busy = new Set(persisting.flat())
    const exists = new Set(there.flat())
    const ready = new Set(
      pending
        .filter(([group, sequence, since]) => queued.get(group) === sequence && since <= now() - deletionDelay)
        .map(([group]) => group)
        .filter((group) => exists.has(group) && !busy.has(group)),
    )

    const needed = await session.query<[number]>(
      `WITH RECURSIVE kept (state_group) AS (
         SELECT unnest($1::bigint[])
         UNION
         SELECT e.prev_state_group FROM state_group_edges e JOIN kept k ON k.state_group = e.state_group
       ) SELECT state_group FROM kept`,
      [groups.filter((group) => !ready.has(group))],
    )
    yield 'ancestors'
    for (const [group] of needed) ready.delete(group)
    const deleted = [...ready].sort((a, b) => a - b)

    const edges = await session.query<[number]>(
      'SELECT state_group FROM state_group_edges WHERE prev_state_group = ANY ($1)',
      [deleted],
    )
    yield 'children'
    const expanded = [...new Set(edges.flat())].filter((group) => !ready.has(group)).sort((a, b) => a - b)
    for (const child of expanded) {
      const state = await fullState(session, child)
      yield 'read'
      await session.execute('DELETE FROM state_groups_state WHERE state_group = $1', [child])
      yield 'delete-rows'
      await session.execute('DELETE FROM state_group_edges WHERE state_group = $1', [child])
      yield 'delete-edge'
      const rows = [...state].map(([key, event]) => [...key.split('\0'), event])
      await session.execute(
        `INSERT INTO state_groups_state (state_group, room_id, type, state_key, event_id)
         SELECT g.id, g.room_id, t, k, e FROM state_groups g, unnest($2::text[], $3::text[], $4::text[]) AS s (t, k, e)
         WHERE g.id = $1`,
        [child, ...[0, 1, 2].map((column) => rows.map((row) => row[column]))],
      )
      yield 'insert-rows'
    }

    await session.execute('DELETE FROM state_groups_state WHERE state_group = ANY ($1)', [deleted])
    yield 'delete-rows'
    await session.execute('DELETE FROM state_group_edges WHERE state_group = ANY ($1)', [deleted])
    yield 'delete-edges'
    await session.execute('DELETE FROM state_groups WHERE id = ANY ($1)', [deleted])
    yield 'delete-groups'
    await session.execute('DELETE FROM state_groups_pending_deletion WHERE state_group = ANY ($1)', [deleted])
    yield 'delete-pending'
    return { deleted, expanded }
  })
}

/**
 * Removes all state groups of a room, without row locks and without looking at the queue. Synapse guards it by the room's worker
 * lock alone (`lockRoom`). Steps: begin, timeout, delete-edges, delete-rows, delete-groups, commit.
 */
export function purgeRoom(session: Session, room: string): Steps<{ readonly groups: number; readonly rows: number }> {
  return inTransaction(session, async function* () {
    await session.query('SET LOCAL statement_timeout = 0')
    yield 'timeout'
    await session.execute(
      'DELETE FROM state_group_edges WHERE state_group IN (SELECT id FROM state_groups WHERE room_id = $1)',
      [room],
    )
    yield 'delete-edges'
    const rows = await session.execute(
      'DELETE FROM state_groups_state WHERE state_group IN (SELECT id FROM state_groups WHERE room_id = $1)',
      [room],
    )
    yield 'delete-rows'
    const groups = await session.execute('DELETE FROM state_groups WHERE room_id = $1', [room])
    yield 'delete-groups'
    return { groups, rows }
  })
}

/** What a purge of history does before anything is deleted: forgets the events of these groups, and queues what became unreferenced. */
export async function purgeHistory(
  session: Session,
  groups: readonly number[],
  insertionTs: number = Date.now(),
): Promise<readonly number[]> {
  await session.execute(
    `WITH gone AS (DELETE FROM event_to_state_groups WHERE state_group = ANY ($1) RETURNING event_id)
     DELETE FROM event_forward_extremities WHERE event_id IN (SELECT event_id FROM gone)`,
    [groups],
  )
  const unreferenced = await findUnreferencedGroups(session, groups)
  await markPending(session, unreferenced, insertionTs)
  return unreferenced
}

/** Walks from the groups to their bases and children, in many small transactions, as long as no event names what it meets. */
export async function findUnreferencedGroups(session: Session, groups: readonly number[]): Promise<readonly number[]> {
  const seen = new Set(groups)
  const referenced = new Set<number>()
  let waiting = [...groups]
  while (waiting.length > 0) {
    const batch = waiting.splice(0, 100)
    const named = await session.query<[number]>(
      'SELECT DISTINCT state_group FROM event_to_state_groups WHERE state_group = ANY ($1)',
      [batch],
    )
    for (const [group] of named) referenced.add(group)
    const free = batch.filter((group) => !referenced.has(group))
    const bases = await session.query<[number]>(
      'SELECT prev_state_group FROM state_group_edges WHERE state_group = ANY ($1)',
      [free],
    )
    const children = await session.query<[number]>(
      'SELECT state_group FROM state_group_edges WHERE prev_state_group = ANY ($1)',
      [free],
    )
    const met = [...new Set([...bases, ...children].flat())].filter((group) => !seen.has(group))
    for (const group of met) seen.add(group)
    waiting = waiting.concat(met)
  }
  return [...seen].filter((group) => !referenced.has(group)).sort((a, b) => a - b)
}

/** Holds the worker lock under which Synapse purges a room; the result lets it go. */
export async function lockRoom(
  session: Session,
  room: string,
  options: {
    readonly name?: 'purge_pagination_lock' | 'new_event_during_purge_lock'
    readonly write?: boolean
    readonly renewed?: number
  } = {},
): Promise<() => Promise<void>> {
  const key = [options.name ?? 'purge_pagination_lock', room, `token${Math.random()}`]
  await session.execute(
    `INSERT INTO worker_read_write_locks (lock_name, lock_key, token, instance_name, write_lock, last_renewed_ts)
     VALUES ($1, $2, $3, 'master', $4, $5)`,
    [...key, options.write ?? true, options.renewed ?? Date.now()],
  )
  return async () => {
    await session.execute(
      'DELETE FROM worker_read_write_locks WHERE lock_name = $1 AND lock_key = $2 AND token = $3',
      key,
    )
  }
}
