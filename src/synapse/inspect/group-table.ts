// All state groups with their room, base and depth, as columns: what a survey can know exactly from two narrow tables.
// About 70 bytes a group while it is read, 24 afterwards.
import { EdgeForest, endless, find, grown } from '../edge-forest.ts'
import type { Chains } from '../edge-forest.ts'
import { FindingTally } from '../../core/finding-tally.ts'
import type { FindingCode, StateGroupFinding } from '../findings.ts'
import { overDeep, overDeepDetail } from '../over-deep.ts'
import type { OverDeep } from '../over-deep.ts'
import type { ReadSnapshot } from '../../database/read-snapshot.ts'

/** Columns are indexed by position: 0 is the lowest group id. */
export interface GroupTable {
  readonly ids: Float64Array
  readonly rooms: readonly string[]
  /** Index in `rooms` of each group. */
  readonly room: Uint32Array
  /** Position of each group's base; `noBase` for a snapshot, `unsoundBase` where it has an edge that cannot be followed. */
  readonly base: Int32Array
  /** In edges; `endless` above a cycle. */
  readonly depth: Int32Array
  /** Positions by room, ascending within it: those of room r are byRoom[start[r]] … byRoom[start[r + 1] - 1]. */
  readonly byRoom: Uint32Array
  readonly start: Uint32Array
  findings(room: number): readonly StateGroupFinding[]
  /** Findings that belong to no room that was looked at. */
  readonly homeless: readonly StateGroupFinding[]
}

export const noBase = -1
export const unsoundBase = -2

/** Reads state_groups and state_group_edges whole, or the groups of some rooms by index. */
export async function readGroupTable(
  state: ReadSnapshot,
  wanted: readonly string[] | undefined,
  maxDepth: number = overDeep,
): Promise<GroupTable> {
  const { ids, room, rooms } = await readGroups(state, wanted)
  const roomFindings = new Map<number, FindingLog>()
  const homeless = new FindingLog()
  const logOf = (index: number): FindingLog => {
    const known = roomFindings.get(index) ?? new FindingLog()
    roomFindings.set(index, known)
    return known
  }

  const base = new Int32Array(ids.length).fill(noBase)
  const forest = new EdgeForest()
  const strangers: [position: number, base: number][] = []
  let position = 0
  let last = Number.NaN
  for await (const batch of edges(state, wanted)) {
    for (const [group, to] of batch) {
      forest.append(group, to)
      while (position < ids.length && ids[position]! < group) position += 1
      if (ids[position] !== group) {
        if (group !== last) homeless.add('edge-without-group', group, `There is an edge to ${to} and no group.`)
        last = group
        continue
      }
      if (group === last) logOf(room[position]!).add('several-bases', group, 'It has more than one edge.')
      last = group
      if (to >= group) {
        logOf(room[position]!).add('base-not-older', group, `Its base ${to} does not have a lower id.`)
      }
      const found = find(ids, to)
      if (found < 0) strangers.push([position, to])
      else if (room[found] !== room[position]) {
        logOf(room[position]!).add('room-mismatch', group, otherRoom(rooms[room[position]!]!, to, rooms[room[found]!]!))
      }
      // Of several sound bases the last is the highest, whose rows win.
      if (found >= 0 && found < position && room[found] === room[position]) base[position] = found
      else if (base[position] === noBase) base[position] = unsoundBase
    }
  }
  await judgeStrangers(state, strangers, { ids, room, rooms }, wanted !== undefined, logOf)

  const chains = forest.chains()
  for (const cycle of chains.cycles) {
    const at = find(ids, cycle[0]!)
    const shown = cycle.slice(0, 10).join(', ')
    const more = cycle.length > 10 ? ` and ${cycle.length - 10} more` : ''
    const log = at < 0 ? homeless : logOf(room[at]!)
    log.add('cycle', cycle[0]!, `The bases of ${shown}${more} go round in a circle.`)
  }
  const depth = depthColumn(ids, chains)
  for (const [index, deep] of tooDeep(ids, room, depth, maxDepth)) {
    logOf(index).add('over-deep-chain', rooms[index]!, overDeepDetail(deep, maxDepth))
  }
  return {
    ids,
    rooms,
    room,
    base,
    depth,
    ...grouped(room, rooms.length),
    findings: (index) => roomFindings.get(index)?.all ?? [],
    homeless: homeless.all,
  }
}

/** Findings of one room, bounded like those of a check. */
class FindingLog {
  readonly #tally = new FindingTally<FindingCode>()
  readonly #named: StateGroupFinding[] = []

  add(code: FindingCode, subject: string | number, detail: string): void {
    const finding = this.#tally.add(code, subject, detail)
    if (finding) this.#named.push(finding)
  }

