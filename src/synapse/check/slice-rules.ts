// What is wrong with the rows, edges and event references of one slice of state groups: one statement a table.
import type { FindingCode } from '../findings.ts'
import type { ReadSnapshot } from '../../database/read-snapshot.ts'
import type { EdgeForest } from '../edge-forest.ts'
import type { Slice } from './slices.ts'

interface Met {
  readonly code: FindingCode
  readonly subject: string | number
  readonly detail: string
}

export interface SliceResult {
  readonly groups: number
  readonly rows: number
  readonly met: readonly Met[]
}

/** Looks at one slice. The edges met are added to `forest`; `events` is undefined where references are not looked at. */
export async function checkSlice(
  slice: Slice,
  state: ReadSnapshot,
  events: ReadSnapshot | undefined,
  forest: EdgeForest,
): Promise<SliceResult> {
  const [counted] = await state.query<[number]>(
    `SELECT count(*) FROM state_groups WHERE ${slice.where('id')}`,
    slice.values,
  )
  const elsewhere = new Map<number, string[]>()
  const met: Met[] = []
  const rows = await checkRows(slice, state, met, elsewhere)
  await checkEdges(slice, state, forest, met, elsewhere)
  for (const [group, details] of elsewhere)
    met.push({ code: 'room-mismatch', subject: group, detail: details.join(' ') })
  if (events !== undefined) await checkEvents(slice, state, events, met)
  return { groups: counted?.[0] ?? 0, rows, met }
}

/** duplicate-key, rows-without-group, and rows under another room. Reads every state row of the slice, in index order. */
async function checkRows(
  slice: Slice,
  state: ReadSnapshot,
  met: Met[],
  elsewhere: Map<number, string[]>,
): Promise<number> {
  // The row with a null group carries the total, so that no second pass has to count.
  const found = await state.query<
    [number | null, number, number, number, string | null, boolean, string | null, string | null]
  >(
    `WITH stored_keys AS (
       SELECT state_group, type, state_key, count(*) AS copies, min(event_id) <> max(event_id) AS ambiguous,
              min(room_id) AS first_room, max(room_id) AS last_room
         FROM state_groups_state
        WHERE ${slice.where('state_group')}
        GROUP BY state_group, type, state_key
     ), stored_groups AS (
       SELECT state_group, sum(copies)::bigint AS stored,
              count(*) FILTER (WHERE copies > 1) AS repeated,
              count(*) FILTER (WHERE ambiguous) AS ambiguous,
              min((type, state_key)::text) FILTER (WHERE copies > 1) AS example,
              min(first_room) AS first_room, max(last_room) AS last_room
         FROM stored_keys
        GROUP BY state_group
     )
     SELECT NULL::bigint, coalesce(sum(stored), 0)::bigint, 0::bigint, 0::bigint, NULL, false, NULL, NULL FROM stored_groups
      UNION ALL
     SELECT s.state_group, s.stored, s.repeated, s.ambiguous, s.example, g.id IS NULL, g.room_id,
            CASE WHEN s.first_room <> g.room_id THEN s.first_room WHEN s.last_room <> g.room_id THEN s.last_room END
       FROM stored_groups s LEFT JOIN state_groups g ON g.id = s.state_group
      WHERE s.repeated > 0 OR g.id IS NULL OR s.first_room <> g.room_id OR s.last_room <> g.room_id
      ORDER BY 1 NULLS FIRST`,
    slice.values,
  )
  let total = 0
  for (const [group, stored, repeated, ambiguous, example, orphaned, room, otherRoom] of found) {
    if (group === null) {
      total = stored
      continue
    }
    if (repeated > 0) {
      const different = ambiguous === 0 ? 'always with the same event.' : `${ambiguous} of them with different events.`
      const keys = repeated === 1 ? '1 key is' : `${repeated} keys are`
      met.push({
        code: 'duplicate-key',
        subject: group,
        detail: `${keys} stored more than once, such as ${example}; ${different}`,
      })
    }
    if (orphaned) met.push({ code: 'rows-without-group', subject: group, detail: `${stored} state rows and no group.` })
    if (otherRoom !== null) elsewhere.set(group, [`The group is of room ${room}, but has rows of room ${otherRoom}.`])
  }
  return total
}

