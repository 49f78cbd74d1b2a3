// Carries out one slice in one transaction: guard, prove, rewrite, compare. Up to, and without, its COMMIT.
//
// What it rests on: operations up to the bound are never changed by the replicator, only by compactors. At REPEATABLE READ whoever
// changes one of our rows first makes us fail with 40001; what somebody changed before our snapshot is seen by the counts.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'
import type { LaneFacts, SliceUnit } from './lane.ts'
import {
  changedBeforeMove,
  clearPreview,
  clearProof,
  clearStatement,
  movePreview,
  moveProof,
  moveStatement,
  packedBeforeClear,
} from './slice-sql.ts'

/** Lock waits end long before others' deadlock timeout (1 s): we are the one to give way. */
export const sliceSettings = `SET LOCAL lock_timeout = '300ms';
SET LOCAL statement_timeout = '60s';
SET LOCAL idle_in_transaction_session_timeout = '10s';
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off`

/** Somebody else has changed what the analysis found: it has to be made again. */
export class AnalysisOutdated extends Error {
  override readonly name = 'AnalysisOutdated'
}

export interface SliceResult {
  /** Operations for which the storage was asked, in the transaction, whether they are superseded. */
  readonly checked: number
  /** To be looked up if the answer to COMMIT is lost. */
  readonly transaction: string
  /** The highest op id that is a CLEAR now. */
  readonly clearedTo: number | undefined
}

/** Operations of a slice that the storage is asked about, unless all are. */
const sampled = 200

/**
 * @param full ask about every operation, not only a sample
 * @throws AnalysisOutdated; TampError `proof-failed`, `failed`; pg errors (40001, 40P01, 55P03: try again). The caller rolls back.
 */
export async function applySlice(
  connection: Connection,
  { facts, clear, move }: SliceUnit,
  full: boolean,
): Promise<SliceResult> {
  const { group, bound } = facts.scope
  await connection.execute(`BEGIN ISOLATION LEVEL REPEATABLE READ;\n${sliceSettings}`)
  const transaction = await guard(connection, facts)
  let checked = 0
  let clearedTo: number | undefined
  if (clear !== undefined) {
    const from = clear.whole ? 0 : (facts.clearedTo.get(clear.upTo) ?? 0)
    checked += await prove(
      connection,
      clearProof(group, clear, from, full ? 1 : sampleStep(clear.operations)),
      packedBeforeClear(facts.scope, clear, from),
    )
    const expected = await figures(connection, clearPreview(group, clear, from))
    if (expected[0] !== clear.buckets || expected[1] !== clear.operations)
      throw new AnalysisOutdated(`${expected[1]} operations to clear where ${clear.operations} were found`)
    const done = await figures(connection, clearStatement(group, clear, from))
    if (done[0] !== expected[0] || done[1] !== expected[1])
      throw new AnalysisOutdated(`${done[1]} operations could be cleared where ${expected[1]} were found`)
    assertSame(done, expected, bound)
    clearedTo = expected[2]
  }
  if (move !== undefined) {
    const operations = move.upTo - move.above
    checked += await prove(
      connection,
      moveProof(group, move, full ? 1 : sampleStep(operations)),
      changedBeforeMove(group, move),
    )
    const expected = await figures(connection, movePreview(move))
    if (expected[0] !== operations)
      throw new AnalysisOutdated(`${expected[0]} operations to move where ${operations} were found`)
    const changed = await figures(connection, moveStatement(group, move))
    if (changed[0] !== expected[0])
      throw new AnalysisOutdated(`${changed[0]} of ${expected[0]} operations are still as they were`)
    assertSame(changed, expected, bound)
  }
  return { checked, transaction, clearedTo }
}

function sampleStep(operations: number): number {
  return Math.max(1, Math.floor(operations / sampled))
}

/** The stream still serves, and has not gone back behind the bound. */
async function guard(connection: Connection, { scope }: LaneFacts): Promise<string> {
  const [row] = await connection.query<[string, number, string]>(
    'SELECT state, coalesce(last_checkpoint, 0), pg_current_xact_id()::text FROM sync_rules WHERE id = $1',
    [scope.group],
  )
  if (row === undefined || (row[0] !== 'ACTIVE' && row[0] !== 'ERRORED'))
    throw new TampError('failed', 'the stream is no longer the one that clients are served from')
  if (row[1] < scope.bound) throw new TampError('failed', `the checkpoint went back from ${scope.bound} to ${row[1]}`)
  return row[2]
}

/** @param changed counts what is no longer as it was analysed: where a proof fails, whether it could not but fail */
async function prove(connection: Connection, query: string, changed: string): Promise<number> {
  const [asked, proven] = await figures(connection, query)
  if (asked === proven) return asked!
  const [others] = await figures(connection, changed)
  if (others! > 0) throw new AnalysisOutdated(`${others} are no longer as they were found`)
  throw new TampError(
    'proof-failed',
    `${asked! - proven!} of ${asked} operations are not superseded by what the plan says`,
  )
}

async function figures(connection: Connection, query: string): Promise<number[]> {
  const [row] = await connection.query<number[]>(query)
  return [...row!]
}

function assertSame(done: readonly number[], expected: readonly number[], bound: number): void {
  if (done.length === expected.length && done.every((figure, i) => figure === expected[i])) return
  throw new TampError(
    'proof-failed',
    `the rewrite up to operation ${bound} came to ${done.join(', ')} where ${expected.join(', ')} were to be kept (operations, checksum)`,
  )
}
