// Connections for a run of units: kept for the next unit, waited for where the server is away for a while.
// And the fate of a COMMIT whose answer was lost: it is looked up, not guessed.
import { setTimeout as sleep } from 'node:timers/promises'
import { TampError } from '../core/errors.ts'
import { cancellable } from './cancellable.ts'
import { sqlState } from './failures.ts'
import { isConnectionLost } from './postgres.ts'
import type { Connection } from './postgres.ts'

/** How long a lost server is waited for. */
const patienceSeconds = 60
/** Tries of something that writes nothing. */
const tries = 6

export class Sessions implements AsyncDisposable {
  readonly #open: () => Promise<Connection>
  readonly #signal: AbortSignal | undefined
  readonly #idle: Connection[] = []

  /** @param signal fires when somebody told the run to stop: then nothing is waited for */
  constructor(open: () => Promise<Connection>, signal?: AbortSignal) {
    this.#open = open
    this.#signal = signal
  }

  /** A connection that nobody uses; to be given back, or closed. */
  async take(): Promise<Connection> {
    return this.#idle.pop() ?? (await this.connect())
  }

  give(connection: Connection): void {
    this.#idle.push(connection)
  }

  /** Ends the transaction that is open on a connection, and gives the connection back where it still works. */
  async rollBack(connection: Connection): Promise<void> {
    try {
      await connection.execute('ROLLBACK')
      this.#idle.push(connection)
    } catch {
      await connection[Symbol.asyncDispose]()
    }
  }

  /** A new connection; a server that is away is waited for, but not by somebody who has been told to stop. */
  async connect(): Promise<Connection> {
    const deadline = performance.now() + patienceSeconds * 1000
    for (let pause = 100; ; pause = Math.min(2000, pause * 2)) {
      try {
        return await this.#open()
      } catch (error) {
        if (!isConnectionLost(error) || performance.now() > deadline || this.#signal?.aborted) throw error
        await sleep(pause, undefined, this.#signal === undefined ? {} : { signal: this.#signal }).catch(() => {})
      }
    }
  }

  /** Does something that writes nothing; if its connection is lost, waits for the server and does it again. */
  async outlasting<Result>(work: () => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work()
      } catch (error) {
        if (!isConnectionLost(error) || attempt >= tries) throw error
        // What took this one may have taken the idle ones, and each of them would cost a try.
        await this.#closeIdle()
        await using _ = await this.connect()
      }
    }
  }

  /**
   * Reads on one of the connections; if it is lost, waits for the server and reads again.
   * @param signal stops the statement that is running
   */
  async reading<Result>(work: (connection: Connection) => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return await this.outlasting(async () => {
      const connection = await this.take()
      try {
        const result = await cancellable(connection, signal, () => work(connection))
        this.give(connection)
        return result
      } catch (error) {
        await connection[Symbol.asyncDispose]()
        throw error
      }
    })
  }

  /** What became of a transaction whose COMMIT was not answered. @param transaction `pg_current_xact_id()` */
  async isCommitted(transaction: string): Promise<boolean> {
    const deadline = performance.now() + patienceSeconds * 1000
    for (;;) {
      const status = await this.#statusOf(transaction)
      if (status !== 'in progress') return status === 'committed'
      if (performance.now() > deadline)
        throw new TampError('connection-failed', `The server does not say what became of transaction ${transaction}.`, {
          hint: 'It is either whole or undone: run the command again to go on.',
        })
      await sleep(100)
    }
  }

  async #statusOf(transaction: string): Promise<string | null> {
    try {
      return await this.outlasting(async () => {
        await using connection = await this.connect()
        const [row] = await connection.query<[string | null]>('SELECT pg_xact_status($1::text::xid8)', [transaction])
        return row![0]
      })
    } catch (error) {
      // A server that crashed before it had written anything of a transaction to its log does not know that it ever began.
      if (sqlState(error) === '22023') return 'aborted'
      throw error
    }
  }

  async #closeIdle(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((connection) => connection[Symbol.asyncDispose]()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closeIdle()
  }
}
