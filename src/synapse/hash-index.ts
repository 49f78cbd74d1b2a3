// An open-addressing index from 128-bit hashes to small numbers; the hashes themselves stay with the numbers.

export class HashIndex {
  hash: Uint32Array
  count: number
  #slots: Int32Array

  constructor(first: number) {
    this.hash = new Uint32Array(4 * 1024)
    this.#slots = new Int32Array(2048).fill(-1)
    this.count = first
  }

  /** The number of this hash, or -1 minus the number it has now been given. */
  add(h: Uint32Array): number {
    const mask = this.#slots.length - 1
    let slot = h[0]! & mask
    for (;;) {
      const number = this.#slots[slot]!
      if (number < 0) break
      const at = number * 4
      if (
        this.hash[at] === h[0] &&
        this.hash[at + 1] === h[1] &&
        this.hash[at + 2] === h[2] &&
        this.hash[at + 3] === h[3]
      )
        return number
      slot = (slot + 1) & mask
    }
    const number = this.count++
    if (this.count * 4 > this.hash.length) {
      const larger = new Uint32Array(Math.ceil(this.hash.length * 1.5))
      larger.set(this.hash)
      this.hash = larger
    }
    this.hash.set(h, number * 4)
    this.#slots[slot] = number
    if (this.count * 4 > this.#slots.length * 3) this.#rehash()
    return -1 - number
  }

  find(h: Uint32Array): number {
    const mask = this.#slots.length - 1
    for (let slot = h[0]! & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot]!
      if (number < 0) return -1
      const at = number * 4
      if (
        this.hash[at] === h[0] &&
        this.hash[at + 1] === h[1] &&
        this.hash[at + 2] === h[2] &&
        this.hash[at + 3] === h[3]
      )
        return number
    }
  }

  #rehash(): void {
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
