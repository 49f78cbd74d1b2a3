// The order in which a run takes the rooms: largest expected saving first. The server counts; nothing is kept for each group.
import type { Scope } from '../core/compactor.ts'
import type { SynapseDatabase } from './database.ts'
import { ReadSnapshot } from '../database/read-snapshot.ts'

/**
 * All rooms. What a room may save is taken for its snapshots but one, each as large as the newest.
 *
 * Cost: one join of state_groups and state_group_edges on the server (seconds a million groups), and one snapshot's index entries a
 * room. Memory: a line a room.
 */
export async function* rankRooms(database: SynapseDatabase, signal?: AbortSignal): AsyncGenerator<Scope> {
  await using state = await ReadSnapshot.open(() => database.connectState(), signal)
  const batches = state.batches<[string, number, number, number]>(
    `SELECT room_id, deltas, snapshots, snapshot_rows
       FROM (SELECT g.room_id, count(e.state_group) AS deltas, count(*) - count(e.state_group) AS snapshots,
                    max(g.id) FILTER (WHERE e.state_group IS NULL) AS newest
               FROM state_groups g LEFT JOIN state_group_edges e ON e.state_group = g.id
              GROUP BY g.room_id) AS rooms
      CROSS JOIN LATERAL (SELECT count(*) AS snapshot_rows FROM state_groups_state s WHERE s.state_group = newest) AS newest_snapshot
      ORDER BY (snapshots - 1) * snapshot_rows DESC, deltas DESC, room_id`,
  )
  for await (const batch of batches)
    for (const [lane, deltas, snapshots, snapshotRows] of batch)
      yield { lane, rowsEstimate: deltas + Math.ceil((snapshots * snapshotRows) / 2) + 1 }
}
