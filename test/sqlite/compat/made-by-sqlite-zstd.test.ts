// A database that sqlite-zstd itself made is read, written and maintained by tamp as it is, and handed back.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { testLibrary as tamp } from '../../support/sqlite/judge.ts'
import { buildTimeout, realSqliteZstd } from '../../support/sqlite/real-sqlite-zstd.ts'
import { rowsHere, rowsOf } from '../../support/sqlite/sqlite-process.ts'
import { enabling, everyRow, maintaining, pending, sqliteZstdCases } from '../../support/sqlite/sqlite-zstd-cases.ts'

const sqliteZstd = await realSqliteZstd()
const folder = await temporaryFolder('tamp-made-by-sqlite-zstd-')

describe.skipIf(sqliteZstd === null)('P8: a database that sqlite-zstd made', { timeout: buildTimeout }, () => {
  for (const [index, given] of sqliteZstdCases.entries())
    test(given.name, () => {
      const file = join(folder, `${index}.db`)
      const plain = join(folder, `${index}-plain.db`)
      const all = everyRow(given)
      const inPlain = (...statements: typeof given.rows) => rowsHere(null, plain, statements)
      const inTamp = (...statements: typeof given.rows) => rowsHere(tamp, file, statements)
      const inSqliteZstd = (...statements: typeof given.rows) => rowsOf(sqliteZstd, file, statements)

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
      const made = inSqliteZstd(pending(given), 'SELECT * FROM _zstd_configs', views)
      expect(Number(made[0]![0]![0]), 'rows left for tamp').toBeGreaterThan(20)

      // It reads everything, compressed and pending, ...
      const plainRows = inPlain(all)[0]!
      expect(inTamp(all)[0]).toEqual(plainRows)

      // ... writes through sqlite-zstd's own view and triggers, ...
      inPlain('BEGIN', ...given.changes, 'COMMIT')
      const [changed] = inTamp('BEGIN', ...given.changes, 'COMMIT', all).slice(-1)
      const changedRows = inPlain(all)[0]!
      expect(changedRows).not.toEqual(plainRows)
      expect(changed).toEqual(changedRows)

      // ... compresses what is pending, with nothing enabled anew, as far as sqlite-zstd would, ...
      const copy = join(folder, `${index}-copy.db`)
      copyFileSync(file, copy)
      const leftThere = rowsOf(sqliteZstd, copy, [maintaining, pending(given)])[1]
      expect(Number(leftThere![0]![0])).toBeLessThan(3)
      const [maintained, left, configs, viewTexts, afterwards, integrity] = inTamp(
        maintaining,
        pending(given),
        'SELECT * FROM _zstd_configs',
        views,
        all,
        'PRAGMA integrity_check',
      )
      expect(maintained).toEqual([[0n]])
      expect(left).toEqual(leftThere)
      expect(configs).toEqual(made[1])
      expect(viewTexts).toEqual(made[2])
      expect(afterwards).toEqual(changedRows)
      expect(integrity).toEqual([['ok']])

      // ... and hands it back.
      const [back, done, again, sound] = inSqliteZstd(all, maintaining, all, 'PRAGMA integrity_check')
      expect(back).toEqual(changedRows)
      expect(done).toEqual([[0n]])
      expect(again).toEqual(changedRows)
      expect(sound).toEqual([['ok']])
    })
})

const views = `SELECT name, sql FROM sqlite_schema WHERE type IN ('view', 'trigger') AND tbl_name NOT LIKE '\\_zstd%' ESCAPE '\\' ORDER BY name`
