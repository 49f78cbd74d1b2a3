// Write checkpoints that a client asked for and that nobody waits for any more: removed after the retention, as the service does it.
import type { Connection } from '../../database/postgres.ts'
import type { BucketStorage } from '../database.ts'

/** Minutes for which the service keeps them unless it is configured otherwise (checkpoint_request_retention_minutes). */
export const defaultRetention = 60

/** Removes those that are older, or counts them. Those that no client asked for carry no time, and stay. */
export async function oldWriteCheckpoints(
  connection: Connection,
  { tables }: BucketStorage,
  minutes: number,
  remove: boolean,
): Promise<number> {
  let found = 0
  for (const [name, there] of [
    ['write_checkpoints', tables.writeCheckpoints],
    ['custom_write_checkpoints', tables.customWriteCheckpoints],
  ] as const) {
    if (!there || !(await hasRequestTime(connection, name))) continue
    const old = `FROM ${name} WHERE checkpoint_requested_at < now() - make_interval(mins => $1)`
    if (remove) found += await connection.execute(`DELETE ${old}`, [minutes])
    else {
      const [row] = await connection.query<[number]>(`SELECT count(*) ${old}`, [minutes])
      found += row![0]
    }
  }
  return found
}

/** Services before checkpoint requests have no such column. */
async function hasRequestTime(connection: Connection, table: string): Promise<boolean> {
  const rows = await connection.query(
    `SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'checkpoint_requested_at' AND NOT attisdropped`,
    [table],
  )
  return rows.length > 0
}
