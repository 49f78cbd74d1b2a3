// Carries out one unit beside a running Synapse, in one transaction: guard, rewrite, prove.
//
// What it rests on: the full state of an existing group never changes, however it is stored. So a group may be moved to another base
// as long as that base still exists when the move commits. Synapse deletes and rewrites groups at REPEATABLE READ with snapshots that
// may be older than our commit; row locks alone do not stop those. The no-op UPDATE of every base does: a purge with an older snapshot
// fails on it with 40001 and starts again, and a newer one sees our edge. Of every group that is moved, too, one row is written that
// any other writer of that group must write: its edge, or where it has none its row in state_groups.
import { TampError } from '../../core/errors.ts'
import type { Left } from '../../core/unit.ts'
import type { Connection } from '../../database/postgres.ts'
import type { NumberList } from '../read/number-list.ts'
import { addEntry, sameFingerprint } from '../plan/fingerprints.ts'
import type { MoveUnit } from './move-unit.ts'
import type { ProofBudget } from './proof-budget.ts'
import { placesLiteral } from './row-reader.ts'
import type { RowReader } from './row-reader.ts'
import { StoredGroup } from './stored-group.ts'

/** Lock waits end long before Synapse's deadlock timeout (1 s), so that we are the one to give way. */
export const transactionSettings = `SET LOCAL lock_timeout = '300ms';
SET LOCAL statement_timeout = '30s';
SET LOCAL idle_in_transaction_session_timeout = '10s';
SET LOCAL enable_seqscan = off`

export interface MoveResult {
  /** Groups left as they are, with the reason. */
  readonly left: readonly Left[]
  /** Groups whose full state was asked for before and after. */
  readonly checked: number
  /** The transaction, to be looked up if the answer to COMMIT is lost; null if nothing had to be written. */
  readonly transaction: string | null
}

/** One group's move as it will be written. */
export interface Rewrite {
  readonly move: number
  readonly group: number
  readonly oldBase: number | null
  readonly newBase: number | null
  /** Entries of the rows that stay. */
  readonly kept: readonly number[]
  /** Places of the rows to delete. */
  readonly gone: NumberList
  /** Entries to insert. */
  readonly added: readonly number[]
}

/**
 * Runs the unit's transaction up to, and without, its COMMIT.
 * @param pendingDeletion whether this Synapse has the queue `state_groups_pending_deletion`
 * @throws pg errors (40001, 40P01, 55P03: try again), TampError `proof-failed`, `failed`; the caller rolls back
 */
export async function moveGroups(
  connection: Connection,
  pendingDeletion: boolean,
  unit: MoveUnit,
  reader: RowReader,
  proof: ProofBudget,
): Promise<MoveResult> {
  const { history, moves, states } = unit.plan
  const idOf = (position: number): number => history.ids[position]!
  const left: Left[] = []
  const leave = (group: number, reason: string): void => void left.push({ subject: `state group ${group}`, reason })

  await connection.execute(`BEGIN ISOLATION LEVEL REPEATABLE READ;\n${transactionSettings}`)

  // Guard: the groups are there, nobody is changing them, and Synapse is not about to delete them.
  const involved = new Set<number>()
  for (let move = unit.from; move < unit.to; move++) {
    involved.add(idOf(moves.position[move]!))
    if (moves.base[move]! >= 0) involved.add(idOf(moves.base[move]!))
  }
  const locked = await connection.query<[number, string, string]>(
    `SELECT id, room_id, pg_current_xact_id()::text FROM state_groups WHERE id = ANY ($1::bigint[])
      ORDER BY id FOR KEY SHARE SKIP LOCKED`,
    [[...involved]],
  )
  const transaction = locked[0]?.[2] ?? null
  const usable = new Set(locked.filter(([, room]) => room === history.room).map(([id]) => id))
  if (pendingDeletion) {
    const pending = await connection.query<[number]>(
      'SELECT state_group FROM state_groups_pending_deletion WHERE state_group = ANY ($1::bigint[])',
      [[...involved]],
    )
    for (const [id] of pending) usable.delete(id)
  }
  const candidates: number[] = []
  for (let move = unit.from; move < unit.to; move++) {
    const group = idOf(moves.position[move]!)
    const base = moves.base[move]! < 0 ? null : idOf(moves.base[move]!)
    if (!usable.has(group)) leave(group, 'it is locked, gone or about to be deleted')
    else if (base !== null && !usable.has(base))
      leave(group, `its new base ${base} is locked, gone or about to be deleted`)
    else candidates.push(move)
  }

  const rewrites = await prepareRewrites(connection, unit, reader, candidates, leave)
  if (rewrites.length === 0) return { left, checked: 0, transaction: null }

  // Prove, first half: Synapse's own query gives what was planned with.
  const checked: number[] = []
  const started = performance.now()
  for (const { move, group } of proof.order(rewrites)) {
    if (!proof.affords(performance.now() - started, checked.length)) break
    const before = performance.now()
    await assertState(connection, reader, group, states, moves.position[move]!, 'before')
    proof.spent(performance.now() - before)
    checked.push(move)
  }

  const fenced = groupsToFence(rewrites)
  if (fenced.length > 0)
    assertCount(
      await connection.execute('UPDATE state_groups SET event_id = event_id WHERE id = ANY ($1::bigint[])', [fenced]),
      fenced.length,
      'groups fenced',
    )
  await rewriteEdges(connection, rewrites)
  await rewriteRows(connection, history.room, rewrites, reader)

  // Prove, second half: it still does.
  for (const move of checked) {
    const before = performance.now()
    await assertState(connection, reader, idOf(moves.position[move]!), states, moves.position[move]!, 'after')
    proof.spent(performance.now() - before)
  }
  return { left, checked: checked.length, transaction }
}

