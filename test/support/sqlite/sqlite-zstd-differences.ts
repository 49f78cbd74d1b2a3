// What sqlite-zstd and tamp answer to the same call, compared; and where they part on purpose, with the reasons.
import { createHash } from 'node:crypto'
import type { Outcome } from './sqlite-process.ts'

/** Data for calls: named TEXT and JSON in the list below. */
export const longText: string = `'${'long text '.repeat(50)}'`
export const shortJson: string = `'{"tconst":"tt0000001","titleType":"tvEpisode","primaryTitle":"x"}'`

/** Calls on which the two part, what each answers, and why tamp's answer is the better one. */
export const differences: readonly { sqliteZstd: string; tamp: string; reason: string; calls: readonly string[] }[] = [
  {
    sqliteZstd: 'blob',
    tamp: 'error',
    reason: 'a level that zstd does not have is a mistake worth hearing of; sqlite-zstd takes the highest one',
    calls: ['TEXT, 23', 'TEXT, 100', 'TEXT, 23, 1, true', 'TEXT, 100, 1, true'].flatMap((rest) =>
      rest.endsWith('true') ? [`zstd_compress(${rest})`, `zstd_compress_col(${rest})`] : [`zstd_compress(${rest})`],
    ),
  },
  {
    sqliteZstd: 'error',
    tamp: 'blob',
    reason: 'a whole number is one however it is stored: better-sqlite3 binds all numbers as reals',
    calls: [
      'zstd_compress(TEXT, 3.0)',
      'zstd_compress(TEXT, 3.0, 1, true)',
      'zstd_compress_col(TEXT, 3.0, 1, true)',
      'zstd_compress(JSON, 3, 1.0)',
      'zstd_compress(JSON, 3, 1.0, true)',
      'zstd_compress_col(JSON, 3, 1.0, true)',
      'zstd_compress(TEXT, 3, 1, 1.0)',
      'zstd_compress_col(TEXT, 3, 1, 1.0)',
    ],
  },
  {
    sqliteZstd: 'error',
    tamp: 'text 502 c09d3020',
    reason: 'the same for reading',
    calls: ['zstd_decompress([ordinary], 1.0)', 'zstd_decompress([no dictionary], true, 1.0)'],
  },
  {
    sqliteZstd: 'error',
    tamp: 'text 67 8a5f71fa',
    reason: 'the same for reading',
    calls: [
      'zstd_decompress_col([compact], 1.0, 1, true)',
      'zstd_decompress([compact], true, 1, 1.0)',
      'zstd_decompress_col([compact], true, 1, 1.0)',
    ],
  },
  {
    sqliteZstd: 'error',
    tamp: 'blob',
    reason:
      'dictionary -2 is "none, and of the other type" in every database; sqlite-zstd finds it where tamp has put it',
    calls: ['zstd_compress(JSON, 3, -2)', 'zstd_compress(JSON, 3, -2, true)', 'zstd_compress_col(JSON, 3, -2, true)'],
  },
  {
    sqliteZstd: 'error',
    tamp: 'text 502 c09d3020',
    reason: 'the same for reading',
    calls: ['zstd_decompress([no dictionary], true, -2)'],
  },
  {
    sqliteZstd: 'blob',
    tamp: 'error',
    reason: 'a number above 1 says whose dictionaries are meant, and no database here has this one',
    calls: ['2', '1000000000'].flatMap((compact) =>
      ['zstd_compress', 'zstd_compress_col'].map((name) => `${name}(TEXT, 3, 1, ${compact})`),
    ),
  },
  {
    sqliteZstd: 'text 67 8a5f71fa',
    tamp: 'error',
    reason: 'the same for reading',
    calls: ['2', '1000000000'].flatMap((compact) => [
      `zstd_decompress([compact], true, 1, ${compact})`,
      `zstd_decompress_col([compact], true, 1, ${compact})`,
    ]),
  },
  {
    sqliteZstd: 'blob',
    tamp: 'text',
    reason: 'a cell that stays as it is keeps its type; sqlite-zstd makes a blob of a text',
    calls: ['JSON', `''`, `'a'`, `'unicode ü☃𝒳'`, 'TEXT'].map((value) => `zstd_compress_col(${value}, 3, NULL, true)`),
  },
  ...['integer', 'real'].map((type) => ({
    sqliteZstd: 'error',
    tamp: type,
    reason: 'numbers among the cells are left as they are; sqlite-zstd cannot maintain a column that has one',
    calls: ['NULL', '-1', '1'].map((dict) => `zstd_compress_col(${type === 'integer' ? 1 : 1.5}, 3, ${dict}, true)`),
  })),
  ...['integer', 'real'].map((type) => ({
    sqliteZstd: 'error',
    tamp: `${type} ${type === 'integer' ? 1 : 1.5}`,
    reason: 'and read as they are',
    calls: ['-1', '1'].map((dict) => `zstd_decompress_col(${type === 'integer' ? 1 : 1.5}, 1, ${dict}, true)`),
  })),
  {
    sqliteZstd: `text ''`,
    tamp: 'error',
    reason: 'bytes that are no whole frame are an error; sqlite-zstd gives what it has got so far, mostly nothing',
    calls: [
      `zstd_decompress(x'', true)`,
      `zstd_decompress(x'00', true)`,
      `zstd_decompress(x'00ff', true)`,
      ...['-1', '1'].map((dict) => `zstd_decompress_col(x'', 1, ${dict}, true)`),
      ...['-1', '1'].map((dict) => `zstd_decompress_col(zeroblob(100000), 1, ${dict}, true)`),
      'zstd_decompress([ordinary, cut short], true)',
      'zstd_decompress([compact, cut short], true, 1, true)',
    ],
  },
  {
    sqliteZstd: 'text 502 c09d3020',
    tamp: 'error',
    reason: 'and so are bytes behind a frame, which sqlite-zstd passes over',
    calls: [`zstd_decompress(CAST([ordinary] || x'00' AS BLOB), true)`],
  },
  {
    sqliteZstd: 'error',
    tamp: 'blob null',
    reason: 'a dictionary smaller than zstd can make is the smallest it can',
    calls: ['zstd_train_dict(v, 10, 1000)'],
  },
  {
    sqliteZstd: 'error',
    tamp: `text 'Done!'`,
    reason: 'without a level the best one is found by measuring, and without a chooser all rows are one group',
    calls: [
      enable({ table: 'other', column: 'd', compression_level: undefined }),
      enable({ table: 'third', column: 'e', dict_chooser: undefined }),
    ],
  },
  {
    sqliteZstd: 'error',
    tamp: 'integer 0',
    reason: `a very long time is no error; sqlite-zstd's own limit of 1e100 seconds is beyond what it can count`,
    calls: ['zstd_incremental_maintenance(1e100, 1)'],
  },
  {
    sqliteZstd: 'integer 1',
    tamp: 'integer 0',
    reason:
      'rows of a group that is too small to train are nothing to call again for; sqlite-zstd would have one ask for ever',
    calls: ['zstd_incremental_maintenance(0, 1)'],
  },
]

