// Relocates the live operations of one bucket in one transaction: plan, rewrite, compare, up to and without its COMMIT.
//
// What it rests on: operations up to the checkpoint are never changed by the replicator, only by compactors. At REPEATABLE READ whoever
// changes one of them first makes us fail with 40001, and the other way round.
import { TampError } from '../../../core/errors.ts'
import { bucketsLock } from '../../../database/run-lock.ts'
import type { Connection } from '../../../database/postgres.ts'
import pg from 'pg'
import type { Gap } from './gap.ts'
import { censusQuery, harmfulQuery, rewriteStatements } from './relocation-sql.ts'
import { planRelocation } from './relocation.ts'
import type { Relocation, RelocationScope, Unmovable } from './relocation.ts'

export const relocateSettings = `SET LOCAL lock_timeout = '300ms';
SET LOCAL statement_timeout = '60s';
SET LOCAL idle_in_transaction_session_timeout = '20s';
SET LOCAL jit = off;
SET LOCAL enable_nestloop = off`

export interface Relocated {
  readonly relocation: Relocation
  /** To be looked up if the answer to COMMIT is lost. */
  readonly transaction: string
}

/** Plans in a transaction of its own and changes nothing. */
export async function previewRelocation(
  connection: Connection,
  scope: RelocationScope,
  gaps: readonly Gap[],
): Promise<Relocation | Unmovable> {
  await connection.execute(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n${relocateSettings}`)
  try {
    return await planRelocation(connection, scope, gaps)
  } finally {
    await connection.execute('ROLLBACK').catch(() => {})
  }
}

/**
 * Leaves the transaction open, for the caller to commit or roll back.
 * @throws TampError `proof-failed`; pg errors (40001, 40P01, 55P03: try again). The caller rolls back.
 */
export async function relocateBucket(
  connection: Connection,
  scope: RelocationScope,
  gaps: readonly Gap[],
): Promise<Relocated | Unmovable> {
  await connection.execute(`BEGIN ISOLATION LEVEL REPEATABLE READ;\n${relocateSettings}`)
  const [guard] = await connection.query<[boolean, string]>(
    `SELECT EXISTS (SELECT FROM sync_rules WHERE id = $1 AND state IN ('ACTIVE', 'ERRORED') AND last_checkpoint >= $2),
            pg_current_xact_id()::text`,
    [scope.group, scope.checkpoint],
  )
  const [served, transaction] = guard!
  if (!served) return { reason: 'its stream is no longer served, or has gone back' }
  const relocation = await planRelocation(connection, scope, gaps)
  if ('reason' in relocation) return relocation
  // Nothing has been published since our snapshot, and nothing will be before our end: no compactor of the service knows an operation
  // that supersedes one of those whose places are taken.
  if (relocation.crosses) {
    await connection.execute(`SET LOCAL statement_timeout = '5s'`)
    await connection.query(streamLock(scope.group))
  }
  for (const { sql, rows } of rewriteStatements(relocation)) {
    const touched = await connection.execute(sql)
    if (touched !== rows) throw failed(`${touched} rows were touched where ${rows} should have been`)
  }
  const [state, operations, , sound] = (
    await connection.query<[string, number, number, boolean]>(censusQuery(relocation))
  )[0]!
  if (state !== relocation.state) throw failed('its reduced state would have changed')
  if (operations !== relocation.operationsAfter || !sound) throw failed('its operations are not the planned ones')
  return { relocation, transaction }
}

/** At REPEATABLE READ: 40001 where the row has changed since the snapshot. */
const streamLock = (group: number): string => `SELECT FROM sync_rules WHERE id = ${group} FOR UPDATE`

export function relocationHeader(schema: string, group: number, checkpoint: number): string {
  return `-- Relocates live operations of replication stream ${group}, up to checkpoint ${checkpoint}. For psql; safe to run more than once.
-- Run it only when that checkpoint has been published for longer than any client takes to receive what it was promised.
\\set ON_ERROR_STOP off
SET standard_conforming_strings = on;
SET search_path = ${pg.escapeIdentifier(schema)};

`
}

/** The same as text for psql: it compares what it finds and what it leaves with the plan, and changes nothing where they differ. */
export function relocationScript(relocation: Relocation): string {
  const { group, bucket, checkpoint, operationsBefore, operationsAfter, state, crosses } = relocation
  const expect = (operations: number, why: string): string =>
    `  EXECUTE ${pg.escapeLiteral(censusQuery(relocation))} INTO census;
  IF census.state <> ${pg.escapeLiteral(state)} OR census.operations <> ${operations} OR NOT census.sound THEN RAISE EXCEPTION '${why}'; END IF;`
  const body = `
DECLARE census record; touched bigint;
BEGIN
  IF NOT pg_try_advisory_xact_lock(${bucketsLock.join(', ')}) THEN RAISE EXCEPTION 'left as it is: another tamp is at work'; END IF;
  PERFORM FROM sync_rules WHERE id = ${group} AND state IN ('ACTIVE', 'ERRORED') AND last_checkpoint >= ${checkpoint}${crosses ? ' FOR UPDATE' : ''};
  IF NOT FOUND THEN RAISE EXCEPTION 'left as it is: the stream is no longer served, or has gone back'; END IF;
${expect(operationsBefore, 'left as it is: somebody else has changed it since the plan was made')}${
    crosses
      ? `
  EXECUTE ${pg.escapeLiteral(harmfulQuery(relocation))} INTO touched;
  IF touched <> 0 THEN RAISE EXCEPTION 'left as it is: rows of it have changed since the plan was made'; END IF;`
      : ''
  }
${rewriteStatements(relocation)
  .map(
    ({ sql, rows }) => `  EXECUTE ${pg.escapeLiteral(sql)};
  GET DIAGNOSTICS touched = ROW_COUNT;
  IF touched <> ${rows} THEN RAISE EXCEPTION 'left as it is: somebody else has changed it since the plan was made'; END IF;`,
  )
  .join('\n')}
${expect(operationsAfter, 'left as it is: the result is not what was to be kept')}
END `
  // Parts of a bucket's name come from users: none of them ends the block.
  let tag = '$tamp$'
  for (let n = 1; body.includes(tag); n++) tag = `$tamp${n}$`
  return `-- ${bucket.replaceAll(/[\r\n]/g, ' ')}: ${operationsBefore} operations become ${operationsAfter}
BEGIN ISOLATION LEVEL REPEATABLE READ;
${relocateSettings};
DO ${tag}${body}${tag};
COMMIT;

`
}

function failed(why: string): TampError {
  return new TampError('proof-failed', `Relocating was given up: ${why}.`, {
    hint: 'Nothing of the bucket was changed.',
  })
}
