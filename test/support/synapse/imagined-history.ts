// A room of any size as the planners see it, without a database.
import type { RoomHistory } from '../../../src/synapse/history.ts'
import { stateKey } from './full-state.ts'
import { imagineRoom } from './grow.ts'
import type { GrownRoom, RoomShape } from './grow.ts'
import { readDrawn } from './random-history.ts'
import type { DrawnRoom } from './random-history.ts'

/** A room of `imagineRoom`, its newest group the tip. */
export function imaginedRoom(shape: RoomShape): DrawnRoom {
  return drawnFrom(imagineRoom(shape))
}

function drawnFrom({ groups }: GrownRoom): DrawnRoom {
  return {
    groups: groups.map(({ id, base, delta }) => ({
      id,
      bases: base === undefined ? [] : [base],
      rows: delta.map(([type, key, event]) => [stateKey(type, key), event] as const),
    })),
    pending: [],
    referenced: groups.filter(({ referenced }) => referenced).map(({ id }) => id),
    tips: groups.slice(-1).map(({ id }) => id),
    strangers: [],
    range: null,
  }
}

export function imaginedHistory(shape: RoomShape): RoomHistory {
  return readDrawn(imaginedRoom(shape))
}
