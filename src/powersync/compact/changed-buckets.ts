// Which buckets a run has to look at: those that are named, or those that have operations the ledger does not know to be compacted.
// Looks at the primary key alone, and where the ledger knows a bucket that has nothing new, at one entry of it.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'
import { definitionSql, isDefinition } from '../bucket-name.ts'
import type { Ledger } from '../ledger.ts'
import type { BucketSelection } from '../report.ts'

export interface ChangedBucket {
  readonly bucket: string
  /** Up to the bound. */
  readonly operations: number
}

export interface ChangedBuckets {
  readonly buckets: readonly ChangedBucket[]
  /** Buckets of the selection that are as the last run left them. */
  readonly unchanged: number
}

/**
 * The key is walked entry by entry: without statistics, or with those of a smaller table, the planner would read all of it for each bucket.
 * Reading takes its time, and no lock that anybody waits for.
 */
const walkSettings = `SET LOCAL statement_timeout = 0;
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off`

/**
 * @param ledger undefined to look at every bucket
 * @throws TampError `no-such-bucket`
 */
export async function changedBuckets(
  connection: Connection,
  group: number,
  bound: number,
  selection: BucketSelection,
  ledger: Ledger | undefined,
): Promise<ChangedBuckets> {
  const { buckets, definitions } = selection
  await connection.execute(`BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;\n${walkSettings}`)
  try {
    if (buckets !== undefined) await requireBuckets(connection, group, buckets)
    const chosen = definitions === undefined ? null : await chosenDefinitions(connection, group, definitions)
    const rows =
      ledger?.there === true && (await ledger.knowsBuckets(connection))
        ? buckets === undefined
          ? await changedOfAll(connection, group, bound, ledger, chosen)
          : await changedOf(connection, group, bound, ledger, chosen, buckets)
        : await counted(connection, group, bound, chosen, buckets ?? null)
    const unchanged = rows.reduce((sum, [name, count]) => sum + (name === null ? count : 0), 0)
    const found = rows.flatMap(([bucket, operations]) => (bucket === null ? [] : [{ bucket, operations }]))
    return { buckets: found, unchanged }
  } finally {
    await connection.execute('ROLLBACK').catch(() => {})
  }
}

/** A bucket that changed and its operations, or (null) a number of buckets that did not change. */
type Counted = readonly [bucket: string | null, count: number]

/**
 * The buckets that the ledger knows are looked for in the key: the entry after the last that is known is the next bucket's first, unless
 * something was added to this one, or between the two.
 */
function changedOfAll(
  connection: Connection,
  group: number,
  bound: number,
  ledger: Ledger,
  chosen: readonly string[] | null,
): Promise<Counted[]> {
  const { sql, values } = ledger.condition('l', 3)
  const chosenOnly = (name: string): string => `($5::text[] IS NULL OR ${definitionSql(name)} = ANY ($5::text[]))`
  const operationsOf = (condition: string): string => `
    SELECT d.bucket_name, count(*) AS operations FROM bucket_data d
     WHERE d.group_id = $1 AND d.op_id <= $2 AND ${condition} GROUP BY d.bucket_name OFFSET 0`
  return connection.query<Counted>(
    `WITH known AS MATERIALIZED (
       SELECT l.bucket_name, l.compacted_to, lead(l.bucket_name) OVER (ORDER BY l.bucket_name) AS next
         FROM tamp.compacted_bucket l WHERE ${sql}
     ), probe AS MATERIALIZED (
       SELECT k.bucket_name, k.next, e.bucket_name AS found, e.op_id
         FROM known k
         LEFT JOIN LATERAL (SELECT d.bucket_name, d.op_id FROM bucket_data d
                             WHERE d.group_id = $1 AND (d.bucket_name, d.op_id) > (k.bucket_name, k.compacted_to)
                             ORDER BY d.group_id, d.bucket_name, d.op_id LIMIT 1) e ON true
     ), follower AS MATERIALIZED (
       SELECT p.bucket_name, p.next, p.found, p.found = p.bucket_name AND p.op_id <= $2 AS changed,
              CASE WHEN p.found = p.bucket_name THEN e.bucket_name ELSE p.found END AS follower
         FROM probe p
         LEFT JOIN LATERAL (SELECT d.bucket_name FROM bucket_data d
                             WHERE p.found = p.bucket_name AND d.group_id = $1 AND d.bucket_name > p.bucket_name
                             ORDER BY d.group_id, d.bucket_name LIMIT 1) e ON true
     ), there AS MATERIALIZED (
       SELECT f.bucket_name, f.changed,
              CASE WHEN f.found = f.bucket_name OR f.former = f.bucket_name THEN true
                   ELSE EXISTS (SELECT FROM bucket_data d WHERE d.group_id = $1 AND d.bucket_name = f.bucket_name OFFSET 0) END AS exists
         FROM (SELECT *, lag(follower) OVER (ORDER BY bucket_name) AS former FROM follower) f
     ), gap AS MATERIALIZED (
       SELECT follower AS first, next AS before FROM follower WHERE follower < next OR next IS NULL AND follower IS NOT NULL
        UNION ALL
       SELECT head.bucket_name, (SELECT min(bucket_name) FROM known)
         FROM (SELECT d.bucket_name FROM bucket_data d WHERE d.group_id = $1 ORDER BY d.group_id, d.bucket_name LIMIT 1) head
        WHERE head.bucket_name < (SELECT min(bucket_name) FROM known)
     ), changed AS (
       SELECT c.* FROM there t CROSS JOIN LATERAL (${operationsOf('d.bucket_name = t.bucket_name')}) c WHERE t.changed
        UNION ALL
       SELECT c.* FROM gap g CROSS JOIN LATERAL (${operationsOf('d.bucket_name >= g.first AND d.bucket_name < g.before')}) c
        WHERE g.before IS NOT NULL
        UNION ALL
       SELECT c.* FROM gap g CROSS JOIN LATERAL (${operationsOf('d.bucket_name >= g.first')}) c WHERE g.before IS NULL
     )
     (SELECT bucket_name, operations FROM changed WHERE ${chosenOnly('bucket_name')} ORDER BY bucket_name)
      UNION ALL
     SELECT NULL, count(*) FROM there WHERE exists AND changed IS NOT TRUE AND ${chosenOnly('bucket_name')}`,
    [group, bound, ...values, chosen],
  )
}

