// The port to SQLite: the same answers and the same errors over better-sqlite3 and node:sqlite.
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BetterSqlite3Driver, openBetterSqlite3 } from '../../src/database/better-sqlite3.ts'
import { NodeSqliteDriver, openNodeSqlite } from '../../src/database/node-sqlite.ts'
import type { OpenOptions, SqliteDriver } from '../../src/database/sqlite-driver.ts'
import { SqlError } from '../../src/database/sqlite-value.ts'
import type { Value } from '../../src/database/sqlite-value.ts'

const drivers: [string, (path: string, options?: OpenOptions) => SqliteDriver][] = [
  ['better-sqlite3', (path, options) => new BetterSqlite3Driver(openBetterSqlite3(path, options))],
  ['node:sqlite', (path, options) => new NodeSqliteDriver(openNodeSqlite(path, options))],
]

/** The code a statement fails with. */
function codeOf(act: () => unknown): number {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(SqlError)
    return (error as SqlError).code
  }
  throw new Error('it did not fail')
}

describe.each(drivers)('%s', (_name, open) => {
  const memory = (): SqliteDriver => open(':memory:', { create: true })

  test('values come back as they were stored', () => {
    const driver = memory()
    const values: Value[] = [
      null,
      0,
      -1,
      2 ** 53 - 1,
      -(2 ** 53 - 1),
      2n ** 53n + 1n,
      -(2n ** 63n),
      1.5,
      1e300,
      '',
      'snow ☃ \u0000 after',
      new Uint8Array(),
      new Uint8Array([0, 255, 7]),
    ]
    for (const value of values) expect(driver.query('SELECT ?', [value])).toEqual([[value]])
    expect(driver.query("SELECT ?, 2, x'ff', NULL, 9007199254740993", ['a'])).toEqual([
      ['a', 2, new Uint8Array([255]), null, 9007199254740993n],
    ])
    const types = driver.query('SELECT typeof(?), typeof(?), typeof(?), typeof(?)', [7, 7.5, -0, 7n])
    expect(types).toEqual([['integer', 'real', 'real', 'integer']])
    driver.close()
  })

  test('statements with and without rows', () => {
    const driver = memory()
    expect(driver.query('CREATE TABLE t (a INTEGER PRIMARY KEY, b)')).toEqual([])
    expect(driver.query('INSERT INTO t (b) VALUES (?), (?)', ['x', 'y'])).toEqual([])
    expect(driver.changes()).toBe(2)
    expect(driver.query('INSERT INTO t (b) VALUES (?) RETURNING a, b', ['z'])).toEqual([[3, 'z']])
    expect(driver.query('UPDATE t SET b = upper(b) WHERE a > ?', [1])).toEqual([])
    expect(driver.changes()).toBe(2)
    expect(driver.query('SELECT * FROM t')).toEqual([
      [1, 'x'],
      [2, 'Y'],
      [3, 'Z'],
    ])
    expect(driver.query('PRAGMA user_version = 5')).toEqual([])
    expect(driver.query('PRAGMA user_version')).toEqual([[5]])
    // A statement that was compiled before the table got another column.
    driver.query('ALTER TABLE t ADD COLUMN c DEFAULT 9')
    expect(driver.query('SELECT * FROM t LIMIT 1')).toEqual([[1, 'x', 9]])
    driver.query('SELECT * FROM t LIMIT 1')
    driver.query('DROP TABLE t')
    driver.close()
  })

  test('more statements than are kept', () => {
    const driver = memory()
    for (let round = 0; round < 3; round++)
      for (let i = 0; i < 500; i++) expect(driver.query(`SELECT ${i}, ?`, [round])).toEqual([[i, round]])
    driver.close()
  })

  test('transactions', () => {
    const driver = memory()
    driver.query('CREATE TABLE t (a)')
    expect(driver.autocommit).toBe(true)
    driver.query('BEGIN IMMEDIATE')
    expect(driver.autocommit).toBe(false)
    driver.query('INSERT INTO t VALUES (1)')
    driver.query('ROLLBACK')
    expect(driver.autocommit).toBe(true)
    expect(driver.query('SELECT * FROM t')).toEqual([])
    driver.close()
  })

  test('the schema table can be written only where that is allowed', () => {
    const driver = memory()
    driver.query('CREATE TABLE t (a)')
    const change = `UPDATE sqlite_schema SET sql = 'CREATE TABLE t (b)' WHERE name = 't'`
    expect(driver.setDefensive(true)).toBeTypeOf('boolean')
    expect(driver.setDefensive(true)).toBe(true)
    driver.query('PRAGMA writable_schema = ON')
    expect(codeOf(() => driver.query(change))).toBe(1)
    expect(driver.setDefensive(false)).toBe(true)
    driver.query('PRAGMA writable_schema = ON')
    expect(driver.query(change)).toEqual([])
    expect(driver.changes()).toBe(1)
    expect(driver.setDefensive(true)).toBe(false)
    expect(codeOf(() => driver.query(change))).toBe(1)
    driver.close()
  })

  test('errors have the extended code of SQLite', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'tamp-driver-'))
    const path = join(directory.path, 'a.db')
    const driver = open(path, { create: true })
    driver.query(`CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE, c NOT NULL DEFAULT 0 CHECK (c < 10))`)
    driver.query(`CREATE TRIGGER r BEFORE INSERT ON t WHEN new.b = 'r' BEGIN SELECT raise(ABORT, 'no r'); END`)
    driver.query(`INSERT INTO t (a, b) VALUES (1, 'x')`)
    expect(codeOf(() => driver.query('SELEC'))).toBe(1)
    expect(codeOf(() => driver.query('SELECT 1; SELECT 2'))).toBe(1)
    expect(codeOf(() => driver.query(''))).toBe(1)
    expect(driver.query('SELECT 1; -- done; really\n /* ; */')).toEqual([[1]])
    expect(codeOf(() => driver.query(`INSERT INTO t (b) VALUES ('x')`))).toBe(2067)
    expect(codeOf(() => driver.query(`INSERT INTO t (a, b) VALUES (1, 'y')`))).toBe(1555)
    expect(codeOf(() => driver.query(`INSERT INTO t (c) VALUES (NULL)`))).toBe(1299)
    expect(codeOf(() => driver.query(`INSERT INTO t (c) VALUES (99)`))).toBe(275)
    expect(() => driver.query(`INSERT INTO t (b) VALUES ('r')`)).toThrow(new SqlError('no r', 1811))
    expect(codeOf(() => driver.query(`INSERT INTO t (b) VALUES ('r')`))).toBe(1811)
    expect(codeOf(() => driver.query(`INSERT INTO t (a) VALUES ('text')`))).toBe(20)
    expect(codeOf(() => driver.loadExtension(join(directory.path, 'nothing.so')))).toBe(1)

    const other = open(path, { busySeconds: 0 })
    driver.query('BEGIN IMMEDIATE')
    expect(codeOf(() => other.query(`DELETE FROM t`))).toBe(5)
    driver.query('ROLLBACK')
    other.close()
    const reader = open(path, { readOnly: true })
    expect(codeOf(() => reader.query(`DELETE FROM t`))).toBe(8)
    reader.close()
    driver.close()

    expect(codeOf(() => open(join(directory.path, 'nothing.db')))).toBe(14)
    expect(codeOf(() => open(join(directory.path, 'nothing.db'), { readOnly: true }))).toBe(14)
    expect(codeOf(() => open(join(directory.path, 'no', 'where.db')))).toBe(14)
    expect(codeOf(() => open(join(directory.path, 'no', 'where.db'), { create: true }))).toBe(14)
    expect(codeOf(() => open(`file:${path}`))).toBe(14)
    expect(codeOf(() => open(`${path} `))).toBe(14)
    const text = join(directory.path, 'text.db')
    await writeFile(text, 'This is a text, and a long one. '.repeat(100))
    const none = open(text)
    expect(codeOf(() => none.query('SELECT * FROM sqlite_schema'))).toBe(26)
    none.close()
  })
})
