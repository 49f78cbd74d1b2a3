// The same slices as text for psql. Each lane makes its own analysis when the script runs; each slice is a transaction that compares what
// it finds and does with what the plan says, and changes nothing where they differ.
import pg from 'pg'
import { bucketsLock } from '../../database/run-lock.ts'
import { sliceSettings } from './apply-slice.ts'
import { settingsFor, workTables } from './analyse.ts'
import type { SliceUnit } from './lane.ts'
import { clearPreview, clearStatement, movePreview, moveStatement } from './slice-sql.ts'

export function scriptHeader(schema: string, group: number, bound: number): string {
  return `-- Compacts the operations of replication stream ${group} up to checkpoint ${bound}. For psql; safe to run more than once.
-- Run it only when that checkpoint has been published for longer than any client takes to receive what it was promised.
\\set ON_ERROR_STOP off
SET standard_conforming_strings = on;
SET search_path = ${pg.escapeIdentifier(schema)};

`
}

const announced = new WeakSet<object>()

/** A slice as a transaction; before the first slice of a lane, the analysis that its slices work from. */
export function scriptSlice({ facts, clear, move, items }: SliceUnit): string {
  const { group, bound } = facts.scope
  const checks: string[] = []
  if (clear !== undefined)
    checks.push(
      `  EXECUTE ${quoted(clearPreview(clear))} INTO planned;`,
      `  IF planned.buckets <> ${clear.buckets} OR planned.operations <> ${clear.operations} THEN RAISE EXCEPTION 'left as it is: somebody else has changed it since the plan was made'; END IF;`,
      `  EXECUTE ${quoted(clearStatement(group, clear))} INTO done;`,
      `  IF done IS DISTINCT FROM planned THEN RAISE EXCEPTION 'left as it is: the result is not what was to be kept'; END IF;`,
    )
  if (move !== undefined)
    checks.push(
      `  EXECUTE ${quoted(movePreview(move))} INTO planned;`,
      `  IF planned.operations <> ${move.upTo - move.above} THEN RAISE EXCEPTION 'left as it is: somebody else has changed it since the plan was made'; END IF;`,
      `  EXECUTE ${quoted(moveStatement(group, move))} INTO done;`,
      `  IF done IS DISTINCT FROM planned THEN RAISE EXCEPTION 'left as it is: somebody else has changed it since it was analysed'; END IF;`,
    )
  return `${analysisText(facts)}-- ${items} operations
BEGIN ISOLATION LEVEL REPEATABLE READ;
${sliceSettings};
DO $tamp$
DECLARE planned record; done record;
BEGIN
  IF NOT pg_try_advisory_xact_lock(${bucketsLock.join(', ')}) THEN RAISE EXCEPTION 'left as it is: another tamp is at work'; END IF;
  PERFORM FROM sync_rules WHERE id = ${group} AND state IN ('ACTIVE', 'ERRORED') AND last_checkpoint >= ${bound};
  IF NOT FOUND THEN RAISE EXCEPTION 'left as it is: the stream is no longer served, or has gone back'; END IF;
${checks.join('\n')}
END $tamp$;
COMMIT;

`
}

function analysisText(facts: SliceUnit['facts']): string {
  if (announced.has(facts)) return ''
  announced.add(facts)
  return `-- ${facts.lane.name.replaceAll(/[\r\n]/g, ' ')}
BEGIN ISOLATION LEVEL REPEATABLE READ;
${settingsFor(facts.scope)};
SET LOCAL client_min_messages = warning;
${workTables(facts.scope).join(';\n')};
COMMIT;

`
}

function quoted(statement: string): string {
  return pg.escapeLiteral(statement)
}
