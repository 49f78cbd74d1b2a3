// Writes to bucket storage in the order, and under the locks, of the service's replicator. One per source table, with a session
// of its own. For storage version 3 deleted rows stay, emptied, until a checkpoint covers them.
import { setTimeout as sleep } from 'node:timers/promises'
import { serialize } from 'bson'
import { transaction } from '../session.ts'
import type { Session } from '../session.ts'
import { put, remove, sourceTableId } from './operations.ts'
import type { Operation } from './operations.ts'

export interface SourceChange {
  readonly id: string
  /** Null deletes the row. */
  readonly row: Readonly<Record<string, unknown>> | null
  /** The buckets that it is in from now on. */
  readonly buckets: readonly string[]
}

export interface ReplicatorOptions {
  readonly table: string
  readonly group?: number
  readonly storageVersion?: 1 | 2 | 3
  /** `source_tables.id`. */
  readonly sourceTable?: string
}

type Change = SourceChange & { readonly key: string }
type Membership = { readonly bucket: string }

export class Replicator {
  readonly #session: Session
  readonly #group: number
  readonly #table: string
  readonly #sourceTable: string
  readonly #current: string
  readonly #keepsDeleted: boolean
  /** What the next checkpoint will cover at least. */
  #persisted: number | null = null

  constructor(
    session: Session,
    { table, group = 1, storageVersion = 2, sourceTable = sourceTableId(table) }: ReplicatorOptions,
  ) {
    this.#session = session
    this.#group = group
    this.#table = table
    this.#sourceTable = sourceTable
    this.#keepsDeleted = storageVersion === 3
    this.#current = `powersync.${this.#keepsDeleted ? 'v3_current_data' : 'current_data'}`
  }

