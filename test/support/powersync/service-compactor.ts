// The service's own `compact` re-enacted, statement by statement as it sends them: one UPDATE per superseded operation, CLEAR after
// that in transactions of its own. What tamp must end like, what it is measured against, and a writer that may run beside it.
import type { Connection as ProtocolConnection, Submittable } from 'pg'
import { transaction } from '../session.ts'
import type { Session } from '../session.ts'

export const serviceApplicationName = 'powersync-storage/1.25.0'

export interface ServiceCompactOptions {
  /** Default: `last_checkpoint`, as it reads it at its start. */
  readonly maxOpId?: number
  readonly buckets?: readonly string[]
  /** Bytes of keys that it remembers per bucket; rows first met after that stay as they are. */
  readonly memoryLimit?: number
  /** Called after each batch it has written: tests pause or stop it there. */
  readonly afterBatch?: (kind: 'move' | 'clear', bucket: string) => void | Promise<void>
}

/** Compacts the ACTIVE stream over a session that then looks like one of the service's. Returns how many statements wrote. */
export async function compactAsTheServiceDoes(session: Session, options: ServiceCompactOptions = {}): Promise<number> {
  await session.query(`SELECT set_config('application_name', $1, false)`, [serviceApplicationName])
  return new ServiceCompactor(session, options).run()
}

const pageSize = 10_000
const moveBatch = 2000
const clearBatch = 5000
const bucketPage = 200

type PageRow = [number, string, string | null, string | null, string | null, Buffer | null]

class ServiceCompactor {
  readonly #session: Session
  readonly #options: ServiceCompactOptions
  #group = 0
  #writes = 0

  constructor(session: Session, options: ServiceCompactOptions) {
    this.#session = session
    this.#options = options
  }

  async run(): Promise<number> {
    const streams = await this.#session.query<[number, number | null]>(
      `SELECT id, last_checkpoint FROM powersync.sync_rules WHERE state = 'ACTIVE'`,
    )
    for (const [group, checkpoint] of streams) {
      this.#group = group
      const maxOpId = this.#options.maxOpId ?? checkpoint ?? 0
      if (maxOpId === 0) continue
      for await (const bucket of this.#buckets()) await this.#compact(bucket, maxOpId)
    }
    return this.#writes
  }

  async *#buckets(): AsyncGenerator<string> {
    if (this.#options.buckets !== undefined) return yield* this.#options.buckets
    for (let last = ''; ;) {
      const page = await this.#session.query<[string]>(
        `SELECT DISTINCT bucket_name FROM powersync.bucket_data WHERE group_id = $1 AND bucket_name > $2
          ORDER BY bucket_name LIMIT ${bucketPage}`,
        [this.#group, last],
      )
      for (const [bucket] of page) yield bucket
      if (page.length < bucketPage) return
      last = page.at(-1)![0]
    }
  }

  async #compact(bucket: string, maxOpId: number): Promise<void> {
    const seen = new Map<string, number>()
    let remembered = 0
    let lastNotPut: number | null = null
    let sincePut = 0
    let moves: [opId: number, target: number][] = []
    const flush = async (): Promise<void> => {
      await this.#move(bucket, moves)
      moves = []
    }
    for (let upper = maxOpId; ;) {
      const page = await this.#session.query<PageRow>(
        `SELECT op_id, op, source_table, table_name, row_id, source_key FROM powersync.bucket_data
          WHERE group_id = $1 AND bucket_name = $2 AND op_id <= $3 ORDER BY op_id DESC LIMIT ${pageSize}`,
        [this.#group, bucket, upper],
      )
      for (const [opId, op, sourceTable, tableName, rowId, sourceKey] of page) {
        let livePut = false
        if (op === 'PUT' || op === 'REMOVE') {
          const key = `${tableName}/${rowId}/${sourceTable}.${sourceKey!.toString('base64')}`
          const target = seen.get(key)
          if (target !== undefined) moves.push([opId, target])
          else {
            livePut = op === 'PUT'
            if (remembered < (this.#options.memoryLimit ?? 2 ** 30)) {
              seen.set(key, opId)
              remembered += key.length + 140
            }
          }
        }
        if (livePut) {
          lastNotPut = null
          sincePut = 0
        } else if (op !== 'CLEAR') {
          lastNotPut ??= opId
          sincePut++
        }
        if (moves.length >= moveBatch) await flush()
      }
      if (page.length < pageSize) break
      upper = page.at(-1)![0] - 1
    }
    await flush()
    if (lastNotPut !== null && sincePut > 1) await this.#clear(bucket, lastNotPut)
  }

