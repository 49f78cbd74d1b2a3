// Writes one batch of live operations again at the end of the history, in one short transaction. The old ones become superseded: compacting
// does the rest. Clients get the same rows once more, as after a change at the source.
//
// The order is what keeps it safe.
// 1. The row of sync_rules is locked first. The replicator publishes checkpoints under this lock, so none can pass over op ids that we
//    have taken and not yet made visible; and as it never holds it while it writes operations, there is no deadlock.
// 2. The rows' current_data are locked as the replicator locks them. What it is writing just now is locked already, and left.
// 3. The op ids are taken, and only then is looked who else is writing: when nobody is, all operations below ours are visible to the
//    next statement, and all to come are above ours. So what is the last operation of its row there has been passed by none.
// 4. `keepalive_op` tells the replicator's next commit to publish ours. Never `last_checkpoint`: it may be in the middle of a change.
import { TampError } from '../../../core/errors.ts'
import { sqlState } from '../../../database/failures.ts'
import type { Connection } from '../../../database/postgres.ts'
import type { Resent } from './queue.ts'
import {
  asideStatement,
  checkStatement,
  countQuery,
  lastQuery,
  lockStatement,
  numberStatement,
  publishStatement,
  streamStatement,
  writeStatement,
  writersQuery,
} from './reinsert-sql.ts'

/** The replicator waits for us from the second statement on: everything is short, or given up. */
export const reinsertSettings = `SET LOCAL lock_timeout = '300ms';
SET LOCAL statement_timeout = '1s';
SET LOCAL idle_in_transaction_session_timeout = '5s';
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off`

/** The statement took longer than a transaction may that the replicator waits for. */
export const timedOut = '57014'

/** Somebody is writing operations just now: nothing was done, try again in a moment. */
export class WritersAtWork extends Error {
  override readonly name = 'WritersAtWork'
}

/** There is more that is new than can be looked through while the replicator waits: to be looked through before the next try. */
export class TooMuchNew extends Error {
  override readonly name = 'TooMuchNew'
  /** Operations up to here can all be seen. */
  readonly upTo: number

  constructor(upTo: number) {
    super()
    this.upTo = upTo
  }
}

/** The stream cannot be written to any more: another has replaced it. */
export class StreamGone extends Error {
  override readonly name = 'StreamGone'
}

export interface BatchScope {
  readonly group: number
  readonly storageVersion: number
  readonly batch: number
  /** Operations up to here are known to hold nothing new of the queue's rows. */
  readonly seenTo: number
}

export interface BatchResult extends Resent {
  /** Of the new operations; null where there are none. */
  readonly firstNew: number | null
  readonly lastNew: number | null
  /** To be looked up if the answer to COMMIT is lost. */
  readonly transaction: string
}

/**
 * Leaves the transaction open, for the caller to commit or roll back.
 * @throws WritersAtWork, TooMuchNew, StreamGone; pg errors (40P01, 55P03: try again). The caller rolls back.
 */
export async function reinsertBatch(connection: Connection, scope: BatchScope): Promise<BatchResult> {
  await connection.execute(`BEGIN ISOLATION LEVEL READ COMMITTED;\n${reinsertSettings}`)
  const [stream] = await connection.query<[string]>(streamStatement(scope))
  if (stream === undefined || !['ACTIVE', 'ERRORED'].includes(stream[0])) throw new StreamGone()
  await connection.execute(lockStatement(scope))
  // Once before any op id is taken, so that few are taken for nothing; what counts is the look after it.
  if ((await connection.query(writersQuery)).length > 0) throw new WritersAtWork()
  await connection.execute(numberStatement(scope))
  if ((await connection.query(writersQuery)).length > 0) throw new WritersAtWork()
  const [last] = await connection.query<[number | null]>(lastQuery(scope))
  try {
    await connection.execute(checkStatement(scope))
  } catch (error) {
    if (sqlState(error) === timedOut && last![0] !== null) throw new TooMuchNew(last![0])
    throw error
  }
  const [counts] = await connection.query<[number, number, string]>(countQuery(scope))
  const [operations, bytesEstimate, transaction] = counts!
  const [written] = await connection.query<[number, number | null, number | null]>(writeStatement(scope))
  const [inserted, firstNew, lastNew] = written!
  await connection.execute(asideStatement(scope))
  if (inserted !== operations)
    throw new TampError(
      'proof-failed',
      `${inserted} operations were written again where ${operations} should have been.`,
    )
  if (lastNew !== null && (await connection.execute(publishStatement(scope, lastNew))) !== 1) throw new StreamGone()
  return { operations, bytesEstimate, firstNew, lastNew, transaction }
}
