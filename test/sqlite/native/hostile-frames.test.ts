// Bytes that are no frames, or frames that lie: a value or an error, in bounded time and memory, never the end of the process.
import { Buffer } from 'node:buffer'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { testLibrary } from '../../support/sqlite/judge.ts'

const seed = Number(process.env['TAMP_FUZZ_SEED'] ?? 20_240_607)
const rounds = Number(process.env['TAMP_FUZZ_ROUNDS'] ?? 30_000)
console.log(`frames are made from seed ${seed}; TAMP_FUZZ_SEED and TAMP_FUZZ_ROUNDS try others`)

/** mulberry32 */
let state = seed
function random(below: number): number {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) % below
}

const db = new Database(':memory:')
db.loadExtension(testLibrary)
db.exec(`CREATE TABLE _zstd_dicts (id INTEGER PRIMARY KEY AUTOINCREMENT, chooser_key TEXT UNIQUE, dict BLOB NOT NULL)`)
const values = Array.from({ length: 2000 }, (_, id) =>
  JSON.stringify({ id, name: `user ${(id * 7919) % 1000}`, kind: `film ${id % 7}` }),
)
db.exec('CREATE TABLE t (data TEXT)')
for (const value of values) db.prepare('INSERT INTO t VALUES (?)').run(value)
db.prepare(`SELECT zstd_train_dict_and_save(data, 3000, 2000, 'k') FROM t`).get()
db.exec('INSERT INTO _zstd_dicts (dict) SELECT randomblob(3000)')
afterAll(() => db.close())

const decode = db.prepare('SELECT zstd_decompress_col(?, ?, ?, ?)').pluck()
const error = db.prepare('SELECT tamp_cell_error(?, ?, ?, ?)').pluck()
const encode = db.prepare('SELECT zstd_compress_col(?, 3, ?, ?)').pluck()

/** The value, or the error; both functions must agree on which. */
function outcome(frame: Uint8Array, dictionary: number, compact: number): unknown {
  const reason = error.get(frame, 0, dictionary, compact)
  let value: unknown
  try {
    value = decode.get(frame, 0, dictionary, compact)
  } catch (thrown) {
    expect((thrown as Error).message).toBe(reason)
    return thrown
  }
  expect(reason).toBeNull()
  expect(value).toBeInstanceOf(Buffer)
  return value
}

describe('P6 P7: fuzzing', () => {
  test(`${rounds} random blobs`, () => {
    for (let i = 0; i < rounds; i++) {
      const frame = Uint8Array.from({ length: random(i % 20 === 0 ? 2000 : 40) }, () => random(256))
      // A plausible beginning leads further in.
      if (i % 2 === 0) frame.set([random(2) * 0x20, 0x58, 0x05 | (random(64) << 3)].slice(0, frame.length))
      outcome(frame, [-1, 1, 2][random(3)]!, random(2))
    }
  })

  test(`${rounds} mutated frames`, () => {
    let decoded = 0
    for (let i = 0; i < rounds; i++) {
      const [dictionary, compact] = [[-1, 1][random(2)]!, random(2)]
      const value = random(10) === 0 ? values.slice(0, random(400)).join('') : values[random(values.length)]!
      let frame = Uint8Array.from(encode.get(Buffer.from(value), dictionary, compact) as Buffer)
      for (let changes = 1 + random(4); changes > 0 && frame.length > 0; changes--)
        switch (random(4)) {
          case 0:
            frame[random(frame.length)] = random(256)
            break
          case 1:
            frame[random(frame.length)]! ^= 1 << random(8)
            break
          case 2:
            frame = frame.slice(0, random(frame.length + 1))
            break
          case 3:
            frame = Uint8Array.from([...frame, ...frame.slice(0, random(20))])
        }
      if (outcome(frame, random(5) === 0 ? 2 : dictionary, compact) instanceof Buffer) decoded++
    }
    // Both must happen, or the mutations are too wild or too tame to find anything.
    expect(decoded).toBeGreaterThan(rounds / 100)
    expect(decoded).toBeLessThan(rounds)
  })
})

