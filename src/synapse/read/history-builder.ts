// Builds a RoomHistory from what streams out of the database: group ids, edges, and state rows in COPY's text format.
import type { Finding } from '../../core/report.ts'
import { eachLine } from '../../database/copy.ts'
import { FindingTally } from '../../core/finding-tally.ts'
import type { FindingCode } from '../findings.ts'
import { EntryTable } from './entry-table.ts'
import { hashKeyWords } from './entry-hash.ts'
import { Bar } from '../history.ts'
import type { RoomHistory } from '../history.ts'

const tab = 9
const chunkRows = 1 << 16

export class HistoryBuilder {
  readonly #table: EntryTable
  readonly #room: string
  readonly #ids: Float64Array
  readonly #base: Int32Array
  readonly #edges: Uint8Array
  readonly #bar: Uint8Array
  readonly #referenced: Uint8Array
  readonly #findings: Finding[] = []
  readonly #tally = new FindingTally<FindingCode>()
  // Rows in the order they come, as (position, entry) pairs: 8 bytes a row.
  readonly #chunks: Uint32Array[] = []
  // Bases of groups with several, and bases that are not older than their group.
  readonly #entangled: number[] = []
  #rows = 0
  readonly #lines = eachLine((bytes, from, end) => this.#addRow(bytes, from, end))
  #lastId = -1
  #lastPosition = -1

  /**
   * @param ids state group ids of the room, ascending
   * @param hashKey four random words
   */
  constructor(
    room: string,
    ids: Float64Array,
    hashKey: Uint32Array = crypto.getRandomValues(new Uint32Array(hashKeyWords)),
  ) {
    this.#room = room
    this.#ids = ids
    this.#base = new Int32Array(ids.length).fill(-1)
    this.#edges = new Uint8Array(ids.length)
    this.#bar = new Uint8Array(ids.length)
    this.#referenced = new Uint8Array(ids.length)
    this.#table = new EntryTable(hashKey)
  }

  /** Position of a group id, or -1. */
  position(id: number): number {
    if (id === this.#lastId) return this.#lastPosition
    let low = 0
    let high = this.#ids.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#ids[middle]! <= id) low = middle
      else high = middle - 1
    }
    this.#lastId = id
    this.#lastPosition = this.#ids[low] === id ? low : -1
    return this.#lastPosition
  }

  /** Adds an edge. `elsewhere` says whether a base that is not in this room exists at all. */
  addEdge(id: number, base: number, elsewhere: (base: number) => boolean): void {
    const group = this.position(id)
    if (group < 0) return
    const target = this.position(base)
    this.#edges[group]!++
    if (this.#edges[group]! > 1) {
      this.#damage(group, 'several-bases', `state group ${id} has several edges`)
      this.#entangled.push(this.#base[group]!, target)
    }
    if (base >= id) this.#entangled.push(target)
    if (base >= id) this.#damage(group, 'base-not-older', `state group ${id} stands on ${base}, which is not older`)
    else if (target >= 0) this.#base[group] = target
    else if (elsewhere(base))
      this.#damage(group, 'room-mismatch', `state group ${id} stands on ${base}, of another room`)
    else this.#damage(group, 'dangling-base', `state group ${id} stands on ${base}, which does not exist`)
  }

