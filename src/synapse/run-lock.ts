// One tamp at a time writes to a database: a session-level advisory lock. And a look, before anything, whether we may write at all.
import { setTimeout as sleep } from 'node:timers/promises'
import { TampError } from '../core/errors.ts'
import type { Connection } from '../database/postgres.ts'

// 'tamp', and the number of the compactor.
const lockKey = [0x74616d70, 1]
const renewSeconds = 20

export class RunLock implements AsyncDisposable {
  readonly #connect: () => Promise<Connection>
  #connection: Connection
  #renewing: Promise<void> | undefined

  private constructor(connect: () => Promise<Connection>, connection: Connection) {
    this.#connect = connect
    this.#connection = connection
  }

  /** @throws TampError `locked` */
  static async take(connect: () => Promise<Connection>): Promise<RunLock> {
    const connection = await connect()
    if (await tryLock(connection)) return new RunLock(connect, connection)
    await connection[Symbol.asyncDispose]()
    throw locked()
  }

  /** Takes the lock again after a connection was lost, as the lock may have gone with it. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined))
    return this.#renewing
  }

  async #renew(): Promise<void> {
    const deadline = performance.now() + renewSeconds * 1000
    await this.#connection[Symbol.asyncDispose]()
    for (;;) {
      try {
        this.#connection = await this.#connect()
        // The server may not have noticed yet that our former session is gone.
        if (await tryLock(this.#connection)) return
        await this.#connection[Symbol.asyncDispose]()
        if (performance.now() > deadline) throw locked()
      } catch (error) {
        if (performance.now() > deadline) throw error
      }
      await sleep(200)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]()
  }
}

async function tryLock(connection: Connection): Promise<boolean> {
  const [row] = await connection.query<[boolean]>('SELECT pg_try_advisory_lock($1, $2)', lockKey)
  return row![0]
}

function locked(): TampError {
  return new TampError('locked', 'Another tamp is at work on this database.', {
    hint: 'Wait for it to end; pg_stat_activity shows it under the application name "tamp".',
  })
}

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
