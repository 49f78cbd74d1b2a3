// What is in the storage besides operations: other groups, write checkpoints, parameter index entries, and the space tables take.
import type { ReadSnapshot } from '../../database/read-snapshot.ts'
import type { BucketStorage } from '../database.ts'
import type { Space } from '../report.ts'

/** Operations of a group that clients are not served from. */
export interface OtherGroup {
  readonly group: number
  readonly operations: number
}

export interface WriteCheckpoints {
  /** Of users, and custom ones. */
  readonly stored: number
  /** Requested by clients longer ago than an hour, as far as the storage says when: the service's own compact removes these. */
  readonly old: number
}

export interface ParameterEntries {
  readonly entries: number
  /** A later entry of the same source row and lookup took their place. */
  readonly superseded: number
}

export interface TableSpace extends Space {
  readonly table: string
}

/** Groups that have operations, but for `served`; each is counted in the primary key alone. */
export async function otherGroups(snapshot: ReadSnapshot, served: number | undefined): Promise<OtherGroup[]> {
  const rows = await snapshot.query<[number, number]>(
    `WITH RECURSIVE found AS (
       SELECT (SELECT min(group_id) FROM bucket_data) AS id
        UNION ALL
       SELECT (SELECT min(group_id) FROM bucket_data WHERE group_id > found.id) FROM found WHERE id IS NOT NULL
     )
     SELECT id, (SELECT count(*) FROM bucket_data WHERE group_id = id) FROM found
      WHERE id IS NOT NULL AND id IS DISTINCT FROM $1 ORDER BY id`,
    [served ?? null],
  )
  return rows.map(([group, operations]) => ({ group, operations }))
}

export async function writeCheckpoints(snapshot: ReadSnapshot, storage: BucketStorage): Promise<WriteCheckpoints> {
  const tables = [
    ...(storage.tables.writeCheckpoints ? ['write_checkpoints'] : []),
    ...(storage.tables.customWriteCheckpoints ? ['custom_write_checkpoints'] : []),
  ]
  let stored = 0
  let old = 0
  for (const table of tables) {
    // Older services do not store when one was requested.
    const [row] = await snapshot.query<[number, number]>(
      `SELECT count(*), count(*) FILTER (WHERE (to_jsonb(w) ->> 'checkpoint_requested_at')::timestamptz < now() - interval '1 hour')
         FROM ${table} w`,
    )
    stored += row![0]
    old += row![1]
  }
  return { stored, old }
}

/** Null where the storage has no such table, or the role may not read it. */
export async function parameterEntries(snapshot: ReadSnapshot, group: number): Promise<ParameterEntries | null> {
  const [readable] = await snapshot.query<[boolean | null]>(
    `SELECT has_table_privilege(to_regclass('bucket_parameters'), 'SELECT')`,
  )
  if (readable![0] !== true) return null
  const [row] = await snapshot.query<[number, number]>(
    `SELECT coalesce(sum(entries), 0)::int8, coalesce(sum(entries - 1), 0)::int8
       FROM (SELECT count(*) AS entries FROM bucket_parameters WHERE group_id = $1
              GROUP BY source_table, source_key, lookup) AS lookup_of_a_row`,
    [group],
  )
  return { entries: row![0], superseded: row![1] }
}

/** The tables that grow with the data, largest first. */
export async function tableSpace(snapshot: ReadSnapshot): Promise<TableSpace[]> {
  const rows = await snapshot.query<[string, number, number]>(
    `SELECT t.name, pg_table_size(to_regclass(t.name)), pg_indexes_size(to_regclass(t.name))
       FROM unnest(ARRAY['bucket_data', 'bucket_parameters', 'current_data', 'v3_current_data']) AS t (name)
      WHERE to_regclass(t.name) IS NOT NULL
      ORDER BY pg_total_relation_size(to_regclass(t.name)) DESC, t.name`,
  )
  return rows.map(([table, tableBytes, indexBytes]) => ({ table, tableBytes, indexBytes }))
}

/** Seconds since the service last published a checkpoint or showed that it is alive, as far as the storage says. */
export async function silence(snapshot: ReadSnapshot, group: number): Promise<number | null> {
  const [row] = await snapshot.query<[number | null]>(
    `SELECT extract(epoch FROM now() - greatest((to_jsonb(s) ->> 'last_checkpoint_ts')::timestamptz,
                                                (to_jsonb(s) ->> 'last_keepalive_ts')::timestamptz))::float8
       FROM sync_rules s WHERE id = $1`,
    [group],
  )
  return row?.[0] ?? null
}
