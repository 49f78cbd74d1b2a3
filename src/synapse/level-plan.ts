// The plan `levels`: the algorithm of rust-synapse-compress-state, for comparison and for the commands that stand in for it.
//
// Groups are taken in id order. Each level is a chain of bounded length; a new group goes on top of the lowest level that has room,
// and starts the chains of the full levels below it anew. Where that base has a key the group lacks, its own bases are tried in turn.
import type { Bases, RoomHistory } from './history.ts'
import { StateTree } from './state-tree.ts'

/** One level of chains: how long they may grow, how long the present one is, and its newest group. */
export interface Level {
  readonly maxLength: number
  length: number
  /** Position, -1 for none. */
  head: number
}

export interface LevelPlan {
  readonly bases: Bases
  readonly rows: Uint32Array
  readonly bound: { readonly rows: number; readonly exact: boolean }
  readonly tree: StateTree
  /** Groups for which no base on their level's chain would do, and the rows of their snapshots. */
  readonly resets: { readonly groups: number; readonly rows: number }
  readonly levels: readonly Level[]
}

export function levelBases(_h: RoomHistory, _l: readonly number[] | readonly Level[]): LevelPlan { throw new Error("x") }
export type { StateTree }
