// The service's own compactor: seen by its statements, given way to. Every connection of the service has the same application_name, so
// that only what a statement says tells the compactor from the replicator.
import type { Connection } from '../../database/postgres.ts'

/** Seconds after its last statement in which the compactor is taken to be still at work: it thinks between batches. */
const restSeconds = 5

/**
 * Whether the service's compactor is at work on this database just now. The replicator never updates or deletes in bucket_data, and reads
 * no page of it backwards; the rows of a stream that was stopped are deleted by ctid.
 */
export async function serviceIsCompacting(connection: Connection): Promise<boolean> {
  const rows = await connection.query(
    `SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'powersync-storage/%'
        AND query ~* '\\mbucket_data\\M' AND query !~* '\\mctid\\M'
        AND (query ~* '^\\s*(WITH\\M.*)?(UPDATE|DELETE)\\M' OR query ~* 'ORDER\\s+BY\\s+.*op_id"?\\s+DESC')
        AND (state <> 'idle' OR state_change > clock_timestamp() - make_interval(secs => ${restSeconds}))
      LIMIT 1`,
  )
  return rows.length > 0
}

/** Whether this role is shown what the service's connections do; where it is not, their statements are hidden. */
export async function seesTheService(connection: Connection): Promise<boolean> {
  const rows = await connection.query(
    `SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'powersync-storage/%' AND query = '<insufficient privilege>' LIMIT 1`,
  )
  return rows.length === 0
}
