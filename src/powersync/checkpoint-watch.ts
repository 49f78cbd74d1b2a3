// Hears of checkpoints while a run is at work, and keeps note of one now and then: the next run knows from it how old a checkpoint is.
// What it hears only wakes it: anybody in the database may say anything on the channel, and other storages do. It looks itself then.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../database/postgres.ts'
import type { Ledger } from './ledger.ts'

/** Channel on which the service tells of every checkpoint, of whichever storage of the database. */
const channel = 'powersynccheckpoints'
/** Seconds between two that are kept: a busy service publishes several a second. */
const restSeconds = 30
/** How long a server that does not answer is waited for at the end. */
const goodbyeSeconds = 2

export class CheckpointWatch implements AsyncDisposable {
  readonly #connection: Connection
  readonly #ledger: Ledger
  #noted = -Infinity
  #writing: Promise<void> = Promise.resolve()

  private constructor(connection: Connection, ledger: Ledger) {
    this.#connection = connection
    this.#ledger = ledger
  }

  /** @param connection its own from now on, to the storage of the ledger; where it is lost, nothing more is heard, and nothing else happens */
  static async start(connection: Connection, ledger: Ledger): Promise<CheckpointWatch> {
    const watch = new CheckpointWatch(connection, ledger)
    connection.client.on('notification', () => {
      if (performance.now() - watch.#noted >= restSeconds * 1000) watch.#note()
    })
    await connection.execute(`LISTEN ${channel}`)
    return watch
  }

  #note(): void {
    this.#noted = performance.now()
    this.#writing = this.#writing.then(() => this.#ledger.seeCheckpoint(this.#connection)).catch(() => {})
  }

  /** Notes the last one as well: the next run will be a while. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#note()
    await Promise.race([this.#writing, sleep(goodbyeSeconds * 1000, undefined, { ref: false })])
    await this.#connection[Symbol.asyncDispose]()
  }
}
