// A growing list of exact numbers, 8 bytes each.

export class NumberList implements Iterable<number> {
  #numbers = new Float64Array(16)
  length = 0

  push(number: number): void {
    if (this.length === this.#numbers.length) {
      const larger = new Float64Array(Math.ceil(this.length * 1.5))
      larger.set(this.#numbers)
      this.#numbers = larger
    }
    this.#numbers[this.length++] = number
  }

  [Symbol.iterator](): Iterator<number> {
    return this.finish()[Symbol.iterator]()
  }

  /** The numbers so far, without a copy. */
  finish(): Float64Array {
    return this.#numbers.subarray(0, this.length)
  }
}