  #damage(group: number, code: FindingCode, detail: string): void {
    this.#bar[group] = Bar.damaged
    const finding = this.#tally.add(code, this.#ids[group]!, detail)
    if (finding !== undefined) this.#findings.push(finding)
  }

  markPending(id: number): void {
    const group = this.position(id)
    if (group >= 0 && this.#bar[group] === Bar.none) this.#bar[group] = Bar.pending
  }

  markReferenced(id: number): void {
    const group = this.position(id)
    if (group >= 0) this.#referenced[group] = 1
  }

  /** Takes the next bytes of `COPY (SELECT state_group, type, state_key, event_id …) TO STDOUT`; lines may be cut anywhere. */
  addRows(chunk: Uint8Array): void {
    this.#lines(chunk)
  }

  #addRow(bytes: Uint8Array, from: number, end: number): void {
    let id = 0
    let at = from
    for (; bytes[at] !== tab; at++) id = id * 10 + bytes[at]! - 48
    // The event id is the last column: look for its tab from the end.
    let lastTab = end - 1
    while (bytes[lastTab] !== tab) lastTab--
    const position = this.position(id)
    if (position < 0) return
    const chunk = this.#rows % chunkRows
    if (chunk === 0) this.#chunks.push(new Uint32Array(2 * chunkRows))
    const pairs = this.#chunks.at(-1)!
    pairs[2 * chunk] = position
    pairs[2 * chunk + 1] = this.#table.number(bytes, at + 1, lastTab, end)
    this.#rows++
  }

  /** Sorts the rows by group and finds what hangs on damaged groups. */
  finish(options: { readonly bytesPerRow: number; readonly tips?: readonly number[] }): RoomHistory {
    const count = this.#ids.length
    const start = new Uint32Array(count + 1)
    this.#eachRow((position) => start[position + 1]!++)
    for (let i = 0; i < count; i++) start[i + 1]! += start[i]!
    const rows = new Uint32Array(this.#rows)
    const next = start.slice(0, count)
    const entries = this.#table.finish()
    const holder = new Uint32Array(entries.count).fill(0xffffffff)
    this.#eachRow((position, entry) => {
      rows[next[position]!++] = entry
      if (position < holder[entry]!) holder[entry] = position
    })
    this.#chunks.length = 0
    this.#findDuplicateKeys(start, rows, entries.key, entries.keyCount)
    for (let i = 0; i < count; i++) {
      // Bases have lower positions, so one pass carries damage to everything that hangs on it.
      const base = this.#base[i]!
      if (base >= 0 && this.#bar[base] === Bar.damaged) this.#bar[i] = Bar.damaged
    }
    this.#keepEntangled()
    return {
      room: this.#room,
      ids: this.#ids,
      base: this.#base,
      deltas: { start, rows },
      entries: { ...entries, holder, find: this.#table.find.bind(this.#table) },
      bar: this.#bar,
      referenced: this.#referenced,
      tips: (options.tips ?? []).map((id) => this.position(id)).filter((position) => position >= 0),
      findings: [...this.#findings, ...this.#tally.rest()],
      bytesPerRow: options.bytesPerRow,
    }
  }

  /**
   * A reader takes the highest group's row for a key, whichever way it came there: what it sees of a group with several bases, or a
   * younger one, depends on how those are stored. So they stay as they are, and all below them.
   */
  #keepEntangled(): void {
    const seen = new Uint8Array(this.#ids.length)
    for (const base of this.#entangled) {
      for (let i = base; i >= 0 && seen[i] === 0; i = this.#base[i]!) {
        seen[i] = 1
        if (this.#bar[i] === Bar.none) this.#bar[i] = Bar.outOfRange
      }
    }
  }

  #eachRow(visit: (position: number, entry: number) => void): void {
    let left = this.#rows
    for (const pairs of this.#chunks) {
      const here = Math.min(left, chunkRows)
      for (let i = 0; i < here; i++) visit(pairs[2 * i]!, pairs[2 * i + 1]!)
      left -= here
    }
  }

  #findDuplicateKeys(start: Uint32Array, rows: Uint32Array, key: Uint32Array, keyCount: number): void {
    const seen = new Int32Array(keyCount).fill(-1)
    for (let group = 0; group < this.#ids.length; group++) {
      for (let r = start[group]!; r < start[group + 1]!; r++) {
        const k = key[rows[r]!]!
        if (seen[k] === group) {
          this.#damage(group, 'duplicate-key', `state group ${this.#ids[group]!} has several rows for one key`)
          break
        }
        seen[k] = group
      }
    }
  }
}