describe('P6: frames that lie', () => {
  const bytes = (...parts: readonly (readonly number[])[]) => Uint8Array.from(parts.flat())
  /** A block of one repeated byte: four bytes of frame for up to 128 kB of value. */
  const repeated = (size: number, last: boolean) => {
    const header = (last ? 1 : 0) | (1 << 1) | (size << 3)
    return [header & 255, (header >> 8) & 255, header >> 16, 0x41]
  }
  const bomb = (blocks: number) =>
    bytes([0x00, 0x58], ...Array.from({ length: blocks }, (_, i) => repeated(128 * 1024, i === blocks - 1)))
  const peak = () => process.resourceUsage().maxRSS / 1000

  test('one that claims a terabyte is refused without asking for one', () => {
    const claim = [0, 0, 0, 0, 0, 1, 0, 0]
    const before = peak()
    expect(outcome(bytes([0xe0], claim, repeated(100, true)), -1, 1)).toBeInstanceOf(Error)
    expect(outcome(bytes([0x28, 0xb5, 0x2f, 0xfd, 0xe0], claim, repeated(100, true)), -1, 0)).toBeInstanceOf(Error)
    expect(peak() - before).toBeLessThan(10)
  })

  test('one with the largest window is decoded all the same: only the value takes memory', () => {
    const before = peak()
    expect(outcome(bytes([0x00, 0xa8], repeated(100, true)), -1, 1)).toEqual(Buffer.alloc(100, 'A'))
    expect(peak() - before).toBeLessThan(10)
  })

  test('a bomb goes off within SQLite’s limit, and beyond it is refused with bounded memory', () => {
    expect((outcome(bomb(100), -1, 1) as Buffer).length).toBe(100 * 128 * 1024)
    const limited = new Database(':memory:')
    limited.loadExtension(testLibrary)
    // 8000 blocks are a gigabyte: more than SQLite's usual limit, from 32 kB.
    expect(() => limited.prepare('SELECT length(zstd_decompress_col(?, 0, -1, 1))').get(bomb(8000))).toThrow(
      'string or blob too big',
    )
    expect(limited.prepare('SELECT tamp_cell_error(?, 0, -1, 1)').pluck().get(bomb(8000))).toBe(
      'cell cannot be decoded: its value is longer than SQLite allows',
    )
    limited.close()
  })

  test('a large value leaves no large memory behind', () => {
    const length = db.prepare('SELECT length(zstd_decompress_col(?, 0, -1, 1))').pluck()
    length.get(bomb(1000))
    const before = process.memoryUsage.rss()
    for (let i = 0; i < 10; i++) expect(length.get(bomb(1000))).toBe(1000 * 128 * 1024)
    expect((process.memoryUsage.rss() - before) / 1e6).toBeLessThan(30)
  })

  test.for([
    ['nothing', [], /it is empty/],
    ['a header alone', [0x00, 0x58], /\(no dictionary\)/],
    ['a reserved block', [0x00, 0x58, 0x07, 0, 0], /\(no dictionary\)/],
    ['a block that goes on after the end', [0x00, 0x58, 0x09, 0xff, 0], /\(no dictionary\)/],
    ['something after the last block', [0x00, 0x58, 0x09, 0, 0, 0x41, 0x99], /\(no dictionary\)/],
  ] as const)('%s', ([, frame, reason]) => {
    expect((outcome(Uint8Array.from(frame), -1, 1) as Error).message).toMatch(reason)
  })
})

test('skippable frames are passed over, before and after a large value and between two', () => {
  const value = Buffer.alloc(300_000, 'something that is larger than a block; ')
  const large = db.prepare('SELECT zstd_compress(?)').pluck().get(value) as Buffer
  const decompress = db.prepare('SELECT zstd_decompress(?, 0)').pluck()
  for (const [length, fill] of [
    [0, 0],
    [4, 0x5e],
    [23, 0xff],
    [300, 1],
  ] as const)
    for (const number of [0x50, 0x5f]) {
      const size = Buffer.alloc(4)
      size.writeUInt32LE(length)
      const skippable = Buffer.concat([Buffer.from([number, 0x2a, 0x4d, 0x18]), size, Buffer.alloc(length, fill)])
      expect(decompress.get(Buffer.concat([skippable, large]))).toEqual(value)
      expect(decompress.get(Buffer.concat([large, skippable]))).toEqual(value)
      expect(decompress.get(Buffer.concat([large, skippable, large]))).toEqual(Buffer.concat([value, value]))
    }
})

test.for([`'abc'`, '1.5'])('a cell whose dictionary is %s has an error to tell, not to raise', (dictionary) => {
  expect(db.prepare(`SELECT tamp_cell_error(x'00', 1, ${dictionary}, 1)`).pluck().get()).toMatch(
    /a dictionary is the id/,
  )
})
