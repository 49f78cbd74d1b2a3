// The hash of state rows against the published algorithm, and the numbers that entries and keys get by it.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EntryHash, hashKeyWords } from '../../../src/synapse/read/entry-hash.ts'
import { EntryTable } from '../../../src/synapse/read/entry-table.ts'
import { HashIndex } from '../../../src/synapse/read/hash-index.ts'
import { copyRow, plainHashKey } from '../../support/synapse/random-history.ts'
import { stateKey } from '../../support/synapse/full-state.ts'

const rotated = (word: number, by: number): number => ((word << by) | (word >>> (32 - by))) >>> 0
const plus = (a: number, b: number): number => (a + b) >>> 0
const xor = (a: number, b: number): number => (a ^ b) >>> 0

type Words = [v0: number, v1: number, v2: number, v3: number]

function sipRound([v0, v1, v2, v3]: Words): Words {
  v0 = plus(v0, v1)
  v1 = xor(rotated(v1, 5), v0)
  v0 = rotated(v0, 16)
  v2 = plus(v2, v3)
  v3 = xor(rotated(v3, 8), v2)
  v0 = plus(v0, v3)
  v3 = xor(rotated(v3, 7), v0)
  v2 = plus(v2, v1)
  v1 = xor(rotated(v1, 13), v2)
  v2 = rotated(v2, 16)
  return [v0, v1, v2, v3]
}

const times = (count: number, words: Words): Words =>
  Array.from({ length: count }).reduce<Words>((before) => sipRound(before), words)

function initial(k0: number, k1: number): Words {
  return [xor(0, k0), xor(xor(0, k1), 0xee), xor(0x6c796765, k0), xor(0x74656462, k1)]
}

/** Little-endian words; the last holds what is left and the length. */
function compressed(words: Words, message: Uint8Array, rounds: number): Words {
  const padded = new Uint8Array(Math.floor(message.length / 4) * 4 + 4)
  padded.set(message)
  padded[padded.length - 1] = message.length & 255
  const view = new DataView(padded.buffer)
  for (let at = 0; at < padded.length; at += 4) {
    const m = view.getUint32(at, true)
    words[3] = xor(words[3], m)
    words = times(rounds, words)
    words[0] = xor(words[0], m)
  }
  return words
}

function finished(words: Words, rounds: number): [number, number] {
  words[2] = xor(words[2], 0xee)
  words = times(rounds, words)
  const low = xor(words[1], words[3])
  words[1] = xor(words[1], 0xdd)
  words = times(rounds, words)
  return [low, xor(words[1], words[3])]
}

