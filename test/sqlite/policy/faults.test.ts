// Whatever statement fails, nothing of a change is left behind; and what fails while a column is on its way back can be taken up again.
import { describe, expect, test } from 'vitest'
import type { SqliteDriver } from '../../../src/database/sqlite-driver.ts'
import { addIndex } from '../../../src/sqlite/policy/add-index.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { drive } from '../../../src/sqlite/host/drive.ts'
import type { Policy } from '../../../src/sqlite/policy/request.ts'
import { SqlError } from '../../../src/sqlite/policy/request.ts'
import { compressCells, policyDatabase, schemaOf, typedRows } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'

const schema = `CREATE TABLE log(n INTEGER PRIMARY KEY, what);
  CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT CHECK (length(data) < 1000), size INT AS (length(data)), k INT DEFAULT 7) STRICT;
  CREATE TABLE child(t REFERENCES t);
  CREATE INDEX i ON t(data);
  CREATE TRIGGER au AFTER UPDATE ON t BEGIN INSERT INTO log(what) VALUES (new.data); END;
  CREATE VIEW v AS SELECT data FROM t;
  CREATE TRIGGER vi INSTEAD OF INSERT ON v BEGIN INSERT INTO t(data) VALUES (new.data); END;
  WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 6)
    INSERT INTO t(data) SELECT 'a text that is long enough to be compressed, number ' || n FROM n;`

/** A driver whose n-th statement fails, but for those that end a transaction. */
function failing(driver: SqliteDriver, n: number): SqliteDriver & { readonly failed: boolean } {
  let left = n
  return {
    get failed() {
      return left <= 0
    },
    query(sql, params) {
      if (!/^ROLLBACK|^RELEASE|writable_schema = RESET|legacy_alter_table/.test(sql) && --left === 0)
        throw new SqlError(`number ${n} failed: ${sql}`, 13)
      return driver.query(sql, params)
    },
    changes: () => driver.changes(),
    get autocommit() {
      return driver.autocommit
    },
    setDefensive: (on) => driver.setDefensive(on),
    loadExtension: (path) => driver.loadExtension(path),
    close: () => driver.close(),
  }
}

/** Runs the policy with each of its statements failing, until it gets through. @returns how many it has */
function failEach(
  tried: PolicyDatabase,
  policy: () => Policy<unknown>,
  afterFailure: (statement: number) => void,
): number {
  for (let n = 1; ; n++) {
    const driver = failing(tried.driver, n)
    try {
      drive(policy(), driver)
      expect(driver.failed, `the failure of statement ${n} was passed over`).toBe(false)
      return n
    } catch (error) {
      if (!String(error).includes(`number ${n} failed`)) throw error
      afterFailure(n)
    }
  }
}

const state = ({ db }: PolicyDatabase): unknown => [
  schemaOf(db),
  typedRows(db, 'SELECT * FROM t ORDER BY id'),
  typedRows(db, `SELECT * FROM sqlite_sequence WHERE name NOT LIKE '\\_%' ESCAPE '\\'`),
]

describe.each([
  ['in a transaction of its own', false],
  ["inside the caller's transaction", true],
])('%s', (_, inTransaction) => {
  function prepared(): PolicyDatabase {
    const tried = policyDatabase(schema)
    if (inTransaction) tried.db.exec(`BEGIN; INSERT INTO child VALUES (1)`)
    return tried
  }

  test('enabling is whole or nothing', () => {
    const tried = prepared()
    const before = state(tried)
    const statements = failEach(
      tried,
      () => enable({ table: 't', column: 'data' }),
      (n) => {
        expect(tried.db.inTransaction, `after ${n}`).toBe(inTransaction)
        expect(state(tried), `after ${n}`).toEqual(before)
      },
    )
    expect(statements).toBeGreaterThan(50)
    if (inTransaction) {
      tried.db.exec('ROLLBACK')
      expect(state(tried)).toEqual(before)
      expect(typedRows(tried.db, 'SELECT * FROM child')).toEqual([])
    } else {
      expect(tried.db.pragma('integrity_check', { simple: true })).toBe('ok')
    }
  })

  test('another column, too', () => {
    const tried = policyDatabase(schema.replace('k INT DEFAULT 7', `k TEXT DEFAULT 'k'`))
    tried.run(enable({ table: 't', column: 'data' }))
    compressCells(tried.db, 't', 'data')
    if (inTransaction) tried.db.exec('BEGIN')
    const before = state(tried)
    failEach(
      tried,
      () => enable({ table: 't', column: 'k' }),
      (n) => expect(state(tried), `after ${n}`).toEqual(before),
    )
    expect(tried.db.inTransaction).toBe(inTransaction)
  })

  test('an index, too', () => {
    const tried = prepared()
    tried.run(enable({ table: 't', column: 'data' }))
    const before = state(tried)
    const kept = typedRows(tried.db, 'SELECT * FROM _tamp_schema')
    let failures = 0
    failEach(
      tried,
      () => addIndex({ table: 't', on: ['upper(data)'], name: 'up' }),
      () => {
        failures++
        // Once it is there only the look at the plan can fail.
        if (schemaOf(tried.db).some((line) => line.startsWith('index up')))
          tried.db.exec(`DROP INDEX up; DELETE FROM _tamp_schema WHERE name = 'up'`)
        expect(state(tried)).toEqual(before)
        expect(typedRows(tried.db, 'SELECT * FROM _tamp_schema')).toEqual(kept)
      },
    )
    expect(failures).toBeGreaterThan(10)
  })

  test('disabling can be taken up wherever it failed, and reads right all the time', () => {
    const plain = policyDatabase(schema)
    const rows = typedRows(plain.db, 'SELECT * FROM t ORDER BY id')
    const tried = prepared()
    tried.run(enable({ table: 't', column: 'data' }))
    compressCells(tried.db, 't', 'data')
    failEach(
      tried,
      () => disable({ table: 't', column: 'data' }),
      (n) => {
        expect(typedRows(tried.db, 'SELECT * FROM t ORDER BY id'), `after ${n}`).toEqual(rows)
        expect(tried.db.inTransaction, `after ${n}`).toBe(inTransaction)
      },
    )
    expect(schemaOf(tried.db)).toEqual(schemaOf(plain.db))
    expect(typedRows(tried.db, 'SELECT * FROM t ORDER BY id')).toEqual(rows)
    expect(typedRows(tried.db, 'SELECT * FROM log')).toEqual([])
    if (inTransaction) tried.db.exec('ROLLBACK')
    expect(tried.db.pragma('integrity_check', { simple: true })).toBe('ok')
  })
})
