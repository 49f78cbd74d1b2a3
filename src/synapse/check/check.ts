// fsck for state groups: every structural rule of the store, in one snapshot, without changing or blocking anything.
import { TampError } from '../../core/errors.ts'
import type { Listener } from '../../core/events.ts'
import { checkSlice } from './slice-rules.ts'
import { allGroups, groupsOf } from './slices.ts'
import type { SynapseDatabase } from '../database.ts'
import { EdgeForest, endless } from '../edge-forest.ts'
import type { Chains } from '../edge-forest.ts'
import { FindingTally } from '../../core/finding-tally.ts'
import type { FindingCode, StateGroupFinding } from '../findings.ts'
import { overDeep, overDeepDetail } from '../over-deep.ts'
import type { OverDeep } from '../over-deep.ts'
import { ReadSnapshot } from '../../database/read-snapshot.ts'
import { requireRooms } from '../require-rooms.ts'

export interface CheckOptions {
  /**
   * Only these rooms; none, or an empty list: all. With rooms, rows, edges and events without a group are not looked for,
   * because nothing says which room they are of.
   */
  readonly rooms?: readonly string[] | undefined
  /** Edges a chain may have, `overDeep` unless told. */
  readonly maxDepth?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Told `status` after every slice; `unitsDone` are the groups looked at. */
  readonly onEvent?: Listener | undefined
}

/** What was looked at so far, and how much was found. */
export interface CheckSummary {
  /** False until everything has been looked at. */
  readonly complete: boolean
  readonly groups: number
  readonly rows: number
  /** False where event_to_state_groups was not compared: it cannot be read, or only some rooms were asked for. */
  readonly eventsCompared: boolean
  /** Subjects by finding code, those that were not named one by one included. */
  readonly counts: Readonly<Partial<Record<FindingCode, number>>>
}

/** Findings as they are met; the summary is up to date at any moment and final once the findings have ended. */
export interface StateGroupCheck extends AsyncIterable<StateGroupFinding> {
  readonly summary: CheckSummary
}

/**
 * Looks for everything in `findingExplanations`. Of each code the first hundred subjects are named, the others counted.
 *
 * Cost: reads all of state_groups and state_group_edges, every row of state_groups_state once through its index (hours, on
 * hundreds of millions of rows that are not in memory), and the index of event_to_state_groups, in statements of about a
 * second. Memory: about 40 bytes an edge and one slice. All in one read-only REPEATABLE READ snapshot, which takes no lock
 * but ACCESS SHARE; as long as it is open VACUUM cannot remove newly dead rows and a schema change has to wait.
 * With `rooms`, reads only the groups of these rooms, by index.
 * Where the stores are two databases, the main one is read as of a moment earlier: a reference is older than its group's end.
 *
 * @throws TampError `no-such-room`, `interrupted`, `usage`
 */
export function checkStateGroups(database: SynapseDatabase, options: CheckOptions = {}): StateGroupCheck {
  const maxDepth = options.maxDepth ?? overDeep
  if (!Number.isSafeInteger(maxDepth) || maxDepth < 1) {
    throw new TampError('usage', 'the depth to check against must be a whole number of edges, 1 or more')
  }
  const tally = new FindingTally<FindingCode>()
  const progress = { complete: false, groups: 0, rows: 0, eventsCompared: false }
  return {
    [Symbol.asyncIterator]: () => findings(database, options, maxDepth, tally, progress),
    get summary(): CheckSummary {
      return { ...progress, counts: tally.counts }
    },
  }
}

async function* findings(
  database: SynapseDatabase,
  options: CheckOptions,
  maxDepth: number,
  tally: FindingTally<FindingCode>,
  progress: { complete: boolean; groups: number; rows: number; eventsCompared: boolean },
): AsyncGenerator<StateGroupFinding> {
  const { signal, onEvent } = options
  const rooms = options.rooms?.length === 0 ? undefined : options.rooms
  const compareEvents = rooms === undefined && database.schema.eventReferences
  // The main store first: of what it refers to, nothing is deleted from the state store for minutes after the reference.
  await using main =
    compareEvents && !database.oneDatabase ? await ReadSnapshot.open(() => database.connectMain(), signal) : undefined
  await using state = await ReadSnapshot.open(() => database.connectState(), signal)
  const events = compareEvents ? (main ?? state) : undefined
  progress.eventsCompared = compareEvents
  await state.preferIndexes(true)
  await main?.preferIndexes(true)

  const forest = new EdgeForest()
  const started = performance.now()
  for await (const slice of rooms === undefined ? allGroups(state, events) : groupsOf(await idsOf(rooms, state))) {
    const { groups, rows, met } = await checkSlice(slice, state, events, forest)
    progress.groups += groups
    progress.rows += rows
    for (const { code, subject, detail } of met) {
      const finding = tally.add(code, subject, detail)
      if (finding) yield finding
    }
    const seconds = (performance.now() - started) / 1000
    onEvent?.({
      type: 'status',
      percentDone: slice.done * 100,
      unitsDone: progress.groups,
      secondsRemaining: slice.done > 0 ? (seconds * (1 - slice.done)) / slice.done : null,
      waiting: null,
    })
  }

  const chains = forest.chains()
  for (const cycle of chains.cycles) {
    const shown = cycle.slice(0, 10).join(', ')
    const more = cycle.length > 10 ? ` and ${cycle.length - 10} more` : ''
    const finding = tally.add('cycle', cycle[0]!, `The bases of ${shown}${more} go round in a circle.`)
    if (finding) yield finding
  }
  for (const [room, deep] of await overDeepRooms(chains, maxDepth, state)) {
    const finding = tally.add('over-deep-chain', room, overDeepDetail(deep, maxDepth))
    if (finding) yield finding
  }
  yield* tally.rest()
  progress.complete = true
}

async function overDeepRooms(chains: Chains, maxDepth: number, state: ReadSnapshot): Promise<Map<string, OverDeep>> {
  const rooms = new Map<string, OverDeep>()
  let groups: number[] = []
  let depths: number[] = []
  const look = async (): Promise<void> => {
    if (groups.length === 0) return
    const found = await state.query<[string, number, number, number]>(
      `SELECT g.room_id, count(*), (array_agg(g.id ORDER BY d.depth DESC, g.id))[1], max(d.depth)
         FROM unnest($1::bigint[], $2::int[]) AS d (id, depth) JOIN state_groups g USING (id)
        GROUP BY g.room_id ORDER BY g.room_id`,
      [groups, depths],
    )
    for (const [room, count, deepest, depth] of found) {
      const known = rooms.get(room)
      if (known === undefined) rooms.set(room, { groups: count, deepest, depth })
      else {
        known.groups += count
        if (depth > known.depth) Object.assign(known, { deepest, depth })
      }
    }
    groups = []
    depths = []
  }
  for (let i = 0; i < chains.groups.length; i++) {
    const depth = chains.depth[i]!
    if (depth === endless || depth <= maxDepth) continue
    groups.push(chains.groups[i]!)
    depths.push(depth)
    if (groups.length === 20_000) await look()
  }
  await look()
  return rooms
}

/** All group ids of the rooms, ascending. */
async function idsOf(rooms: readonly string[], state: ReadSnapshot): Promise<number[]> {
  await requireRooms(rooms, state)
  const ids: number[] = []
  for await (const batch of state.batches<[number]>(
    'SELECT id FROM state_groups WHERE room_id = ANY ($1::text[]) ORDER BY id',
    [rooms],
  )) {
    for (const [id] of batch) ids.push(id)
  }
  return ids
}