/**
 * The fence: whoever has an older snapshot and wants to delete or move one of these groups fails on its row. The new bases, because
 * somebody may be deleting them; and the groups that have no edge yet, because nothing else of them need be written that a deletion,
 * or another rewriter giving it a base too, would collide with. All others have an edge, and that is written.
 */
export function groupsToFence(rewrites: readonly Rewrite[]): number[] {
  const fenced = new Set<number>()
  for (const { group, oldBase, newBase } of rewrites) {
    if (newBase !== null) fenced.add(newBase)
    if (oldBase === null) fenced.add(group)
  }
  return [...fenced]
}

/** Reads the groups of some moves again, leaves out what is no longer as it was planned with, and finds the rows that differ. */
export async function prepareRewrites(
  connection: Connection,
  unit: MoveUnit,
  reader: RowReader,
  candidates: readonly number[],
  leave: (group: number, reason: string) => void,
): Promise<Rewrite[]> {
  const { history, moves } = unit.plan
  const { deltas, entries } = history
  const groups = candidates.map((move) => history.ids[moves.position[move]!]!)
  const edges = new Map<number, number[]>()
  for (const [group, base] of await connection.query<[number, number]>(
    'SELECT state_group, prev_state_group FROM state_group_edges WHERE state_group = ANY ($1::bigint[])',
    [groups],
  ))
    edges.set(group, [...(edges.get(group) ?? []), base])

  // The texts to insert are with the lowest group that has them: no plan takes them away from there.
  const stored = new Map<number, StoredGroup>()
  const holders = new Set<number>()
  for (const move of candidates) {
    const position = moves.position[move]!
    const group = new StoredGroup(rowsOf(deltas, position), rowsOf(moves.deltas, move))
    stored.set(history.ids[position]!, group)
    for (const entry of group.added)
      if (reader.text(entry) === undefined) holders.add(history.ids[entries.holder[entry]!]!)
  }
  await reader.read(connection, [...new Set([...groups, ...holders])], (group, entry, place) =>
    stored.get(group)?.take(entry, place),
  )

  const rewrites: Rewrite[] = []
  for (const move of candidates) {
    const position = moves.position[move]!
    const group = history.ids[position]!
    const base = history.base[position]! < 0 ? null : history.ids[history.base[position]!]!
    const edgesNow = edges.get(group) ?? []
    const sameEdge = base === null ? edgesNow.length === 0 : edgesNow.length === 1 && edgesNow[0] === base
    const { unchanged, added, kept, gone } = stored.get(group)!
    if (!sameEdge || !unchanged) {
      leave(group, 'it has been rewritten since it was read')
      continue
    }
    if (!(await haveTexts(connection, reader, group, added))) {
      leave(group, 'rows it needs are no longer where they were')
      continue
    }
    const newBase = moves.base[move]! < 0 ? null : history.ids[moves.base[move]!]!
    rewrites.push({ move, group, oldBase: base, newBase, kept, gone, added })
  }
  return rewrites
}

function rowsOf(deltas: { start: Uint32Array; rows: Uint32Array }, at: number): Uint32Array {
  return deltas.rows.subarray(deltas.start[at]!, deltas.start[at + 1]!)
}

