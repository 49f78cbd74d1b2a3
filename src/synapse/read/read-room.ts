// Reads the state groups of one room in one snapshot, as columns. Streams: no row's text is kept.
import type { SynapseDatabase } from '../database.ts'
import { HistoryBuilder } from './history-builder.ts'
import { noSuchRoom } from '../require-rooms.ts'
import { NumberList } from './number-list.ts'
import { Bar } from '../history.ts'
import type { RoomHistory } from '../history.ts'
import { ReadSnapshot } from '../../database/read-snapshot.ts'

/** Group ids, both ends included. */
export interface GroupRange {
  readonly from?: number
  readonly to?: number
}

export interface ReadRoomOptions {
  readonly signal?: AbortSignal | undefined
  /** Groups outside may be bases, but are not changed. */
  readonly range?: GroupRange | undefined
  /** Random words for the hashes; the same words give fingerprints that can be compared with an earlier reading's. */
  readonly hashKey?: Uint32Array
  /** Mean bytes of a stored row, index included, where that is known already. */
  readonly bytesPerRow?: number
}

/**
 * Reads a room. Takes about 8 bytes of memory a row and 30 a distinct state event.
 * @throws TampError `no-such-room`, `interrupted`
 */
export async function readRoom(
  database: SynapseDatabase,
  room: string,
  options: ReadRoomOptions = {},
): Promise<RoomHistory> {
  const { signal, range } = options
  await using state = await ReadSnapshot.open(() => database.connectState(), signal)
  const roomLiteral = state.literal(room)
  const ids = await readIds(state, `SELECT id FROM state_groups WHERE room_id = ${roomLiteral} ORDER BY id`)
  if (ids.length === 0) throw noSuchRoom(room)
  const builder = new HistoryBuilder(room, ids, options.hashKey)

  const edges = new NumberList()
  const strangers = new Set<number>()
  const eachEdge = pairs((group, base) => {
    edges.push(group)
    edges.push(base)
    if (builder.position(base) < 0) strangers.add(base)
  })
  await state.copy(
    `SELECT e.state_group, e.prev_state_group
       FROM state_groups g JOIN state_group_edges e ON e.state_group = g.id
      WHERE g.room_id = ${roomLiteral}`,
    eachEdge,
  )
  const elsewhere = new Set(
    strangers.size === 0
      ? []
      : (await state.query<[number]>('SELECT id FROM state_groups WHERE id = ANY($1)', [[...strangers]])).map(
          ([id]) => id,
        ),
  )
  const ends = edges.finish()
  for (let i = 0; i < ends.length; i += 2) builder.addEdge(ends[i]!, ends[i + 1]!, (id) => elsewhere.has(id))

  await state.copy(
    `SELECT s.state_group, s.type, s.state_key, s.event_id
       FROM state_groups g JOIN state_groups_state s ON s.state_group = g.id
      WHERE g.room_id = ${roomLiteral}`,
    (bytes) => builder.addRows(bytes),
  )

  if (database.schema.pendingDeletion) {
    const pending = await state.query<[number]>(
      `SELECT p.state_group FROM state_groups_pending_deletion p JOIN state_groups g ON g.id = p.state_group
        WHERE g.room_id = $1`,
      [room],
    )
    for (const [id] of pending) builder.markPending(id)
  }

  const bytesPerRow = options.bytesPerRow ?? (await meanRowBytes(state))
  const tips = await readReferences(database, state, room, builder, ids, signal)
  const history = builder.finish({ bytesPerRow, tips })
  if (range !== undefined) barOutside(history, range)
  return history
}

/** Mean bytes of a stored row with its share of the indexes, from what PostgreSQL last counted. */
async function meanRowBytes(state: ReadSnapshot): Promise<number> {
  const [row] = await state.query<[number]>(
    `SELECT pg_total_relation_size(oid)::float8 / reltuples::float8
       FROM pg_class WHERE oid = 'state_groups_state'::regclass AND reltuples > 0`,
  )
  return row?.[0] ?? guessedBytesPerRow
}

/** Where PostgreSQL has not counted the table yet: what a row with its share of the index takes on real servers. */
const guessedBytesPerRow = 190

function barOutside(history: RoomHistory, { from = 0, to = Infinity }: GroupRange): void {
  for (let group = 0; group < history.ids.length; group++) {
    const id = history.ids[group]!
    if ((id < from || id > to) && history.bar[group] === Bar.none) history.bar[group] = Bar.outOfRange
  }
}

/** Marks the groups that events refer to, and finds those that the next event will build on. */
async function readReferences(
  database: SynapseDatabase,
  state: ReadSnapshot,
  room: string,
  builder: HistoryBuilder,
  ids: Float64Array,
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const newest = [ids.at(-1)!]
  if (!database.schema.eventReferences) return newest
  await using otherSnapshot = database.oneDatabase
    ? undefined
    : await ReadSnapshot.open(() => database.connectMain(), signal)
  const main = otherSnapshot ?? state
  for (let from = 0; from < ids.length; from += idsAtOnce) {
    const referenced = await main.query<[number]>(
      `SELECT g.id FROM unnest($1::bigint[]) AS g (id)
        WHERE EXISTS (SELECT FROM event_to_state_groups e WHERE e.state_group = g.id)`,
      [[...ids.subarray(from, from + idsAtOnce)]],
    )
    for (const [id] of referenced) builder.markReferenced(id)
  }
  if (!database.schema.forwardExtremities) return newest
  const tips = await main.query<[number]>(
    `SELECT DISTINCT e.state_group FROM event_forward_extremities x JOIN event_to_state_groups e USING (event_id)
      WHERE x.room_id = $1`,
    [room],
  )
  return tips.map(([id]) => id)
}

const idsAtOnce = 20_000

async function readIds(state: ReadSnapshot, query: string): Promise<Float64Array> {
  const ids = new NumberList()
  let id = 0
  await state.copy(query, (bytes) => {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!
      if (byte !== 10) {
        id = id * 10 + byte - 48
        continue
      }
      ids.push(id)
      id = 0
    }
  })
  return ids.finish()
}

/** Parses lines of two numbers from bytes that come in pieces. */
function pairs(each: (first: number, second: number) => void): (bytes: Uint8Array) => void {
  let first = 0
  let number = 0
  return (bytes) => {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!
      if (byte === 9) {
        first = number
        number = 0
      } else if (byte === 10) {
        each(first, number)
        number = 0
      } else number = number * 10 + byte - 48
    }
  }
}
