// Carries out one slice in one transaction: guard, prove, rewrite, compare. Up to, and without, its COMMIT.
//
// What it rests on: operations up to the bound are never changed by the replicator, only by compactors. At REPEATABLE READ whoever
// changes one of our rows first makes us fail with 40001; what somebody changed before our snapshot is seen by the counts.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'
import type { LaneFacts, SliceUnit } from './lane.ts'
import {
  changedBeforeClear,
  changedBeforeMove,
  clearPreview,
  clearProof,
  clearStatement,
  movePreview,
  moveProof,
  moveStatement,
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
  const { group } = facts.scope
  await connection.execute(`BEGIN ISOLATION LEVEL REPEATABLE READ;\n${sliceSettings}`)
  const transaction = await guard(connection, facts)
  let checked = 0
  let clearedTo: number | undefined
  if (clear !== undefined) {
    const step = full || clear.buckets > 1 ? 1 : sampleStep(clear.operations)
    const most = full || clear.buckets === 1 ? null : Math.ceil(sampled / clear.buckets)
    const changed = changedBeforeClear(group, clear)
    checked += await prove(connection, clearProof(group, clear, step, most), changed)
    const expected = await figures(connection, clearPreview(clear))
    if (expected[0] !== clear.buckets || expected[1] !== clear.operations)
      throw new AnalysisOutdated(`${expected[1]} operations to clear where ${clear.operations} were found`)
    const done = await figures(connection, clearStatement(group, clear))
    // Somebody else's change is seen by reading once more, as it was in this snapshot before; a statement that did wrong is not.
    if (!same(done, expected))
      throw new AnalysisOutdated(`${done[1]} of ${expected[1]} operations to clear are as they were`)
    clearedTo = expected[2]
  }
  if (move !== undefined) {
    const operations = move.upTo - move.above
    const rows = { above: move.above - facts.movedBefore, upTo: move.upTo - facts.movedBefore }
    checked += await prove(
      connection,
      moveProof(group, rows, full ? 1 : sampleStep(operations)),
      changedBeforeMove(group, rows),
    )
    const expected = await figures(connection, movePreview(rows))
    if (expected[0] !== operations)
      throw new AnalysisOutdated(`${expected[0]} operations to move where ${operations} were found`)
    const changed = await figures(connection, moveStatement(group, rows))
    if (changed[0] !== expected[0])
      throw new AnalysisOutdated(`${changed[0]} of ${expected[0]} operations are still as they were`)
    if (!same(changed, expected))
      throw new TampError(
        'proof-failed',
        `the checksums of ${operations} operations came to ${changed[1]} where it was ${expected[1]}`,
      )
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

function same(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((figure, i) => figure === other[i])
}
