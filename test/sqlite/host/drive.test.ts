// Driving a policy: answers go in, errors can be caught by the policy, the result comes out. The same over both drivers.
import { describe, expect, test } from 'vitest'
import { BetterSqlite3Driver, openBetterSqlite3 } from '../../../src/database/better-sqlite3.ts'
import { NodeSqliteDriver, openNodeSqlite } from '../../../src/database/node-sqlite.ts'
import type { SqliteDriver } from '../../../src/database/sqlite-driver.ts'
import { drive } from '../../../src/sqlite/host/drive.ts'
import {
  atomically,
  autocommit,
  execute,
  log,
  now,
  query,
  queryValue,
  sleep,
  SqlError,
  stopping,
  tell,
} from '../../../src/sqlite/policy/request.ts'
import type { Policy } from '../../../src/sqlite/policy/request.ts'

const drivers: [string, () => SqliteDriver][] = [
  ['better-sqlite3', () => new BetterSqlite3Driver(openBetterSqlite3(':memory:', { create: true }))],
  ['node:sqlite', () => new NodeSqliteDriver(openNodeSqlite(':memory:', { create: true }))],
]

describe.each(drivers)('%s', (_name, open) => {
  test('every request has its answer', () => {
    const told: unknown[] = []
    const result = drive(
      (function* (): Policy<unknown> {
        yield* query('CREATE TABLE t (a)')
        const changed = yield* execute('INSERT INTO t VALUES (?), (?)', 1, 'x')
        yield* log('warn', 'careful')
        yield* tell({ type: 'training', lane: 't.a', key: 'k', rows: 2 })
        const before = yield* now()
        yield* sleep(0.05, 'for a test')
        const passed = (yield* now()) - before
        return [
          changed,
          yield* autocommit(),
          yield* stopping(),
          passed >= 0.05 && passed < 1,
          yield* query('SELECT a FROM t'),
        ]
      })(),
      open(),
      { onEvent: (event) => told.push(event), onLog: (level, message) => told.push([level, message]) },
    )
    expect(result).toEqual([2, true, false, true, [[1], ['x']]])
    expect(told).toEqual([['warn', 'careful'], { type: 'training', lane: 't.a', key: 'k', rows: 2 }])
  })

  test('an error of a statement is thrown where it was asked for, and passes on where nobody catches it', () => {
    const driver = open()
    drive(query('CREATE TABLE t (a UNIQUE)'), driver)
    const insertTwice = function* (): Policy<void> {
      yield* query('INSERT INTO t VALUES (1)')
      yield* query('INSERT INTO t VALUES (1)')
    }
    const caught = drive(
      (function* (): Policy<number> {
        try {
          yield* atomically(insertTwice)
          return 0
        } catch (error) {
          return (error as SqlError).code
        }
      })(),
      driver,
    )
    expect(caught).toBe(2067)
    expect(drive(queryValue('SELECT count(*) FROM t'), driver)).toBe(0)
    expect(() => drive(insertTwice(), driver)).toThrow(SqlError)
    expect(driver.autocommit).toBe(true)
  })

  test('in the middle of a transaction of the caller, atomically is a savepoint', () => {
    const driver = open()
    driver.query('CREATE TABLE t (a UNIQUE)')
    driver.query('BEGIN')
    driver.query('INSERT INTO t VALUES (5)')
    const failing = function* (): Policy<void> {
      yield* query('INSERT INTO t VALUES (6)')
      yield* query('INSERT INTO t VALUES (5)')
    }
    expect(() => drive(atomically(failing), driver)).toThrow(/UNIQUE/)
    expect(driver.autocommit).toBe(false)
    driver.query('COMMIT')
    expect(driver.query('SELECT a FROM t')).toEqual([[5]])
  })

  test('a pause ends when the run is told to stop', () => {
    const start = performance.now()
    const stopAt = start + 150
    drive(sleep(20, 'for a test'), open(), { stopping: () => performance.now() > stopAt })
    expect(performance.now() - start).toBeLessThan(2000)
  })

  test('what a listener throws ends the policy, which takes back what it did', () => {
    const driver = open()
    driver.query('CREATE TABLE t (a)')
    const telling = function* (): Policy<void> {
      yield* query('INSERT INTO t VALUES (1)')
      yield* log('info', 'x')
    }
    const fail = (): never => {
      throw new Error('listener')
    }
    expect(() => drive(atomically(telling), driver, { onLog: fail })).toThrow('listener')
    expect(driver.query('SELECT * FROM t')).toEqual([])
    expect(driver.autocommit).toBe(true)
  })
})
