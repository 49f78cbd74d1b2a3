// Reinserting as text for psql: the same statements, batch by batch, in a block that commits after each.
import pg from 'pg'
import { bucketsLock } from '../../../database/run-lock.ts'
import type { Stream } from '../../streams.ts'
import { queueStatements } from './queue.ts'
import type { Move } from './queue.ts'
import { reinsertSettings } from './reinsert-batch.ts'
import {
  asideStatement,
  changedStatement,
  checkStatement,
  lockStatement,
  numberStatement,
  publishStatement,
  streamStatement,
  writeStatement,
  writersQuery,
} from './reinsert-sql.ts'

export function reinsertScript(
  schema: string,
  { id: group, storageVersion }: Pick<Stream, 'id' | 'storageVersion'>,
  moves: readonly Move[],
): string {
  const terms = { group, storageVersion, batch: 'next_batch', seenTo: 'seen_to' }
  // Compared with what is there when the script runs, not when it was written.
  const seenTo = `current_setting('tamp.seen_to')::int8`
  const into = (statement: string, target: string): string =>
    statement.replace(
      /\n?SELECT count\(\*\) AS operations, min\(op_id\) AS first, max\(op_id\) AS last/,
      (head) => `${head} INTO ${target}`,
    )
  return `-- Writes live operations of replication stream ${group} again at the end of their buckets. For psql; safe to run more than once.
-- Not inside of a transaction: each batch is one of its own.
\\set ON_ERROR_STOP on
SET standard_conforming_strings = on;
SET client_min_messages = warning;
SET default_transaction_isolation = 'read committed';
SET search_path = ${pg.escapeIdentifier(schema)};
SELECT set_config('tamp.seen_to', last_checkpoint::text, false) FROM sync_rules WHERE id = ${group} AND state IN ('ACTIVE', 'ERRORED');
${queueStatements(group, moves, seenTo).join(';\n')};
DO $tamp$
DECLARE next_batch bigint; seen_to bigint := ${seenTo}; stream_state text; written record; total bigint := 0; attempt int := 0;
BEGIN
  IF NOT pg_try_advisory_lock(${bucketsLock.join(', ')}) THEN RAISE EXCEPTION 'another tamp is at work'; END IF;
  LOOP
    SELECT min(batch) INTO next_batch FROM tamp_reinsert WHERE reason IS NULL AND NOT ok;
    EXIT WHEN next_batch IS NULL;
${reinsertSettings.replaceAll(/^/gm, '    ')};
    ${streamStatement(terms).replace('SELECT state', 'SELECT state INTO stream_state')};
    IF stream_state IS NULL OR stream_state NOT IN ('ACTIVE', 'ERRORED') THEN RAISE EXCEPTION 'the stream is not served any more'; END IF;
    ${lockStatement(terms)};
    ${numberStatement(terms)};
    PERFORM FROM (${writersQuery}) AS writers;
    IF FOUND THEN
      -- Somebody is writing just now: the ids that were taken stay unused.
      ROLLBACK;
      attempt := attempt + 1;
      IF attempt > 200 THEN RAISE EXCEPTION 'others kept writing all the time'; END IF;
      PERFORM pg_sleep(0.1);
      CONTINUE;
    END IF;
    attempt := 0;
    ${checkStatement(terms)};
    ${into(writeStatement(terms), 'written')};
    ${asideStatement(terms)};
    IF written.operations > 0 THEN
      ${publishStatement(terms, 'written.last')};
      total := total + written.operations;
    END IF;
    COMMIT;
    -- Everything below our first op id was visible when it was taken; and all in between is ours, where none is missing.
    IF written.last - written.first + 1 = written.operations THEN
      ${changedStatement(terms, 'written.last')};
      seen_to := written.last;
      COMMIT;
    END IF;
  END LOOP;
  PERFORM pg_advisory_unlock(${bucketsLock.join(', ')});
  RAISE INFO '% operations were written again', total;
END $tamp$;
SELECT bucket_name, reason, count(*) AS "rows left" FROM tamp_reinsert WHERE wanted AND reason IS NOT NULL GROUP BY bucket_name, reason ORDER BY 3 DESC LIMIT 100;
`
}