/** Of the buckets that are named, those that have something new. */
function changedOf(
  connection: Connection,
  group: number,
  bound: number,
  ledger: Ledger,
  chosen: readonly string[] | null,
  names: readonly string[],
): Promise<Counted[]> {
  const { sql, values } = ledger.condition('l', 3)
  return connection.query<Counted>(
    `WITH wanted AS MATERIALIZED (
       SELECT n.name, (SELECT count(*) FROM bucket_data d WHERE d.group_id = $1 AND d.bucket_name = n.name AND d.op_id <= $2) AS operations,
              l.bucket_name IS NOT NULL
                AND NOT EXISTS (SELECT FROM bucket_data d WHERE d.group_id = $1 AND d.bucket_name = n.name
                                   AND d.op_id > l.compacted_to AND d.op_id <= $2 OFFSET 0) AS unchanged
         FROM (SELECT DISTINCT unnest($6::text[]) AS name) n
         LEFT JOIN tamp.compacted_bucket l ON l.bucket_name = n.name AND ${sql}
        WHERE $5::text[] IS NULL OR ${definitionSql('n.name')} = ANY ($5::text[]))
     (SELECT name, operations FROM wanted WHERE NOT unchanged AND operations > 0 ORDER BY name)
      UNION ALL
     SELECT NULL, count(*) FROM wanted WHERE unchanged`,
    [group, bound, ...values, chosen, names],
  )
}

/** All buckets, or those that are named. Nothing is walked here: how to read it all is the planner's business. */
async function counted(
  connection: Connection,
  group: number,
  bound: number,
  chosen: readonly string[] | null,
  names: readonly string[] | null,
): Promise<Counted[]> {
  await connection.execute('SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL enable_bitmapscan TO DEFAULT')
  return await connection.query<Counted>(
    `SELECT bucket_name, operations
       FROM (SELECT bucket_name, count(*) AS operations FROM bucket_data
              WHERE group_id = $1 AND op_id <= $2 ${names === null ? '' : 'AND bucket_name = ANY ($4::text[])'}
              GROUP BY bucket_name OFFSET 0) AS bucket
      WHERE $3::text[] IS NULL OR ${definitionSql('bucket_name')} = ANY ($3::text[])
      ORDER BY bucket_name`,
    [group, bound, chosen, ...(names === null ? [] : [names])],
  )
}

async function requireBuckets(connection: Connection, group: number, buckets: readonly string[]): Promise<void> {
  const missing = await connection.query<[string]>(
    `SELECT name FROM unnest($2::text[]) name
      WHERE NOT EXISTS (SELECT FROM bucket_data d WHERE d.group_id = $1 AND d.bucket_name = name)`,
    [group, buckets],
  )
  if (missing.length === 0) return
  throw new TampError(
    'no-such-bucket',
    `There is no bucket ${missing.map(([name]) => name).join(' and no ')} in the stream that is served.`,
    {
      hint: 'Names carry a prefix from storage version 2 on, such as 1#by_user["u1"]; tamp powersync inspect lists them.',
    },
  )
}

async function chosenDefinitions(connection: Connection, group: number, named: readonly string[]): Promise<string[]> {
  const rows = await connection.query<[string]>(
    `WITH RECURSIVE walk AS (
       (SELECT bucket_name FROM bucket_data WHERE group_id = $1 ORDER BY bucket_name LIMIT 1)
       UNION ALL
       SELECT (SELECT d.bucket_name FROM bucket_data d
                WHERE d.group_id = $1 AND d.bucket_name > w.bucket_name ORDER BY d.bucket_name LIMIT 1)
         FROM walk w WHERE w.bucket_name IS NOT NULL)
     SELECT DISTINCT ${definitionSql('bucket_name')} FROM walk WHERE bucket_name IS NOT NULL`,
    [group],
  )
  const chosen = new Set<string>()
  for (const name of named) {
    const matching = rows.filter(([there]) => isDefinition(there, name))
    if (matching.length === 0)
      throw new TampError('no-such-bucket', `There is no bucket of a definition called ${name}.`, {
        hint: `There are: ${rows.map(([there]) => there).join(', ')}.`,
      })
    for (const [there] of matching) chosen.add(there)
  }
  return [...chosen]
}
