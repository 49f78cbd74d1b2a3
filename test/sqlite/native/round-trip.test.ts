// Whatever goes in comes out: every text and blob, in databases of every encoding, through the functions and through a table's own name.
import { Buffer } from 'node:buffer'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { testLibrary } from '../../support/sqlite/judge.ts'

const databases = ['UTF-8', 'UTF-16le', 'UTF-16be'].map((encoding) => {
  const db = new Database(':memory:')
  db.pragma(`encoding = '${encoding}'`)
  db.loadExtension(testLibrary)
  db.exec(
    `CREATE TABLE _zstd_dicts (id INTEGER PRIMARY KEY AUTOINCREMENT, chooser_key TEXT UNIQUE, dict BLOB NOT NULL)`,
  )
  db.prepare(
    `SELECT zstd_train_dict_and_save(json_object('id', i, 'name', 'user ' || (i * 7919 % 1000), 'kind', 'film ' || (i % 7)), 3000, 2000, 'k')
     FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT i FROM n)`,
  ).get()
  return { encoding, db }
})
afterAll(() => databases.forEach(({ db }) => db.close()))

const levels = fc.constantFrom(-5, 0, 1, 3, 12, 19, 22)
const dictionaries = fc.constantFrom(-2, -1, 1)
/** Texts like those of the dictionary, and all others. */
const texts = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: 'grapheme', maxLength: 200 }),
  fc
    .record({ id: fc.nat(), name: fc.string(), kind: fc.constantFrom('film 1', 'film 7') })
    .map((row) => JSON.stringify(row)),
  fc.tuple(fc.string({ minLength: 1 }), fc.nat(3000)).map(([part, times]) => part.repeat(times)),
)
const blobs = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(20_000))
    .map(([part, times]) => new Uint8Array(part.length * times).map((_, i) => part[i % part.length]!)),
)

describe.for(databases)('in a database of $encoding', ({ db }) => {
  const cell = `zstd_decompress_col(zstd_compress_col($value, $level, $dictionary, $compact), typeof($value) = 'text', $dictionary, $compact)`
  const both = `zstd_decompress(zstd_compress($value, $level, $dictionary, $compact), typeof($value) = 'text', $dictionary, $compact)`
  const check = db.prepare(`SELECT ${cell} IS $value AND typeof(${cell}) = typeof($value) AND ${both} IS $value,
    hex(${cell}) = hex($value), tamp_cell_error(zstd_compress_col($value, $level, $dictionary, $compact), 1, $dictionary, $compact) IS NULL`)

  test.for([
    ['texts', texts],
    ['blobs', blobs],
  ] as const)('%s', ([, values]) => {
    fc.assert(
      fc.property(
        values as fc.Arbitrary<string | Uint8Array>,
        levels,
        dictionaries,
        fc.constantFrom(0, 1),
        (value, level, dictionary, compact) => {
          expect(check.raw().get({ value, level, dictionary, compact })).toEqual([1, 1, 1])
        },
      ),
      { numRuns: 300 },
    )
  })

  test.for([
    ['nothing', ''],
    ['an empty blob', new Uint8Array()],
    ['a NUL', '\0'],
    ['NULs in between', 'a\0b\0'],
    ['five megabytes of text', 'five megabytes of text '.repeat(230_000)],
    [
      'five megabytes that do not compress',
      Buffer.from(Array.from({ length: 5_000_000 }, (_, i) => (Math.imul(i, 2_654_435_761) >>> 13) & 255)),
    ],
    ['a block of zstd', 'x'.repeat(128 * 1024)],
    ['a byte more than a block', 'y'.repeat(128 * 1024 + 1)],
  ] as const)('%s', ([, value]) => {
    for (const dictionary of [-1, 1])
      for (const compact of [0, 1]) expect(check.raw().get({ value, level: 3, dictionary, compact })).toEqual([1, 1, 1])
  })
})

test('text that is not valid UTF-8 keeps its bytes', () => {
  const { db } = databases[0]!
  const through = db.prepare(
    `SELECT typeof(v), hex(v) FROM (SELECT zstd_decompress_col(zstd_compress_col(CAST(? AS TEXT), 3, 1, 1), 1, 1, 1) AS v)`,
  )
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (bytes) => {
      expect(through.raw().get(bytes)).toEqual(['text', Buffer.from(bytes).toString('hex').toUpperCase()])
    }),
    { numRuns: 300 },
  )
})

test('half a surrogate pair, which only UTF-16 can hold, is refused rather than changed', () => {
  for (const { encoding, db } of databases.slice(1)) {
    const half = encoding === 'UTF-16le' ? `x'61003dd8'` : `x'0061d83d'`
    const whole = encoding === 'UTF-16le' ? `x'61003dd800de'` : `x'0061d83dde00'`
    expect(() => db.prepare(`SELECT zstd_compress_col(CAST(${half} AS TEXT), 3, 1, 1)`).get()).toThrow(
      'it is not valid UTF-16',
    )
    expect(db.prepare(`SELECT zstd_decompress(zstd_compress(CAST(${whole} AS TEXT)), 1)`).pluck().get()).toBe('a😀')
  }
})

test.for(['FFFF', 'FEFF', '6100FFFF'])('UTF-16 that SQLite does not convert (%s) is refused, not changed', (units) => {
  const db = new Database(':memory:')
  db.loadExtension(testLibrary)
  db.exec(`PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (data); INSERT INTO t VALUES (CAST(x'${units}' AS TEXT))`)
  expect(() => db.prepare('SELECT zstd_compress_col(data, 3, -1, 1) FROM t').get()).toThrow(/noncharacter/)
  db.close()
})
