// The parameter index: for every lookup of a source row an entry is added at each change, and none is ever removed by the service.
// An entry is superseded when a newer one of the same row and lookup is at most as new as the bound: whoever reads at a checkpoint
// from the bound on takes the newer one. An empty entry at the bound says the same as none, once the older ones are gone.
import type { Connection } from '../../database/postgres.ts'
import { sliceSettings } from './apply-slice.ts'

/** Entries of one transaction. */
const batch = 5_000

/** Superseded ones come first, so that no older entry ever comes to light. */
const removable = `SELECT id, row_number() OVER (ORDER BY newest = id, id) AS n
  FROM (SELECT id, bucket_parameters, max(id) OVER (PARTITION BY source_table, source_key, lookup) AS newest
          FROM bucket_parameters WHERE group_id = $1 AND id <= $2) entry
 WHERE id < newest OR bucket_parameters = '[]'`

/** How many entries could go: superseded ones, and rows of which nothing would be left but an empty entry. */
export async function removableParameters(connection: Connection, group: number, bound: number): Promise<number> {
  const [row] = await connection.query<[number]>(`SELECT count(*) FROM (${removable}) entry`, [group, bound])
  return row![0]
}

/**
 * Removes them in short transactions.
 * @param mayGoOn asked before every transaction
 * @throws pg errors; what was removed before stays removed
 */
export async function removeParameters(
  connection: Connection,
  group: number,
  bound: number,
  mayGoOn: () => boolean,
): Promise<number> {
  await connection.execute('DROP TABLE IF EXISTS pg_temp.tamp_parameter')
  await connection.execute('CREATE TEMP TABLE tamp_parameter (id int8, n int8)')
  const found = await connection.execute(`INSERT INTO tamp_parameter ${removable}`, [group, bound])
  await connection.execute('CREATE INDEX ON tamp_parameter (n)')
  let removed = 0
  for (let from = 0; from < found && mayGoOn(); from += batch) {
    await connection.execute(`BEGIN;\n${sliceSettings}`)
    try {
      removed += await connection.execute(
        `DELETE FROM bucket_parameters p USING tamp_parameter t
          WHERE t.n > $2 AND t.n <= $3 AND p.id = t.id AND p.group_id = $1`,
        [group, from, from + batch],
      )
      await connection.execute('COMMIT')
    } catch (error) {
      await connection.execute('ROLLBACK').catch(() => {})
      throw error
    }
  }
  await connection.execute('DROP TABLE IF EXISTS pg_temp.tamp_parameter')
  return removed
}
