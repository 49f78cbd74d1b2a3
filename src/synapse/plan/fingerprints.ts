// Proof in O(rows): a 128-bit fingerprint of every group's full state, H(S) = Σ hash(entry) mod 2^128.
//
// One walk over the forest of bases with one map in hand: a row that sets a key adds its entry's hash and takes away that of the
// entry it replaces. Two forests describe the same states if, and but for a chance of 2^-128 only if, all fingerprints agree.
import type { Deltas, RoomHistory, StateEntries } from '../history.ts'

/** Groups that get another base or other rows: move m gives group `position[m]` the base `base[m]` and the rows of `deltas`. */
export interface Moves {
  /** Ascending. */
  readonly position: Int32Array
  /** Positions of the new bases, -1 for a snapshot. */
  readonly base: Int32Array
  readonly deltas: Deltas
}

export const noMoves: Moves = {
  position: new Int32Array(0),
  base: new Int32Array(0),
  deltas: { start: new Uint32Array(1), rows: new Uint32Array(0) },
}

/**
 * Fingerprints of all groups after the given moves, four words a group.
 * @param history whose bases all have lower positions than their groups
 */
export function fingerprints(
  history: Pick<RoomHistory, 'base' | 'deltas' | 'entries'>,
  moves: Moves = noMoves,
): Uint32Array {
  const { base, deltas, entries } = history
  const count = base.length
  const moveOf = new Int32Array(count).fill(-1)
  for (let m = 0; m < moves.position.length; m++) moveOf[moves.position[m]!] = m
  const firstChild = new Int32Array(count).fill(-1)
  const nextSibling = new Int32Array(count).fill(-1)
  const out = new Uint32Array(4 * count)
  for (let group = count - 1; group >= 0; group--) {
    const parent = moveOf[group]! < 0 ? base[group]! : moves.base[moveOf[group]!]!
    if (parent < 0) continue
    nextSibling[group] = firstChild[parent]!
    firstChild[parent] = group
  }
  const map = new Uint32Array(entries.keyCount)
  const setBy = new Int32Array(entries.keyCount).fill(-1) // the last group that has a row for the key
  const undone: number[] = [] // pairs (key, entry before)
  const path: number[] = [] // groups being visited
  const marks: number[] = [] // undo marks, one a group of the path
  const sum = new Uint32Array(4)
  for (let root = 0; root < count; root++) {
    const move = moveOf[root]!
    if ((move < 0 ? base[root]! : moves.base[move]!) >= 0) continue
    let group = root
    sum.fill(0)
    for (;;) {
      // Enter the group.
      const m = moveOf[group]!
      const rows = m < 0 ? deltas.rows : moves.deltas.rows
      const from = m < 0 ? deltas.start[group]! : moves.deltas.start[m]!
      const to = m < 0 ? deltas.start[group + 1]! : moves.deltas.start[m + 1]!
      path.push(group)
      marks.push(undone.length)
      for (let r = from; r < to; r++) {
        const entry = rows[r]!
        const key = entries.key[entry]!
        const before = map[key]!
        if (setBy[key] === group) {
          // Several rows of one group for a key: no sound state, and no fingerprint of one, but the same in whichever order they come.
          addEntry(sum, entries, entry)
          if (isLower(entries, before, entry)) continue
        } else if (before === 0) addEntry(sum, entries, entry)
        else {
          subtractEntry(sum, entries, before)
          addEntry(sum, entries, entry)
        }
        setBy[key] = group
        undone.push(key, before)
        map[key] = entry
      }
      out.set(sum, 4 * group)
      let next = firstChild[group]!
      while (next < 0 && path.length > 0) {
        const left = path.pop()!
        const mark = marks.pop()!
        while (undone.length > mark) {
          const before = undone.pop()!
          map[undone.pop()!] = before
        }
        next = path.length === 0 ? -1 : nextSibling[left]!
      }
      if (next < 0) break
      const parent = path.at(-1)!
      for (let i = 0; i < 4; i++) sum[i] = out[4 * parent + i]!
      group = next
    }
  }
  return out
}

/** Adds an entry to a fingerprint. */
export function addEntry(sum: Uint32Array, entries: StateEntries, entry: number): void {
  let carry = 0
  for (let i = 0; i < 4; i++) {
    const word = sum[i]! + entries.hash[4 * entry + i]! + carry
    sum[i] = word
    carry = word > 0xffffffff ? 1 : 0
  }
}

function subtractEntry(sum: Uint32Array, entries: StateEntries, entry: number): void {
  let borrow = 0
  for (let i = 0; i < 4; i++) {
    const word = sum[i]! - entries.hash[4 * entry + i]! - borrow
    sum[i] = word
    borrow = word < 0 ? 1 : 0
  }
}

/** An order of entries that depends on their text alone. */
function isLower(entries: StateEntries, one: number, other: number): boolean {
  for (let i = 0; i < 4; i++) {
    const a = entries.hash[4 * one + i]!
    const b = entries.hash[4 * other + i]!
    if (a !== b) return a < b
  }
  return false
}

/** Whether a fingerprint is that of a group. */
export function sameFingerprint(sum: Uint32Array, all: Uint32Array, group: number): boolean {
  for (let i = 0; i < 4; i++) if (sum[i] !== all[4 * group + i]) return false
  return true
}

/** How many of the groups have different fingerprints. */
export function mismatches(one: Uint32Array, other: Uint32Array): number {
  let count = 0
  for (let i = 0; i < one.length; i += 4) {
    if (
      one[i] !== other[i] ||
      one[i + 1] !== other[i + 1] ||
      one[i + 2] !== other[i + 2] ||
      one[i + 3] !== other[i + 3]
    )
      count++
  }
  return count
}
