// Moves live rows to the end of their buckets by writing their operations again, batch by batch, beside a replicator at work.
// Whatever ends it, each batch is whole or undone, and what is moved is not moved again by the next run.
import { setTimeout as sleep } from 'node:timers/promises'
import type { TampError } from '../../../core/errors.ts'
import type { Left } from '../../../core/unit.ts'
import { describeFailure, isConnectionLost, isRetryable, sqlState } from '../../../database/failures.ts'
import type { Connection } from '../../../database/postgres.ts'
import type { RunLock } from '../../../database/run-lock.ts'
import type { Sessions } from '../../../database/sessions.ts'
import type { Stream } from '../../streams.ts'
import { fillQueue, firstNotMoved, leftInQueue, nextBatch, queuedByBucket } from './queue.ts'
import type { Move, Queue, Resent } from './queue.ts'
import { StreamGone, TooMuchNew, WritersAtWork, reinsertBatch, timedOut } from './reinsert-batch.ts'
import type { BatchResult, BatchScope } from './reinsert-batch.ts'
import { changedStatement } from './reinsert-sql.ts'

export interface ReinsertTask {
  readonly sessions: Sessions
  readonly stream: Pick<Stream, 'id' | 'storageVersion'>
  readonly moves: readonly Move[]
  /** Held while it is at work. */
  readonly lock?: RunLock
  /** Told to stop: no further batch is begun. */
  readonly mustStop: () => boolean
  /** Told how many batches there will be. */
  readonly onQueue?: (batches: number) => void
  /** Called after each batch, outside of any transaction; may wait. */
  readonly onBatch?: (batch: BatchResult, seconds: number) => Promise<void>
  /** Told why it stands still. */
  readonly tell?: (reason: string | null) => void
  /** Seconds for which a batch tries to get its turn. Default 20. */
  readonly patience?: number
}

export interface Reinserted {
  /** Without what was written before a connection was lost. */
  readonly buckets: ReadonlyMap<string, Resent>
  readonly total: Resent
  readonly left: readonly Left[]
  /** By bucket, the first row that was to be moved and is not. */
  readonly firstNotMoved: ReadonlyMap<string, number>
  readonly batches: number
  /** The highest op id that was written; null where there is none. */
  readonly lastNew: number | null
  /** False where it was told to stop, the stream is gone, or it failed. */
  readonly complete: boolean
  /** What ended it, where something had been moved by then. */
  readonly failure?: TampError
}

/** How long a batch tries to get its turn. */
const busySeconds = 20
/** After so long the queue is made anew, so that what changes meanwhile stays little. */
const queueSeconds = 120
const tries = 6
/** Batches in a row whose turn did not come, after which all that are left stay where they are. */
const hopeless = 3

/** What would be written again, and what would be left: nothing is changed. */
export async function previewReinsert(
  connection: Connection,
  stream: Pick<Stream, 'id'>,
  moves: readonly Move[],
): Promise<Reinserted> {
  await connection.execute('BEGIN')
  try {
    const { operations, bytesEstimate, batches } = await fillQueue(connection, stream.id, moves)
    const buckets = await queuedByBucket(connection, false)
    return {
      buckets,
      total: { operations, bytesEstimate },
      left: await leftInQueue(connection),
      firstNotMoved: await firstNotMoved(connection, false),
      batches,
      lastNew: null,
      complete: true,
    }
  } finally {
    await connection.execute('ROLLBACK').catch(() => {})
  }
}

export async function reinsert(task: ReinsertTask): Promise<Reinserted> {
  const buckets = new Map<string, Resent>()
  const total = { operations: 0, bytesEstimate: 0 }
  let lastNew: number | null = null
  let left: readonly Left[] = []
  let notMoved: ReadonlyMap<string, number> = new Map()
  let batches = 0
  let asked = 0
  const written = (batch: BatchResult): void => {
    batches++
    total.operations += batch.operations
    total.bytesEstimate += batch.bytesEstimate
    lastNew = batch.lastNew ?? lastNew
  }
  for (let lost = 0; ;) {
    const connection = await task.sessions.take()
    let ended: 'done' | 'stopped' | 'again' | undefined
    try {
      const queue = await fillQueue(connection, task.stream.id, task.moves)
      asked = batches + queue.batches
      task.onQueue?.(asked)
      ended = await work(connection, task, queue, written)
    } catch (error) {
      if (!isConnectionLost(error) || ++lost >= tries) {
        await connection[Symbol.asyncDispose]()
        // What was moved is told in any case; only a run that changed nothing is nothing but its error.
        if (total.operations === 0) throw error
        const failure = describeFailure(error)
        return { buckets, total, left, firstNotMoved: notMoved, batches: asked, lastNew, complete: false, failure }
      }
      // The queue is gone with its session: it is made anew, from what is there.
      await connection[Symbol.asyncDispose]()
      await task.lock?.renew(() => task.sessions.connect())
      continue
    }
    for (const [bucket, more] of await queuedByBucket(connection, true)) {
      const sum = buckets.get(bucket)
      buckets.set(bucket, {
        operations: more.operations + (sum?.operations ?? 0),
        bytesEstimate: more.bytesEstimate + (sum?.bytesEstimate ?? 0),
      })
    }
    left = await leftInQueue(connection)
    notMoved = await firstNotMoved(connection, true)
    await connection.execute('DROP TABLE IF EXISTS pg_temp.tamp_wanted, pg_temp.tamp_reinsert')
    task.sessions.give(connection)
    if (ended === 'again') continue
    return {
      buckets,
      total,
      left,
      firstNotMoved: notMoved,
      batches: asked,
      lastNew,
      complete: ended === 'done',
    }
  }
}

