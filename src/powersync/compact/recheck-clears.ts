// The service's own compactor turns operations into MOVEs by their op ids alone: one that it had chosen before we made it the CLEAR of its
// bucket becomes a MOVE with the checksum of all that the CLEAR stood for. Normally the service clears it again itself; when it is stopped in
// between, clients that have some of those operations would count them twice, and nobody would look there again. So it is set back.
import type { Connection } from '../../database/postgres.ts'

/**
 * @param clears where the CLEARs of buckets were put
 * @returns how many were set back
 */
export async function recheckClears(
  connection: Connection,
  group: number,
  clears: ReadonlyMap<string, number>,
): Promise<number> {
  if (clears.size === 0) return 0
  const scope = [group, [...clears.keys()], [...clears.values()]]
  const found = await connection.query(`SELECT ${brokenClears} LIMIT 1`, scope)
  if (found.length === 0) return 0
  await connection.execute(`BEGIN;\nSET LOCAL lock_timeout = '300ms';\nSET LOCAL statement_timeout = '60s'`)
  try {
    // Its target stays as the service left it: what we had there lies below every checkpoint that is served.
    const set = await connection.execute(
      `UPDATE bucket_data b SET op = 'CLEAR'
         FROM (SELECT d.bucket_name, d.op_id ${brokenClears}) broken
        WHERE b.group_id = $1 AND b.bucket_name = broken.bucket_name AND b.op_id = broken.op_id AND b.op = 'MOVE'`,
      scope,
    )
    await connection.execute('COMMIT')
    return set
  } catch (error) {
    await connection.execute('ROLLBACK').catch(() => {})
    throw error
  }
}

/**
 * A MOVE where our CLEAR was, and as before nothing below it: no MOVE comes to be the lowest operation there in another way. OFFSET 0 keeps
 * the planner from looking at anything but these keys.
 */
const brokenClears = `FROM unnest($2::text[], $3::int8[]) c (bucket_name, op_id)
        CROSS JOIN LATERAL (SELECT b.bucket_name, b.op_id, b.op FROM bucket_data b
                             WHERE b.group_id = $1 AND b.bucket_name = c.bucket_name AND b.op_id = c.op_id OFFSET 0) d
        WHERE d.op = 'MOVE'
          AND (SELECT l.op_id FROM bucket_data l WHERE l.group_id = $1 AND l.bucket_name = d.bucket_name AND l.op_id < d.op_id
                ORDER BY l.op_id LIMIT 1) IS NULL`