  get all(): readonly StateGroupFinding[] {
    return [...this.#named, ...this.#tally.rest()]
  }
}

async function readGroups(
  state: ReadSnapshot,
  wanted: readonly string[] | undefined,
): Promise<{ ids: Float64Array; room: Uint32Array; rooms: string[] }> {
  let ids = new Float64Array(1024)
  let room = new Uint32Array(1024)
  let count = 0
  const rooms: string[] = []
  const indexes = new Map<string, number>()
  const groups =
    wanted === undefined
      ? state.batches<[number, string]>('SELECT id, room_id FROM state_groups ORDER BY id')
      : state.batches<[number, string]>(
          'SELECT id, room_id FROM state_groups WHERE room_id = ANY ($1::text[]) ORDER BY id',
          [wanted],
        )
  for await (const batch of groups) {
    for (const [id, name] of batch) {
      let index = indexes.get(name)
      if (index === undefined) {
        index = rooms.push(name) - 1
        indexes.set(name, index)
      }
      if (count === ids.length) {
        ids = grown(ids)
        room = grown(room)
      }
      ids[count] = id
      room[count] = index
      count += 1
    }
  }
  return { ids: ids.slice(0, count), room: room.slice(0, count), rooms }
}

function edges(state: ReadSnapshot, wanted: readonly string[] | undefined): AsyncGenerator<[number, number][]> {
  if (wanted === undefined) {
    return state.batches(
      'SELECT state_group, prev_state_group FROM state_group_edges ORDER BY state_group, prev_state_group',
    )
  }
  return state.batches(
    `SELECT e.state_group, e.prev_state_group
       FROM state_groups g JOIN state_group_edges e ON e.state_group = g.id
      WHERE g.room_id = ANY ($1::text[])
      ORDER BY e.state_group, e.prev_state_group`,
    [wanted],
  )
}

/** Bases that are not among the groups that were read: missing, or, where only some rooms were read, in another one. */
async function judgeStrangers(
  state: ReadSnapshot,
  strangers: readonly [position: number, base: number][],
  { ids, room, rooms }: { ids: Float64Array; room: Uint32Array; rooms: readonly string[] },
  partly: boolean,
  logOf: (room: number) => FindingLog,
): Promise<void> {
  for (let from = 0; from < strangers.length; from += 10_000) {
    const part = strangers.slice(from, from + 10_000)
    const found = partly
      ? await state.query<[number, string]>('SELECT id, room_id FROM state_groups WHERE id = ANY ($1::bigint[])', [
          part.map(([, base]) => base),
        ])
      : []
    const elsewhere = new Map(found)
    for (const [position, base] of part) {
      const log = logOf(room[position]!)
      const other = elsewhere.get(base)
      if (other === undefined) log.add('dangling-base', ids[position]!, `Its base ${base} does not exist.`)
      else log.add('room-mismatch', ids[position]!, otherRoom(rooms[room[position]!]!, base, other))
    }
  }
}

function otherRoom(room: string, base: number, other: string): string {
  return `The group is of room ${room}, but its base ${base} is of room ${other}.`
}

function depthColumn(ids: Float64Array, chains: Chains): Int32Array {
  const depth = new Int32Array(ids.length)
  let position = 0
  for (let i = 0; i < chains.groups.length; i++) {
    while (position < ids.length && ids[position]! < chains.groups[i]!) position += 1
    if (ids[position] === chains.groups[i]) depth[position] = chains.depth[i]!
  }
  return depth
}

function tooDeep(ids: Float64Array, room: Uint32Array, depth: Int32Array, maxDepth: number): Map<number, OverDeep> {
  const rooms = new Map<number, OverDeep>()
  for (let position = 0; position < ids.length; position++) {
    if (depth[position] === endless || depth[position]! <= maxDepth) continue
    const known = rooms.get(room[position]!) ?? { groups: 0, deepest: 0, depth: 0 }
    rooms.set(room[position]!, known)
    known.groups += 1
    if (depth[position]! > known.depth) Object.assign(known, { deepest: ids[position]!, depth: depth[position]! })
  }
  return rooms
}

/** Counting sort of the positions by room. */
function grouped(room: Uint32Array, rooms: number): { byRoom: Uint32Array; start: Uint32Array } {
  const start = new Uint32Array(rooms + 1)
  for (const index of room) start[index + 1]! += 1
  for (let index = 0; index < rooms; index++) start[index + 1]! += start[index]!
  const next = start.slice()
  const byRoom = new Uint32Array(room.length)
  for (let position = 0; position < room.length; position++) byRoom[next[room[position]!]!++] = position
  return { byRoom, start }
}
