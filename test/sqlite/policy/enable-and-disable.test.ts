// A table with a compressed column does what the plain one does: before and after its cells are compressed, and once it is disabled it is
// the plain table again.
import { describe, expect, test } from 'vitest'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { quoted } from '../../../src/sqlite/policy/names.ts'
import { compressCells, policyDatabase, schemaOf, typedRows } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'
import { shapes } from './table-shapes.ts'
import type { TableShape } from './table-shapes.ts'

function outcome({ db }: PolicyDatabase, sql: string): string {
  try {
    db.exec(sql)
    return 'done'
  } catch (error) {
    // SQLite names the rows and, of an index that has become one over an expression, the index.
    return (error as Error).message.replace(/_(.*)_zstd\./, '$1.').replace(/^(UNIQUE constraint failed).*/, '$1')
  }
}

/** What the rows say, by everything that looks at them. */
function seen({ db }: PolicyDatabase, { table, seen: queries }: TableShape): unknown {
  return (queries ?? [`SELECT * FROM ${quoted(table)} ORDER BY 1, 2, 3`]).map((sql) => typedRows(db, sql))
}

describe.each(shapes)('$title', (shape) => {
  const { schema, table, columns, statements } = shape
  const halves = [statements.slice(0, statements.length >> 1), statements.slice(statements.length >> 1)] as const

  function compare(plain: PolicyDatabase, tried: PolicyDatabase, sql: string): void {
    const expected = outcome(plain, sql)
    expect(outcome(tried, sql), sql).toBe(expected)
    expect(seen(tried, shape), sql).toEqual(seen(plain, shape))
  }

  test('P1 P8: does what the plain table does, compressed and disabled', () => {
    const [plain, tried] = [policyDatabase(schema), policyDatabase(schema)]
    const compress = (): void => {
      for (const column of columns) compressCells(tried.db, table, column)
      expect(seen(tried, shape)).toEqual(seen(plain, shape))
      expect(tried.db.pragma('integrity_check', { simple: true })).toBe('ok')
    }
    for (const sql of halves[0]) compare(plain, tried, sql)
    for (const column of columns) tried.run(enable({ table, column }))
    compress()
    for (const sql of statements) compare(plain, tried, sql)
    compress()
    for (const sql of halves[1]) compare(plain, tried, sql)
    compress()
    for (const column of columns) {
      const { complete } = tried.run(disable({ table, column }))
      expect(complete).toBe(true)
      expect(seen(tried, shape)).toEqual(seen(plain, shape))
    }
    expect(schemaOf(tried.db)).toEqual(schemaOf(plain.db))
    expect(tried.db.pragma('integrity_check', { simple: true })).toBe('ok')
    for (const sql of statements) compare(plain, tried, sql)
  })

  test('enabled while empty', () => {
    const [plain, tried] = [policyDatabase(schema), policyDatabase(schema)]
    for (const column of columns) tried.run(enable({ table, column }))
    for (const sql of statements) {
      compare(plain, tried, sql)
      for (const column of columns) compressCells(tried.db, table, column)
      expect(seen(tried, shape)).toEqual(seen(plain, shape))
    }
    for (const column of columns.toReversed()) tried.run(disable({ table, column }))
    expect(schemaOf(tried.db)).toEqual(schemaOf(plain.db))
  })
})
