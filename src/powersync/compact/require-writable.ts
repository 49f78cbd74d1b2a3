// A look, before anything, whether we may change operations at all.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'
import type { BucketStorage } from '../database.ts'

/** @throws TampError `no-permission` where the role or the server only lets us read */
export async function requireWritable(connection: Connection, storage: BucketStorage): Promise<void> {
  const [row] = await connection.query<[string, string, boolean]>(
    `SELECT current_user, current_setting('transaction_read_only'),
            has_table_privilege('bucket_data', 'SELECT') AND has_table_privilege('bucket_data', 'UPDATE')
        AND has_table_privilege('bucket_data', 'DELETE') AND has_database_privilege(current_database(), 'TEMP')`,
  )
  const [role, readOnly, privileged] = row!
  if (readOnly === 'on')
    throw new TampError('no-permission', 'The database only lets us read.', {
      hint: 'Connect to the primary server, with a role whose default_transaction_read_only is off.',
    })
  if (!privileged)
    throw new TampError(
      'no-permission',
      `The role ${role} may not change the operations in ${storage.schema}.bucket_data.`,
      {
        hint: 'Connect as the role that PowerSync uses; it also needs TEMP on the database.',
      },
    )
}
