// A unit as SQL text for psql: one transaction that checks its own precondition and changes nothing where it no longer holds.
import pg from 'pg'
import type { Left } from '../../core/unit.ts'
import type { Connection } from '../../database/postgres.ts'
import { stateGroupsLock } from '../../database/run-lock.ts'
import { groupsToFence, prepareRewrites, transactionSettings } from './move-groups.ts'
import type { Rewrite } from './move-groups.ts'
import type { MoveUnit } from './move-unit.ts'
import type { RowReader } from './row-reader.ts'

/** What a script starts with. */
export function scriptHeader(schema: string): string {
  return `-- Repacks state groups of a Synapse database; made by tamp. Run it with psql, without --single-transaction.
-- Synapse may keep running. Each unit is a transaction of its own: it looks first whether the groups are still as they were when
-- this script was made, and leaves them alone, with a notice, if they are not (psql's exit status does not tell). To stop, interrupt psql; to go on, make a new script.
SET search_path = ${pg.escapeIdentifier(schema)};
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
`
}

/** Everything stored of some groups, as one hash: edges and rows, whatever their order. */
function storedHash(groups: string): string {
  return `md5(concat(
      (SELECT string_agg(state_group || '>' || prev_state_group, ',' ORDER BY state_group, prev_state_group)
         FROM state_group_edges WHERE state_group = ANY (${groups})), ';',
      (SELECT string_agg(row_hash, ',' ORDER BY row_hash)
         FROM (SELECT md5(concat_ws(E'\\t', state_group, type, state_key, event_id)) AS row_hash
                 FROM state_groups_state WHERE state_group = ANY (${groups})) AS hashed)))`
}

/** Synapse's own question, the full state of a group, as one hash. */
const fullStateHash = `SELECT md5(string_agg(md5(concat_ws(E'\\t', type, state_key, event_id)), ',' ORDER BY type, state_key)) INTO hash
      FROM (WITH RECURSIVE chain (state_group) AS (
              VALUES (target)
              UNION ALL
              SELECT e.prev_state_group FROM state_group_edges e JOIN chain c ON e.state_group = c.state_group)
            SELECT DISTINCT ON (type, state_key) type, state_key, event_id
              FROM state_groups_state WHERE state_group IN (SELECT state_group FROM chain)
             ORDER BY type, state_key, state_group DESC) AS full_state;`

/**
 * Writes a unit down. Reads what it needs in one snapshot; groups that are no longer as they were planned are left out.
 * @param full whether every group's full state is compared before and after, or only that of the unit's last group
 */
export async function scriptUnit(
  connection: Connection,
  pendingDeletion: boolean,
  unit: MoveUnit,
  reader: RowReader,
  full: boolean,
): Promise<{ text: string; left: readonly Left[] }> {
  const left: Left[] = []
  await connection.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  try {
    const moves = Array.from({ length: unit.to - unit.from }, (_, i) => unit.from + i)
    const rewrites = await prepareRewrites(connection, unit, reader, moves, (group, reason) =>
      left.push({ subject: `state group ${group}`, reason }),
    )
    if (rewrites.length === 0) return { text: '', left }
    const targets = rewrites.map(({ group }) => group)
    const [stored] = await connection.query<[string]>(`SELECT ${storedHash('$1::bigint[]')}`, [targets])
    return { text: render(unit, pendingDeletion, rewrites, reader, full, stored![0]), left }
  } finally {
    await connection.execute('ROLLBACK')
  }
}