async function work(
  connection: Connection,
  task: ReinsertTask,
  queue: Queue,
  written: (batch: BatchResult) => void,
): Promise<'done' | 'stopped' | 'again'> {
  const { id: group, storageVersion } = task.stream
  const started = performance.now()
  let seenTo = queue.seenTo
  let changes = 0
  let missed = 0
  for (let from = 0; ; from++) {
    const batch = await nextBatch(connection, from)
    if (batch === null) return 'done'
    if (task.mustStop()) return 'stopped'
    if (changes > 0 && performance.now() - started > queueSeconds * 1000) return 'again'
    await task.lock?.hold(() => task.sessions.connect())
    const began = performance.now()
    const scope = { group, storageVersion, batch, seenTo }
    let done: BatchResult | undefined
    try {
      done = await untilItsTurn(connection, scope, task, written)
    } catch (error) {
      if (!(error instanceof StreamGone)) throw error
      await setAside(connection, null, 'its stream is not served any more')
      return 'stopped'
    }
    seenTo = scope.seenTo
    if (done === undefined) {
      if (task.mustStop()) return 'stopped'
      const enough = ++missed === hopeless
      await setAside(connection, enough ? null : batch, 'others kept writing all the time')
      if (enough) return 'done'
    } else {
      missed = 0
      written(done)
      changes += done.operations
      if (done.firstNew !== null && done.lastNew !== null) {
        // Everything below our first op id was visible when it was taken; and all in between is ours, where none is missing.
        const whole = done.lastNew - done.firstNew + 1 === done.operations
        const seen = whole ? done.lastNew : done.firstNew - 1
        if (!whole || done.firstNew - 1 > seenTo)
          await connection.execute(changedStatement({ ...task.stream, group, batch, seenTo }, seen))
        seenTo = seen
      }
      await task.onBatch?.(done, (performance.now() - began) / 1000)
    }
    from = batch
  }
}

/**
 * Undefined where its turn does not come. Moves `seenTo` on where it has looked through more.
 * @param written told of a batch that was committed although the answer was lost
 */
async function untilItsTurn(
  connection: Connection,
  scope: BatchScope & { seenTo: number },
  task: ReinsertTask,
  written: (batch: BatchResult) => void,
): Promise<BatchResult | undefined> {
  const deadline = performance.now() + (task.patience ?? busySeconds) * 1000
  for (let attempt = 1; ; attempt++) {
    let done: BatchResult | undefined
    try {
      done = await reinsertBatch(connection, scope)
      await connection.execute('COMMIT')
      if (attempt > 3) task.tell?.(null)
      return done
    } catch (error) {
      if (isConnectionLost(error)) {
        if (done !== undefined && (await task.sessions.isCommitted(done.transaction))) written(done)
        throw error
      }
      await connection.execute('ROLLBACK')
      if (error instanceof TooMuchNew) {
        await connection.execute(changedStatement({ ...scope, batch: scope.batch - 1 }, error.upTo))
        scope.seenTo = error.upTo
      } else if (!(error instanceof WritersAtWork) && !isRetryable(error) && sqlState(error) !== timedOut) throw error
      if (performance.now() > deadline || task.mustStop()) return undefined
      if (attempt === 3) task.tell?.('giving way to the replicator, which is writing')
      await sleep(Math.min(attempt, 10) * 20 * (0.5 + Math.random()))
    }
  }
}

/** Takes a batch out of the queue, or all that are left. */
async function setAside(connection: Connection, batch: number | null, reason: string): Promise<void> {
  await connection.execute(
    'UPDATE tamp_reinsert SET reason = $2 WHERE reason IS NULL AND NOT ok AND ($1::int8 IS NULL OR batch = $1)',
    [batch, reason],
  )
}
