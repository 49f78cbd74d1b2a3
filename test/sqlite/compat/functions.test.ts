// sqlite-zstd's SQL functions, called with the same arguments in sqlite-zstd itself and in tamp: the same values, types and refusals, but for
// the differences listed here with their reasons.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { titleRows } from '../../../bench/title-rows.ts'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { testLibrary as tamp } from '../../support/sqlite/judge.ts'
import { buildTimeout, realSqliteZstd } from '../../support/sqlite/real-sqlite-zstd.ts'
import { outcomes, outcomesHere, rowsOf } from '../../support/sqlite/sqlite-process.ts'
import type { Outcome } from '../../support/sqlite/sqlite-process.ts'
import { differences, longText, parting, short, shortJson, told } from '../../support/sqlite/sqlite-zstd-differences.ts'

const sqliteZstd = await realSqliteZstd()
const folder = await temporaryFolder('tamp-functions-')

const shown = (call: string) => `SELECT typeof(value), quote(value) FROM (SELECT ${call} AS value)`

const data = [
  'NULL',
  '1',
  '1.5',
  `''`,
  `'a'`,
  `x''`,
  `x'00ff'`,
  `'unicode ü☃𝒳'`,
  `'${'long text '.repeat(50)}'`,
  `zeroblob(100000)`,
]
const levels = [
  'NULL',
  `'x'`,
  `'3'`,
  '1.5',
  '3.0',
  '-1',
  '-7',
  '0',
  '1',
  '3',
  '19',
  '22',
  '23',
  '100',
  '5000000000',
  '9223372036854775807',
  `x'03'`,
]
const dicts = [
  'NULL',
  '-1',
  '-2',
  '0',
  '1',
  '2',
  '99',
  '1.0',
  '1.5',
  `'1'`,
  `x''`,
  `x'6162636465666768'`,
  `(SELECT dict FROM _zstd_dicts WHERE id = 1)`,
]
const truths = ['NULL', '0', '1', '2', '-1', '1000000000', '1.0', '1.5', `'true'`, `x'01'`, 'true', 'false']

const compressCalls = [
  ...data.map((value) => `zstd_compress(${value})`),
  ...data.map((value) => `zstd_compress(${value}, 5)`),
  ...levels.map((level) => `zstd_compress(${longText}, ${level})`),
  ...levels.map((level) => `zstd_compress(${longText}, ${level}, 1, true)`),
  ...levels.map((level) => `zstd_compress_col(${longText}, ${level}, 1, true)`),
  ...levels.map((level) => `zstd_compress(NULL, ${level})`),
  ...dicts.map((dict) => `zstd_compress(${shortJson}, 3, ${dict})`),
  ...dicts.map((dict) => `zstd_compress(${shortJson}, 3, ${dict}, true)`),
  ...dicts.map((dict) => `zstd_compress(NULL, 3, ${dict})`),
  ...dicts.map((dict) => `zstd_compress_col(${shortJson}, 3, ${dict}, true)`),
  ...truths.map((compact) => `zstd_compress(${longText}, 3, 1, ${compact})`),
  ...truths.map((compact) => `zstd_compress_col(${longText}, 3, 1, ${compact})`),
  ...data.flatMap((value) => ['NULL', '-1', '1'].map((dict) => `zstd_compress_col(${value}, 3, ${dict}, true)`)),
  ...data.map((value) => `zstd_compress(${value}, 3, 1, true)`),
  'zstd_compress()',
  'zstd_compress(1, 2, 3, 4, 5)',
  `zstd_compress_col('a', 3, 1)`,
]

/** Frames made by sqlite-zstd, and what tells how to decompress them. */
const frames: readonly { readonly name: string; readonly made: string; readonly settings: readonly string[] }[] = [
  { name: 'ordinary', made: `zstd_compress(${longText})`, settings: [] },
  { name: 'empty text', made: `zstd_compress('')`, settings: [] },
  { name: 'no dictionary', made: `zstd_compress(${longText}, 19, -1)`, settings: ['-1'] },
  { name: 'compact, no dictionary', made: `zstd_compress(${longText}, 3, -1, true)`, settings: ['-1', 'true'] },
  { name: 'with dictionary', made: `zstd_compress(${shortJson}, 3, 1)`, settings: ['1'] },
  { name: 'compact', made: `zstd_compress(${shortJson}, 3, 1, true)`, settings: ['1', 'true'] },
  {
    name: 'raw dictionary',
    made: `zstd_compress('abcdefgh', 3, x'6162636465666768')`,
    settings: [`x'6162636465666768'`],
  },
  { name: 'compact, bytes', made: `zstd_compress(x'00ff00ff', 3, 1, true)`, settings: ['1', 'true'] },
  { name: 'large', made: `zstd_compress(zeroblob(100000))`, settings: [] },
]

