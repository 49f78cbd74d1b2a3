// What tamp enables and compresses is read, written and maintained by sqlite-zstd itself, value for value and type for type, and taken back.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { testLibrary as tamp } from '../../support/sqlite/judge.ts'
import { buildTimeout, realSqliteZstd } from '../../support/sqlite/real-sqlite-zstd.ts'
import { outcomes, rowsHere, rowsOf } from '../../support/sqlite/sqlite-process.ts'
import type { Statement } from '../../support/sqlite/sqlite-process.ts'
import {
  configurations,
  enabling,
  everyRow,
  maintaining,
  noise,
  pending,
  sqliteZstdCases,
} from '../../support/sqlite/sqlite-zstd-cases.ts'
import type { SqliteZstdCase } from '../../support/sqlite/sqlite-zstd-cases.ts'

const sqliteZstd = await realSqliteZstd()
const folder = await temporaryFolder('tamp-read-by-sqlite-zstd-')

describe.skipIf(sqliteZstd === null)(
  'a database that tamp made, in the hands of sqlite-zstd',
  { timeout: buildTimeout },
  () => {
    for (const [index, given] of sqliteZstdCases.entries())
      test(given.name, () => {
        const file = join(folder, `${index}.db`)
        const plain = join(folder, `${index}-plain.db`)
        const all = everyRow(given)
        const inPlain = (...statements: readonly Statement[]) => rowsHere(null, plain, statements)
        const inTamp = (...statements: readonly Statement[]) => rowsHere(tamp, file, statements)
        const inSqliteZstd = (...statements: readonly Statement[]) => rowsOf(sqliteZstd, file, statements)

        inPlain('BEGIN', given.schema, ...given.rows, ...given.later, 'COMMIT')
        inTamp('BEGIN', given.schema, ...given.rows, 'COMMIT', ...enabling(given, 'auto'), maintaining)
        inTamp('BEGIN', ...given.later, 'COMMIT')

        // It reads everything, compressed and pending, ...
        const plainRows = inPlain(all)[0]!
        expect(inSqliteZstd(all)[0]).toEqual(plainRows)

        // ... writes through tamp's view and triggers, ...
        inPlain('BEGIN', ...given.changes, 'COMMIT')
        const changedRows = inPlain(all)[0]!
        expect(inSqliteZstd('BEGIN', ...given.changes, 'COMMIT', all).at(-1)).toEqual(changedRows)

        // ... trains and compresses what is pending, as tamp would, ...
        const copy = join(folder, `${index}-copy.db`)
        copyFileSync(file, copy)
        const [, tampLeft] = rowsHere(tamp, copy, [maintaining, pending(given)])
        const [done, left, afterwards, integrity] = inSqliteZstd(
          maintaining,
          pending(given),
          all,
          'PRAGMA integrity_check',
        )
        expect(done).toEqual([[0n]])
        expect(left).toEqual(tampLeft)
        expect(afterwards).toEqual(changedRows)
        expect(integrity).toEqual([['ok']])

        // ... and hands it back.
        const [back, maintained, again, checked] = inTamp(all, maintaining, all, `SELECT tamp('check', '{}')`)
        expect(back).toEqual(changedRows)
        expect(maintained).toEqual([[0n]])
        expect(again).toEqual(changedRows)
        expect(findings(checked)).toEqual([])
      })

    test('every type in a text and in a blob column, with and without a dictionary, stored plain, compressed and raw', () => {
      const file = join(folder, 'types.db')
      const values: readonly (null | bigint | number | string | Uint8Array)[] = [
        null,
        '',
        new Uint8Array(),
        'x',
        new Uint8Array([0, 255]),
        42n,
        -1n,
        2n ** 62n,
        1.5,
        'text '.repeat(30),
        new TextEncoder().encode('bytes '.repeat(30)),
        noise(500, 'raw'),
        Buffer.from(noise(500, 'text')).toString('base64'),
        'ü☃𝒳\0'.repeat(20),
        'a'.repeat(3_000_000),
        noise(3_000_000, 'huge'),
      ].map((value) => (value instanceof Uint8Array ? new Uint8Array(value) : value))
      const insert = 'INSERT INTO types (chosen, t, b) VALUES (?, ?, ?)'
      const rows = values.flatMap((value): readonly Statement[] => [
        [insert, '[nodict]', value, value],
        [insert, 'types', value, value],
      ])
      const filling = Array.from({ length: 300 }, (_, n): Statement => {
        const text = `{"number":${n},"text":"bytes and text ${n * n}"}`
        return [insert, 'types', text, new TextEncoder().encode(text)]
      })
      const types: SqliteZstdCase = {
        name: 'types',
        table: 'types',
        schema: 'CREATE TABLE types (id INTEGER PRIMARY KEY, chosen TEXT, t TEXT, b BLOB)',
        columns: ['id', 'chosen', 't', 'b'],
        key: ['id'],
        compressed: [
          { column: 't', chooser: 'chosen' },
          { column: 'b', chooser: `iif(chosen = '[nodict]', chosen, 'b')` },
        ],
        rows: [],
        later: [],
        changes: [],
      }
      const statements = ['BEGIN', types.schema, ...rows, ...filling, 'COMMIT']
      const plainRows = rowsHere(null, join(folder, 'types-plain.db'), [...statements, everyRow(types)]).at(-1)
      const states = `SELECT DISTINCT typeof(t), CASE WHEN _t_dict > 0 THEN 1 ELSE _t_dict END FROM _types_zstd ORDER BY 1, 2`
      const [, , maintained, left, kinds] = rowsHere(tamp, file, statements).length
        ? rowsHere(tamp, file, [...enabling(types), maintaining, pending(types), states])
        : []
      expect(maintained).toEqual([[0n]])
      expect(left).toEqual([[0n]])
      // Plain ones of each type, with a dictionary, without, and without of the other type.
      expect(kinds).toEqual(
        expect.arrayContaining([
          ['null', null],
          ['text', null],
          ['blob', null],
          ['blob', -2n],
          ['blob', -1n],
          ['blob', 1n],
        ]),
      )
      expect(rowsOf(sqliteZstd, file, [everyRow(types)])[0]).toEqual(plainRows)
    })

    test('the numbers that tamp puts where sqlite-zstd wants a truth value, and the guards of its dictionaries', () => {
      const given = sqliteZstdCases[0]!
      const file = join(folder, 'scope.db')
      rowsHere(tamp, file, ['BEGIN', given.schema, ...given.rows, 'COMMIT', ...enabling(given), maintaining])
      const [views, refusedDelete, refusedUpdate] = outcomes(sqliteZstd, file, [
        `SELECT sql FROM sqlite_schema WHERE type = 'view'`,
        'DELETE FROM _zstd_dicts WHERE id = 1',
        `UPDATE _zstd_dicts SET dict = x'00' WHERE id = 1`,
      ])
      expect(String((views as readonly (readonly string[])[])[0])).toMatch(
        /zstd_decompress_col\("data", .*, "_data_dict", \d{10}\)/,
      )
      expect(refusedDelete).toHaveProperty('error')
      expect(refusedUpdate).toHaveProperty('error')
    })

    test('a configuration that tamp wrote is one that sqlite-zstd can parse, and enabling the column once more is refused by it as ever', () => {
      const given = sqliteZstdCases[0]!
      const file = join(folder, 'config.db')
      rowsHere(tamp, file, ['BEGIN', given.schema, ...given.rows, 'COMMIT', ...enabling(given, 'auto')])
      const [refused, [[config]]] = outcomes(sqliteZstd, file, [
        ['SELECT zstd_enable_transparent(?)', configurations(given)[0]!],
        'SELECT config FROM _zstd_configs',
      ]) as unknown as [unknown, [[string]]]
      expect(refused).toHaveProperty('error')
      const level = (JSON.parse(config) as { compression_level: unknown }).compression_level
      expect(level).toSatisfy((value: number) => Number.isInteger(value) && value >= 1 && value <= 22)
    })
  },
)

/** What `check` finds wrong. A dictionary of sqlite-zstd's without a hash in tamp's catalogue is a finding and no fault. */
function findings(checked: readonly (readonly unknown[])[] | undefined): unknown {
  const { findings: all } = JSON.parse(String(checked?.[0]?.[0])) as { findings: readonly { fault?: boolean }[] }
  return all.filter(({ fault }) => fault !== false)
}
