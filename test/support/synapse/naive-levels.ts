// The level algorithm of the old compressor in the plainest words: maps of text, full states, nothing clever. What `levelBases` is
// held against.
import { damagedGroups, deltaRows, mayChange, statesOf } from './reference.ts'
import type { DrawnGroup, DrawnRoom } from './random-history.ts'

export interface NaiveLevel {
  readonly maxLength: number
  readonly length: number
  /** Group id, null for none. */
  readonly head: number | null
}

export interface NaivePlan {
  /** The room as the levels want it. */
  readonly room: DrawnRoom
  readonly levels: readonly NaiveLevel[]
  readonly changed: number
  readonly resets: { readonly groups: number; readonly rows: number }
}

export interface NaiveChunk {
  readonly ids: readonly number[]
  readonly kept: boolean
}

export function emptyLevels(sizes: readonly number[]): NaiveLevel[] {
  return sizes.map((maxLength) => ({ maxLength, length: 0, head: null }))
}

/** @param only puts no other groups on levels */
export function naiveLevels(room: DrawnRoom, start: readonly NaiveLevel[], only?: ReadonlySet<number>): NaivePlan {
  const states = statesOf(room)
  const damaged = damagedGroups(room)
  const pending = new Set(room.pending)
  const changeable = mayChange(room)
  const levels = [...start]
  const baseOf = new Map(room.groups.map(({ id, bases }) => [id, bases[0] ?? null]))
  const resets = { groups: 0, rows: 0 }
  let changed = 0
  const groups = room.groups.map((group): DrawnGroup => {
    const { id } = group
    if (!changeable(id) || (only !== undefined && !only.has(id))) return group
    let wanted: number | null = null
    for (const [n, level] of levels.entries()) {
      if (level.length < level.maxLength) {
        wanted = level.head
        levels[n] = { ...level, head: id, length: level.length + 1 }
        break
      }
      levels[n] = { ...level, head: id, length: 1 }
    }
    if (wanted === baseOf.get(id)) return group
    changed++
    const state = states.get(id)!
    let base = wanted
    while (base !== null) {
      if (!damaged.has(base) && !pending.has(base) && deltaRows(states.get(base)!, state) !== null) break
      base = baseOf.get(base)!
    }
    if (base === null && wanted !== null) {
      resets.groups++
      resets.rows += state.size
    }
    baseOf.set(id, base)
    const below = base === null ? new Map<string, string>() : states.get(base)!
    return {
      id,
      bases: base === null ? [] : [base],
      rows: [...state].filter(([key, event]) => below.get(key) !== event),
    }
  })
  return { room: { ...room, groups }, levels, changed, resets }
}

/** Chunk by chunk: one that would have more rows is skipped, and the levels start afresh after it. */
export function naiveChunks(
  room: DrawnRoom,
  sizes: readonly number[],
  chunkSize: number,
): { readonly room: DrawnRoom; readonly chunks: readonly NaiveChunk[] } {
  const { from, to } = room.range ?? { from: -Infinity, to: Infinity }
  const damaged = damagedGroups(room)
  const pending = new Set(room.pending)
  // Groups that are left alone for a reason of their own count; those outside the range do not.
  const ids = room.groups
    .map(({ id }) => id)
    .filter((id) => (id >= from && id <= to) || damaged.has(id) || pending.has(id))
  const chunks: NaiveChunk[] = []
  let now = room
  let levels = emptyLevels(sizes)
  for (let at = 0; at < ids.length; at += chunkSize) {
    const chunk = ids.slice(at, at + chunkSize)
    const only = new Set(chunk)
    const plan = naiveLevels(now, levels, only)
    const kept = rowsIn(plan.room, only) <= rowsIn(now, only)
    chunks.push({ ids: chunk, kept })
    levels = kept ? [...plan.levels] : emptyLevels(sizes)
    if (kept) now = plan.room
  }
  return { room: now, chunks }
}

function rowsIn(room: DrawnRoom, ids: ReadonlySet<number>): number {
  return room.groups.reduce((sum, { id, rows }) => sum + (ids.has(id) ? rows.length : 0), 0)
}
