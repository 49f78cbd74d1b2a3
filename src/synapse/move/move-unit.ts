// Units of a room's plan: a run of moves in ascending group order, so that a base is in its final place before what stands on it.
import type { Unit } from '../../core/unit.ts'
import type { RoomPlan } from '../plan/room-plan.ts'

/** Moves `from` … `to - 1` of a plan. */
export interface MoveUnit extends Unit {
  readonly plan: RoomPlan
  readonly from: number
  readonly to: number
  /** Rows that are read or written. */
  readonly weight: number
  /** Groups. */
  readonly items: number
}

/** What a group costs beside its rows: its locks, its edge. */
const groupWeight = 5
const mostGroups = 1000

export function* moveUnits(plan: RoomPlan, weight: () => number): Generator<MoveUnit> {
  const { moves, history } = plan
  const count = moves.position.length
  for (let from = 0; from < count;) {
    const most = weight()
    let to = from
    let sum = 0
    while (to < count && to - from < mostGroups && (to === from || sum < most)) {
      const group = moves.position[to]!
      const stored = history.deltas.start[group + 1]! - history.deltas.start[group]!
      const planned = moves.deltas.start[to + 1]! - moves.deltas.start[to]!
      sum += stored + planned + groupWeight
      to++
    }
    yield { lane: history.room, plan, from, to, weight: sum, items: to - from }
    from = to
  }
}