  async #move(bucket: string, moves: readonly (readonly [number, number])[]): Promise<void> {
    if (moves.length === 0) return
    await this.#session.client.query(
      new Pipeline(
        `UPDATE powersync.bucket_data SET op = 'MOVE', target_op = $1, table_name = NULL, row_id = NULL, data = NULL,
                source_table = NULL, source_key = NULL WHERE group_id = $2 AND bucket_name = $3 AND op_id = $4`,
        moves.map(([opId, target]) => [String(target), String(this.#group), bucket, String(opId)]),
      ),
    ).done
    this.#writes += moves.length
    await this.#options.afterBatch?.('move', bucket)
  }

  async #clear(bucket: string, upTo: number): Promise<void> {
    const session = this.#session
    const group = this.#group
    const once = async (): Promise<boolean> => {
      const rows = await session.query<[number, string, number, number | null]>(
        `SELECT op_id, op, checksum, target_op FROM powersync.bucket_data
          WHERE group_id = $1 AND bucket_name = $2 AND op_id <= $3 ORDER BY op_id LIMIT ${clearBatch}`,
        [group, bucket, upTo],
      )
      if (rows.every(([, op]) => op === 'CLEAR')) return false
      let checksum = 0
      let target: number | null = null
      for (const [opId, op, ownChecksum, ownTarget] of rows) {
        if (op === 'PUT') throw new Error(`Unexpected PUT operation: ${bucket} ${opId}`)
        checksum = (checksum + ownChecksum) | 0
        if (ownTarget !== null) target = Math.max(target ?? 0, ownTarget)
      }
      const last = rows.at(-1)![0]
      await session.query(
        `DELETE FROM powersync.bucket_data WHERE group_id = $1 AND bucket_name = $2 AND op_id <= $3`,
        [group, bucket, last],
      )
      await session.query(
        `INSERT INTO powersync.bucket_data (group_id, bucket_name, op_id, op, checksum, target_op)
         VALUES ($1, $2, $3, 'CLEAR', $4, $5)`,
        [group, bucket, last, checksum, target],
      )
      return true
    }
    while (await transaction(session, 'BEGIN ISOLATION LEVEL REPEATABLE READ', once)) {
      this.#writes += 2
      await this.#options.afterBatch?.('clear', bucket)
    }
  }
}

/** One statement many times, each parsed and executed on its own, sent together: what the service's driver does. */
class Pipeline implements Submittable {
  readonly #text: string
  readonly #rows: readonly (readonly string[])[]
  readonly #settled = Promise.withResolvers<void>()
  readonly done: Promise<void> = this.#settled.promise

  constructor(text: string, rows: readonly (readonly string[])[]) {
    this.#text = text
    this.#rows = rows
  }

  submit(connection: ProtocolConnection): void {
    const { stream } = connection
    stream.cork()
    for (const values of this.#rows) {
      connection.parse({ name: '', text: this.#text, types: [] }, true)
      connection.bind({ values: [...values] }, true)
      connection.describe({ type: 'P', name: '' }, true)
      connection.execute({ portal: '', rows: '' }, true)
    }
    connection.sync()
    stream.uncork()
  }

  handleError(error: Error): void {
    this.#settled.reject(error)
  }

  handleReadyForQuery(): void {
    this.#settled.resolve()
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}
