// The service's own compactor: seen by its statements, given way to. Every connection of the service has the same application_name, so
// that only what a statement says tells the compactor from the replicator.
import type { Connection } from '../../database/postgres.ts'

/** Seconds after its last statement in which the compactor is taken to be still at work: it thinks between batches. */
const restSeconds = 5

/** Whether the service's compactor is at work on this database just now. The replicator never updates or deletes in bucket_data. */
export async function serviceIsCompacting(connection: Connection): Promise<boolean> {
  const rows = await connection.query(
    `SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'powersync-storage/%'
        AND query ~* '(update|delete\\s+from)\\s+("?[^"\\s]+"?\\.)?"?bucket_data\\M'
        AND (state <> 'idle' OR state_change > clock_timestamp() - make_interval(secs => ${restSeconds}))
      LIMIT 1`,
  )
  return rows.length > 0
}
