// A bucket storage as PowerSync's service keeps it on PostgreSQL: its tables, and histories of rows with their true checksums.
// For the demo and the bench: everything is computed on the server.
import type { Connection } from '../database/postgres.ts'

/** What is needed to write; the demo and the tests have connections of different kinds. */
export type Writer = Pick<Connection, 'execute'>

/** The tables that the service's migrations make, as far as buckets are concerned. */
const tables: readonly string[] = [
  'CREATE SCHEMA powersync',
  'CREATE SEQUENCE powersync.op_id_sequence AS int8 START WITH 1',
  'CREATE SEQUENCE powersync.sync_rules_id_sequence AS int START WITH 1',
  `CREATE TABLE powersync.bucket_data (
     group_id integer NOT NULL, bucket_name text NOT NULL, op_id bigint NOT NULL, op text NOT NULL,
     source_table text, source_key bytea, table_name text, row_id text,
     checksum bigint NOT NULL, data text, target_op bigint,
     CONSTRAINT unique_id PRIMARY KEY (group_id, bucket_name, op_id))`,
  `CREATE TABLE powersync.bucket_parameters (
     id bigint PRIMARY KEY DEFAULT nextval('powersync.op_id_sequence'), group_id integer NOT NULL,
     source_table text NOT NULL, source_key bytea NOT NULL, lookup bytea NOT NULL, bucket_parameters text NOT NULL)`,
  'CREATE INDEX bucket_parameters_lookup_index ON powersync.bucket_parameters (group_id, lookup, id DESC)',
  'CREATE INDEX bucket_parameters_source_index ON powersync.bucket_parameters (group_id, source_table, source_key)',
  `CREATE TABLE powersync.current_data (
     group_id integer NOT NULL, source_table text NOT NULL, source_key bytea NOT NULL,
     buckets jsonb NOT NULL, data bytea NOT NULL, lookups bytea[] NOT NULL,
     CONSTRAINT unique_current_data_id PRIMARY KEY (group_id, source_table, source_key))`,
  `CREATE TABLE powersync.source_tables (
     id text PRIMARY KEY, group_id integer NOT NULL, connection_id integer NOT NULL, relation_id jsonb, schema_name text NOT NULL,
     table_name text NOT NULL, replica_id_columns jsonb, snapshot_done boolean DEFAULT false NOT NULL,
     snapshot_total_estimated_count integer, snapshot_replicated_count integer, snapshot_last_key bytea, source_metadata jsonb)`,
  `CREATE TABLE powersync.sync_rules (
     id integer PRIMARY KEY, state text NOT NULL, snapshot_done boolean DEFAULT false NOT NULL, last_checkpoint bigint,
     last_checkpoint_lsn text, no_checkpoint_before text, slot_name text, last_checkpoint_ts timestamptz,
     last_keepalive_ts timestamptz, keepalive_op bigint, last_fatal_error text, content text NOT NULL, snapshot_lsn text,
     storage_version integer DEFAULT 1 NOT NULL, sync_plan json)`,
  `CREATE TABLE powersync.write_checkpoints (
     user_id text PRIMARY KEY, lsns jsonb NOT NULL, write_checkpoint bigint NOT NULL, checkpoint_requested_at timestamptz)`,
  `CREATE TABLE powersync.custom_write_checkpoints (
     user_id text NOT NULL, write_checkpoint bigint NOT NULL, sync_rules_id integer NOT NULL, checkpoint_requested_at timestamptz,
     CONSTRAINT unique_user_sync PRIMARY KEY (user_id, sync_rules_id))`,
]

/** The stream that the histories belong to, and its one source table. */
export const demoGroup = 1
const sourceTable = '648c96d6-3d98-4152-a19c-9b5c8c0ceb57'

/** Makes the tables, with one active stream that has not published anything yet. */
export async function createBucketStorage(writer: Writer): Promise<void> {
  for (const statement of tables) await writer.execute(statement)
  await writer.execute(
    `INSERT INTO powersync.sync_rules (id, state, snapshot_done, slot_name, content, storage_version)
     VALUES ($1, 'ACTIVE', true, 'demo', 'bucket_definitions: {}', 2)`,
    [demoGroup],
  )
  await writer.execute(
    `INSERT INTO powersync.source_tables (id, group_id, connection_id, schema_name, table_name, replica_id_columns, snapshot_done)
     VALUES ($2, $1, 1, 'public', 'lists', '[{"name": "id", "type": "text", "typeId": 25}]', true)`,
    [demoGroup, sourceTable],
  )
}

/**
 * Appends the operations of a history.
 * @param history a query with columns op_id, bucket, row_id, data; data is null where the row is deleted
 */
export async function appendOperations(writer: Writer, history: string): Promise<number> {
  // Checksums: the first four bytes of SHA-256, little endian. The key of a row is the BSON of {id: UUID}.
  const appended = await writer.execute(
    `INSERT INTO powersync.bucket_data
       (group_id, bucket_name, op_id, op, source_table, source_key, table_name, row_id, checksum, data)
     SELECT ${demoGroup}, bucket, op_id, CASE WHEN data IS NULL THEN 'REMOVE' ELSE 'PUT' END, '${sourceTable}',
            decode('1e000000056964001000000004' || key || '00', 'hex'), 'lists', row_id,
            get_byte(hash, 0) + get_byte(hash, 1) * 256::int8 + get_byte(hash, 2) * 65536::int8 + get_byte(hash, 3) * 16777216::int8,
            data
       FROM (${history}) AS history,
            LATERAL (SELECT md5(row_id) AS key) AS keyed,
            LATERAL (SELECT sha256(convert_to(CASE WHEN data IS NULL THEN 'delete.${sourceTable}/' || key::uuid
                                                   ELSE 'put.lists.' || row_id || '.' || data END, 'UTF8')) AS hash) AS hashed
      ORDER BY op_id`,
  )
  await writer.execute(`SELECT setval('powersync.op_id_sequence', max(op_id)) FROM powersync.bucket_data`)
  return appended
}

/** Brings current_data up to date with the operations: every live row, and the buckets that it is in. */
export async function rebuildCurrentData(writer: Writer): Promise<number> {
  await writer.execute('TRUNCATE powersync.current_data')
  return writer.execute(
    `INSERT INTO powersync.current_data (group_id, source_table, source_key, buckets, data, lookups)
     SELECT group_id, source_table, source_key,
            jsonb_agg(jsonb_build_object('bucket', bucket_name, 'table', table_name, 'id', row_id)), '\\x0500000000', '{}'
       FROM (SELECT DISTINCT ON (bucket_name, source_key) group_id, bucket_name, source_table, source_key, table_name, row_id, op
               FROM powersync.bucket_data WHERE op IN ('PUT', 'REMOVE') ORDER BY bucket_name, source_key, op_id DESC) AS last
      WHERE op = 'PUT' GROUP BY group_id, source_table, source_key`,
  )
}

/** Publishes everything there is as a checkpoint, as the service's replicator does when a source transaction is complete. */
export async function publishCheckpoint(writer: Writer): Promise<void> {
  await writer.execute(
    `UPDATE powersync.sync_rules
        SET last_checkpoint = greatest(last_checkpoint, (SELECT last_value FROM powersync.op_id_sequence), keepalive_op, 0),
            keepalive_op = NULL, last_checkpoint_ts = now(), last_keepalive_ts = now()
      WHERE id = $1`,
    [demoGroup],
  )
}
