// What a room's snapshots would cost as deltas: each compared with the snapshot before it.
import type { ReadSnapshot } from '../../database/read-snapshot.ts'
import { noBase } from './group-table.ts'
import type { GroupTable } from './group-table.ts'

export interface SnapshotCost {
  /** Rows of the snapshots that were compared. */
  readonly now: number
  /** Rows they would have on the snapshot before them. */
  readonly expected: number
  /** Rows of the room's first snapshot, which has nothing to stand on. */
  readonly first: number
}

/**
 * Two snapshots are a whole chain apart where history is a line, which costs nearly all their rows, and next to each other
 * where several branches each reached Synapse's limit, which costs next to none. So the comparison tells both what changed
 * and how deep the room really is. Reads about twice `rows` rows by index.
 */
export async function probeSnapshots(
  state: ReadSnapshot,
  table: GroupTable,
  room: number,
  snapshotRows: number,
  rows: number,
): Promise<SnapshotCost> {
  const roots: number[] = []
  for (const position of table.byRoom.subarray(table.start[room]!, table.start[room + 1]!)) {
    if (table.base[position] === noBase) roots.push(table.ids[position]!)
  }
  if (roots.length === 0) return { now: 0, expected: 0, first: 0 }
  const perSnapshot = Math.max(1, snapshotRows / roots.length)
  const pairs = Math.min(roots.length - 1, Math.max(2, Math.floor(rows / perSnapshot)))
  const groups = [roots[0]!]
  const before: (number | null)[] = [null]
  for (let pair = 0; pair < pairs; pair++) {
    const at = 1 + Math.floor(((pair + 0.5) * (roots.length - 1)) / pairs)
    groups.push(roots[at]!)
    before.push(roots[at - 1]!)
  }
  let first = 0
  let now = 0
  let expected = 0
  // A few at a time: each statement stays short whatever the size of a snapshot.
  for (let from = 0; from < groups.length; from += 8) {
    const found = await state.query<[number, number, number]>(
      `SELECT p.id, c.stored, c.different
         FROM unnest($1::bigint[], $2::bigint[]) AS p (id, before)
        CROSS JOIN LATERAL (
          SELECT count(*) AS stored,
                 count(*) FILTER (WHERE NOT EXISTS (
                   SELECT FROM state_groups_state b
                    WHERE b.state_group = p.before AND b.type = a.type AND b.state_key = a.state_key
                      AND b.event_id = a.event_id)) AS different
            FROM state_groups_state a
           WHERE a.state_group = p.id) AS c`,
      [groups.slice(from, from + 8), before.slice(from, from + 8)],
    )
    for (const [id, stored, different] of found) {
      if (id === roots[0]) first = stored
      else {
        now += stored
        expected += different
      }
    }
  }
  return { now, expected, first }
}
