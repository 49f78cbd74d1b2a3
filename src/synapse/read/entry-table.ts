// Numbers the distinct state entries (type, state_key, event_id) and keys (type, state_key) of a room by their hashes.
import { EntryHash } from './entry-hash.ts'
import { HashIndex } from './hash-index.ts'
import type { StateEntries } from '../history.ts'

/** Collects the entries of one room as its rows stream by. */
export class EntryTable {
  readonly #hash: EntryHash
  readonly #entries = new HashIndex(1)
  readonly #keys = new HashIndex(0)
  #key = new Uint32Array(1024)

  /** @param key four random words, new for every room: see `EntryHash` */
  constructor(key: Uint32Array) {
    this.#hash = new EntryHash(key)
  }

  /**
   * The number of a row's entry. The row is in COPY's text format: its type and state_key, tab between, are bytes[from, tab),
   * its event id is bytes[tab + 1, to).
   */
  number(bytes: Uint8Array, from: number, tab: number, to: number): number {
    this.#hash.key(bytes, from, tab)
    this.#hash.event(bytes, tab + 1, to)
    const known = this.#entries.add(this.#hash.out)
    if (known >= 0) return known
    const entry = -1 - known
    if (entry >= this.#key.length) {
      const larger = new Uint32Array(Math.ceil(this.#key.length * 1.5))
      larger.set(this.#key)
      this.#key = larger
    }
    this.#hash.finishKey()
    const key = this.#keys.add(this.#hash.out)
    this.#key[entry] = key >= 0 ? key : -1 - key
    return entry
  }

  /** Like `number`, but 0 for an entry that has not been seen. */
  find(bytes: Uint8Array, from: number, tab: number, to: number): number {
    this.#hash.key(bytes, from, tab)
    this.#hash.event(bytes, tab + 1, to)
    return Math.max(0, this.#entries.find(this.#hash.out))
  }

  /** What has been collected. `holder` is left to whoever knows the groups. */
  finish(): Omit<StateEntries, 'holder' | 'find'> {
    return { count: this.#entries.count, keyCount: this.#keys.count, key: this.#key, hash: this.#entries.hash }
  }
}
