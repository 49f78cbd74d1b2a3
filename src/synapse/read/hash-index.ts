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

  /** The slot that holds this hash, or else the free one where it belongs. Everything in locals: every row passes here. */
  #slotOf(hash: Uint32Array): number {
    const slots = this.#slots
    const hashes = this.hash
    const mask = slots.length - 1
    const first = hash[0]!
    const second = hash[1]!
    const third = hash[2]!
    const fourth = hash[3]!
    let slot = first & mask
    for (;;) {
      const number = slots[slot]!
      if (number < 0) return slot
      const at = number * 4
      if (hashes[at] === first && hashes[at + 1] === second && hashes[at + 2] === third && hashes[at + 3] === fourth)
        return slot
      slot = (slot + 1) & mask
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
