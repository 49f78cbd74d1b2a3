// The parameter index: for every lookup of a source row an entry is added at each change, and none is ever removed by the service.
// An entry is superseded when a newer one of the same row and lookup is at most as new as the bound: whoever reads at a checkpoint
// from the bound on takes the newer one. An empty entry at the bound says the same as none, once the older ones are gone.
import type { Connection } from '../../database/postgres.ts'

/** Entries of one transaction. */
const batch = 5_000

const superseded = `SELECT id FROM (
    SELECT id, bucket_parameters, max(id) OVER (PARTITION BY source_table, source_key, lookup) AS newest
      FROM bucket_parameters WHERE group_id = $1 AND id <= $2) entry
   WHERE id < newest`
const empty = `SELECT id FROM (
    SELECT id, bucket_parameters, count(*) OVER (PARTITION BY source_table, source_key, lookup) AS entries
      FROM bucket_parameters WHERE group_id = $1 AND id <= $2) entry
   WHERE entries = 1 AND bucket_parameters = '[]'`

/** How many entries could go: superseded ones, and rows of which nothing would be left but an empty entry. */
export async function removableParameters(connection: Connection, group: number, bound: number): Promise<number> {
  const [row] = await connection.query<[number]>(
    `SELECT count(*) FILTER (WHERE id < newest OR bucket_parameters = '[]') FROM (
       SELECT id, bucket_parameters, max(id) OVER (PARTITION BY source_table, source_key, lookup) AS newest
         FROM bucket_parameters WHERE group_id = $1 AND id <= $2) entry`,
    [group, bound],
  )
  return row![0]
}

/**
 * Removes them in short transactions: all superseded ones before any empty one, so that no older entry ever comes to light.
 * @param mayGoOn asked before every transaction
 */
export async function removeParameters(
  connection: Connection,
  group: number,
  bound: number,
  mayGoOn: () => boolean,
): Promise<number> {
  let removed = 0
  for (const which of [superseded, empty])
    for (;;) {
      if (!mayGoOn()) return removed
      const gone = await connection.execute(
        `WITH entry AS MATERIALIZED (${which} LIMIT ${batch})
         DELETE FROM bucket_parameters p USING entry WHERE p.id = entry.id AND p.group_id = $1`,
        [group, bound],
      )
      removed += gone
      if (gone < batch) break
    }
  return removed
}
