// A range of op ids that is taken out of the sequence so that no checkpoint can ever lie in it: the place for relocated rows where nobody
// has a list of all checkpoints that were published.
//
// Checkpoints are what the sequence stood at when the replicator flushed, or `keepalive_op` where that is higher. It publishes them
// under the lock of the stream's row. We take the ids under the same lock and leave `keepalive_op` at the last of them: whatever it read of
// the sequence meanwhile, what it publishes next is not below that. And no operation is ever written there, so no client can have
// been cut off there either. It takes until the next checkpoint, and until that has its age, before rows can be moved there.
import { sqlState } from '../../../database/failures.ts'
import type { Connection } from '../../../database/postgres.ts'
import type { BucketStorage } from '../../database.ts'
import type { Gap } from './gap.ts'

const table = `CREATE SCHEMA IF NOT EXISTS tamp;
CREATE TABLE IF NOT EXISTS tamp.reserved_gap (
  storage text NOT NULL, group_id int NOT NULL, sequence_file text NOT NULL, after int8 NOT NULL, up_to int8 NOT NULL,
  reserved_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (storage, group_id, after))`

/** A gap that nobody has used for so long is forgotten. */
const keptDays = 7

/** Which sequence it was: one that was made anew, or restarted, or restored elsewhere, has another file. */
const sequenceFile = `current_database() || ' ' || 'op_id_sequence'::regclass::oid || ' ' || pg_relation_filenode('op_id_sequence')`

/** The gaps that were reserved for the stream, whether or not they are published and old enough. */
export async function reservedGaps(connection: Connection, storage: BucketStorage, group: number): Promise<Gap[]> {
  const [there] = await connection.query<[boolean]>(
    `SELECT coalesce(has_table_privilege(to_regclass('tamp.reserved_gap'), 'SELECT'), false)
        AND coalesce(has_schema_privilege(to_regnamespace('tamp'), 'USAGE'), false)`,
  )
  if (!there![0]) return []
  const rows = await connection.query<[number, number]>(
    `SELECT after, up_to FROM tamp.reserved_gap
      WHERE storage = $1 AND group_id = $2 AND sequence_file = ${sequenceFile}
        AND up_to <= (SELECT last_value FROM op_id_sequence) ORDER BY after`,
    [storage.schema, group],
  )
  return rows.map(([after, upTo]) => ({ after, upTo, reserved: true }))
}

/**
 * Takes ids enough for so many rows and a CLEAR. Null where the role may not keep note of it.
 * @throws pg errors (55P03: the replicator publishes just now, try again)
 */
export async function reserveGap(
  connection: Connection,
  storage: BucketStorage,
  group: number,
  rows: number,
): Promise<Gap | null> {
  try {
    await connection.execute(table)
  } catch (error) {
    // 42501: the role may not make a schema or a table here.
    if (sqlState(error) === '42501') return null
    throw error
  }
  await connection.execute(
    `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '300ms'; SET LOCAL statement_timeout = '5s'`,
  )
  try {
    const [stream] = await connection.query<[string]>(
      `SELECT state FROM sync_rules WHERE id = $1 AND state IN ('ACTIVE', 'ERRORED') FOR UPDATE`,
      [group],
    )
    if (stream === undefined) {
      await connection.execute('ROLLBACK')
      return null
    }
    const [ids] = await connection.query<[number, number]>(
      `SELECT min(id), max(id) FROM (SELECT nextval('op_id_sequence') AS id FROM generate_series(1, $1)) taken`,
      [rows + 3],
    )
    const gap = { after: ids![0] - 1, upTo: ids![1], reserved: true } as const
    await connection.execute(
      'UPDATE sync_rules SET keepalive_op = greatest(coalesce(keepalive_op, 0), $2) WHERE id = $1',
      [group, gap.upTo],
    )
    await connection.execute(
      `DELETE FROM tamp.reserved_gap WHERE storage = $1 AND group_id = $2 AND reserved_at < now() - make_interval(days => $3)`,
      [storage.schema, group, keptDays],
    )
    await connection.execute(
      `INSERT INTO tamp.reserved_gap (storage, group_id, sequence_file, after, up_to) VALUES ($1, $2, ${sequenceFile}, $3, $4)`,
      [storage.schema, group, gap.after, gap.upTo],
    )
    await connection.execute('COMMIT')
    return gap
  } catch (error) {
    await connection.execute('ROLLBACK').catch(() => {})
    throw error
  }
}
