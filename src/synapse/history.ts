// The state groups of one room, as columns: what the planners and the proof work on. No connection, no text.

import type { Finding } from '../core/report.ts'

/**
 * The distinct (type, state_key, event_id) triples of a room, numbered from 1; entry 0 means "this key is not set".
 * Keys, the distinct (type, state_key) pairs, are numbered from 0. Numbers depend on the order rows were read in:
 * nothing may be decided by comparing them.
 */
export interface StateEntries {
  /** Number of entries, entry 0 included. */
  readonly count: number
  readonly keyCount: number
  /** Key of each entry (entry 0: unused). */
  readonly key: Uint32Array
  /** 128-bit keyed hash of each entry's text, four words an entry. */
  readonly hash: Uint32Array
  /**
   * Position of the lowest group that stores the entry as a row of its own. No legal plan ever moves the row away from there,
   * because an older base cannot have it: it is where the text can always be found.
   */
  readonly holder: Uint32Array
  /**
   * The entry of a row in COPY's text format, 0 if the room did not have it when it was read: type and state_key, tab between,
   * are bytes[from, tab), the event id bytes[tab + 1, to).
   */
  find(bytes: Uint8Array, from: number, tab: number, to: number): number
}

/** Why a group is left as it is. 0: it may be changed and be a base. */
export const Bar = {
  none: 0,
  /** Its chain is damaged, or it cannot be read unambiguously: neither changed nor used as a base. */
  damaged: 1,
  /** Synapse is about to delete it: neither changed nor used as a base. */
  pending: 2,
  /** Outside the range that was asked for, or read by a group with several bases: not changed, but a good base. */
  outOfRange: 3,
} as const
export type Bar = (typeof Bar)[keyof typeof Bar]

/** A set of deltas, one a group: group i's rows are the entries `rows[start[i]] … rows[start[i + 1] - 1]`. */
export interface Deltas {
  readonly start: Uint32Array
  readonly rows: Uint32Array
}

/** All state groups of one room at one moment. Columns are indexed by position: 0 is the lowest group id. */
export interface RoomHistory {
  readonly room: string
  /** State group ids, ascending (exact integers). */
  readonly ids: Float64Array
  /** Position of each group's base, -1 for a snapshot. A damaged group may have -1 although it has an edge. */
  readonly base: Int32Array
  readonly deltas: Deltas
  readonly entries: StateEntries
  /** One `Bar` a group. */
  readonly bar: Uint8Array
  /** 1 where an event refers to the group. */
  readonly referenced: Uint8Array
  /** Positions of the groups that the next event will build on: they should stay shallow. */
  readonly tips: readonly number[]
  readonly findings: readonly Finding[]
  /** Mean bytes of a row as stored, index included; an estimate. */
  readonly bytesPerRow: number
}

/** The bases a planner chose for a room: position of each group's base, -1 for a snapshot. */
export type Bases = Int32Array
