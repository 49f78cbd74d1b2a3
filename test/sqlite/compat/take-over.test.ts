// Enabling with tamp a column that sqlite-zstd enabled: the cells stay, what sqlite-zstd does wrong is put right, and the way back to the plain
// table, which sqlite-zstd has not, is there.
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { testLibrary as tamp } from '../../support/sqlite/judge.ts'
import { normalSchema, schemaQuery } from '../../support/sqlite/normal-schema.ts'
import { buildTimeout, realSqliteZstd } from '../../support/sqlite/real-sqlite-zstd.ts'
import { outcomes, rowsHere, rowsOf } from '../../support/sqlite/sqlite-process.ts'
import type { Statement } from '../../support/sqlite/sqlite-process.ts'
import { enabling, everyRow, maintaining, sqliteZstdCases } from '../../support/sqlite/sqlite-zstd-cases.ts'
import type { SqliteZstdCase } from '../../support/sqlite/sqlite-zstd-cases.ts'
import { dictColumn, quoted, rowsTable } from '../../../src/sqlite/policy/names.ts'

const sqliteZstd = await realSqliteZstd()
const folder = await temporaryFolder('tamp-take-over-')

describe.skipIf(sqliteZstd === null)(
  'a column that sqlite-zstd enabled, enabled again by tamp',
  { timeout: buildTimeout },
  () => {
    for (const [index, given] of sqliteZstdCases.entries())
      test(`keeps its cells and can be disabled: ${given.name}`, () => {
        const file = join(folder, `${index}.db`)
        const plain = join(folder, `${index}-plain.db`)
        const all = everyRow(given)
        const inPlain = (...statements: readonly Statement[]) => rowsHere(null, plain, statements)
        const inTamp = (...statements: readonly Statement[]) => rowsHere(tamp, file, statements)
        const inSqliteZstd = (...statements: readonly Statement[]) => rowsOf(sqliteZstd, file, statements)

        inPlain('BEGIN', given.schema, ...given.rows, ...given.later, 'COMMIT')
        inSqliteZstd(
          'BEGIN',
          given.schema,
          ...given.rows,
          'COMMIT',
          ...enabling(given),
          maintaining,
          'BEGIN',
          ...given.later,
          'COMMIT',
        )
        const [before] = inSqliteZstd(cells(given))
        const plainRows = inPlain(all)[0]!

        // All columns of a table go together.
        expect(inTamp(enabling(given)[0]!).flat(2)).toEqual(['Done!'])
        const [after, rows, objects, configs] = inTamp(
          cells(given),
          all,
          schemaQuery,
          'SELECT config FROM _zstd_configs',
        )
        expect(after).toEqual(before)
        expect(rows).toEqual(plainRows)
        expect(configs).toHaveLength(given.compressed.length)
        for (const [config] of configs!) expect(JSON.parse(String(config))).toHaveProperty('tamp')
        const names = objects!.map(([, name]) => String(name))
        for (const { column } of given.compressed) expect(names).not.toContain(`_${column}_dict_idx`)
        expect(names.filter((name) => /_update_.*_trigger$/.test(name))).toEqual([])

        // sqlite-zstd reads it as before, now through tamp's view, and writes through tamp's triggers.
        inPlain('BEGIN', ...given.changes, 'COMMIT')
        const changedRows = inPlain(all)[0]!
        const [changed] = inSqliteZstd(all, 'BEGIN', ...given.changes, 'COMMIT', all).slice(-1)
        expect(changed).toEqual(changedRows)

        const [maintained, compressed, integrity] = inTamp(maintaining, all, 'PRAGMA integrity_check')
        expect(maintained).toEqual([[0n]])
        expect(compressed).toEqual(changedRows)
        expect(integrity).toEqual([['ok']])

        const disabling = given.compressed.map(({ column }): Statement => [
          `SELECT tamp('disable', ?)`,
          JSON.stringify({ table: given.table, column }),
        ])
        for (const [[answer]] of inTamp(...disabling) as unknown as readonly [readonly [string]][])
          expect(JSON.parse(answer)).toMatchObject({ complete: true })
        // Without any library.
        const [restored, restoredSchema, sound] = rowsHere(null, file, [all, schemaQuery, 'PRAGMA integrity_check'])
        expect(restored).toEqual(changedRows)
        expect(sound).toEqual([['ok']])
        expect(normalSchema({ rows: restoredSchema! })).toEqual(normalSchema({ rows: inPlain(schemaQuery)[0]! }))
      })

    test('no longer loses an update of several columns where the key is not the first one', () => {
      const [file, inSqliteZstd, inTamp] = late('lost-update')
      const update = `UPDATE late SET data = 'b', k = 2, id = 1000 + id WHERE id = ?`
      const seen = 'SELECT data, k FROM late WHERE id = ?'
      const [, lost] = rowsOf(sqliteZstd, file, [
        [update, 5n],
        [seen, 1005n],
      ])
      expect(lost, 'what sqlite-zstd makes of it').not.toEqual([['b', 2n]])
      inTamp(...enabling(lateKey))
      expect(inTamp([update, 6n], [seen, 1006n])[1]).toEqual([['b', 2n]])
      expect(inSqliteZstd([update, 7n], [seen, 1007n])[1], 'now for sqlite-zstd, too').toEqual([['b', 2n]])
    })

    test('gives omitted columns their defaults', () => {
      const [file, , inTamp] = late('defaults')
      const insert = `INSERT INTO late (data, id) VALUES ('x', ?)`
      const [refused] = outcomes(sqliteZstd, file, [[insert, 2000n]])
      expect(refused, 'what sqlite-zstd makes of it').toHaveProperty('error')
      const [, , inserted] = inTamp(enabling(lateKey)[0]!, [insert, 2001n], 'SELECT * FROM late WHERE id = 2001')
      expect(inserted).toEqual([['x', 7n, 'none', 2001n]])
    })

    test('keeps a blob among texts a blob', () => {
      const [file, inSqliteZstd, inTamp] = late('blob')
      const blob = new TextEncoder().encode('{"some":"bytes"} '.repeat(20))
      const insert = `INSERT INTO late (data, id, s) VALUES (?, ?, '')`
      const types = 'SELECT id, typeof(data), length(CAST(data AS BLOB)) FROM late WHERE id >= 2000'
      const [, , lost] = rowsOf(sqliteZstd, file, [[insert, blob, 2000n], maintaining, types])
      expect(lost, 'what sqlite-zstd makes of it').toEqual([[2000n, 'text', 340n]])
      const [, , , kept, left] = inTamp(
        enabling(lateKey)[0]!,
        [insert, blob, 2001n],
        maintaining,
        types,
        'SELECT count(*) FROM _late_zstd WHERE id = 2001 AND _data_dict IS NULL',
      )
      expect(kept).toEqual([
        [2000n, 'text', 340n],
        [2001n, 'blob', 340n],
      ])
      expect(left, 'compressed').toEqual([[0n]])
      expect(inSqliteZstd(types)[0], 'for sqlite-zstd, too').toEqual(kept)
    })

    test('leaves room for a second table with a column of the same name', () => {
      const [file, , inTamp] = late('second')
      const second: SqliteZstdCase = {
        ...lateKey,
        table: 'second',
        compressed: [{ column: 'data', chooser: `'second'` }],
      }
      const create = 'CREATE TABLE second (id INTEGER PRIMARY KEY, data TEXT)'
      const [, refused] = outcomes(sqliteZstd, file, [create, enabling(second)[0]!])
      expect(refused, 'what sqlite-zstd makes of it').toHaveProperty('error')
      expect(inTamp(...enabling(lateKey), ...enabling(second)).flat(2)).toEqual(['Done!', 'Done!'])
    })
  },
)

const lateKey = sqliteZstdCases.find(({ table }) => table === 'late')!

/** A database of sqlite-zstd's with the table `late`, and two ways to ask it. */
function late(name: string) {
  const file = join(folder, `${name}.db`)
  rowsOf(sqliteZstd, file, ['BEGIN', lateKey.schema, ...lateKey.rows, 'COMMIT', ...enabling(lateKey), maintaining])
  return [
    file,
    (...statements: readonly Statement[]) => rowsOf(sqliteZstd, file, statements),
    (...statements: readonly Statement[]) => rowsHere(tamp, file, statements),
  ] as const
}

/** The stored cells as they are. */
function cells({ table, compressed, key }: SqliteZstdCase): string {
  const stored = compressed.flatMap(({ column }) => [quoted(dictColumn(column)), `hex(${quoted(column)})`])
  const keys = key.map(quoted).join(', ')
  return `SELECT ${keys}, ${stored.join(', ')} FROM ${quoted(rowsTable(table))} ORDER BY ${keys}`
}
