// Up to which operation history may be packed: a checkpoint that was published long enough ago that no client is being served an older one.
// A CLEAR above the checkpoint that a client is being served would leave it without the operations that its checksum counts.
import { setTimeout as sleep } from 'node:timers/promises'
import { TampError } from '../core/errors.ts'
import type { Connection } from '../database/postgres.ts'
import type { Ledger } from './ledger.ts'
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
  const { lastCheckpoint, checkpointAge } = stream
  if (lastCheckpoint === null) return null
  if (grace === 0) return { opId: lastCheckpoint, age: Math.max(0, checkpointAge ?? 0), source: 'no-grace' }
  if (checkpointAge !== null && checkpointAge >= grace)
    return { opId: lastCheckpoint, age: checkpointAge, source: 'last_checkpoint_ts' }
  const seen = await ledger.agedCheckpoint(connection, grace, lastCheckpoint)
  return seen === undefined ? null : { ...seen, source: 'ledger' }
}

export interface WaitOptions {
  readonly grace: number
  /** Fires when the caller or the time limit says stop. */
  readonly signal: AbortSignal
  /** Told why the run stands still. */
  readonly tell: (reason: string) => void
}

/**
 * Waits until some checkpoint is old enough: at the latest the one that is published now, when its grace has passed.
 * @throws TampError `no-checkpoint` where the signal comes first
 */
export async function awaitSafeCheckpoint(
  connection: Connection,
  ledger: Ledger,
  { grace, signal, tell }: WaitOptions,
): Promise<{ stream: Stream; checkpoint: SafeCheckpoint }> {
  const first = await servedStream(connection)
  await ledger.seeCheckpoint(connection, first.lastCheckpoint)
  const known = await safeCheckpoint(connection, first, ledger, grace)
  if (known !== null) return { stream: first, checkpoint: known }
  const started = performance.now()
  // Where the time of publication is stored it counts from then; by our own watch it counts from when we first saw it.
  const needed = grace - Math.max(0, first.checkpointAge ?? 0)
  for (;;) {
    const left = needed - (performance.now() - started) / 1000
    if (left <= 0) break
    tell(`waiting ${Math.ceil(left)} s until checkpoint ${first.lastCheckpoint} has been published for ${grace} s`)
    await sleep(Math.min(left, 5) * 1000, undefined, { signal }).catch(() => {})
    if (signal.aborted)
      throw new TampError('no-checkpoint', `No checkpoint is known to have been published ${grace} seconds ago.`, {
        hint: `Checkpoint ${first.lastCheckpoint} has been noted: run the command again in ${Math.ceil(left / 60)} minutes, or let it wait that long.`,
      })
  }
  const stream = await servedStream(connection)
  if (stream.id !== first.id || stream.lastCheckpoint < first.lastCheckpoint)
    throw new TampError('no-checkpoint', 'The storage was replaced while tamp waited for its checkpoint to age.', {
      hint: 'Run the command again.',
    })
  return {
    stream,
    checkpoint: {
      opId: first.lastCheckpoint,
      age: grace,
      source: first.checkpointAge === null ? 'waited' : 'last_checkpoint_ts',
    },
  }
}
