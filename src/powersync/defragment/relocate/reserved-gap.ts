// A range of op ids that is taken out of the sequence so that no checkpoint can ever lie in it: the place for relocated rows where nobody
// has a list of all checkpoints that were published.
//
// Checkpoints are what the sequence stood at when the replicator flushed, read in the transaction that wrote, or `keepalive_op` where that
// is higher. It publishes them under the lock of the stream's row. We take the ids under that lock and under locks that keep everybody from
// writing operations: nobody who flushes can read of the sequence what lies among them. And we leave `keepalive_op` at the last of them,
// so that what is published next is not below. Where that was not heeded, the ids are not used: such a service keeps other rules.
// No operation is ever written there, so no client can have been cut off there either. It takes until the next checkpoint, and
// until that has its age, before rows can be moved there.
import { sqlState } from '../../../database/failures.ts'
import type { Connection } from '../../../database/postgres.ts'
import type { BucketStorage } from '../../database.ts'
import type { Stream } from '../../streams.ts'
import type { Gap } from './gap.ts'

const table = `CREATE SCHEMA IF NOT EXISTS tamp;
CREATE TABLE IF NOT EXISTS tamp.reserved_gap (
  storage text NOT NULL, group_id int NOT NULL, sequence_file text NOT NULL, after int8 NOT NULL, up_to int8 NOT NULL,
  reserved_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (storage, group_id, after));
ALTER TABLE tamp.reserved_gap ADD COLUMN IF NOT EXISTS ignored boolean NOT NULL DEFAULT false`

/** A gap that nobody has used for so long is forgotten. */
const keptDays = 7

/** Which sequence it was: one that was made anew, or restarted, or restored elsewhere, has another file. */
const sequenceFile = `current_database() || ' ' || 'op_id_sequence'::regclass::oid || ' ' || pg_relation_filenode('op_id_sequence')`

/**
 * Somebody who publishes does not heed `keepalive_op`: he has emptied it and stayed below. Seen until there is a checkpoint above the gap,
 * and kept in mind from then on.
 */
const ignored = `(coalesce((to_jsonb(g) ->> 'ignored')::boolean, false) OR EXISTS (SELECT FROM sync_rules s WHERE s.id = g.group_id
    AND coalesce(s.last_checkpoint, 0) < g.up_to AND coalesce(s.keepalive_op, 0) < g.up_to))`

/** Whether the stream's service is known to keep the rules that reserving rests on: those before storage versions do not. */
async function isKnownService(connection: Connection): Promise<boolean> {
  const rows = await connection.query(
    `SELECT FROM pg_attribute WHERE attrelid = 'sync_rules'::regclass AND attname = 'storage_version' AND NOT attisdropped`,
  )
  return rows.length > 0
}

/**
 * The gaps that were reserved for the stream, whether or not they are published and old enough.
 * @param seen checkpoints that are known to have been published
 * @param writing keeps in mind what cannot be seen any more later
 */
export async function reservedGaps(
  connection: Connection,
  storage: BucketStorage,
  { id: group, lastCheckpoint }: Pick<Stream, 'id' | 'lastCheckpoint'>,
  seen: readonly number[] = [],
  writing = false,
): Promise<Gap[]> {
  const [there] = await connection.query<[boolean, boolean]>(
    `SELECT coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), false),
            has_table_privilege(c.oid, 'UPDATE') AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'ignored')
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'tamp' AND c.relname = 'reserved_gap'`,
  )
  if (there === undefined || !there[0]) return []
  if (writing && there[1]) await isIgnored(connection, storage, group)
  const rows = await connection.query<[number, number]>(
    `SELECT after, up_to FROM tamp.reserved_gap g
      WHERE storage = $1 AND group_id = $2 AND sequence_file = ${sequenceFile}
        AND up_to <= (SELECT last_value FROM op_id_sequence) AND NOT ${ignored} ORDER BY after`,
    [storage.schema, group],
  )
  const published = [...seen, lastCheckpoint ?? 0]
  return rows
    .filter(([after, upTo]) => !published.some((opId) => opId > after && opId < upTo))
    .map(([after, upTo]) => ({ after, upTo, reserved: true }))
}

/** Keeps in mind which gaps a service was seen not to heed. Whether there are any. */
async function isIgnored(connection: Connection, storage: BucketStorage, group: number): Promise<boolean> {
  const rows = await connection.query(
    `UPDATE tamp.reserved_gap g SET ignored = true
      WHERE storage = $1 AND group_id = $2 AND sequence_file = ${sequenceFile} AND ${ignored} RETURNING 1`,
    [storage.schema, group],
  )
  return rows.length > 0
}

/** Why nothing can be reserved. */
export interface NotReserved {
  readonly reason: string
}

/**
 * Takes ids enough for so many rows and a CLEAR.
 * @throws pg errors (55P03, 40P01: the replicator writes or publishes just now, try again)
 */
export async function reserveGap(
  connection: Connection,
  storage: BucketStorage,
  group: number,
  rows: number,
): Promise<Gap | NotReserved> {
  if (!(await isKnownService(connection)))
    return { reason: 'the service is too old for op ids to be reserved beside it' }
  try {
    await connection.execute(table)
  } catch (error) {
    // 42501: the role may not make a schema or a table here.
    if (sqlState(error) === '42501') return { reason: 'the role may not keep note of reserved op ids (schema tamp)' }
    throw error
  }
  await connection.execute(
    `DELETE FROM tamp.reserved_gap WHERE storage = $1 AND group_id = $2 AND reserved_at < now() - make_interval(days => $3)`,
    [storage.schema, group, keptDays],
  )
  if (await isIgnored(connection, storage, group))
    return { reason: 'the service does not publish op ids that were reserved' }
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
      return { reason: 'the stream is not served any more' }
    }
    // At most for as long as it takes to count up the sequence.
    await connection.execute(`LOCK TABLE ${await writtenTables(connection)} IN EXCLUSIVE MODE`)
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
      `INSERT INTO tamp.reserved_gap (storage, group_id, sequence_file, after, up_to) VALUES ($1, $2, ${sequenceFile}, $3, $4)`,
      [storage.schema, group, gap.after, gap.upTo],
    )
    await connection.execute('COMMIT')
    return gap
  } catch (error) {
    await connection.execute('ROLLBACK').catch(() => {})
    if (sqlState(error) === '42501')
      return { reason: 'the role may not keep others from writing while it takes op ids (UPDATE on the tables)' }
    throw error
  }
}

/**
 * What the replicator writes to in a flush, in its order. It begins with locking rows of the first, also where it then finds nothing to
 * write: so it does not read the sequence either. Who only reads is not kept waiting.
 */
async function writtenTables(connection: Connection): Promise<string> {
  const [row] = await connection.query<[string]>(
    `SELECT string_agg(name, ', ' ORDER BY place)
       FROM unnest('{current_data,v3_current_data,bucket_data,bucket_parameters}'::text[]) WITH ORDINALITY AS written (name, place)
      WHERE to_regclass(name) IS NOT NULL`,
  )
  return row![0]
}
