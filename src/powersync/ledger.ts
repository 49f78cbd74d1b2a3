// What tamp remembers in the database it works on: up to where each bucket is compacted, and which checkpoints it saw published when.
// A schema of its own, `tamp`, made by the first run that writes. Losing it costs time, never an answer.
import { sqlState } from '../database/failures.ts'
import type { Connection } from '../database/postgres.ts'

const tables = `CREATE SCHEMA IF NOT EXISTS tamp;
CREATE TABLE IF NOT EXISTS tamp.compacted_bucket (
  storage text NOT NULL, group_id int NOT NULL, bucket_name text NOT NULL, compacted_to int8 NOT NULL,
  PRIMARY KEY (storage, group_id, bucket_name));
CREATE TABLE IF NOT EXISTS tamp.compacted_stream (
  storage text NOT NULL, group_id int NOT NULL, compacted_to int8 NOT NULL, PRIMARY KEY (storage, group_id));
CREATE TABLE IF NOT EXISTS tamp.checkpoint (
  storage text NOT NULL, group_id int NOT NULL, op_id int8 NOT NULL, seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (storage, group_id, op_id))`

/** Samples of checkpoints that are kept: older ones say nothing that a younger one does not. */
const checkpointDays = 2

export class Ledger {
  /** The schema of the bucket storage: one database may hold several. */
  readonly #storage: string
  readonly #group: number
  /** False where it is not there, and cannot or must not be made. */
  readonly there: boolean

  private constructor(storage: string, group: number, there: boolean) {
    this.#storage = storage
    this.#group = group
    this.there = there
  }

  /**
   * Looks for the ledger of a stream; makes it where `writing`. Where the role may not, the run goes on without.
   */
  static async open(connection: Connection, storage: string, group: number, writing: boolean): Promise<Ledger> {
    const [row] = await connection.query<[boolean]>(`SELECT to_regclass('tamp.compacted_bucket') IS NOT NULL
       AND to_regclass('tamp.compacted_stream') IS NOT NULL AND to_regclass('tamp.checkpoint') IS NOT NULL`)
    let there = row![0]
    if (!there && writing)
      try {
        await connection.execute(tables)
        there = true
      } catch (error) {
        // 42501: the role may not make a schema here. 23505 and 42P07: another run is making it just now.
        if (!['42501', '23505', '42P07'].includes(sqlState(error) ?? '')) throw error
      }
    if (there) {
      const [may] = await connection.query<[boolean]>(
        `SELECT has_schema_privilege('tamp', 'USAGE') AND has_table_privilege('tamp.compacted_bucket', $1)
            AND has_table_privilege('tamp.compacted_stream', $1) AND has_table_privilege('tamp.checkpoint', $1)`,
        [writing ? 'SELECT, INSERT, UPDATE, DELETE' : 'SELECT'],
      )
      there = may![0]
    }
    return new Ledger(storage, group, there)
  }

  get #key(): [string, number] {
    return [this.#storage, this.#group]
  }

  /** Up to where a whole run has compacted every bucket of the stream; 0 where none has. */
  async streamCompactedTo(connection: Connection): Promise<number> {
    if (!this.there) return 0
    const [row] = await connection.query<[number]>(
      'SELECT compacted_to FROM tamp.compacted_stream WHERE storage = $1 AND group_id = $2',
      this.#key,
    )
    return row?.[0] ?? 0
  }

  async streamIsCompacted(connection: Connection, to: number): Promise<void> {
    if (!this.there) return
    await connection.execute(
      `INSERT INTO tamp.compacted_stream VALUES ($1, $2, $3)
         ON CONFLICT (storage, group_id) DO UPDATE SET compacted_to = greatest(compacted_stream.compacted_to, excluded.compacted_to)`,
      [...this.#key, to],
    )
  }

  async bucketsAreCompacted(connection: Connection, buckets: readonly string[], to: number): Promise<void> {
    if (!this.there || buckets.length === 0) return
    await connection.execute(
      `INSERT INTO tamp.compacted_bucket SELECT $1, $2, name, $4 FROM unnest($3::text[]) name
         ON CONFLICT (storage, group_id, bucket_name) DO UPDATE SET compacted_to = excluded.compacted_to`,
      [...this.#key, buckets, to],
    )
  }

  /** Forgets that these buckets were compacted: they have been rewritten. */
  async forgetBuckets(connection: Connection, buckets: readonly string[]): Promise<void> {
    if (!this.there) return
    await connection.execute(
      'DELETE FROM tamp.compacted_bucket WHERE storage = $1 AND group_id = $2 AND bucket_name = ANY ($3::text[])',
      [...this.#key, buckets],
    )
    await connection.execute('DELETE FROM tamp.compacted_stream WHERE storage = $1 AND group_id = $2', this.#key)
  }

  /** Notes that a checkpoint is published now. The first time that it was seen counts. */
  async seeCheckpoint(connection: Connection, opId: number): Promise<void> {
    if (!this.there) return
    await connection.execute(
      `INSERT INTO tamp.checkpoint (storage, group_id, op_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
      [...this.#key, opId],
    )
    await connection.execute(
      `DELETE FROM tamp.checkpoint WHERE storage = $1 AND group_id = $2 AND seen_at < now() - make_interval(days => $3)
          AND op_id < (SELECT max(op_id) FROM tamp.checkpoint WHERE storage = $1 AND group_id = $2
                          AND seen_at < now() - make_interval(days => $3))`,
      [...this.#key, checkpointDays],
    )
  }

  /** The newest checkpoint that was seen at least so many seconds ago, and its age. One above `upTo` is of another time: the storage was restored. */
  async agedCheckpoint(
    connection: Connection,
    seconds: number,
    upTo: number,
  ): Promise<{ opId: number; age: number } | undefined> {
    if (!this.there) return undefined
    const [row] = await connection.query<[number, number]>(
      `SELECT op_id, extract(epoch FROM now() - seen_at)::float8 FROM tamp.checkpoint
        WHERE storage = $1 AND group_id = $2 AND seen_at <= now() - make_interval(secs => $3) AND op_id <= $4
        ORDER BY op_id DESC LIMIT 1`,
      [...this.#key, seconds, upTo],
    )
    return row && { opId: row[0], age: row[1] }
  }

  /** Checkpoints seen published, ascending. There may have been others between them. */
  async seenCheckpoints(connection: Connection): Promise<number[]> {
    if (!this.there) return []
    const rows = await connection.query<[number]>(
      'SELECT op_id FROM tamp.checkpoint WHERE storage = $1 AND group_id = $2 ORDER BY op_id',
      this.#key,
    )
    return rows.map(([opId]) => opId)
  }

  /** The SQL condition that selects the ledger's rows of this stream in tamp.compacted_bucket. @param first number of the first of two parameters */
  condition(alias: string, first: number): { readonly sql: string; readonly values: readonly [string, number] } {
    return { sql: `${alias}.storage = $${first} AND ${alias}.group_id = $${first + 1}`, values: this.#key }
  }
}
