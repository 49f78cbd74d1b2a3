// Groups of a room with the same full state: one can stand on the other with no row at all.
import { HashIndex } from '../read/hash-index.ts'

/**
 * The lowest group with the same state as each group, -1 where the group itself is the lowest.
 * @param states fingerprints, four words a group
 * @param eligible groups that may be a base
 */
export function twins(states: Uint32Array, eligible: (group: number) => boolean): Int32Array {
  const count = states.length / 4
  const twin = new Int32Array(count).fill(-1)
  const index = new HashIndex(0)
  const first: number[] = []
  for (let group = 0; group < count; group++) {
    const known = index.add(states.subarray(4 * group, 4 * group + 4))
    const number = known >= 0 ? known : -1 - known
    if (first[number] !== undefined) twin[group] = first[number]
    else if (eligible(group)) first[number] = group
  }
  return twin
}
