// A look, before anything, whether we may write to the state store at all.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'

/** @throws TampError `no-permission` where the role or the server only lets us read */
export async function requireWritable(connection: Connection): Promise<void> {
  const [row] = await connection.query<[string, string, boolean]>(
    `SELECT current_user, current_setting('transaction_read_only'),
            has_table_privilege('state_groups', 'SELECT') AND has_table_privilege('state_groups', 'UPDATE')
        AND has_table_privilege('state_group_edges', 'INSERT') AND has_table_privilege('state_group_edges', 'UPDATE')
        AND has_table_privilege('state_group_edges', 'DELETE')
        AND has_table_privilege('state_groups_state', 'INSERT') AND has_table_privilege('state_groups_state', 'DELETE')`,
  )
  const [role, readOnly, privileged] = row!
  if (readOnly === 'on')
    throw new TampError('no-permission', 'The database only lets us read.', {
      hint: 'Connect to the primary server, with a role whose default_transaction_read_only is off.',
    })
  if (!privileged)
    throw new TampError('no-permission', `The role ${role} may not change the state groups.`, {
      hint: 'Connect as the role that Synapse uses.',
    })
}
