// One read-only snapshot of a database: many statements that all see the same moment, and that stop when told to.
// Takes no lock but ACCESS SHARE, which every SELECT takes, and writes nothing.
import { cancellable, throwIfInterrupted } from './cancellable.ts'
import { copyOut } from './copy.ts'
import type { Connection } from './postgres.ts'

/** A REPEATABLE READ, READ ONLY transaction on a connection of its own. */
export class ReadSnapshot implements AsyncDisposable {
  readonly #connection: Connection
  readonly #signal: AbortSignal | undefined
  #cursors = 0

  private constructor(connection: Connection, signal: AbortSignal | undefined) {
    this.#connection = connection
    this.#signal = signal
  }

  /** Opens the snapshot; the moment it shows is that of its first query, which this makes. */
  static async open(connect: () => Promise<Connection>, signal?: AbortSignal): Promise<ReadSnapshot> {
    throwIfInterrupted(signal)
    const connection = await connect()
    try {
      await connection.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
      // A cursor here is always read to its end: plan it for that, not for its first tenth.
      await connection.execute('SET LOCAL cursor_tuple_fraction = 1')
      await connection.query('SELECT')
      return new ReadSnapshot(connection, signal)
    } catch (error) {
      await connection[Symbol.asyncDispose]()
      throw error
    }
  }

  /** For small tables and slices the index is always right; a wrong guess of the planner's would read everything. */
  async preferIndexes(preferred: boolean): Promise<void> {
    await this.#connection.execute(`SET LOCAL enable_seqscan = ${preferred ? 'off' : 'on'}`)
  }

  /** Runs one statement. Throws TampError `interrupted` when the signal fires, before or while it runs. */
  query<Row extends readonly unknown[]>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return cancellable(this.#connection, this.#signal, () => this.#connection.query<Row>(text, values))
  }

  /** Streams a query's result in COPY's text format; lines are cut anywhere. Interrupted as `query` is. */
  copy(text: string, take: (bytes: Uint8Array) => void): Promise<number> {
    return cancellable(this.#connection, this.#signal, () => copyOut(this.#connection, text, take))
  }

  /** A text as a literal, for `copy`, which takes no parameters. */
  literal(text: string): string {
    return this.#connection.client.escapeLiteral(text)
  }

  /** Runs one statement and hands its rows out in batches; at most one batch is in memory. */
  async *batches<Row extends readonly unknown[]>(
    text: string,
    values: readonly unknown[] = [],
    size = 20_000,
  ): AsyncGenerator<Row[]> {
    const cursor = `tamp_read_${++this.#cursors}`
    await this.query(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${text}`, values)
    for (;;) {
      const rows = await this.query<Row>(`FETCH ${size} FROM ${cursor}`)
      if (rows.length > 0) yield rows
      if (rows.length < size) break
    }
    await this.query(`CLOSE ${cursor}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#connection.execute('ROLLBACK')
    } catch {
      // The connection is gone: then so is the transaction.
    } finally {
      await this.#connection[Symbol.asyncDispose]()
    }
  }
}