/** The border between key and event, marked as the shorter digests of the algorithm mark their end. */
function separated([v0, v1, v2, v3]: Words): Words {
  return [v0, v1, xor(v2, 0xff), v3]
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

test('the plain HalfSipHash of this file gives the published digests of HalfSipHash-2-4, 64 bits', () => {
  // vectors_hsip64 of the authors' implementation: key 00 01 … 07, messages of 0, 1, 2, … bytes 00 01 ….
  const published = [
    '218d1f59b9b83cc8',
    'be552412f8387315',
    '064f39ef7c50eb57',
    'ce0f1a45f7060679',
    'd5e78a175be52ea1',
    'cb9d7c3f2f3db580',
  ]
  const digest = (length: number): string => {
    const message = Uint8Array.from({ length }, (_, n) => n)
    const words = finished(compressed(initial(0x03020100, 0x07060504), message, 2), 4)
    return Buffer.from(Uint32Array.from(words).buffer).toString('hex')
  }
  expect(published.map((_, length) => digest(length))).toEqual(published)
})

const words = fc.uint8Array({ minLength: 4 * hashKeyWords, maxLength: 4 * hashKeyWords })
const message = fc.uint8Array({ maxLength: 70, size: 'max' })

test('a key hashes to two HalfSipHash-1-3, keyed apart, its border marked', () => {
  fc.assert(
    fc.property(words, message, fc.nat({ max: 5 }), (secret, key, before) => {
      const k = new Uint32Array(secret.buffer)
      const hash = new EntryHash(k)
      const bytes = new Uint8Array([...new Uint8Array(before).fill(170), ...key, 187])
      hash.key(bytes, before, before + key.length)
      hash.finishKey()
      const half = (k0: number, k1: number): number[] => finished(separated(compressed(initial(k0, k1), key, 1)), 3)
      expect([...hash.out]).toEqual([...half(k[0]!, k[1]!), ...half(k[2]!, k[3]!)])
    }),
  )
})

test('a row hashes to its key and then its event, for any number of events on one key', () => {
  fc.assert(
    fc.property(words, message, fc.array(message, { minLength: 1, maxLength: 3 }), (secret, key, events) => {
      const k = new Uint32Array(secret.buffer)
      const hash = new EntryHash(k)
      hash.key(key, 0, key.length)
      for (const event of events) {
        const half = (k0: number, k1: number): number[] =>
          finished(compressed(separated(compressed(initial(k0, k1), key, 1)), event, 1), 3)
        hash.event(event, 0, event.length)
        expect([...hash.out]).toEqual([...half(k[0]!, k[1]!), ...half(k[2]!, k[3]!)])
        if (event.length % 2 === 0) hash.finishKey()
      }
    }),
  )
})

/** The number that a table gives the row, and 0 if it has not seen it. */
function numberIn(table: EntryTable, text: string): number {
  const bytes = bytesOf(text)
  return table.number(bytes, 0, text.lastIndexOf('\t'), bytes.length)
}

test('no text can move the border between key and event: a long event id cannot pose as the end of a key', () => {
  // The words of both rows are the same, paddings included: 99 is the letter c, and the length of an event counts modulo 256.
  const key = 'm.room.member\t'.padEnd(99, 'x')
  const event = `${'$'.padEnd(255, 'y')}c$end`
  const table = new EntryTable(plainHashKey)
  const one = numberIn(table, `${key}\t${event}`)
  const other = numberIn(table, `${key}c${event.slice(0, 255)}\t${event.slice(256)}`)
  expect(other).not.toBe(one)
})

test('rows that only the borders between their columns tell apart are different entries of different keys', () => {
  const table = new EntryTable(plainHashKey)
  const rows = ['ab\tc\t$1', 'a\tbc\t$1', 'abc\t\t$1', '\tabc\t$1', 'ab\tc$\t1', 'ab\t\tc$1']
  const numbers = rows.map((row) => numberIn(table, row))
  expect(numbers).toEqual([1, 2, 3, 4, 5, 6])
  const { key, count, keyCount } = table.finish()
  expect(count).toBe(7)
  expect(numbers.map((number) => key[number])).toEqual([0, 1, 2, 3, 4, 5])
  expect(keyCount).toBe(6)
})

test('entries are numbered from 1 and keys from 0 in the order they come, thousands of them, and found again', () => {
  const table = new EntryTable(plainHashKey)
  const numbers = new Map<string, number>()
  const keys = new Map<string, number>()
  for (let n = 0; n < 20_000; n++) {
    const [key, event] = [stateKey('type', `k${n % 3001}`), `$e${n % 7919}`]
    const text = `${key}/${event}`
    const bytes = copyRow([key, event])
    const tab = bytes.lastIndexOf(9)
    const known = numbers.get(text)
    expect(table.find(bytes, 0, tab, bytes.length)).toBe(known ?? 0)
    if (known === undefined) numbers.set(text, numbers.size + 1)
    if (!keys.has(key)) keys.set(key, keys.size)
    expect(table.number(bytes, 0, tab, bytes.length)).toBe(numbers.get(text))
  }
  const { count, keyCount, key, hash } = table.finish()
  expect([count, keyCount]).toEqual([numbers.size + 1, keys.size])
  for (const [text, number] of numbers) expect(key[number]).toBe(keys.get(text.split('/')[0]!))
  const hashes = new Set(Array.from({ length: count }, (_, entry) => hash.slice(4 * entry, 4 * entry + 4).join()))
  expect(hashes.size).toBe(count)
})

test('hashes that share a slot, or differ in one word alone, are numbered apart', () => {
  const index = new HashIndex(0)
  const all = Array.from({ length: 5000 }, (_, n) =>
    new Uint32Array(4).fill(0).map((_, word) => (word === n % 4 ? n : 7)),
  )
  const first = all.map((hash) => index.add(hash))
  const expected = new Map<string, number>()
  for (const [n, hash] of all.entries()) {
    const known = expected.get(hash.join())
    expect(first[n]).toBe(known ?? -1 - expected.size)
    if (known === undefined) expected.set(hash.join(), expected.size)
  }
  for (const hash of all) expect(index.find(hash)).toBe(expected.get(hash.join()))
  expect(index.find(new Uint32Array([1, 2, 3, 4]))).toBe(-1)
  expect(index.count).toBe(expected.size)
})
