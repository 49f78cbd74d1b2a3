// How much room bucket_data takes on disk.
import type { Connection } from '../database/postgres.ts'
import type { Space } from './report.ts'

export async function bucketSpace(connection: Connection): Promise<Space> {
  const [row] = await connection.query<[number, number]>(
    `SELECT pg_table_size('bucket_data'), pg_indexes_size('bucket_data')`,
  )
  return { tableBytes: row![0], indexBytes: row![1] }
}
