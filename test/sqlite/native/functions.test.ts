// Every function of the extension with every kind of argument, in every host: the value, its type, or the words of the refusal.
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { hosts } from '../../support/sqlite/hosts.ts'
import type { Outcome, Typed } from '../../support/sqlite/hosts.ts'
import { testLibrary } from '../../support/sqlite/judge.ts'

const folder = await temporaryFolder('tamp-native-functions-')

/** Rows for training, and a dictionary with id 1. */
const setup = [
  `CREATE TABLE words (id INTEGER PRIMARY KEY, w TEXT)`,
  `INSERT INTO words WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
     SELECT i, json_object('id', i, 'name', 'user ' || (i * 7919 % 1000), 'kind', 'film ' || (i % 7)) FROM n`,
  `CREATE TABLE _zstd_dicts (id INTEGER PRIMARY KEY AUTOINCREMENT, chooser_key TEXT UNIQUE, dict BLOB NOT NULL)`,
  `SELECT zstd_train_dict_and_save(w, 2000, 2000, 'k') FROM words`,
]

type Expected = Typed | RegExp

/** Expressions, and their value in every host, or what the refusal says. */
const calls: Readonly<Record<string, readonly (readonly [expression: string, expected: Expected])[]>> = {
  zstd_compress: [
    [`zstd_compress(NULL)`, null],
    [`zstd_compress(NULL, 3, NULL, true)`, null],
    [`zstd_compress(7)`, /takes text or a blob/],
    [`zstd_compress(1.5, 3)`, /takes text or a blob/],
    [`typeof(zstd_compress('a'))`, 'blob'],
    [`hex(substr(zstd_compress('a'), 1, 4))`, '28B52FFD'],
    [`hex(zstd_compress('a', 3, NULL, true))`, '000009000061'],
    [`hex(zstd_compress('a', 3, -1, 1))`, '000009000061'],
    [`length(zstd_compress(zeroblob(1000000), 1, NULL, true)) < 100`, 1n],
    [`zstd_compress('a', 22) IS NOT NULL AND zstd_compress('a', 0) IS NOT NULL`, 1n],
    [`zstd_compress('a', 23)`, /level is a number from 1 to 22/],
    [`zstd_compress('a', -200000)`, /level is a number from 1 to 22/],
    [`zstd_compress('a', NULL)`, /level is a number from 1 to 22/],
    [`zstd_compress('a', 3, 1, 'compact')`, /argument for compact frames is a whole number/],
    [`zstd_compress('a', 'high')`, /level is a number from 1 to 22/],
    [`zstd_compress('a', 1.5)`, /level is a number from 1 to 22/],
    [`zstd_compress('a', 3, 'text')`, /a dictionary is the id/],
    [`zstd_compress('a', 3, 9)`, /there is no dictionary 9 in _zstd_dicts/],
    [`hex(zstd_compress('a', 3, x'', 1))`, '000009000061'],
    [`zstd_compress('a', 3, x'37a430ec01020304')`, /dictionary is damaged/],
    [`zstd_compress()`, /wrong number of arguments/],
    [`zstd_compress(1, 2, 3, 4, 5)`, /wrong number of arguments/],
  ],
  zstd_decompress: [
    [`zstd_decompress(NULL, 1)`, null],
    [`zstd_decompress('text', 1)`, /takes a blob/],
    [`zstd_decompress(1, 1)`, /takes a blob/],
    [`zstd_decompress(zstd_compress('a'), 1)`, 'a'],
    [`zstd_decompress(zstd_compress('a'), 0)`, new Uint8Array([97])],
    [`zstd_decompress(zstd_compress(x'00ff00'), 0)`, new Uint8Array([0, 255, 0])],
    [`zstd_decompress(zstd_compress('', 3, NULL, 1), 1, NULL, 1)`, ''],
    [`hex(zstd_decompress(zstd_compress('a' || char(0) || 'b'), true))`, '610062'],
    [`zstd_decompress(zstd_compress('abc', 19, 1), 1, 1)`, 'abc'],
    [`zstd_decompress(zstd_compress(w, 19, 1, 1), 1, 1, 1) = w FROM words LIMIT 1`, 1n],
    [`zstd_decompress(zstd_compress(w, 3, dict, 1), 1, dict, 1) = w FROM words, _zstd_dicts LIMIT 1`, 1n],
    [`zstd_decompress(zstd_compress(w, 3, dict, 1), 1, 1, 1) = w FROM words, _zstd_dicts LIMIT 1`, 1n],
    [`zstd_decompress(zstd_compress('a'), NULL)`, /argument for texts is a whole number/],
    [`zstd_decompress(zstd_compress('a'), 1.0)`, 'a'],
    [`zstd_decompress(x'', 1)`, /frame cannot be decoded: it is empty/],
    [`zstd_decompress(x'00', 1)`, /frame cannot be decoded/],
    [`zstd_decompress(zstd_compress('a'), 1, NULL, 1)`, /frame cannot be decoded/],
    [`zstd_decompress(zstd_compress('a'), 1, 9)`, /frame cannot be decoded: there is no dictionary 9/],
    [`zstd_decompress(x'00')`, /wrong number of arguments/],
  ],
  zstd_compress_col: [
    [`zstd_compress_col(NULL, 3, 1, 1)`, null],
    [`zstd_compress_col('a', 3, NULL, 1)`, 'a'],
    [`zstd_compress_col(x'61', 3, NULL, 1)`, new Uint8Array([97])],
    [`zstd_compress_col(7, 3, 1, 1)`, 7n],
    [`zstd_compress_col(1.5, 3, 1, 1)`, 1.5],
    [`hex(zstd_compress_col('a', 3, -1, 1))`, '000009000061'],
    [`hex(zstd_compress_col('a', 3, -2, 1))`, '000009000061'],
    [`zstd_compress_col('a', 3, 9, 1)`, /there is no dictionary 9/],
    [`zstd_compress_col('a', 3)`, /wrong number of arguments/],
  ],
  zstd_decompress_col: [
    [`zstd_decompress_col('plain', 1, NULL, 1)`, 'plain'],
    [`zstd_decompress_col(x'00', 1, NULL, 1)`, new Uint8Array([0])],
    [`zstd_decompress_col(7, 1, NULL, 1)`, 7n],
    [`zstd_decompress_col(NULL, 1, 1, 1)`, null],
    [`zstd_decompress_col(7, 1, 1, 1)`, 7n],
    [`zstd_decompress_col(1.5, 1, -1, 1)`, 1.5],
    [`zstd_decompress_col('text', 1, 1, 1)`, /cell cannot be decoded: it is text, not a zstd frame \(dictionary 1\)/],
    [`zstd_decompress_col(x'005809000061', 1, -1, 1)`, 'a'],
    [`zstd_decompress_col(x'005809000061', -1 IS NOT -2, -2, 1)`, 'a'],
    [`zstd_decompress_col(x'005809000061', 0, -2, 1)`, new Uint8Array([97])],
    [`zstd_decompress_col(x'0102', 1, -1, 1)`, /cell cannot be decoded: .* \(no dictionary\)/],
    [`zstd_decompress_col(x'0102', 1, 1, 1)`, /cell cannot be decoded: .* \(dictionary 1\)/],
    [`zstd_decompress_col(x'0102', 1, 9, 1)`, /cell cannot be decoded: there is no dictionary 9 in _zstd_dicts/],
    [`zstd_decompress_col(x'0102', 1, 1, 12345)`, /the database with the dictionaries of scope 12345 is not attached/],
  ],
  tamp_cell_error: [
    [`tamp_cell_error('plain', 1, NULL, 1)`, null],
    [`tamp_cell_error(NULL, 1, 1, 1)`, null],
    [`tamp_cell_error(x'005809000061', 1, -1, 1)`, null],
    [`tamp_cell_error(zstd_compress_col('abc', 3, 1, 1), 1, 1, 1)`, null],
    [`tamp_cell_error('text', 1, -1, 1)`, 'cell cannot be decoded: it is text, not a zstd frame (no dictionary)'],
    [`tamp_cell_error(x'0102', 1, 9, 1)`, 'cell cannot be decoded: there is no dictionary 9 in _zstd_dicts'],
    [`tamp_cell_error(x'0102', 1, 1, 1) LIKE 'cell cannot be decoded: % (dictionary 1)'`, 1n],
  ],
  zstd_train_dict: [
    [`length(zstd_train_dict(w, 2000, 2000)) FROM words`, 2000n],
    [`length(zstd_train_dict(w, 2000, 2000.7)) FROM words`, 2000n],
    [`length(zstd_train_dict(iif(id % 2, w, id), 2000, 1000)) FROM words`, 2000n],
    [`zstd_train_dict(w, 2000, 2000) FROM words WHERE false`, /no dictionary can be made: there is no text or blob/],
    [`zstd_train_dict(id, 2000, 2000) FROM words`, /no dictionary can be made: there is no text or blob/],
    [`zstd_train_dict(w, 2000, 2000) FROM words WHERE id < 3`, /no dictionary can be made from 2 values/],
    [`zstd_train_dict(w, 2000.5, 2000) FROM words`, /size of the dictionary is a whole number/],
    [`zstd_train_dict(w, 'a', 2000) FROM words`, /size of the dictionary is a number of at least 1/],
    [`zstd_train_dict(w, 2000, 0) FROM words`, /number of samples is a number of at least 1/],
    [`zstd_train_dict(w, 2000, NULL) FROM words`, /number of samples is a number of at least 1/],
  ],
  zstd_train_dict_and_save: [
    [`zstd_train_dict_and_save(w, 2000, 2000, 'k') FROM words`, /UNIQUE constraint failed: _zstd_dicts.chooser_key/],
    [`zstd_train_dict_and_save(w, 2000, 2000, 7) FROM words`, /key of a dictionary is a text, or NULL/],
    [`zstd_train_dict_and_save(w, 2000, 2000, NULL) FROM words`, 2n],
    [`zstd_train_dict_and_save(w, 2000, 2000, 'other') FROM words`, 3n],
    [`zstd_train_dict_and_save(w, 2000, 2000, 'third') FROM words WHERE false`, /there is no text or blob/],
    [`group_concat(k) FROM (SELECT coalesce(chooser_key, 'NULL') AS k FROM _zstd_dicts ORDER BY id)`, 'k,NULL,other'],
  ],
  tamp_sample: [
    [`tamp_sample(w, NULL) FROM words`, 1n],
    [`tamp_samples(1) ->> 'cells' FROM words LIMIT 1`, 2000n],
    [`tamp_samples(1) ->> 'seenCells'`, 2000n],
    [`tamp_samples(1) ->> 'heldBackCells'`, 400n],
    [`(tamp_samples(1) ->> 'bytes') = sum(length(w)) FROM words`, 1n],
    [`tamp_sample(w, 10000) FROM words`, 2n],
    [`(tamp_samples(2) ->> 'bytes') BETWEEN 9900 AND 10000`, 1n],
    [`tamp_samples(2) ->> 'seenCells'`, 2000n],
    [`tamp_sample(id, NULL) FROM words`, null],
    [`tamp_sample(w, NULL) FROM words WHERE false`, null],
    [`tamp_sample('', NULL)`, null],
    [`tamp_sample(w, 'much') FROM words`, /size of the sample is a number/],
    [`tamp_samples(NULL)`, null],
    [`tamp_samples(99)`, /99 is not a sample/],
    [`tamp_train(1, 'default', 2000, 3)`, 3n],
    [`tamp_train(1, 'cover', 2000, 3)`, 4n],
    [`tamp_train(1, 'default', 2000, 3, 20000)`, 5n],
    [`tamp_train(NULL, 'default', 2000, 3)`, null],
    [`tamp_train(tamp_sample(w, NULL), 'cover', 2000, 3) FROM words WHERE id < 3`, null],
    [`tamp_train(1, 'best', 2000, 3)`, /a trainer is 'default' or 'cover'/],
    [`tamp_train(1, 'cover', 2000, 99)`, /level is a number/],
    [`tamp_train(3, 'cover', 2000, 3)`, /3 is not a sample/],
    [`length(tamp_dictionary(3))`, 2000n],
    [`hex(substr(tamp_dictionary(4), 1, 4))`, '37A430EC'],
    [`tamp_dictionary(NULL)`, null],
    [`tamp_dictionary(1)`, /1 is not a dictionary/],
    [`tamp_trial(1, 3, 19) ->> 'cells'`, 400n],
    [`(tamp_trial(1, 3, 19) ->> 'bytes') < (tamp_trial(1, NULL, 19) ->> 'bytes') / 2`, 1n],
    [`(tamp_trial(1, 4, 12) ->> 'bytes') < (tamp_trial(1, 4, 12) ->> 'plainBytes') / 2`, 1n],
    [`typeof(tamp_trial(1, 3, 3) ->> 'encodeSeconds') || typeof(tamp_trial(1, 3, 3) ->> 'decodeSeconds')`, 'realreal'],
    [`(tamp_trial(1, 3, 3, 100) ->> 'cells') < 100`, 1n],
    [`tamp_trial(NULL, NULL, 3)`, null],
    [`tamp_trial(1, 2, 3)`, /2 is not a dictionary/],
    [`tamp_release(1)`, null],
    [`tamp_samples(1)`, /1 is not a sample/],
    [`tamp_release(1)`, null],
  ],
  others: [
    [`tamp_sha256(x'616263')`, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    [`tamp_sha256(NULL)`, null],
    [`tamp_library() ->> 'zstd'`, '1.5.7'],
    [`(tamp_library() ->> 'sqlite') = sqlite_version()`, 1n],
  ],
}

for (const host of hosts)
  describe.skipIf(host.version === null)(`${host.name} ${host.version}`, () => {
    test.for(Object.keys(calls))('%s', (name) => {
      const file = join(folder, `${host.name}-${name}.db`.replace(':', ''))
      const expressions = calls[name]!
      const statements = [...setup, ...expressions.map(([expression]) => `SELECT ${expression}`)]
      const outcomes = host.run(file, statements, testLibrary)
      expect(outcomes.slice(0, setup.length).filter((outcome) => 'error' in outcome)).toEqual([])
      const answers = outcomes.slice(setup.length)
      expect(answers.map((answer, i) => told(expressions[i]!, answer))).toEqual(
        expressions.map(([expression, expected]) => [
          expression,
          expected instanceof RegExp ? String(expected) : expected,
        ]),
      )
    })
  })

/** The value; of a refusal with the words that were expected, those. */
function told([expression, expected]: readonly [string, Expected], answer: Outcome): readonly [string, Typed] {
  if ('rows' in answer) return [expression, answer.rows[0]![0]!]
  return [expression, expected instanceof RegExp && expected.test(answer.error) ? String(expected) : answer.error]
}
