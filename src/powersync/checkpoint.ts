// Up to which operation history may be packed: a checkpoint that was published long enough ago that no client is being served an older one.
// A CLEAR above the checkpoint that a client is being served would leave it without the operations that its checksum counts.
//
// sync_rules.last_checkpoint_ts is the time on the clock of the service's machine, which may be behind the database's. So as long as the
// service is connected, a checkpoint is as old as what the service has written since by the same clock says: last_keepalive_ts. When it is
// not connected it serves nobody, and the database's clock will do. All other ages are by the database's clock: see the ledger.
import { setTimeout as sleep } from 'node:timers/promises'
import { TampError } from '../core/errors.ts'
import type { Connection } from '../database/postgres.ts'
import type { Sessions } from '../database/sessions.ts'
import { Ledger } from './ledger.ts'
import type { SafeCheckpoint } from './report.ts'
import { servedStream } from './streams.ts'
import type { Stream } from './streams.ts'

/** Seconds after which a checkpoint that was replaced is taken to be served no more. */
export const defaultGrace = 600

/** The newest checkpoint that is known to have been published at least `grace` seconds ago, or null. */
export async function safeCheckpoint(
  connection: Connection,
  stream: Stream,
  ledger: Ledger,
  grace: number,
): Promise<SafeCheckpoint | null> {
  const { id, lastCheckpoint, checkpointAge } = stream
  if (lastCheckpoint === null) return null
  if (grace === 0) return { opId: lastCheckpoint, age: Math.max(0, checkpointAge ?? 0), source: 'no-grace' }
  const age = await publishedSeconds(connection, id, lastCheckpoint)
  if (age >= grace) return { opId: lastCheckpoint, age, source: 'last_checkpoint_ts' }
  const seen = await ledger.agedCheckpoint(connection, grace, lastCheckpoint)
  return seen === undefined ? null : { ...seen, source: 'ledger' }
}

/** For how many seconds a checkpoint has been published at least, by what the service says; 0 where it is not the newest, or nothing is said. */
async function publishedSeconds(connection: Connection, group: number, opId: number): Promise<number> {
  const [row] = await connection.query<[number | null]>(
    `SELECT extract(epoch FROM least(now(), CASE WHEN EXISTS (SELECT FROM pg_stat_activity
                                                                WHERE datname = current_database()
                                                                  AND application_name LIKE 'powersync-storage/%') THEN alive END) - published)::float8
       FROM (SELECT (to_jsonb(s) ->> 'last_checkpoint_ts')::timestamptz AS published,
                    greatest((to_jsonb(s) ->> 'last_checkpoint_ts')::timestamptz, (to_jsonb(s) ->> 'last_keepalive_ts')::timestamptz) AS alive
               FROM sync_rules s WHERE id = $1 AND last_checkpoint = $2) AS stream`,
    [group, opId],
  )
  return Math.max(0, row?.[0] ?? 0)
}

/**
 * Up to this age an old checkpoint will do although a newer one is published: waiting would hold up the run to pack what one about an hour
 * from now packs as well. Beyond it (a run a day) waiting is worth it.
 */
function goodEnough(grace: number): number {
  return 6 * grace + 300
}

/** What a run would work up to, and whether it is better to wait for the newest. */
export interface CheckpointChoice {
  /** The newest that is known to be old enough, or null. */
  readonly known: SafeCheckpoint | null
  /** Seconds until the newest is old enough, where executing waits for it; 0 where `known` is taken. */
  readonly wait: number
}

/** @param maxSeconds of the run: where waiting would take more than half of it, an older checkpoint is worked up to */
export async function chooseCheckpoint(
  connection: Connection,
  stream: Stream & { readonly lastCheckpoint: number },
  ledger: Ledger,
  grace: number,
  maxSeconds: number = Infinity,
): Promise<CheckpointChoice> {
  const { id, lastCheckpoint } = stream
  const known = await safeCheckpoint(connection, stream, ledger, grace)
  if (known !== null && (known.opId >= lastCheckpoint || known.age <= goodEnough(grace))) return { known, wait: 0 }
  const age = Math.max(
    await publishedSeconds(connection, id, lastCheckpoint),
    await ledger.ageOf(connection, lastCheckpoint),
  )
  const wait = Math.max(0.001, grace - age)
  return { known, wait: known !== null && wait > maxSeconds / 2 ? 0 : wait }
}

export interface WaitOptions {
  readonly grace: number
  /** Of the whole run. */
  readonly maxSeconds?: number | undefined
  /** Fires when the caller or the time limit says stop. */
  readonly signal: AbortSignal
  /** Told why the run stands still. */
  readonly tell: (reason: string) => void
}

export interface FoundCheckpoint {
  readonly stream: Stream & { readonly lastCheckpoint: number }
  /** Of that stream, open for writing. */
  readonly ledger: Ledger
  readonly checkpoint: SafeCheckpoint
}

/**
 * Finds the checkpoint that an executed run works up to. Where none is old enough, or only one that is very old, waits until the one that
 * is published now is. No connection is held meanwhile.
 * @throws TampError `no-checkpoint` where the signal comes first and no older one is known
 */
export async function awaitSafeCheckpoint(
  schema: string,
  sessions: Sessions,
  { grace, maxSeconds = Infinity, signal, tell }: WaitOptions,
): Promise<FoundCheckpoint> {
  const look = (): Promise<Omit<FoundCheckpoint, 'checkpoint'> & CheckpointChoice> =>
    sessions.outlasting(async () => {
      await using connection = await sessions.connect()
      const stream = await servedStream(connection)
      const ledger = await Ledger.open(connection, schema, stream.id, true)
      await ledger.seeCheckpoint(connection)
      return { stream, ledger, ...(await chooseCheckpoint(connection, stream, ledger, grace, maxSeconds)) }
    })
  const { stream, ledger, known, wait } = await look()
  if (known !== null && wait === 0) return { stream, ledger, checkpoint: known }
  const started = performance.now()
  for (;;) {
    const left = wait - (performance.now() - started) / 1000
    if (left <= 0) break
    if (!signal.aborted && (known !== null || wait <= maxSeconds)) {
      tell(`waiting ${Math.ceil(left)} s until checkpoint ${stream.lastCheckpoint} has been published for ${grace} s`)
      await sleep(Math.min(left, 5) * 1000, undefined, { signal }).catch(() => {})
      continue
    }
    if (known !== null) return { stream, ledger, checkpoint: known }
    throw new TampError('no-checkpoint', `No checkpoint is known to have been published ${grace} seconds ago.`, {
      hint: `Checkpoint ${stream.lastCheckpoint} has been noted: run the command again in ${Math.ceil(left / 60)} minutes, or let it wait that long.`,
    })
  }
  const now = await look()
  if (
    now.ledger.storage !== ledger.storage ||
    now.stream.id !== stream.id ||
    now.stream.lastCheckpoint < stream.lastCheckpoint
  )
    throw new TampError('no-checkpoint', 'The storage was replaced while tamp waited for its checkpoint to age.', {
      hint: 'Run the command again.',
    })
  const counted = wait < grace - 1 || now.known?.source === 'last_checkpoint_ts'
  const checkpoint: SafeCheckpoint =
    counted && now.known !== null && now.known.opId >= stream.lastCheckpoint
      ? now.known
      : { opId: stream.lastCheckpoint, age: grace, source: 'waited' }
  return { stream: now.stream, ledger, checkpoint }
}
