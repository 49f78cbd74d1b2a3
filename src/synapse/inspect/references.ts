// How many groups of a room no event refers to: looked up one by one, or for a sample of them.
import type { ReadSnapshot } from '../../database/read-snapshot.ts'
import type { GroupTable } from './group-table.ts'

export interface Unreferenced {
  /** Null where too few groups were looked up to say. */
  readonly groups: number | null
  readonly exact: boolean
}

export interface References {
  of(room: number): Unreferenced
  readonly all: Unreferenced
}

/** A share of fewer groups than these says nothing. */
const leastLookups = 20

/** Looks up every group, or about `lookups` of them, spread evenly over the rooms. */
export async function countUnreferenced(
  events: ReadSnapshot | undefined,
  table: GroupTable,
  lookups: number,
): Promise<References> {
  if (events === undefined) {
    const unknown = { groups: null, exact: false }
    return { of: () => unknown, all: unknown }
  }
  const stride = Math.max(1, Math.ceil(table.ids.length / lookups))
  const asked = new Uint32Array(table.rooms.length)
  const unreferenced = new Uint32Array(table.rooms.length)
  let ids: number[] = []
  let rooms = new Map<number, number>()
  const look = async (): Promise<void> => {
    const found = await events.query<[number]>(
      `SELECT g.id FROM unnest($1::bigint[]) AS g (id)
        WHERE NOT EXISTS (SELECT FROM event_to_state_groups e WHERE e.state_group = g.id)`,
      [ids],
    )
    for (const [id] of found) unreferenced[rooms.get(id)!]! += 1
    ids = []
    rooms = new Map()
  }
  for (let i = 0; i < table.byRoom.length; i += stride) {
    const position = table.byRoom[i]!
    asked[table.room[position]!]! += 1
    ids.push(table.ids[position]!)
    rooms.set(table.ids[position]!, table.room[position]!)
    if (ids.length === 5000) await look()
  }
  if (ids.length > 0) await look()
  const scaled = (found: number, of: number, groups: number): Unreferenced => {
    if (of === groups) return { groups: found, exact: true }
    return { groups: of < leastLookups ? null : Math.round((found / of) * groups), exact: false }
  }
  const sum = (column: Uint32Array): number => column.reduce((total, value) => total + value, 0)
  return {
    of: (room) => scaled(unreferenced[room]!, asked[room]!, table.start[room + 1]! - table.start[room]!),
    all: scaled(sum(unreferenced), sum(asked), table.ids.length),
  }
}
