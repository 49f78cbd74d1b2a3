// One batch at the source: a transaction of its own that waits for no row, and for nothing else longer than the lock limit.
import { describeFailure, isConnectionLost, isRetryable } from '../../../database/postgres.ts'
import type { Connection } from '../../../database/postgres.ts'
import type { SourceKey } from './source-key.ts'
import type { BatchOutcome } from './table-touch.ts'
import { findStatement, updateStatement } from './update-statement.ts'
import type { TouchTarget } from './update-statement.ts'

/** How long a statement waits for a lock on anything. */
export const lockTimeout = '300ms'

/** @throws TampError `connection-failed`; other errors leave the batch as it was, and are in the outcome */
export async function touchBatch(
  source: Connection,
  target: TouchTarget,
  keys: readonly SourceKey[],
): Promise<BatchOutcome> {
  try {
    await source.execute('BEGIN ISOLATION LEVEL READ COMMITTED')
    await source.execute(`SET LOCAL lock_timeout = '${lockTimeout}'`)
    const free = await places(source, findStatement(target, keys, true))
    const taken = keys.filter((_, place) => free.has(place))
    const touched = taken.length === 0 ? 0 : await source.execute(updateStatement(target, taken))
    const there = free.size === keys.length ? free : await places(source, findStatement(target, keys, false))
    await source.execute('COMMIT')
    return {
      touched,
      missing: keys.filter((_, place) => !there.has(place)).length,
      locked: keys.filter((_, place) => there.has(place) && !free.has(place)),
    }
  } catch (error) {
    if (isConnectionLost(error)) throw describeFailure(error)
    await source.execute('ROLLBACK')
    if (isRetryable(error)) return { touched: 0, missing: 0, locked: keys }
    return { touched: 0, missing: 0, locked: [], failed: describeFailure(error).message }
  }
}

async function places(source: Connection, statement: string): Promise<Set<number>> {
  return new Set((await source.query<[number]>(statement)).map(([place]) => place))
}