  /** Changes of the source, in its order, no row twice. `pause` is called when op ids are taken and not yet visible. */
  async flush(changes: readonly SourceChange[], pause: () => void | Promise<void> = () => {}): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        this.#persisted = await transaction(this.#session, 'BEGIN ISOLATION LEVEL REPEATABLE READ', () =>
          this.#write(changes, pause),
        )
        break
      } catch (error) {
        if (!['40001', '40P01'].includes((error as { code?: string }).code ?? '') || attempt > 200) throw error
        await sleep(100 + Math.random() * 200)
      }
    }
    // A statement of its own: whoever holds the row of sync_rules makes the replicator wait here too.
    await this.#session.query('UPDATE powersync.sync_rules SET last_keepalive_ts = now() WHERE id = $1', [this.#group])
  }

  /** The source's transaction is complete: everything up to the last flush becomes a checkpoint, which is returned. */
  async commit(): Promise<number> {
    const checkpoint = await transaction(this.#session, 'BEGIN', async () => {
      await this.#session.query('SELECT 1 FROM powersync.sync_rules WHERE id = $1 FOR UPDATE', [this.#group])
      const [row] = await this.#session.query<[number]>(
        `UPDATE powersync.sync_rules SET last_checkpoint = greatest(last_checkpoint, $2, keepalive_op, 0), keepalive_op = NULL,
                last_checkpoint_ts = now(), last_keepalive_ts = now() WHERE id = $1 RETURNING last_checkpoint`,
        [this.#group, this.#persisted],
      )
      await this.#session.query(`SELECT pg_notify('powersynccheckpoints', $1)`, [
        JSON.stringify({
          active_checkpoint: { id: this.#group, last_checkpoint: String(row![0]), last_checkpoint_lsn: null },
        }),
      ])
      return row![0]
    })
    this.#persisted = null
    return checkpoint
  }

  /** Removes the deleted rows that the checkpoint covers (storage version 3). */
  async forgetDeleted(): Promise<void> {
    if (this.#keepsDeleted)
      await this.#session.query(
        `DELETE FROM ${this.#current} c USING powersync.sync_rules s
          WHERE c.group_id = $1 AND s.id = $1 AND c.pending_delete <= s.last_checkpoint`,
        [this.#group],
      )
  }

  async #write(changes: readonly SourceChange[], pause: () => void | Promise<void>): Promise<number> {
    const keyed: Change[] = changes.map((change) => ({ ...change, key: this.#remove(change.id).sourceKey! }))
    const known = new Map(
      await this.#session.query<[string, Membership[]]>(
        `SELECT encode(source_key, 'hex'), buckets FROM ${this.#current}
          WHERE group_id = $1 AND source_table = $2 AND encode(source_key, 'hex') = ANY ($3) FOR NO KEY UPDATE`,
        [this.#group, this.#sourceTable, keyed.map(({ key }) => key)],
      ),
    )
    const operations = keyed.flatMap((change) => this.#operations(change, known.get(change.key) ?? []))
    await this.#writeCurrent(keyed.toSorted((a, b) => (a.key < b.key ? -1 : 1)))
    await this.#session.query(
      `INSERT INTO powersync.bucket_data
         (group_id, bucket_name, op_id, op, source_table, source_key, table_name, row_id, checksum, data)
       SELECT $1, o.bucket, nextval('powersync.op_id_sequence'), o.op, $2, decode(o."sourceKey", 'hex'), $3, o."rowId", o.checksum, o.data
         FROM json_to_recordset($4) AS o(bucket text, op text, "sourceKey" text, "rowId" text, checksum int8, data text)`,
      [this.#group, this.#sourceTable, this.#table, JSON.stringify(operations)],
    )
    await pause()
    // The sequence of all groups, not "my last operation".
    const [row] = await this.#session.query<[number]>(
      'SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM powersync.op_id_sequence',
    )
    return row![0]
  }

  #remove(id: string): Operation {
    return remove(0, { table: this.#table, id, sourceTable: this.#sourceTable })
  }

  /** A PUT for each bucket the row is in, then a REMOVE for each that it has left. */
  #operations({ id, row, buckets }: Change, before: readonly Membership[]): (Operation & { bucket: string })[] {
    const now = row === null ? [] : buckets
    const at = { table: this.#table, id, sourceTable: this.#sourceTable }
    return [
      ...now.map((bucket) => ({ ...put(0, at, JSON.stringify(row)), bucket })),
      ...before.filter(({ bucket }) => !now.includes(bucket)).map(({ bucket }) => ({ ...this.#remove(id), bucket })),
    ]
  }

  async #writeCurrent(changes: readonly Change[]): Promise<void> {
    const upsert = async ({ id, key, row, buckets }: Change): Promise<void> => {
      await this.#session.query(
        `INSERT INTO ${this.#current} (group_id, source_table, source_key, buckets, data, lookups)
         VALUES ($1, $2, decode($3, 'hex'), $4, $5, '{}')
         ON CONFLICT (group_id, source_table, source_key) DO UPDATE SET buckets = excluded.buckets, data = excluded.data
           ${this.#keepsDeleted ? ', pending_delete = NULL' : ''}`,
        [
          this.#group,
          this.#sourceTable,
          key,
          JSON.stringify(buckets.map((bucket) => ({ bucket, table: this.#table, id }))),
          Buffer.from(serialize(row!)),
        ],
      )
    }
    for (const change of changes) if (change.row !== null) await upsert(change)
    const gone = changes.filter(({ row }) => row === null).map(({ key }) => key)
    const condition = `group_id = $1 AND source_table = $2 AND encode(source_key, 'hex') = ANY ($3)`
    await this.#session.query(
      this.#keepsDeleted
        ? `UPDATE ${this.#current} SET buckets = '[]', data = '\\x0500000000', lookups = '{}',
             pending_delete = nextval('powersync.op_id_sequence') WHERE ${condition}`
        : `DELETE FROM ${this.#current} WHERE ${condition}`,
      [this.#group, this.#sourceTable, gone],
    )
  }
}
