// An open-addressing index from 128-bit hashes to small numbers; the hashes themselves stay with the numbers.

export class HashIndex {
  /** Four words a number. */
  hash: Uint32Array
  /** The next number. */
  count: number
  /** Number in each slot, -1 where it is free; the length is a power of two. */
  #slots: Int32Array

  /** @param first the first number to give */
  constructor(first: number) {
    this.hash = new Uint32Array(4 * 1024)
    this.#slots = new Int32Array(2048).fill(-1)
    this.count = first
  }

  /** The number of this hash, or -1 minus the number it has now been given. */
  add(hash: Uint32Array): number {
    const slot = this.#slotOf(hash)
    const known = this.#slots[slot]!
    if (known >= 0) return known
    const number = this.count++
    if (this.count * 4 > this.hash.length) {
      const larger = new Uint32Array(Math.ceil(this.hash.length * 1.5))
      larger.set(this.hash)
      this.hash = larger
    }
    this.hash.set(hash, number * 4)
    this.#slots[slot] = number
    if (this.count * 4 > this.#slots.length * 3) this.#grow()
    return -1 - number
  }

  /** The number of this hash, or -1. */
  find(hash: Uint32Array): number {
    return this.#slots[this.#slotOf(hash)]!
  }

  /** The slot that holds this hash, or else the free one where it belongs. */
  #slotOf(hash: Uint32Array): number {
    const mask = this.#slots.length - 1
    let slot = hash[0]! & mask
    for (; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot]!
      if (number < 0) return slot
      const at = number * 4
      if (
        this.hash[at] === hash[0] &&
        this.hash[at + 1] === hash[1] &&
        this.hash[at + 2] === hash[2] &&
        this.hash[at + 3] === hash[3]
      )
        return slot
    }
  }

  #grow(): void {
    const old = this.#slots
    const slots = new Int32Array(old.length * 2).fill(-1)
    const mask = slots.length - 1
    for (const number of old) {
      if (number < 0) continue
      let slot = this.hash[number * 4]! & mask
      while (slots[slot]! >= 0) slot = (slot + 1) & mask
      slots[slot] = number
    }
    this.#slots = slots
  }
}
