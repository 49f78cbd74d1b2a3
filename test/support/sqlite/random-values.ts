// Values as SQL text, of every type and in the shapes that hurt: empty, with NUL, no UTF-8, minus zero, beyond 2^53, long, JSON.
import fc from 'fast-check'

/** How a value may be compared with a column without a conversion having a say: see announced-differences.ts. */
export type Kind = 'null' | 'number' | 'text' | 'blob'

export interface Drawn {
  readonly sql: string
  readonly kind: Kind
}

const drawn = (kind: Kind, ...sqls: readonly string[]): readonly Drawn[] => sqls.map((sql) => ({ sql, kind }))

const words = [
  'The',
  'lost',
  'Éclair',
  'of',
  '北京',
  'and',
  'a',
  'veto',
  'night',
  'Sharks',
  "d'Or",
  '100%',
  'x_y',
  '🦈',
]

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}

/** JSON as programs write it: the same keys again and again. */
function json(n: number): string {
  const title = words.filter((_, i) => (n >> i) & 1).join(' ')
  return text(
    `{"type":"movie","y":${n % 7 === 0 ? `"${1900 + (n % 90)}"` : n % 13},"title":${JSON.stringify(title)},"adult":${n % 2 === 0},"id":"tt${String(n).padStart(7, '0')}","genres":["Drama","Short"]}`,
  )
}

// No 0.0 beside -0.0: an UPDATE from one to the other counts as none.
const numbers = drawn(
  'number',
  ...'0 1 -1 2 7 127 4294967296 9007199254740993 -9007199254740993 9223372036854775807 -9223372036854775808'.split(' '),
  ...'-0.0 1.0 1.5 -2.25 0.1 1e300 -1e-300 9e999 -9e999 3.0000000000000004'.split(' '),
)

const texts = drawn(
  'text',
  text(''),
  text('a'),
  text('A'),
  text('Abc'),
  text('abc '),
  text('ABC'),
  text('a '),
  text('veto'),
  text('bad'),
  text('null'),
  text('new\nline\ttab\r'),
  text('x'.repeat(40)),
  text('lorem ipsum dolor sit amet, consectetur adipiscing elit '.repeat(4)),
  text('[1,2,{"y":"deep"}]'),
  text('{"y":'),
  text(`it's "quoted" \`so\` [and] so -- on /* and */ on;`),
  'char(8232, 65279, 55356, 0x10ffff)',
  "CAST(x'610062006300640065006600670068006900' AS TEXT)",
  "CAST(x'00' AS TEXT)",
  "CAST(x'fffefd80c3286162636465666768696a6b6c6d6e' AS TEXT)",
  "CAST(x'c3' AS TEXT)",
)

const blobs = drawn(
  'blob',
  "x''",
  "x'00'",
  "x'28b52ffd'",
  "x'28b52ffd2000010000'",
  `x'${'00'.repeat(64)}'`,
  `x'${'deadbeef'.repeat(12)}'`,
  `CAST('blob made of text, long enough to be compressed, text, long enough' AS BLOB)`,
  `CAST('{"y":3,"title":"JSON in a blob","adult":false}' AS BLOB)`,
)

/** So long that pages overflow; what compresses and what does not. */
const long = [
  ...drawn(
    'text',
    `replace(hex(zeroblob(100000)), '00', 'ab')`,
    `(SELECT group_concat(value, ',') FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 30000) SELECT value FROM n))`,
  ),
  ...drawn('blob', `x'${'30310a00'.repeat(2500)}'`),
]

export const nullValue: Drawn = { sql: 'NULL', kind: 'null' }

export const jsonValues: fc.Arbitrary<Drawn> = fc.nat(16_383).map((n) => ({ sql: json(n), kind: 'text' }))

export const randomBlobs: fc.Arbitrary<Drawn> = fc
  .uint8Array({ maxLength: 60 })
  .map((bytes) => ({ sql: `x'${Buffer.from(bytes).toString('hex')}'`, kind: 'blob' }))

export const textValues: fc.Arbitrary<Drawn> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...texts) },
  { weight: 6, arbitrary: jsonValues },
)

export const smallNumbers: fc.Arbitrary<Drawn> = fc.nat(9).map((n) => ({ sql: String(n), kind: 'number' }))

/** Anything. Shrinks towards a short text. */
export const anyValue: fc.Arbitrary<Drawn> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...texts) },
  { weight: 8, arbitrary: jsonValues },
  { weight: 2, arbitrary: smallNumbers },
  { weight: 2, arbitrary: fc.constantFrom(...numbers) },
  { weight: 2, arbitrary: fc.constantFrom(...blobs) },
  { weight: 1, arbitrary: randomBlobs },
  { weight: 2, arbitrary: fc.constant(nullValue) },
)

export const longValue: fc.Arbitrary<Drawn> = fc.constantFrom(...long)
