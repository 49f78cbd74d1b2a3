// Reads rows of state groups with their place in the table, recognises each as an entry of the planned room, and keeps the few
// texts that will be written elsewhere.
import { copyOut, eachLine, unescapeCopy } from '../../database/copy.ts'
import type { Connection } from '../../database/postgres.ts'
import type { RoomHistory, StateEntries } from '../history.ts'

/** A row's text. */
export interface RowText {
  readonly type: string
  readonly stateKey: string
  readonly eventId: string
}

/** Takes one row: its group's id, its entry (0 for one that the room did not have when it was planned), its place in the table. */
export type TakeRow = (group: number, entry: number, place: Place) => void

/** A row's place, `ctid`, as block * 65536 + offset: good for one transaction only. */
export type Place = number

/** Places as a literal of PostgreSQL's type tid[]. */
export function placesLiteral(places: Iterable<Place>, count: number): string {
  // Written into one buffer: tens of thousands of strings that are put together would linger as garbage.
  const text = Buffer.allocUnsafe(2 + count * longestPlace)
  let end = text.write('{', 0)
  for (const place of places)
    end += text.write(`${end > 1 ? ',' : ''}"(${Math.floor(place / 65536)},${place % 65536})"`, end, 'latin1')
  end += text.write('}', end)
  return text.toString('latin1', 0, end)
}

/** Characters of a place with its quotes and comma: a block has ten digits, an offset five. */
const longestPlace = 21

const texts = new TextDecoder()
/** Texts kept between units. */
const mostTexts = 200_000

/** Reads rows for one room's plan. */
export class RowReader {
  readonly #history: RoomHistory
  /** 1 for entries whose text some move writes. */
  readonly #wanted: Uint8Array
  readonly #texts = new Map<number, RowText>()

  constructor(history: RoomHistory, wanted: Uint8Array) {
    this.#history = history
    this.#wanted = wanted
  }

  get entries(): StateEntries {
    return this.#history.entries
  }

  /** The text of an entry, if it has been read. */
  text(entry: number): RowText | undefined {
    return this.#texts.get(entry)
  }

  /** Forgets texts when there are many; call it between units. */
  trim(): void {
    if (this.#texts.size > mostTexts) this.#texts.clear()
  }

  /** Reads all rows of these groups (ids), in no particular order. */
  async read(connection: Connection, groups: readonly number[], take: TakeRow): Promise<void> {
    if (groups.length === 0) return
    await copyOut(
      connection,
      `SELECT ctid, state_group, type, state_key, event_id
         FROM state_groups_state WHERE state_group = ANY ('{${groups.join(',')}}'::bigint[])`,
      eachLine((bytes, from, end) => {
        // (block,offset) TAB id TAB type TAB state_key TAB event_id
        let at = from + 1
        let block = 0
        for (; bytes[at] !== comma; at++) block = block * 10 + bytes[at]! - zero
        let offset = 0
        for (at++; bytes[at] !== close; at++) offset = offset * 10 + bytes[at]! - zero
        let id = 0
        for (at += 2; bytes[at] !== tab; at++) id = id * 10 + bytes[at]! - zero
        take(id, this.#recognise(bytes, at + 1, end), block * 65536 + offset)
      }),
    )
  }

  /**
   * Asks Synapse's own question: the full state of a group. Its statement on PostgreSQL (storage/databases/state/bg_updates.py):
   * the chain by recursion, then for every key the row of the highest group.
   * @returns whether all of it was there when the room was planned; only such entries are added
   */
  async fullState(connection: Connection, group: number, add: (entry: number) => void): Promise<boolean> {
    let known = true
    await copyOut(
      connection,
      `WITH RECURSIVE chain (state_group) AS (
         VALUES (${group}::bigint)
         UNION ALL
         SELECT e.prev_state_group FROM state_group_edges e JOIN chain c ON e.state_group = c.state_group
       )
       SELECT DISTINCT ON (type, state_key) type, state_key, event_id
         FROM state_groups_state WHERE state_group IN (SELECT state_group FROM chain)
        ORDER BY type, state_key, state_group DESC`,
      eachLine((bytes, from, end) => {
        const entry = this.#recognise(bytes, from, end)
        if (entry === 0) known = false
        else add(entry)
      }),
    )
    return known
  }

  #recognise(bytes: Uint8Array, from: number, end: number): number {
    let lastTab = end - 1
    while (bytes[lastTab] !== tab) lastTab--
    const entry = this.#history.entries.find(bytes, from, lastTab, end)
    if (this.#wanted[entry] === 1 && !this.#texts.has(entry)) {
      const [type, stateKey, eventId] = texts.decode(bytes.subarray(from, end)).split('\t')
      this.#texts.set(entry, {
        type: unescapeCopy(type!),
        stateKey: unescapeCopy(stateKey!),
        eventId: unescapeCopy(eventId!),
      })
    }
    return entry
  }
}

const tab = 9
const comma = 44
const close = 41
const zero = 48
