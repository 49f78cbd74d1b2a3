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

const names = ['compacted_bucket', 'compacted_stream', 'checkpoint'] as const
/** Looked up in the catalog, which also a role may read that may not use the schema. */
const relations = `FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = 'tamp' AND c.relname IN (${names.map((name) => `'${name}'`).join(', ')})
     AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'storage' AND NOT a.attisdropped)`

async function isThere(connection: Connection): Promise<boolean> {
  const [row] = await connection.query<[number]>(`SELECT count(*) ${relations}`)
  return row![0] === names.length
}

/** Asked one by one: of a list PostgreSQL says whether any is granted. */
async function isAllowed(connection: Connection, privileges: readonly string[]): Promise<boolean> {
  const [row] = await connection.query<[boolean]>(
    `SELECT bool_and(has_schema_privilege(n.oid, 'USAGE')
        AND (SELECT bool_and(has_table_privilege(c.oid, privilege)) FROM unnest($1::text[]) privilege)) ${relations}`,
    [privileges],
  )
  return row![0]
}

/**
 * The life of a storage, not only its name: a schema that was dropped and made anew counts operations from the start, in a stream of the
 * same number. What such a life leaves as it is (TRUNCATE) shows in the slot's name, which has a random part; services without one have none.
 */
const lifeOf = `SELECT quote_ident($1) || ':' || 'bucket_data'::regclass::oid || coalesce(':' || (to_jsonb(s) ->> 'slot_name'), '')
   FROM sync_rules s WHERE s.id = $2`

/** Samples of checkpoints that are kept: older ones say nothing that a younger one does not. */
const checkpointDays = 2

export class Ledger {
  /** Which storage, in which of its lives: one database may hold several. */
  readonly storage: string
  readonly #group: number
  /** False where it is not there, and cannot or must not be made. */
  readonly there: boolean
  /** What it knew was of another life of the storage, and is not believed. */
  readonly forgotten: boolean

  private constructor(storage: string, group: number, there: boolean, forgotten = false) {
    this.storage = storage
    this.#group = group
    this.there = there
    this.forgotten = forgotten
  }

  /**
   * Looks for the ledger of a stream; makes it where `writing`. Where the role may not, the run goes on without.
   * @param connection its search_path is the storage's schema
   */
  static async open(connection: Connection, schema: string, group: number, writing: boolean): Promise<Ledger> {
    let there = await isThere(connection)
    if (!there && writing)
      try {
        await connection.execute(tables)
        there = await isThere(connection)
      } catch (error) {
        // 42501: the role may not make a schema here. 23505 and 42P07: another run is making it just now. 42703: it is somebody else's.
        if (!['42501', '23505', '42P07', '42703'].includes(sqlState(error) ?? '')) throw error
      }
    if (there) there = await isAllowed(connection, writing ? ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] : ['SELECT'])
    const [life] = await connection.query<[string]>(lifeOf, [schema, group])
    const ledger = new Ledger(life?.[0] ?? schema, group, there)
    if (!there) return ledger
    const outdated = await ledger.#isOfAnotherTime(connection)
    if (!writing) return outdated ? new Ledger(ledger.storage, group, false, true) : ledger
    const forgotten = await ledger.#forgetOtherLives(connection, schema, outdated)
    return forgotten ? new Ledger(ledger.storage, group, there, true) : ledger
  }

  /** It knows of checkpoints that the storage has not come to: an older storage was restored beside it. Nothing of it can be believed. */
  async #isOfAnotherTime(connection: Connection): Promise<boolean> {
    const [row] = await connection.query<[boolean]>(
      `SELECT EXISTS (SELECT FROM tamp.checkpoint c WHERE c.storage = $1 AND c.group_id = s.id AND c.op_id > s.last_checkpoint)
           OR EXISTS (SELECT FROM tamp.compacted_stream c WHERE c.storage = $1 AND c.group_id = s.id AND c.compacted_to > s.last_checkpoint)
           OR EXISTS (SELECT FROM tamp.compacted_bucket c WHERE c.storage = $1 AND c.group_id = s.id AND c.compacted_to > s.last_checkpoint)
         FROM sync_rules s WHERE s.id = $2`,
      this.#key,
    )
    return row?.[0] ?? false
  }

  /** Removes what is known of former lives of this schema, of streams that are no more, and, where `own`, of this life. */
  async #forgetOtherLives(connection: Connection, schema: string, own: boolean): Promise<boolean> {
    let removed = 0
    for (const table of names) {
      await connection.execute(
        `DELETE FROM tamp.${table} t WHERE starts_with(t.storage, quote_ident($1) || ':')
            AND NOT EXISTS (SELECT FROM sync_rules s WHERE s.id = t.group_id)`,
        [schema],
      )
      removed += await connection.execute(
        `DELETE FROM tamp.${table} WHERE starts_with(storage, quote_ident($1) || ':') AND group_id = $2 AND (storage <> $3 OR $4)`,
        [schema, this.#group, this.storage, own],
      )
    }
    return removed > 0
  }

  get #key(): [string, number] {
    return [this.storage, this.#group]
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

  /** Whether it knows of any bucket of the stream. */
  async knowsBuckets(connection: Connection): Promise<boolean> {
    if (!this.there) return false
    const [row] = await connection.query<[boolean]>(
      'SELECT EXISTS (SELECT FROM tamp.compacted_bucket WHERE storage = $1 AND group_id = $2)',
      this.#key,
    )
    return row![0]
  }

  async bucketsAreCompacted(connection: Connection, buckets: readonly string[], to: number): Promise<void> {
    if (!this.there || buckets.length === 0) return
    await connection.execute(
      `INSERT INTO tamp.compacted_bucket SELECT $1, $2, name, $4 FROM unnest($3::text[]) name
         ON CONFLICT (storage, group_id, bucket_name) DO UPDATE SET compacted_to = greatest(compacted_bucket.compacted_to, excluded.compacted_to)`,
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

  /** Notes which checkpoint the storage says is published now. The first time that it was seen counts. */
  async seeCheckpoint(connection: Connection): Promise<void> {
    if (!this.there) return
    await connection.execute(
      `INSERT INTO tamp.checkpoint (storage, group_id, op_id)
       SELECT $1, id, last_checkpoint FROM sync_rules WHERE id = $2 AND last_checkpoint > 0 ON CONFLICT DO NOTHING`,
      this.#key,
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

  /** Seconds since a checkpoint was first seen; 0 where it was not. */
  async ageOf(connection: Connection, opId: number): Promise<number> {
    if (!this.there) return 0
    const [row] = await connection.query<[number]>(
      `SELECT extract(epoch FROM now() - seen_at)::float8 FROM tamp.checkpoint WHERE storage = $1 AND group_id = $2 AND op_id = $3`,
      [...this.#key, opId],
    )
    return row?.[0] ?? 0
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
