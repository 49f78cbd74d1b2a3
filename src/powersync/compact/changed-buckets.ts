// Which buckets a run has to look at: those that are named, or those that have operations the ledger does not know to be compacted.
// Looks at the primary key alone, and where the ledger knows a bucket, at one entry of it.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'
import { definitionOf, definitionSql, isDefinition } from '../bucket-name.ts'
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
  if (buckets !== undefined) await requireBuckets(connection, group, buckets)
  const chosen = definitions === undefined ? undefined : await chosenDefinitions(connection, group, definitions)
  const inSelection = (name: string): boolean => chosen === undefined || chosen.has(definitionOf(name))
  const known = ledger?.there ? await knownBuckets(connection, group, bound, ledger) : undefined
  if (known === undefined || known.count === 0) {
    const all = await counted(connection, group, bound, buckets === undefined ? {} : { names: buckets })
    return { buckets: all.filter(({ bucket }) => inSelection(bucket)), unchanged: 0 }
  }
  let changed = await counted(connection, group, bound, { names: known.changed })
  for (const [after, before] of known.gaps)
    changed = [...changed, ...(await counted(connection, group, bound, { after, before }))]
  const wanted = buckets && new Set(buckets)
  const found = changed.filter(({ bucket }) => inSelection(bucket) && (wanted === undefined || wanted.has(bucket)))
  const unchanged = wanted === undefined ? known.count - known.changed.length : wanted.size - found.length
  return { buckets: found, unchanged }
}

/** Buckets that the ledger knows and that have operations beyond what it knows, and the gaps between its names where there are others. */
async function knownBuckets(
  connection: Connection,
  group: number,
  bound: number,
  ledger: Ledger,
): Promise<{ count: number; changed: string[]; gaps: [after: string | null, before: string | null][] }> {
  const { sql, values } = ledger.condition('l', 3)
  // The entry of the key after the last one known is the next bucket's first, unless something was added in between.
  const rows = await connection.query<[string | null, string | null, string | null, number | null, number]>(
    `WITH known AS MATERIALIZED (
       SELECT l.bucket_name, l.compacted_to, lead(l.bucket_name) OVER (ORDER BY l.bucket_name) AS next
         FROM tamp.compacted_bucket l WHERE ${sql}),
     probe AS MATERIALIZED (
       SELECT k.bucket_name, k.next, e.bucket_name AS found, e.op_id
         FROM known k LEFT JOIN LATERAL (
              SELECT bucket_name, op_id FROM bucket_data d
               WHERE d.group_id = $1 AND (d.bucket_name, d.op_id) > (k.bucket_name, k.compacted_to)
               ORDER BY d.group_id, d.bucket_name, d.op_id LIMIT 1) e ON true)
     SELECT bucket_name, next, found, CASE WHEN found = bucket_name AND op_id <= $2 THEN op_id END, (SELECT count(*) FROM known)
       FROM probe WHERE found IS DISTINCT FROM next
      UNION ALL
     SELECT NULL, (SELECT min(bucket_name) FROM known), NULL, NULL, (SELECT count(*) FROM known)`,
    [group, bound, ...values],
  )
  const changed: string[] = []
  const gaps: [string | null, string | null][] = []
  for (const [bucket, next, found, changedAt] of rows) {
    if (bucket !== null && found === null) continue // the end of the stream's operations
    if (bucket !== null && changedAt !== null) changed.push(bucket)
    gaps.push([bucket, next])
  }
  return { count: rows[0]?.[4] ?? 0, changed, gaps }
}

interface Filter {
  readonly names?: readonly string[]
  readonly after?: string | null
  readonly before?: string | null
}

async function counted(
  connection: Connection,
  group: number,
  bound: number,
  { names, after, before }: Filter,
): Promise<ChangedBucket[]> {
  if (names?.length === 0) return []
  const rows = await connection.query<[string, number]>(
    `SELECT bucket_name, count(*) FROM bucket_data
      WHERE group_id = $1 AND op_id <= $2
        ${names === undefined ? '' : 'AND bucket_name = ANY ($3::text[])'}
        ${after === undefined || after === null ? '' : 'AND bucket_name > $3'}
        ${before === undefined || before === null ? '' : `AND bucket_name < $${after === undefined || after === null ? 3 : 4}`}
      GROUP BY bucket_name ORDER BY bucket_name`,
    [
      group,
      bound,
      ...(names === undefined ? [] : [names]),
      ...[after, before].filter((name) => typeof name === 'string'),
    ],
  )
  return rows.map(([bucket, operations]) => ({ bucket, operations }))
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

async function chosenDefinitions(
  connection: Connection,
  group: number,
  named: readonly string[],
): Promise<Set<string>> {
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
  return chosen
}
