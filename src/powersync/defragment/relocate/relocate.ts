// Relocates one bucket after the other, each in a transaction of its own. One that cannot be is left with the reason.
import { setTimeout as sleep } from 'node:timers/promises'
import { TampError } from '../../../core/errors.ts'
import type { Left } from '../../../core/unit.ts'
import { describeFailure, isConnectionLost, isRetryable } from '../../../database/failures.ts'
import type { RunLock } from '../../../database/run-lock.ts'
import type { Sessions } from '../../../database/sessions.ts'
import { serviceIsCompacting } from '../../compact/service-compactor.ts'
import type { Gap } from './gap.ts'
import { firstOrderedRows } from './ordered-rows.ts'
import { previewRelocation, relocateBucket, relocationScript } from './relocate-bucket.ts'
import type { Relocation, RelocationScope, Unmovable } from './relocation.ts'

export interface RelocateTask {
  readonly mode: 'dry-run' | 'script' | 'execute'
  readonly sessions: Sessions
  readonly group: number
  readonly checkpoint: number
  /** Largest saving first. */
  readonly buckets: readonly string[]
  readonly gaps: readonly Gap[]
  readonly lock?: RunLock
  readonly mustStop: () => boolean
  readonly write?: ((text: string) => void | Promise<void>) | undefined
  /** Called after each bucket, outside of any transaction; may wait. */
  readonly onBucket?: (bucket: string, done: Relocation | Unmovable, seconds: number) => Promise<void>
}

/** What became of a bucket, without the op ids. */
export type RelocatedBucket = Pick<Relocation, 'bucket' | 'before' | 'after' | 'crosses'> & { readonly rows: number }

export interface Relocated {
  readonly buckets: readonly RelocatedBucket[]
  readonly left: readonly Left[]
  /** The most live rows of a bucket for which there was no room between two checkpoints; 0 where there was for all. */
  readonly roomWanted: number
  readonly complete: boolean
  /** What ended it, where something had been moved by then. */
  readonly failure?: TampError
}

const tries = 6

export async function relocate(task: RelocateTask): Promise<Relocated> {
  const { sessions, group, checkpoint, mode } = task
  if (task.buckets.length === 0) return { buckets: [], left: [], roomWanted: 0, complete: true }
  const ordered = await sessions.outlasting(async () => {
    await using connection = await sessions.connect()
    return await firstOrderedRows(connection, group, checkpoint)
  })
  const buckets: RelocatedBucket[] = []
  const left: Left[] = []
  let roomWanted = 0
  for (const bucket of task.buckets) {
    if (task.mustStop()) return { buckets, left, roomWanted, complete: false }
    const started = performance.now()
    const below = ordered.get(bucket) ?? Infinity
    let done: Relocation | Unmovable
    try {
      done = await one(task, { group, bucket, checkpoint, below })
    } catch (error) {
      // What was moved is told in any case; only a run that changed nothing is nothing but its error.
      if (mode !== 'execute' || buckets.length === 0) throw error
      return { buckets, left, roomWanted: 0, complete: false, failure: describeFailure(error) }
    }
    if ('reason' in done) {
      const because =
        below < Infinity ? ' (a row of it is in other buckets too, with other data: it must stay in order)' : ''
      left.push({ subject: bucket, reason: done.reason + because })
      // A gap after everything else has room only for a bucket that may be moved whole.
      if (below === Infinity) roomWanted = Math.max(roomWanted, done.rows ?? 0)
    } else {
      if (mode === 'script') await task.write?.(relocationScript(done))
      const { before, after, crosses, moved } = done
      buckets.push({ bucket, before, after, crosses, rows: moved.length })
    }
    await task.onBucket?.(bucket, done, (performance.now() - started) / 1000)
  }
  return { buckets, left, roomWanted, complete: true }
}

async function one(task: RelocateTask, scope: RelocationScope): Promise<Relocation | Unmovable> {
  const { sessions, gaps } = task
  if (task.mode !== 'execute')
    return await sessions.outlasting(async () => {
      const connection = await sessions.take()
      try {
        const plan = await previewRelocation(connection, scope, gaps)
        sessions.give(connection)
        return plan
      } catch (error) {
        await connection[Symbol.asyncDispose]()
        throw error
      }
    })
  for (let attempt = 1; ; attempt++) {
    await task.lock?.hold(() => sessions.connect())
    const connection = await sessions.take()
    let transaction: string | undefined
    let done: Relocation | undefined
    try {
      if (await serviceIsCompacting(connection)) {
        sessions.give(connection)
        if (attempt < tries && !task.mustStop()) {
          await sleep(1000)
          continue
        }
        return { reason: "the service's own compactor is at work; run the command again when it has ended" }
      }
      const result = await relocateBucket(connection, scope, gaps)
      if ('reason' in result) {
        await sessions.rollBack(connection)
        return result
      }
      ;({ transaction, relocation: done } = result)
      await connection.execute('COMMIT')
      sessions.give(connection)
      return done
    } catch (error) {
      if (isConnectionLost(error)) {
        await connection[Symbol.asyncDispose]()
        await task.lock?.renew(() => sessions.connect())
        if (done !== undefined && (await sessions.isCommitted(transaction!))) return done
        if (attempt >= tries) throw error
        continue
      }
      await sessions.rollBack(connection)
      if (error instanceof TampError && error.code === 'locked') throw error
      const { message, code } = describeFailure(error)
      if (code === 'no-permission') throw error
      if (!isRetryable(error)) return { reason: message }
      if (attempt >= tries || task.mustStop()) return { reason: `others kept it busy: ${message}` }
      await sleep(attempt * 100 * (0.5 + Math.random()))
    }
  }
}
