// Hears of checkpoints while a run is at work, and keeps note of one now and then: the next run knows from it how old a checkpoint is.
import type { Connection } from '../database/postgres.ts'
import type { Ledger } from './ledger.ts'

/** Channel on which the service tells of every checkpoint. */
const channel = 'powersynccheckpoints'
/** Seconds between two that are kept: a busy service publishes several a second. */
const restSeconds = 30

export class CheckpointWatch implements AsyncDisposable {
  readonly #connection: Connection
  #noted = -Infinity
  #writing: Promise<void> = Promise.resolve()

  private constructor(connection: Connection) {
    this.#connection = connection
  }

  /** @param connection its own from now on; where it is lost, nothing more is heard, and nothing else happens */
  static async start(connection: Connection, ledger: Ledger, group: number): Promise<CheckpointWatch> {
    const watch = new CheckpointWatch(connection)
    connection.client.on('notification', ({ payload }) => {
      const opId = publishedBy(payload, group)
      if (opId === undefined || performance.now() - watch.#noted < restSeconds * 1000) return
      watch.#noted = performance.now()
      watch.#writing = watch.#writing.then(() => ledger.seeCheckpoint(connection, opId)).catch(() => {})
    })
    await connection.execute(`LISTEN ${channel}`)
    return watch
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing
    await this.#connection[Symbol.asyncDispose]()
  }
}

/** The op id that a notification says is published for a stream; undefined where it says something else. */
export function publishedBy(payload: string | undefined, group: number): number | undefined {
  try {
    const { active_checkpoint: checkpoint } = JSON.parse(payload ?? '') as {
      active_checkpoint?: { id?: unknown; last_checkpoint?: unknown } | null
    }
    const opId = Number(checkpoint?.last_checkpoint ?? NaN)
    return checkpoint?.id === group && Number.isSafeInteger(opId) && opId > 0 ? opId : undefined
  } catch {
    return undefined
  }
}
