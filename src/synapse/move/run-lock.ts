// One tamp at a time writes to a database: a session-level advisory lock. And a look, before anything, whether we may write at all.
import { setTimeout as sleep } from 'node:timers/promises'
import { TampError } from '../../core/errors.ts'
import { isConnectionLost } from '../../database/postgres.ts'
import type { Connection } from '../../database/postgres.ts'

/** Key of the advisory lock: 'tamp', and the number of the compactor. */
export const lockKey: readonly [number, number] = [0x74616d70, 1]
/** How long a server that answers may take to notice that our former session is gone. */
const renewSeconds = 20

export class RunLock implements AsyncDisposable {
  #connection: Connection
  #renewing: Promise<void> | undefined
  #asking: Promise<unknown> | undefined

  private constructor(connection: Connection) {
    this.#connection = connection
  }

  /** @throws TampError `locked` */
  static async take(connect: () => Promise<Connection>): Promise<RunLock> {
    const connection = await connect()
    if (await tryLock(connection)) return new RunLock(connection)
    await connection[Symbol.asyncDispose]()
    throw locked()
  }

  /**
   * Takes the lock again after a connection was lost, as the lock may have gone with it.
   * @param connect opens a connection, and waits for the server as long as that makes sense
   * @throws TampError `locked` where another tamp was faster
   */
  renew(connect: () => Promise<Connection>): Promise<void> {
    this.#renewing ??= this.#renew(connect).finally(() => (this.#renewing = undefined))
    return this.#renewing
  }

  /**
   * Makes sure that the lock is still held, before a unit: its connection may be lost alone.
   * @throws TampError `locked` where another tamp has it by now
   */
  async hold(connect: () => Promise<Connection>): Promise<void> {
    if (this.#renewing === undefined)
      try {
        await (this.#asking ??= this.#connection.query('SELECT').finally(() => (this.#asking = undefined)))
        return
      } catch (error) {
        if (!isConnectionLost(error)) throw error
      }
    await this.renew(connect)
  }

  async #renew(connect: () => Promise<Connection>): Promise<void> {
    await this.#connection[Symbol.asyncDispose]()
    let deadline: number | undefined
    for (;;) {
      const connection = await connect()
      deadline ??= performance.now() + renewSeconds * 1000
      try {
        if (await tryLock(connection)) {
          this.#connection = connection
          return
        }
      } catch (error) {
        if (!isConnectionLost(error)) throw error
      }
      await connection[Symbol.asyncDispose]()
      if (performance.now() > deadline) throw locked()
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
