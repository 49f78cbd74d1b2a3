// A look, before anything, whether we may do what defragmenting does beyond compacting.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'

/**
 * It adds operations, takes op ids, and tells the replicator of them.
 * @throws TampError `no-permission`
 */
export async function requireOwnRights(connection: Connection): Promise<void> {
  const [row] = await connection.query<[string, boolean]>(
    `SELECT current_user, has_table_privilege('bucket_data', 'INSERT') AND has_table_privilege('sync_rules', 'UPDATE')
        AND (has_sequence_privilege('op_id_sequence', 'USAGE') OR has_sequence_privilege('op_id_sequence', 'UPDATE'))
        AND has_sequence_privilege('op_id_sequence', 'SELECT')`,
  )
  const [role, privileged] = row!
  if (!privileged)
    throw new TampError('no-permission', `The role ${role} may not add operations to this storage.`, {
      hint: 'It needs INSERT on bucket_data, UPDATE on sync_rules, and SELECT and USAGE on op_id_sequence: connect as the role that PowerSync uses.',
    })
}
