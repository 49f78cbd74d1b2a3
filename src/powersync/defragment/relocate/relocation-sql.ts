// The statements of one bucket's relocation, as text: run one by one, or written into a script, they are the same.
import pg from 'pg'
import { identityColumns } from '../../operation-sql.ts'
import type { Relocation } from './relocation.ts'

type Target = Pick<Relocation, 'group' | 'bucket' | 'checkpoint'>

const operationsOf = ({ group, bucket }: Target, alias = ''): string =>
  `${alias}group_id = ${group} AND ${alias}bucket_name = ${pg.escapeLiteral(bucket)}`

/**
 * What clients can tell of the bucket up to the checkpoint: the sum of all checksums, and the live rows with their data. Then the number
 * of operations, of live rows, and whether a CLEAR stands where it may: alone and first.
 */
export function censusQuery(target: Target): string {
  const upTo = `${operationsOf(target, 'b.')} AND b.op_id <= ${target.checkpoint}`
  return `WITH last AS (
  SELECT max(b.op_id) AS op_id FROM bucket_data b WHERE ${upTo} AND b.op IN ('PUT', 'REMOVE') GROUP BY ${identityColumns}),
live AS (
  SELECT count(*) AS rows, coalesce(sum(b.checksum), 0) AS checksums,
         coalesce(sum(hashtextextended(concat_ws('/', b.table_name, b.row_id, b.source_table, encode(b.source_key, 'hex'), b.checksum::text),
                                       hashtextextended(b.data, 0))), 0) AS hash
    FROM last JOIN bucket_data b ON ${operationsOf(target, 'b.')} AND b.op_id = last.op_id WHERE b.op = 'PUT')
SELECT concat_ws(' ', ((coalesce(sum(b.checksum), 0) % 4294967296) + 4294967296) % 4294967296, max(live.rows), max(live.checksums), max(live.hash)) AS state,
       count(*) AS operations, max(live.rows) AS rows,
       count(*) FILTER (WHERE b.op = 'CLEAR') <= 1
         AND coalesce(min(b.op_id) FILTER (WHERE b.op = 'CLEAR') = min(b.op_id), true) AS sound
  FROM live LEFT JOIN bucket_data b ON ${upTo}`
}

/**
 * The rewrite, in order, with the number of rows that each statement has to touch. Everything up to the cut goes but the rows that move;
 * they take their slots, and a CLEAR with the checksums of what went stands before them.
 */
export function rewriteStatements(relocation: Relocation): { readonly sql: string; readonly rows: number }[] {
  const { cut, clearAt, slots, moved, operationsBefore, operationsAfter, checkpoint, ...target } = relocation
  const where = operationsOf({ ...target, checkpoint }, 'b.')
  const taken = new Set(moved)
  // A place may be that of a row that has not moved yet: then all step aside first, to ids below zero, which nobody else ever sees.
  const aside = taken.has(clearAt) || slots.some((slot) => taken.has(slot)) ? '-' : ''
  const removed = operationsBefore - operationsAfter + 1
  const statements = [
    {
      // No checkpoint is to be completed that lies before the operations the CLEAR stands for, or before what superseded them, which may lie
      // above the checkpoint: hence its target_op.
      sql: `WITH gone AS (
  DELETE FROM bucket_data b WHERE ${where} AND b.op_id <= ${cut}
     AND NOT EXISTS (SELECT FROM unnest(${array(moved)}) AS moved (op_id) WHERE moved.op_id = b.op_id)
  RETURNING checksum, target_op)
INSERT INTO bucket_data (group_id, bucket_name, op_id, op, checksum, target_op)
SELECT ${target.group}, ${pg.escapeLiteral(target.bucket)}, ${aside}${clearAt}, 'CLEAR',
       ((sum(checksum) % 4294967296) + 4294967296 + 2147483648) % 4294967296 - 2147483648,
       greatest(${slots.at(-1)}, max(target_op), (SELECT max(b.op_id) FROM bucket_data b WHERE ${where} AND b.op_id <= ${checkpoint}))
  FROM gone HAVING count(*) = ${removed}`,
      rows: 1,
    },
    {
      sql: `UPDATE bucket_data b SET op_id = ${aside}m.slot FROM unnest(${array(moved)}, ${array(slots)}) AS m (op_id, slot)
 WHERE ${where} AND b.op_id = m.op_id`,
      rows: moved.length,
    },
  ]
  if (aside !== '')
    statements.push({
      sql: `UPDATE bucket_data b SET op_id = - b.op_id WHERE ${where} AND b.op_id < 0`,
      rows: moved.length + 1,
    })
  return statements
}

/**
 * Op ids between two at which a live row may be put although operations lie there, the highest first: those that never were one, and
 * those of the last operation of a row. Every other operation may be one that a compactor of the service has read and is about to change.
 */
export const harmlessQuery: string = `WITH low AS (
  SELECT greatest($3::int8, max(op_id)) AS op_id FROM bucket_data
   WHERE group_id = $1 AND bucket_name = $2 AND op_id <= $4::int8 AND op = 'CLEAR'),
last AS (
  SELECT max(b.op_id) AS op_id FROM bucket_data b, low
   WHERE b.group_id = $1 AND b.bucket_name = $2 AND b.op_id > low.op_id AND b.op IN ('PUT', 'REMOVE') GROUP BY ${identityColumns}),
taken AS MATERIALIZED (
  SELECT b.op_id FROM bucket_data b, low
   WHERE b.group_id = $1 AND b.bucket_name = $2 AND b.op_id > low.op_id AND b.op_id <= $4
     AND NOT EXISTS (SELECT FROM last WHERE last.op_id = b.op_id))
SELECT id FROM low, generate_series(greatest(low.op_id + 1, $4 - $5::int8 - (SELECT count(*) FROM taken)), $4) AS id
 WHERE NOT EXISTS (SELECT FROM taken WHERE taken.op_id = id) ORDER BY id DESC LIMIT $5 + 1`

/** How many of the places of a relocation are no such op ids any more. */
export function harmfulQuery({ clearAt, slots, ...target }: Relocation): string {
  const there = operationsOf(target, 'b.')
  return `WITH last AS (
  SELECT max(b.op_id) AS op_id FROM bucket_data b WHERE ${there} AND b.op_id >= ${clearAt} AND b.op IN ('PUT', 'REMOVE') GROUP BY ${identityColumns})
SELECT count(*) FROM bucket_data b LEFT JOIN last ON last.op_id = b.op_id
 WHERE ${there} AND b.op_id = ANY (${array([clearAt, ...slots])}) AND last.op_id IS NULL`
}

function array(numbers: readonly number[]): string {
  return `'{${numbers.join()}}'::int8[]`
}
