// Carries out a slice until it is committed: tries again where others were in the way, and goes on where a connection or a server was lost.
import { setTimeout as sleep } from 'node:timers/promises'
import { TampError } from '../../core/errors.ts'
import { describeFailure, isConnectionLost, isRetryable } from '../../database/postgres.ts'
import type { Connection } from '../../database/postgres.ts'
import type { RunLock } from '../../database/run-lock.ts'
import type { Sessions } from '../../database/sessions.ts'
import { analyseForWork } from './analyse.ts'
import { AnalysisOutdated, applySlice } from './apply-slice.ts'
import type { SliceResult } from './apply-slice.ts'
import { operationsLeft } from './lane.ts'
import type { LaneFacts, SliceUnit } from './lane.ts'

export interface SliceContext {
  readonly sessions: Sessions
  readonly lock: RunLock | undefined
  /** Ask about every operation, not only a sample. */
  readonly full: boolean
  readonly signal: AbortSignal | undefined
}

/** Tries of one transaction before its slice is given up. */
const tries = 6
/** How long a slice tries to get its turn among others. */
const busySeconds = 20

/** @throws AnalysisOutdated; TampError; pg errors that trying again does not help against */
export async function carryOutSlice(unit: SliceUnit, context: SliceContext): Promise<SliceResult> {
  const { sessions, lock, full, signal } = context
  const { facts } = unit
  const deadline = performance.now() + busySeconds * 1000
  for (let attempt = 1; ; attempt++) {
    await lock?.hold(() => sessions.connect())
    const connection = (facts.connection ??= await rebuild(facts, sessions))
    let result: SliceResult | undefined
    try {
      result = await applySlice(connection, unit, full)
      await connection.execute('COMMIT')
      return result
    } catch (error) {
      if (isConnectionLost(error)) {
        facts.connection = undefined
        await connection[Symbol.asyncDispose]()
        await lock?.renew(() => sessions.connect())
        if (result !== undefined && (await sessions.isCommitted(result.transaction))) return result
        if (attempt >= tries) throw error
        continue
      }
      try {
        await connection.execute('ROLLBACK')
      } catch {
        facts.connection = undefined
        await connection[Symbol.asyncDispose]()
      }
      if (!isRetryable(error)) throw error
      if (attempt >= tries || performance.now() > deadline || signal?.aborted === true)
        throw new TampError('failed', `others kept it busy: ${describeFailure(error).message}`)
      await sleep(attempt * 100 * (0.5 + Math.random()))
    }
  }
}

/** Makes the work tables again after a connection was lost: CLEARs keep their numbers, as they count from the end; MOVEs count from what is done. */
async function rebuild(facts: LaneFacts, sessions: Sessions): Promise<Connection> {
  return await sessions.outlasting(async () => {
    const connection = await sessions.take()
    try {
      const left = operationsLeft(await analyseForWork(connection, facts.scope))
      if (left.clear !== facts.left.clear || left.move !== facts.left.move)
        throw new AnalysisOutdated(
          `${left.clear} operations to clear and ${left.move} to move are left where it should be ${facts.left.clear} and ${facts.left.move}`,
        )
      facts.movedBefore = operationsLeft(facts.buckets).move - left.move
      return connection
    } catch (error) {
      await connection[Symbol.asyncDispose]()
      throw error
    }
  })
}