/** dangling-base, several-bases, base-not-older, edge-without-group, and bases in another room. */
async function checkEdges(
  slice: Slice,
  state: ReadSnapshot,
  forest: EdgeForest,
  met: Met[],
  elsewhere: Map<number, string[]>,
): Promise<void> {
  const edges = await state.query<[number, number, boolean, boolean, string | null, string | null]>(
    `SELECT e.state_group, e.prev_state_group, g.id IS NULL, b.id IS NULL,
            CASE WHEN b.room_id <> g.room_id THEN g.room_id END, CASE WHEN b.room_id <> g.room_id THEN b.room_id END
       FROM state_group_edges e
       LEFT JOIN state_groups g ON g.id = e.state_group
       LEFT JOIN state_groups b ON b.id = e.prev_state_group
      WHERE ${slice.where('e.state_group')}
      ORDER BY e.state_group, e.prev_state_group`,
    slice.values,
  )
  for (let start = 0, end = 0; start < edges.length; start = end) {
    const group = edges[start]![0]
    while (end < edges.length && edges[end]![0] === group) end += 1
    const own = edges.slice(start, end)
    const bases = own.map(([, base]) => base)
    const missing = bases.filter((_, i) => own[i]![3])
    const newer = bases.filter((base) => base >= group)
    for (const base of bases) forest.append(group, base)
    if (own[0]![2]) {
      met.push({
        code: 'edge-without-group',
        subject: group,
        detail: `There is an edge to ${list(bases)} and no group.`,
      })
    }
    if (missing.length > 0) {
      met.push({ code: 'dangling-base', subject: group, detail: `Its base ${list(missing)} does not exist.` })
    }
    if (bases.length > 1) {
      met.push({ code: 'several-bases', subject: group, detail: `It has ${bases.length} edges, to ${list(bases)}.` })
    }
    if (newer.length > 0) {
      met.push({ code: 'base-not-older', subject: group, detail: `Its base ${list(newer)} does not have a lower id.` })
    }
    for (const [, base, , , room, baseRoom] of own) {
      if (baseRoom === null) continue
      const details = elsewhere.get(group) ?? []
      details.push(`The group is of room ${room}, but its base ${base} is of room ${baseRoom}.`)
      elsewhere.set(group, details)
    }
  }
}

/** event-without-group. With stores in two databases only the group ids travel. */
async function checkEvents(slice: Slice, state: ReadSnapshot, events: ReadSnapshot, met: Met[]): Promise<void> {
  let found: [string, number][]
  if (state === events) {
    found = await state.query(
      `SELECT e.event_id, e.state_group
         FROM event_to_state_groups e
        WHERE ${slice.where('e.state_group')}
          AND NOT EXISTS (SELECT FROM state_groups g WHERE g.id = e.state_group)
        ORDER BY e.state_group, e.event_id`,
      slice.values,
    )
  } else {
    const referenced = await events.query<[number]>(
      `SELECT DISTINCT state_group FROM event_to_state_groups WHERE ${slice.where('state_group')}`,
      slice.values,
    )
    const missing = await state.query<[number]>(
      `SELECT r.id FROM unnest($1::bigint[]) AS r (id) WHERE NOT EXISTS (SELECT FROM state_groups g WHERE g.id = r.id)`,
      [referenced.map(([group]) => group)],
    )
    if (missing.length === 0) return
    found = await events.query(
      `SELECT event_id, state_group FROM event_to_state_groups
        WHERE state_group = ANY ($1::bigint[]) ORDER BY state_group, event_id`,
      [missing.map(([group]) => group)],
    )
  }
  for (const [event, group] of found) {
    met.push({
      code: 'event-without-group',
      subject: event,
      detail: `It refers to group ${group}, which does not exist.`,
    })
  }
}

function list(ids: readonly number[]): string {
  return ids.length <= 10 ? ids.join(', ') : `${ids.slice(0, 10).join(', ')} and ${ids.length - 10} more`
}