/** Whether all texts are in hand; where a holder has been purged, the group's own full state still has them. */
async function haveTexts(
  connection: Connection,
  reader: RowReader,
  group: number,
  added: readonly number[],
): Promise<boolean> {
  const missing = (): boolean => added.some((entry) => reader.text(entry) === undefined)
  if (missing()) await reader.fullState(connection, group, () => {})
  return !missing()
}

async function rewriteEdges(connection: Connection, rewrites: readonly Rewrite[]): Promise<void> {
  // An edge that stays is written too: it is what two rewriters of a group collide on.
  const rebased = rewrites.filter(({ oldBase, newBase }) => oldBase !== null && newBase !== null)
  const based = rewrites.filter(({ oldBase, newBase }) => oldBase === null && newBase !== null)
  const unbased = rewrites.filter(({ oldBase, newBase }) => oldBase !== null && newBase === null)
  const ids = (some: readonly Rewrite[]): number[] => some.map(({ group }) => group)
  const newBases = (some: readonly Rewrite[]): (number | null)[] => some.map(({ newBase }) => newBase)
  const oldBases = (some: readonly Rewrite[]): (number | null)[] => some.map(({ oldBase }) => oldBase)
  if (rebased.length > 0)
    assertCount(
      await connection.execute(
        `UPDATE state_group_edges e SET prev_state_group = n.new_base
           FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (id, old_base, new_base)
          WHERE e.state_group = n.id AND e.prev_state_group = n.old_base`,
        [ids(rebased), oldBases(rebased), newBases(rebased)],
      ),
      rebased.length,
      'edges changed',
    )
  if (based.length > 0)
    assertCount(
      await connection.execute(
        `INSERT INTO state_group_edges (state_group, prev_state_group)
         SELECT id, base FROM unnest($1::bigint[], $2::bigint[]) AS n (id, base)`,
        [ids(based), newBases(based)],
      ),
      based.length,
      'edges added',
    )
  if (unbased.length > 0)
    assertCount(
      await connection.execute(
        `DELETE FROM state_group_edges e USING unnest($1::bigint[], $2::bigint[]) AS n (id, old_base)
          WHERE e.state_group = n.id AND e.prev_state_group = n.old_base`,
        [ids(unbased), oldBases(unbased)],
      ),
      unbased.length,
      'edges removed',
    )
}

async function rewriteRows(
  connection: Connection,
  room: string,
  rewrites: readonly Rewrite[],
  reader: RowReader,
): Promise<void> {
  const gone = rewrites.reduce((sum, rewrite) => sum + rewrite.gone.length, 0)
  if (gone > 0)
    assertCount(
      await connection.execute('DELETE FROM state_groups_state WHERE ctid = ANY ($1::tid[])', [
        placesLiteral(allPlaces(rewrites), gone),
      ]),
      gone,
      'rows deleted',
    )
  const groups: number[] = []
  const types: string[] = []
  const keys: string[] = []
  const events: string[] = []
  for (const { group, added } of rewrites) {
    for (const entry of added) {
      const text = reader.text(entry)!
      groups.push(group)
      types.push(text.type)
      keys.push(text.stateKey)
      events.push(text.eventId)
    }
  }
  if (groups.length > 0)
    assertCount(
      await connection.execute(
        `INSERT INTO state_groups_state (state_group, room_id, type, state_key, event_id)
         SELECT id, $5, type, state_key, event_id
           FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS n (id, type, state_key, event_id)`,
        [groups, types, keys, events, room],
      ),
      groups.length,
      'rows inserted',
    )
}

function* allPlaces(rewrites: readonly Rewrite[]): Generator<number> {
  for (const { gone } of rewrites) yield* gone
}

function assertCount(actual: number, expected: number, what: string): void {
  if (actual !== expected) throw new TampError('failed', `${actual} ${what} instead of ${expected}`)
}

/** Compares what Synapse would read with the state the plan was made from. */
async function assertState(
  connection: Connection,
  reader: RowReader,
  group: number,
  states: Uint32Array,
  position: number,
  when: 'before' | 'after',
): Promise<void> {
  const sum = new Uint32Array(4)
  const known = await reader.fullState(connection, group, (entry) => addEntry(sum, reader.entries, entry))
  if (!known || !sameFingerprint(sum, states, position))
    throw new TampError(
      'proof-failed',
      `the state of state group ${group} ${when} the change is not the one that was planned with`,
    )
}
