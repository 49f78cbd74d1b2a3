// One tamp at a time writes to a database: a session-level advisory lock, one for each kind of history.
import { setTimeout as sleep } from 'node:timers/promises'
import { TampError } from '../core/errors.ts'
import { isConnectionLost } from './postgres.ts'
import type { Connection } from './postgres.ts'

/** Key of an advisory lock: 'tamp', and the number of the compactor. */
export type LockKey = readonly [number, number]
export const stateGroupsLock: LockKey = [0x74616d70, 1]
export const bucketsLock: LockKey = [0x74616d70, 2]
/** How long a server that answers may take to notice that our former session is gone. */
const renewSeconds = 20

export class RunLock implements AsyncDisposable {
  readonly #key: LockKey
  #connection: Connection
  #renewing: Promise<void> | undefined
  #asking: Promise<unknown> | undefined

  private constructor(connection: Connection, key: LockKey) {
    this.#connection = connection
    this.#key = key
  }

  /** @throws TampError `locked` */
  static async take(connect: () => Promise<Connection>, key: LockKey): Promise<RunLock> {
    const connection = await connect()
    if (await tryLock(connection, key)) return new RunLock(connection, key)
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
        if (await tryLock(connection, this.#key)) {
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

async function tryLock(connection: Connection, key: LockKey): Promise<boolean> {
  const [row] = await connection.query<[boolean]>('SELECT pg_try_advisory_lock($1, $2)', key)
  return row![0]
}

function locked(): TampError {
  return new TampError('locked', 'Another tamp is at work on this database.', {
    hint: 'Wait for it to end; pg_stat_activity shows it under the application name "tamp".',
  })
}
