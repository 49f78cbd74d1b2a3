// How far replication has come: a touch is only done when the service has published it, and must not outrun the service.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../../database/postgres.ts'
import type { Stream } from '../../streams.ts'

/** Bytes of write-ahead log that replication may be behind before touching waits for it. */
const mostBehind = 16 * 1024 * 1024
const pollMilliseconds = 500

export interface Patience {
  readonly signal: AbortSignal
  /** Seconds without any progress before waiting is given up. */
  readonly seconds: number
  readonly tell: (reason: string) => void
}

/** Positions in the write-ahead log of the source, as PostgreSQL writes them. */
interface Progress {
  /** Bytes behind the end of the log; null where nothing tells. */
  readonly behind: number | null
  /** Whether the published checkpoint lies at or behind the position asked for; null where that is not known. */
  readonly published: boolean | null
  /** Changes whenever replication comes on. */
  readonly mark: string
}

export class ReplicationLag {
  readonly #source: Connection
  readonly #storage: Connection
  readonly #stream: number

  constructor(source: Connection, storage: Connection, { id }: Pick<Stream, 'id'>) {
    this.#source = source
    this.#storage = storage
    this.#stream = id
  }

  /** The end of the source's log. */
  async position(): Promise<string> {
    const [row] = await this.#source.query<[string]>('SELECT pg_current_wal_lsn()::text')
    return row![0]
  }

  /** True where replication cannot be watched from here: no slot of that name, and no position of the checkpoint. */
  async isUnseen(): Promise<boolean> {
    return (await this.#progress(await this.position())).behind === null
  }

  /** Waits while replication is too far behind. False where it does not come on. */
  async keepUp(patience: Patience): Promise<boolean> {
    return await this.#wait(patience, async () => {
      const { behind, mark } = await this.#progress(await this.position())
      if (behind === null || behind <= mostBehind) return null
      return { mark, reason: `replication is ${Math.round(behind / 1024 / 1024)} MB behind` }
    })
  }

  /** Waits until a position is covered by the checkpoint that clients are served. False where it does not come to that. */
  async published(position: string, patience: Patience): Promise<boolean> {
    return await this.#wait(patience, async () => {
      const { published, mark } = await this.#progress(position)
      return published === true ? null : { mark, reason: 'the service has not published the touched rows yet' }
    })
  }

  async #wait(
    { signal, seconds, tell }: Patience,
    obstacle: () => Promise<{ mark: string; reason: string } | null>,
  ): Promise<boolean> {
    let mark: string | undefined
    let since = performance.now()
    for (;;) {
      const met = await obstacle()
      if (met === null) return true
      if (met.mark !== mark) since = performance.now()
      mark = met.mark
      if (signal.aborted || performance.now() - since > seconds * 1000) return false
      tell(met.reason)
      await sleep(pollMilliseconds, undefined, { signal }).catch(() => {})
    }
  }

  async #progress(position: string): Promise<Progress> {
    const [stream] = await this.#storage.query<[string | null, string | null]>(
      `SELECT to_jsonb(s) ->> 'slot_name', to_jsonb(s) ->> 'last_checkpoint_lsn' FROM sync_rules s WHERE id = $1`,
      [this.#stream],
    )
    const [slot, checkpoint] = stream ?? [null, null]
    const lsn = checkpoint !== null && isLsn(checkpoint) ? checkpoint : null
    const [row] = await this.#source.query<[number | null, boolean | null, string | null]>(
      `SELECT (pg_current_wal_lsn() - coalesce(s.confirmed_flush_lsn, c.lsn))::float8, c.lsn >= $3::pg_lsn, s.confirmed_flush_lsn::text
         FROM (SELECT $2::pg_lsn AS lsn) c
         LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = $1`,
      [slot, lsn, position],
    )
    const [behind, published, flushed] = row!
    return { behind, published, mark: `${flushed} ${checkpoint}` }
  }
}

/** PowerSync writes positions of a PostgreSQL source with leading zeros. Other databases have other forms. */
export function isLsn(text: string): boolean {
  return /^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/i.test(text)
}
