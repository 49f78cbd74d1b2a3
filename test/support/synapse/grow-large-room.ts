// A room as large as those that fill disks, made by the server itself in seconds: for benches and tests of bounds.
import type { Session } from '../session.ts'

export interface LargeRoom {
  readonly room: string
  readonly groups: number
  readonly rows: number
  readonly firstId: number
}

/**
 * A member joins in every group; a snapshot every `snapshotEvery` groups. 20,000 groups and 100: 2,010,000 rows, 376 MB.
 * Every group is named by an event.
 */
export async function growLargeRoom(
  session: Session,
  options: { readonly groups?: number; readonly snapshotEvery?: number; readonly room?: string } = {},
): Promise<LargeRoom> {
  const { groups = 20_000, snapshotEvery = 100, room = '!large:example.org' } = options
  const [[last]] = (await session.query<[number]>('SELECT coalesce(max(id), 0) FROM state_groups')) as [[number]]
  await session.query('BEGIN')
  try {
    // A snapshot at the 1st, 101st, … group holds all who have joined so far, the others the one who joins.
    await session.query('DROP INDEX state_groups_state_type_idx')
    const event = (number: string) =>
      `'$' || translate(encode(sha256(('event' || ${number})::bytea), 'base64'), '+/=', '-_')`
    await session.execute(
      `INSERT INTO state_groups (id, room_id, event_id)
       SELECT $1::bigint + g, $2, ${event('g')} FROM generate_series(1, $3::int) AS g`,
      [last, room, groups],
    )
    await session.execute(
      `INSERT INTO state_group_edges (state_group, prev_state_group)
       SELECT $1::bigint + g, $1::bigint + g - 1 FROM generate_series(1, $2::int) AS g WHERE g % $3::int <> 1 % $3::int`,
      [last, groups, snapshotEvery],
    )
    const rows = await session.execute(
      `WITH members AS MATERIALIZED (
         SELECT m, '@member' || m || ':example.org' AS member, ${event('m')} AS event
         FROM generate_series(1, $3::int) AS m
       ), has AS (
         SELECT m AS g, member, event FROM members WHERE m % $4::int <> 1 % $4::int
         UNION ALL
         SELECT g, member, event
         FROM generate_series(1, $3::int, $4::int) AS g JOIN members ON m <= g
       )
       INSERT INTO state_groups_state (state_group, room_id, type, state_key, event_id)
       SELECT $1::bigint + g, $2, 'm.room.member', member, event FROM has`,
      [last, room, groups, snapshotEvery],
    )
    await session.execute(
      `INSERT INTO event_to_state_groups (event_id, state_group)
       SELECT event_id, id FROM state_groups WHERE room_id = $1`,
      [room],
    )
    await session.execute(
      `INSERT INTO event_forward_extremities (event_id, room_id)
       SELECT event_id, room_id FROM state_groups WHERE id = $1`,
      [last + groups],
    )
    await session.query(`SELECT setval('state_group_id_seq', $1::bigint)`, [last + groups])
    await session.query(
      'CREATE INDEX state_groups_state_type_idx ON state_groups_state USING btree (state_group, type, state_key)',
    )
    await session.query('COMMIT')
    await session.query('ANALYZE state_groups, state_group_edges, state_groups_state, event_to_state_groups')
    return { room, groups, rows, firstId: last + 1 }
  } catch (error) {
    await session.query('ROLLBACK').catch(() => {})
    throw error
  }
}
