// A group as it is found again when its turn has come: is it as it was planned with, which rows go, which stay, which are new.
import { NumberList } from '../read/number-list.ts'
import type { Place } from './row-reader.ts'

export class StoredGroup {
  readonly #planned: Uint32Array
  readonly #wanted: Uint32Array
  readonly #seen: Uint8Array
  #count = 0
  #strange = false
  /** Places of rows that the planned delta does not have. */
  readonly gone: NumberList = new NumberList()
  /** Entries of rows that it has. */
  readonly kept: number[] = []
  /** Entries it has that were not stored. */
  readonly added: readonly number[]

  /**
   * @param planned entries of the rows the group had when it was planned
   * @param wanted entries of the rows it is to have
   */
  constructor(planned: Uint32Array, wanted: Uint32Array) {
    this.#planned = planned.toSorted()
    this.#wanted = wanted.toSorted()
    this.#seen = new Uint8Array(planned.length)
    this.added = [...wanted].filter((entry) => find(this.#planned, entry) < 0)
  }

  /** Takes a row as it is stored now. */
  take(entry: number, place: Place): void {
    const at = find(this.#planned, entry)
    if (at < 0 || this.#seen[at] === 1) this.#strange = true
    else {
      this.#seen[at] = 1
      this.#count++
    }
    if (find(this.#wanted, entry) < 0) this.gone.push(place)
    else this.kept.push(entry)
  }

  /** True if, after all rows were taken, they are exactly those it was planned with. */
  get unchanged(): boolean {
    return !this.#strange && this.#count === this.#planned.length
  }
}

function find(sorted: Uint32Array, entry: number): number {
  let low = 0
  let high = sorted.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    if (sorted[middle] === entry) return middle
    if (sorted[middle]! < entry) low = middle + 1
    else high = middle - 1
  }
  return -1
}
