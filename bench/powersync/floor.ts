// The floor of compacting one bucket: what the database itself takes for the same end state, when every row is known beforehand.
import { openSession } from '../../test/support/session.ts'

export interface Floor {
  readonly scan: number
  readonly delete: number
  readonly update: number
  /** Seconds of all three. */
  readonly seconds: number
  readonly cpuSeconds: number | undefined
}

/**
 * Brings the one bucket of a database to the compacted state. Making the list of what has to change is not counted.
 * @param serverCpu CPU seconds of the sessions that have ended
 */
export async function floorOf(url: string, serverCpu: () => Promise<number | undefined>): Promise<Floor> {
  const location = `${url}?options=-c%20search_path%3Dpowersync`
  const { end, target, checksum } = await listOf(location)
  const before = await serverCpu()
  const floor = await timesOf(location, end, target, checksum)
  const after = await serverCpu()
  return { ...floor, cpuSeconds: before === undefined || after === undefined ? undefined : after - before }
}

async function listOf(url: string): Promise<{ end: number; target: number; checksum: string }> {
  await using session = await openSession(url)
  await session.query(
    `CREATE TABLE last AS SELECT source_key, row_id, table_name, source_table, max(op_id) AS op_id,
            max(op_id) FILTER (WHERE op = 'PUT') AS put FROM bucket_data GROUP BY 1, 2, 3, 4`,
  )
  const [[end] = [0]] = await session.query<[number]>('SELECT min(op_id) - 1 FROM last WHERE put = op_id')
  await session.query(
    `CREATE TABLE superseded AS SELECT b.op_id, last.op_id AS target
       FROM bucket_data b JOIN last USING (source_key, row_id, table_name, source_table)
      WHERE b.op_id > ${end} AND b.op_id < last.op_id ORDER BY b.op_id`,
  )
  const [[target] = [0]] = await session.query<[number]>(
    `SELECT max(last.op_id) FROM bucket_data b JOIN last USING (source_key, row_id, table_name, source_table)
      WHERE b.op_id <= ${end} AND b.op_id < last.op_id`,
  )
  const [[checksum] = ['0']] = await session.query<[string]>(
    `SELECT sum(checksum)::text FROM bucket_data WHERE op_id <= ${end}`,
  )
  await session.query('ANALYZE superseded')
  await session.query('CHECKPOINT')
  return { end, target, checksum }
}

async function timesOf(url: string, end: number, target: number, checksum: string): Promise<Omit<Floor, 'cpuSeconds'>> {
  await using session = await openSession(url)
  const timed = async (statement: string, values: readonly unknown[] = []): Promise<number> => {
    const started = performance.now()
    await session.query(statement, values)
    return (performance.now() - started) / 1000
  }
  const scan = await timed('SELECT count(*), sum(checksum), max(op_id) FROM bucket_data WHERE group_id = 1')
  await session.query('BEGIN')
  const removal = await timed('DELETE FROM bucket_data WHERE group_id = 1 AND op_id <= $1', [end])
  const update = await timed(
    `UPDATE bucket_data b
        SET op = 'MOVE', target_op = s.target, source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL
       FROM superseded s WHERE b.group_id = 1 AND b.bucket_name = '1#global[]' AND b.op_id = s.op_id`,
  )
  // The service writes the sum as a signed number of 32 bits.
  const insertion = await timed(
    `INSERT INTO bucket_data (group_id, bucket_name, op_id, op, checksum, target_op) VALUES (1, '1#global[]', $1, 'CLEAR', $2, $3)`,
    [end, Number(BigInt.asIntN(32, BigInt(checksum))), target],
  )
  const commit = await timed('COMMIT')
  return {
    scan,
    delete: removal + insertion,
    update: update + commit,
    seconds: scan + removal + insertion + update + commit,
  }
}
