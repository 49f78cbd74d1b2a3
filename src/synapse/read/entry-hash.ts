// A keyed 128-bit hash of state rows, straight from the bytes of COPY's text format.
//
// Two instances of HalfSipHash-1-3 with 64-bit output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", and its
// 32-bit variant as Linux uses it), keyed apart by 128 random bits a run, so that nobody can prepare colliding state keys.
// A row is hashed in two parts, the key (type, state_key) and then the event, each padded with its length. The border between them
// is marked in the state, as no text could: lengths count modulo 256, and a long event could pose as the end of a key.

/** Words of key an `EntryHash` wants. */
export const hashKeyWords = 4

export class EntryHash {
  readonly #k: Uint32Array
  // The running state after the key part: both instances, four words each.
  readonly #afterKey = new Int32Array(8)
  readonly #state = new Int32Array(8)
  /** Result of the last `key` or `event`: four words. */
  readonly out: Uint32Array = new Uint32Array(4)

  /** @param key four random words */
  constructor(key: Uint32Array) {
    this.#k = key
  }

  /** Absorbs the row's key, bytes[from, to). `event` may be called after it any number of times. */
  key(bytes: Uint8Array, from: number, to: number): void {
    const k = this.#k
    const s = this.#afterKey
    for (let half = 0; half < 2; half++) {
      const k0 = k[half * 2]!
      const k1 = k[half * 2 + 1]!
      s[half * 4] = k0
      s[half * 4 + 1] = k1 ^ 0xee
      s[half * 4 + 2] = 0x6c796765 ^ k0
      s[half * 4 + 3] = 0x74656462 ^ k1
    }
    absorb(s, s, bytes, from, to)
    s[2]! ^= 0xff
    s[6]! ^= 0xff
  }

  /** Leaves the hash of the key alone in `out`. */
  finishKey(): void {
    this.#state.set(this.#afterKey)
    this.#finish()
  }

  /** Leaves the hash of the whole row, the key and the event id bytes[from, to), in `out`. */
  event(bytes: Uint8Array, from: number, to: number): void {
    absorb(this.#afterKey, this.#state, bytes, from, to)
    this.#finish()
  }

  #finish(): void {
    finish(this.#state, 0, this.out, 0)
    finish(this.#state, 4, this.out, 2)
  }
}

/** Finalizes one instance: three rounds for each half of its 64 bits. */
function finish(state: Int32Array, at: number, out: Uint32Array, word: number): void {
  let v0 = state[at]!
  let v1 = state[at + 1]!
  let v2 = state[at + 2]! ^ 0xee
  let v3 = state[at + 3]!
  for (let n = 0; n < 6; n++) {
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    if (n === 2) {
      out[word] = v1 ^ v3
      v1 ^= 0xdd
    }
  }
  out[word + 1] = v1 ^ v3
}

let lastBytes: Uint8Array = new Uint8Array(0)
let lastView = new DataView(lastBytes.buffer)

/** A view for reading whole words; rows come many to a buffer, so the last one is kept. */
function viewOf(bytes: Uint8Array): DataView {
  if (bytes !== lastBytes) {
    lastBytes = bytes
    lastView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
  return lastView
}

/** Reads `source`, absorbs bytes[from, to) and their length into both instances, and writes the state to `target`. */
function absorb(source: Int32Array, target: Int32Array, bytes: Uint8Array, from: number, to: number): void {
  // Both instances are unrolled side by side into locals: this loop sees every byte of a room.
  let a0 = source[0]!
  let a1 = source[1]!
  let a2 = source[2]!
  let a3 = source[3]!
  let b0 = source[4]!
  let b1 = source[5]!
  let b2 = source[6]!
  let b3 = source[7]!
  const words = (to - from) >> 2
  const view = viewOf(bytes)
  let at = from
  for (let n = 0; n <= words; n++) {
    let m: number
    if (n < words) {
      m = view.getInt32(at, true)
      at += 4
    } else {
      m = (to - from) << 24
      if (at < to) m |= bytes[at]!
      if (at + 1 < to) m |= bytes[at + 1]! << 8
      if (at + 2 < to) m |= bytes[at + 2]! << 16
    }
    a3 ^= m
    b3 ^= m
    a0 = (a0 + a1) | 0
    a1 = ((a1 << 5) | (a1 >>> 27)) ^ a0
    a0 = (a0 << 16) | (a0 >>> 16)
    a2 = (a2 + a3) | 0
    a3 = ((a3 << 8) | (a3 >>> 24)) ^ a2
    a0 = (a0 + a3) | 0
    a3 = ((a3 << 7) | (a3 >>> 25)) ^ a0
    a2 = (a2 + a1) | 0
    a1 = ((a1 << 13) | (a1 >>> 19)) ^ a2
    a2 = (a2 << 16) | (a2 >>> 16)
    b0 = (b0 + b1) | 0
    b1 = ((b1 << 5) | (b1 >>> 27)) ^ b0
    b0 = (b0 << 16) | (b0 >>> 16)
    b2 = (b2 + b3) | 0
    b3 = ((b3 << 8) | (b3 >>> 24)) ^ b2
    b0 = (b0 + b3) | 0
    b3 = ((b3 << 7) | (b3 >>> 25)) ^ b0
    b2 = (b2 + b1) | 0
    b1 = ((b1 << 13) | (b1 >>> 19)) ^ b2
    b2 = (b2 << 16) | (b2 >>> 16)
    a0 ^= m
    b0 ^= m
  }
  target[0] = a0
  target[1] = a1
  target[2] = a2
  target[3] = a3
  target[4] = b0
  target[5] = b1
  target[6] = b2
  target[7] = b3
}