/** What a call came to: its type and value, or `error`; of compressed bytes the type alone, as another release of zstd may find fewer. */
export function told(outcome: Outcome, valueCounts = true): string {
  if ('error' in outcome) return 'error'
  const [type, value] = outcome[0]!
  if (!valueCounts || type === 'null') return String(type)
  const printed = String(value)
  return `${String(type)} ${printed.length < 50 ? printed : `${printed.length} ${createHash('sha1').update(printed).digest('hex').slice(0, 8)}`}`
}

/** The calls on which two lists of answers part, one line each, to be compared with the listed ones of these calls. */
export function parting(
  calls: readonly string[],
  theirs: readonly string[],
  ours: readonly string[],
): { readonly found: readonly string[]; readonly listed: readonly string[] } {
  const line = (call: string, one: string, other: string) => `${call}: ${one} there, ${other} here`
  return {
    found: calls.flatMap((call, index) =>
      theirs[index] === ours[index] ? [] : [line(short(call), theirs[index]!, ours[index]!)],
    ),
    listed: calls.map(short).flatMap((call) => {
      const difference = differences.find((each) => each.calls.includes(call))
      return difference === undefined ? [] : [line(call, difference.sqliteZstd, difference.tamp)]
    }),
  }
}

/** A call that enables column `c` of table `t`, with `more` settings or other ones. */
export function enable(more: object): string {
  const settings = { table: 't', column: 'c', compression_level: 3, dict_chooser: `'a'`, ...more }
  return `zstd_enable_transparent('${JSON.stringify(settings).replaceAll("'", "''")}')`
}

/** A call as the list of differences has it. */
export function short(call: string): string {
  return call
    .replaceAll(longText, 'TEXT')
    .replaceAll(shortJson, 'JSON')
    .replaceAll(/\(SELECT frame FROM frames WHERE name = '([^']*)'\)/g, '[$1]')
    .replaceAll(/\(SELECT substr\(frame.*? WHERE name = '([^']*)'\)/g, '[$1, cut short]')
    .replaceAll(/\(SELECT (zstd_train\w+\(.*?\)) FROM samples\)/g, '$1')
}
