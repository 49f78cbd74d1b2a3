// The buckets that were asked for, as a condition of SQL. Names that do not exist are refused before anything else is read.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'
import { definitionSql, isDefinition } from '../bucket-name.ts'
import type { BucketSelection } from '../report.ts'

/** A condition on the name of a bucket, with two parameters. */
export interface WantedBuckets {
  /** True for every bucket. */
  readonly all: boolean
  /** @param name the column or expression; @param first the number of the first of the two parameters */
  where(name: string, first: number): string
  readonly values: readonly [buckets: readonly string[], definitions: readonly string[]]
}

/**
 * The buckets named, as far as they are of the definitions named. Neither is told: all; an empty list: none.
 * @param groups the streams that are looked at
 * @throws TampError `no-such-bucket`
 */
export async function wantedBuckets(
  { buckets, definitions: named }: BucketSelection,
  groups: readonly number[],
  connection: Pick<Connection, 'query'>,
): Promise<WantedBuckets> {
  if (buckets !== undefined) await requireBuckets(buckets, groups, connection)
  const definitions = named === undefined ? [] : await resolve(named, groups, connection)
  return {
    all: buckets === undefined && named === undefined,
    // The parameters are used in any case, so that a statement has the same ones whatever was asked for.
    where: (name, first) => {
      const within = (value: string, number: number, asked: boolean): string =>
        asked ? `${value} = ANY ($${number}::text[])` : `$${number}::text[] IS NOT NULL`
      return `(${within(name, first, buckets !== undefined)} AND ${within(definitionSql(name), first + 1, named !== undefined)})`
    },
    values: [buckets ?? [], definitions],
  }
}

async function requireBuckets(
  buckets: readonly string[],
  groups: readonly number[],
  connection: Pick<Connection, 'query'>,
): Promise<void> {
  const [missing] = await connection.query<[string]>(
    `SELECT n.name FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place)
      WHERE NOT EXISTS (SELECT FROM bucket_data WHERE group_id = ANY ($2::int[]) AND bucket_name = n.name)
      ORDER BY n.place LIMIT 1`,
    [buckets, groups],
  )
  if (missing !== undefined)
    throw new TampError('no-such-bucket', `There is no bucket ${missing[0]} in this storage.`, {
      hint: 'Names are as stored, with version prefix and parameters, such as 1#by_user["a"]; "tamp powersync inspect" lists the buckets there are.',
    })
}

async function resolve(
  named: readonly string[],
  groups: readonly number[],
  connection: Pick<Connection, 'query'>,
): Promise<readonly string[]> {
  // From each name to the next one through the index, without reading what lies between.
  const there = await connection.query<[string]>(
    `WITH RECURSIVE name AS (
       SELECT g.id AS group_id, (SELECT min(bucket_name) FROM bucket_data WHERE group_id = g.id) AS bucket
         FROM unnest($1::int[]) AS g (id)
        UNION ALL
       SELECT group_id, (SELECT min(bucket_name) FROM bucket_data d WHERE d.group_id = n.group_id AND d.bucket_name > n.bucket)
         FROM name n WHERE bucket IS NOT NULL
     )
     SELECT DISTINCT ${definitionSql('bucket')} FROM name WHERE bucket IS NOT NULL`,
    [groups],
  )
  for (const name of named) {
    if (!there.some(([definition]) => isDefinition(definition, name)))
      throw new TampError('no-such-bucket', `There is no bucket of the definition ${name} in this storage.`, {
        hint: `Definitions there are: ${there
          .map(([definition]) => definition)
          .slice(0, 20)
          .join(', ')}.`,
      })
  }
  return there.map(([definition]) => definition).filter((full) => named.some((name) => isDefinition(full, name)))
}