function render(
  unit: MoveUnit,
  pendingDeletion: boolean,
  rewrites: readonly Rewrite[],
  reader: RowReader,
  full: boolean,
  stored: string,
): string {
  const room = unit.plan.history.room
  const targets = rewrites.map(({ group }) => group)
  const bases = [...new Set(rewrites.flatMap(({ newBase }) => (newBase === null ? [] : [newBase])))]
  const involved = [...new Set([...targets, ...bases])]
  // An edge that stays is written too: whoever else moves the group then fails, or makes us fail.
  const edgesGone = rewrites.filter(({ oldBase }) => oldBase !== null).map(({ group }) => group)
  const edgesNew = rewrites.filter(({ newBase }) => newBase !== null)
  const rowsGone = rewrites.reduce((sum, { gone }) => sum + gone.length, 0)
  const added = rewrites.flatMap(({ group, added: entries }) =>
    entries.map((entry) => ({ group, ...reader.text(entry)! })),
  )
  const kept = rewrites.flatMap(({ group, kept: entries }) =>
    entries.map((entry) => ({ group, ...reader.text(entry)! })),
  )
  const wanted = [...kept, ...added]
  const array = (values: readonly number[]): string => `'{${values.join(',')}}'`
  const list = (values: readonly string[]): string =>
    values.length === 0 ? `'{}'` : `ARRAY[${values.map((value) => pg.escapeLiteral(value)).join(',')}]`
  const name = `groups ${targets[0]!} to ${targets.at(-1)!}`
  const body = `
DECLARE
  room CONSTANT text := ${pg.escapeLiteral(room)};
  involved CONSTANT bigint[] := ${array(involved)};
  targets CONSTANT bigint[] := ${array(targets)};
  compared CONSTANT bigint[] := ${array(full ? targets : targets.slice(-1))};
  wanted_groups CONSTANT bigint[] := ${array(wanted.map(({ group }) => group))};
  wanted_types CONSTANT text[] := ${list(wanted.map(({ type }) => type))};
  wanted_keys CONSTANT text[] := ${list(wanted.map(({ stateKey }) => stateKey))};
  wanted_events CONSTANT text[] := ${list(wanted.map(({ eventId }) => eventId))};
  target bigint;
  hash text;
  before text[] := '{}';
  counted bigint;
BEGIN
  IF NOT pg_try_advisory_xact_lock(${stateGroupsLock.join(', ')}) THEN
    RAISE NOTICE '${name}: left alone, a tamp is at work';
    RETURN;
  END IF;
  PERFORM id FROM state_groups WHERE id = ANY (involved) AND room_id = room ORDER BY id FOR KEY SHARE SKIP LOCKED;
  GET DIAGNOSTICS counted = ROW_COUNT;
  IF counted <> ${involved.length} THEN
    RAISE NOTICE '${name}: left alone, some are locked or gone';
    RETURN;
  END IF;
${
  pendingDeletion
    ? `  IF EXISTS (SELECT FROM state_groups_pending_deletion WHERE state_group = ANY (involved)) THEN
    RAISE NOTICE '${name}: left alone, some are about to be deleted';
    RETURN;
  END IF;
`
    : ''
}  IF ${storedHash('targets')} <> '${stored}' THEN
    RAISE NOTICE '${name}: left alone, some have been rewritten since this script was made';
    RETURN;
  END IF;
  FOREACH target IN ARRAY compared LOOP
    ${fullStateHash}
    before := before || coalesce(hash, '');
  END LOOP;

  UPDATE state_groups SET event_id = event_id WHERE id = ANY (${array(groupsToFence(rewrites))}::bigint[]);
  DELETE FROM state_group_edges WHERE state_group = ANY (${array(edgesGone)}::bigint[]);
  GET DIAGNOSTICS counted = ROW_COUNT;
  IF counted <> ${edgesGone.length} THEN
    RAISE EXCEPTION '% edges removed instead of ${edgesGone.length}: nothing is written', counted;
  END IF;
  INSERT INTO state_group_edges (state_group, prev_state_group)
  SELECT * FROM unnest(${array(edgesNew.map(({ group }) => group))}::bigint[], ${array(edgesNew.map(({ newBase }) => newBase!))}::bigint[]);
  DELETE FROM state_groups_state s
   WHERE s.state_group = ANY (targets)
     AND NOT EXISTS (SELECT FROM unnest(wanted_groups, wanted_types, wanted_keys, wanted_events) AS w (id, type, state_key, event_id)
                      WHERE w.id = s.state_group AND w.type = s.type AND w.state_key = s.state_key AND w.event_id = s.event_id);
  GET DIAGNOSTICS counted = ROW_COUNT;
  IF counted <> ${rowsGone} THEN
    RAISE EXCEPTION '% rows deleted instead of ${rowsGone}: nothing is written', counted;
  END IF;
  INSERT INTO state_groups_state (state_group, room_id, type, state_key, event_id)
  SELECT w.id, room, w.type, w.state_key, w.event_id
    FROM unnest(wanted_groups, wanted_types, wanted_keys, wanted_events) AS w (id, type, state_key, event_id)
   WHERE NOT EXISTS (SELECT FROM state_groups_state s
                      WHERE s.state_group = w.id AND s.type = w.type AND s.state_key = w.state_key AND s.event_id = w.event_id);
  GET DIAGNOSTICS counted = ROW_COUNT;
  IF counted <> ${added.length} THEN
    RAISE EXCEPTION '% rows inserted instead of ${added.length}: nothing is written', counted;
  END IF;

  FOR n IN 1 .. cardinality(compared) LOOP
    target := compared[n];
    ${fullStateHash}
    IF coalesce(hash, '') <> before[n] THEN
      RAISE EXCEPTION 'the state of group % would change: nothing is written', target;
    END IF;
  END LOOP;
END`
  let tag = '$tamp$'
  for (let n = 1; body.includes(tag); n++) tag = `$tamp${n}$`
  return `
-- ${name}: ${rewrites.length} groups, ${rowsGone} rows less, ${added.length} rows more
BEGIN ISOLATION LEVEL REPEATABLE READ;
${transactionSettings};
DO ${tag}${body}
${tag};
COMMIT;
`
}