describe.skipIf(sqliteZstd === null)(`sqlite-zstd's functions in both libraries`, { timeout: buildTimeout }, () => {
  const file = join(folder, 'functions.db')
  const inBoth = (statements: readonly string[], database = file) =>
    [outcomes(sqliteZstd, database, statements), outcomesHere(tamp, database, statements)] as const

  /** Compares call by call. */
  function compare(calls: readonly string[], valueCounts = true): void {
    const [theirs, ours] = inBoth(calls.map(shown))
    const { found, listed } = parting(
      calls,
      theirs.map((outcome) => told(outcome, valueCounts)),
      ours.map((outcome) => told(outcome, valueCounts)),
    )
    expect(found.toSorted()).toEqual(listed.toSorted())
  }

  beforeAll(() => {
    const samples = [...titleRows(1000, 5)].map((row) => ['INSERT INTO samples VALUES (?)', row] as const)
    rowsOf(sqliteZstd, file, [
      'CREATE TABLE samples (v)',
      'CREATE TABLE _zstd_dicts (id INTEGER PRIMARY KEY AUTOINCREMENT, chooser_key TEXT UNIQUE, dict BLOB NOT NULL)',
      `INSERT INTO _zstd_dicts VALUES (-1, '[nodict]', '')`,
      'BEGIN',
      ...samples,
      'COMMIT',
      `SELECT zstd_train_dict_and_save(v, 5000, 1000, 'key') FROM samples`,
      `INSERT INTO _zstd_dicts VALUES (2, 'raw', CAST('tconst titleType primaryTitle' AS BLOB))`,
    ])
  })

  test('compressing', () => compare(compressCalls, false))

  test('what one compresses the other decompresses', () => {
    const [theirs, ours] = inBoth(
      compressCalls.map((call) => `SELECT typeof(value), hex(value) FROM (SELECT ${call} AS value)`),
    )
    /** The frame among the answers, decompressed again with the same dictionary. */
    const decompressing = (answers: readonly Outcome[]): readonly string[] =>
      compressCalls.map((call, index) => {
        const answer = answers[index]!
        if ('error' in answer || answer[0]![0] !== 'blob') return `SELECT 'nothing', NULL`
        const settings = splitArguments(call.slice(call.indexOf('(') + 1, -1)).slice(2)
        const name = call.slice(0, call.indexOf('(')).replace('_compress', '_decompress')
        return shown(`${name}(${[`x'${String(answer[0]![1])}'`, '0', ...settings].join(', ')})`)
      })
    const decompressed = (library: string | null, answers: readonly Outcome[]) =>
      outcomes(library, file, decompressing(answers)).map((outcome) => told(outcome))
    const unlisted = compressCalls.map((call) => !differences.some(({ calls }) => calls.includes(short(call))))
    const bothWays = [decompressed(tamp, theirs), decompressed(sqliteZstd, ours)] as const
    for (const [index, plain] of decompressed(sqliteZstd, theirs).entries())
      if (unlisted[index]) {
        expect(bothWays[0][index], `sqlite-zstd's ${short(compressCalls[index]!)} here`).toBe(plain)
        expect(bothWays[1][index], `tamp's ${short(compressCalls[index]!)} there`).toBe(plain)
      }
  })

  test('decompressing', () => {
    rowsOf(sqliteZstd, file, [
      'CREATE TABLE frames (name, frame)',
      ...frames.map(({ name, made }) => `INSERT INTO frames VALUES ('${name}', ${made})`),
    ])
    const frame = (name: string) => `(SELECT frame FROM frames WHERE name = '${name}')`
    const cut = (name: string) => `(SELECT substr(frame, 1, length(frame) - 2) FROM frames WHERE name = '${name}')`
    compare([
      ...frames.flatMap(({ name, settings }) => [
        `zstd_decompress(${[frame(name), 'true', ...settings].join(', ')})`,
        `zstd_decompress(${[frame(name), 'false', ...settings].join(', ')})`,
      ]),
      ...data.map((value) => `zstd_decompress(${value}, true)`),
      ...data.flatMap((value) => ['NULL', '-1', '1'].map((dict) => `zstd_decompress_col(${value}, 1, ${dict}, true)`)),
      ...truths.map((isText) => `zstd_decompress(${frame('ordinary')}, ${isText})`),
      ...truths.map((isText) => `zstd_decompress_col(${frame('compact')}, ${isText}, 1, true)`),
      ...truths.map((compact) => `zstd_decompress(${frame('compact')}, true, 1, ${compact})`),
      ...truths.map((compact) => `zstd_decompress_col(${frame('compact')}, true, 1, ${compact})`),
      ...dicts.map((dict) => `zstd_decompress(${frame('no dictionary')}, true, ${dict})`),
      ...dicts.map((dict) => `zstd_decompress(NULL, true, ${dict})`),
      ...['NULL', '-1', '99'].map((dict) => `zstd_decompress_col(${frame('compact')}, 1, ${dict}, true)`),
      `zstd_decompress(x'00', true)`,
      `zstd_decompress(${cut('ordinary')}, true)`,
      `zstd_decompress(${cut('compact')}, true, 1, true)`,
      `zstd_decompress(CAST(${frame('ordinary')} || ${frame('ordinary')} AS BLOB), true)`,
      `zstd_decompress(CAST(${frame('ordinary')} || x'00' AS BLOB), true)`,
      `zstd_decompress(zstd_compress(x'ff'), true)`,
      'zstd_decompress(NULL)',
      `zstd_decompress(${frame('ordinary')})`,
      `zstd_decompress(${frame('ordinary')}, 1, -1, 0, 0)`,
      `zstd_decompress_col(${frame('compact')}, 1, 1)`,
    ])
  })

  test('training', () => {
    const aggregate = (name: string, rest: string, from = 'samples') => `(SELECT ${name}(v, ${rest}) FROM ${from})`
    const none = '(SELECT v FROM samples WHERE false)'
    const others = `(SELECT rowid AS v FROM samples UNION ALL SELECT rowid + 0.5 FROM samples UNION ALL SELECT NULL)`
    const mixed = `(SELECT v FROM samples UNION ALL SELECT rowid FROM samples UNION ALL SELECT CAST(v AS BLOB) FROM samples)`
    const calls = [
      aggregate('zstd_train_dict', '5000, 1000'),
      aggregate('zstd_train_dict', '5000, 1000.7'),
      aggregate('zstd_train_dict', '1000, 500'),
      aggregate('zstd_train_dict', '5000, 1'),
      aggregate('zstd_train_dict', '5000, 0'),
      aggregate('zstd_train_dict', '5000, -1'),
      aggregate('zstd_train_dict', '0, 1000'),
      aggregate('zstd_train_dict', '-1, 1000'),
      aggregate('zstd_train_dict', '10, 1000'),
      aggregate('zstd_train_dict', 'NULL, 1000'),
      aggregate('zstd_train_dict', '5000, NULL'),
      aggregate('zstd_train_dict', `'5000', 1000`),
      aggregate('zstd_train_dict', `5000, 'many'`),
      aggregate('zstd_train_dict', '5000.5, 1000'),
      aggregate('zstd_train_dict', '5000, 1000', none),
      aggregate('zstd_train_dict', '5000, 1000', others),
      aggregate('zstd_train_dict', '5000, 1000', mixed),
      aggregate('zstd_train_dict', '5000'),
      aggregate('zstd_train_dict', `5000, 1000, 'key'`),
      aggregate('zstd_train_dict_and_save', `5000, 1000, 'new'`),
      aggregate('zstd_train_dict_and_save', '5000, 1000, NULL'),
      aggregate('zstd_train_dict_and_save', '5000, 1000, 7'),
      aggregate('zstd_train_dict_and_save', `5000, 1000, 'key'`),
      aggregate('zstd_train_dict_and_save', `5000, 1000, 'none'`, none),
      aggregate('zstd_train_dict_and_save', '5000, 1000'),
    ]
    const [their, our] = ['their', 'our'].map((whose) => {
      const copy = join(folder, `${whose}.db`)
      copyFileSync(file, copy)
      return copy
    }) as [string, string]
    // What tells two trained dictionaries apart is not their bytes: samples are drawn at random.
    const statements = [
      ...calls.map(
        (call) =>
          `SELECT typeof(value), CASE typeof(value) WHEN 'integer' THEN value END FROM (SELECT ${call} AS value)`,
      ),
      `SELECT 'text', group_concat(id || ' ' || ifnull(chooser_key, 'NULL') || ' ' || typeof(chooser_key), ', ') FROM _zstd_dicts`,
    ]
    const theirs = outcomes(sqliteZstd, their, statements).map((outcome) => told(outcome))
    const ours = outcomesHere(tamp, our, statements).map((outcome) => told(outcome))
    const { found, listed } = parting([...calls, 'the dictionaries'], theirs, ours)
    expect(found.toSorted()).toEqual(listed.toSorted())
  })

  test('a dictionary that one trained is as good in the other', () => {
    const train = 'SELECT zstd_train_dict(v, 5000, 1000) FROM samples'
    const [[[theirDict]], [[ourDict]]] = [sqliteZstd, tamp].map((library) => rowsOf(library, file, [train])[0]) as [
      [[Uint8Array]],
      [[Uint8Array]],
    ]
    const packed = 'SELECT sum(length(zstd_compress(v, 3, ?, true))), sum(length(v)) FROM samples'
    for (const library of [sqliteZstd, tamp]) {
      const [[[theirs, plain]], [[ours]]] = rowsOf(library, file, [
        [packed, theirDict],
        [packed, ourDict],
      ]) as unknown as [[[bigint, bigint]], [[bigint]]]
      expect(Number(theirs)).toBeLessThan(Number(plain) / 2)
      expect(Number(ours)).toBeLessThan(Number(theirs) * 1.1)
    }
  })
})

/** Arguments at the commas outside of quotes and parentheses. */
function splitArguments(words: string): readonly string[] {
  const found: string[] = ['']
  let depth = 0
  let quoted = false
  for (const character of words) {
    if (character === "'") quoted = !quoted
    if (!quoted && character === '(') depth++
    if (!quoted && character === ')') depth--
    if (character === ',' && !quoted && depth === 0) found.push('')
    else found[found.length - 1] += character
  }
  return found.map((argument) => argument.trim())
}
