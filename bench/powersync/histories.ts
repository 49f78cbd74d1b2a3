// The bucket storages that the bench works on: each a database that is copied for every contender.
import {
  appendOperations,
  createBucketStorage,
  demoGroup,
  publishCheckpoint,
} from '../../src/cli/demo-bucket-storage.ts'
import { openSession } from '../../test/support/session.ts'

/** Operations over rows, uniformly; every row of a bucket is written by the same chance at any time. */
export interface History {
  readonly operations: number
  readonly buckets: number
  /** In each bucket. */
  readonly rows: number
}

/** Makes the storage in an empty database, with one checkpoint after its last operation. */
export async function makeStorage(url: string, history: History): Promise<void> {
  {
    await using session = await openSession(url)
    await createBucketStorage(session)
  }
  await appendHistory(url, history, 1, history.operations)
  await tidy(url)
}

/** Appends the operations `from` to `to` of a history, and publishes them. */
export async function appendHistory(url: string, history: History, from: number, to: number): Promise<void> {
  await using session = await openSession(url)
  await appendOperations(session, historySql(history, from, to))
  await publishCheckpoint(session)
}

/** The state that a table at rest has: nothing dead, statistics, no dirty pages. */
export async function tidy(url: string): Promise<void> {
  await using session = await openSession(url)
  await session.query('VACUUM ANALYZE powersync.bucket_data')
  await session.query('CHECKPOINT')
}

/** Buckets take turns; which of its rows an operation writes is drawn by hashing its id. */
function historySql({ buckets, rows }: History, from: number, to: number): string {
  return `SELECT op_id, bucket, row_id, CASE WHEN deleted THEN NULL
                 ELSE '{"id":"' || row_id || '","name":"' || md5(op_id::text) || md5((-op_id)::text) || '","value":' || op_id || '}' END AS data
            FROM (SELECT op_id, ${buckets === 1 ? `'1#global[]'` : `'1#by_user["user-' || op_id % ${buckets} || '"]'`} AS bucket,
                         md5(op_id % ${buckets} || '/' || abs(hashint8extended(op_id, 7) % ${rows}))::uuid::text AS row_id,
                         ${buckets === 1 ? 'false' : 'abs(hashint8extended(op_id, 8) % 20) = 0'} AS deleted
                    FROM generate_series(${from}::int8, ${to}::int8) AS op_id) AS drawn`
}

/** One more operation in each of so many buckets. */
export async function touchBuckets(url: string, count: number): Promise<void> {
  await using session = await openSession(url)
  await session.query(
    `CREATE TEMP TABLE touched AS
       SELECT row_number() OVER () + (SELECT max(op_id) FROM powersync.bucket_data) AS op_id, bucket_name AS bucket, row_id, data
         FROM (SELECT DISTINCT ON (bucket_name) bucket_name, row_id, data FROM powersync.bucket_data
                WHERE group_id = ${demoGroup} AND op = 'PUT' ORDER BY bucket_name, op_id LIMIT ${count}) AS one`,
  )
  await appendOperations(session, 'SELECT * FROM touched')
  await publishCheckpoint(session)
}

/** What compacting ended with: equal for two contenders that did the same. */
export async function endState(url: string): Promise<string> {
  await using session = await openSession(url)
  const rows = await session.query<[string, number, string, string]>(
    `SELECT op, count(*), mod(mod(sum(checksum), 4294967296) + 4294967296, 4294967296)::text, sum(op_id)::text
       FROM powersync.bucket_data GROUP BY op ORDER BY op`,
  )
  return rows.map(([op, count, checksum, ids]) => `${op} ${count} (Σ checksum ${checksum}, Σ op id ${ids})`).join(', ')
}
