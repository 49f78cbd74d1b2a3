// The port to SQLite: one connection, synchronous, the same over better-sqlite3 and node:sqlite.
// Values come and go as SQLite stores them, errors are SqlErrors with SQLite's extended result code.
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { SqlError } from './sqlite-value.ts'
import type { Row, Value } from './sqlite-value.ts'

export interface SqliteDriver {
  /**
   * Runs one statement and gives all its rows, none for statements that have none. Whole numbers are bound as integers.
   * @throws SqlError
   */
  query(sql: string, params?: readonly Value[]): Row[]
  /** Rows changed by the last INSERT, UPDATE or DELETE. */
  changes(): number
  /** True when no transaction is open. */
  readonly autocommit: boolean
  /** Forbids (true) or allows (false) writing the schema table; gives how it was. */
  setDefensive(on: boolean): boolean
  /** @throws SqlError */
  loadExtension(path: string): void
  close(): void
}

/** The libraries there are to work with. */
export type SqliteDriverName = 'better-sqlite3' | 'node:sqlite'

export interface OpenOptions {
  readonly readOnly?: boolean
  /** Make the file where there is none. Default false. */
  readonly create?: boolean
  /** Seconds to wait for somebody else's lock. Default 5. */
  readonly busySeconds?: number
}

/**
 * The file to open, in a form that no driver takes for a URL.
 * @throws SqlError 14 where it is not there, or cannot be made
 */
export function sqliteFile(path: string, create: boolean): string {
  if (path === ':memory:') return path
  const file = resolve(path)
  if (!existsSync(create ? dirname(file) : file)) throw new SqlError('unable to open database file', 14)
  return file
}

/** Statements that are kept compiled. A run uses a few dozen; more than this are made by programs that put values into their SQL. */
const keptStatements = 64

/** Compiled statements by their text; the one that was not used for longest goes first. */
export class StatementCache<Statement> {
  readonly #prepare: (sql: string) => Statement
  readonly #statements = new Map<string, Statement>()

  constructor(prepare: (sql: string) => Statement) {
    this.#prepare = prepare
  }

  get(sql: string): Statement {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#prepare(sql)
      const [oldest] = this.#statements.keys()
      if (this.#statements.size >= keptStatements) this.#statements.delete(oldest!)
    } else {
      this.#statements.delete(sql)
    }
    this.#statements.set(sql, statement)
    return statement
  }
}

/** A value for a driver that binds every `number` as a real. Minus zero is no integer. */
export function bound(value: Value): Value {
  return typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value
}

/** Values of a driver that gives every integer as `bigint`, in place. */
export function stored(rows: unknown[][]): Row[] {
  for (const row of rows)
    for (let i = 0; i < row.length; i++) {
      const value = row[i]
      if (typeof value === 'bigint') {
        const number = Number(value)
        if (Number.isSafeInteger(number)) row[i] = number
      } else if (Buffer.isBuffer(value)) row[i] = new Uint8Array(value.buffer, value.byteOffset, value.length)
    }
  return rows as Row[]
}

/**
 * Whether the schema table of a connection is guarded against writing, which neither driver tells: asked for writing, a guarded
 * connection says nothing and leaves it off.
 */
export function isDefensive(driver: Pick<SqliteDriver, 'query'>): boolean {
  const writable = (): boolean => driver.query('PRAGMA writable_schema')[0]?.[0] === 1
  if (writable()) return false
  driver.query('PRAGMA writable_schema = ON')
  if (!writable()) return true
  driver.query('PRAGMA writable_schema = OFF')
  return false
}
