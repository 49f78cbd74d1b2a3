// How Synapse reads the full state of a group on PostgreSQL: one statement, along the chain, the highest group id wins.
import type { Session } from '../session.ts'

/** State as a map from `stateKey(type, key)` to event id. */
export type State = ReadonlyMap<string, string>

// Text in PostgreSQL never holds a NUL.
export const stateKey = (type: string, key: string): string => `${type}\0${key}`

/** The statement; $1 is the group. */
export const fullStateQuery = `
  WITH RECURSIVE chain (state_group) AS (
    VALUES ($1::bigint)
    UNION ALL
    SELECT e.prev_state_group FROM state_group_edges e JOIN chain c ON c.state_group = e.state_group
  )
  SELECT DISTINCT ON (type, state_key) type, state_key, event_id
  FROM state_groups_state
  WHERE state_group IN (SELECT state_group FROM chain)
  ORDER BY type, state_key, state_group DESC`

/** Runs forever on a cycle, as Synapse does. In a transaction, plans without sequential scans from here on, as Synapse does. */
export async function fullState(session: Session, group: number): Promise<State> {
  // Outside a transaction this has no effect beyond a warning.
  await session.query('SET LOCAL enable_seqscan = off')
  const rows = await session.query<[string, string, string]>(fullStateQuery, [group])
  return new Map(rows.map(([type, key, event]) => [stateKey(type, key), event]))
}
