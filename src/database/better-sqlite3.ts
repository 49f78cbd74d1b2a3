// The port to SQLite over better-sqlite3.
import Database from 'better-sqlite3'
import { bound, isDefensive, sqliteFile, StatementCache, stored } from './sqlite-driver.ts'
import type { OpenOptions, SqliteDriver } from './sqlite-driver.ts'
import { resultCode } from './sqlite-result-codes.ts'
import { SqlError } from './sqlite-value.ts'
import type { Row, Value } from './sqlite-value.ts'

export class BetterSqlite3Driver implements SqliteDriver {
  readonly #database: Database.Database
  readonly #statements: StatementCache<Database.Statement>
  #defensive: boolean | undefined

  constructor(database: Database.Database) {
    this.#database = database
    this.#statements = new StatementCache((sql) => {
      const statement = database.prepare(sql)
      return statement.reader ? statement.raw().safeIntegers() : statement
    })
  }

  query(sql: string, params: readonly Value[] = []): Row[] {
    return guarded(() => {
      const statement = this.#statements.get(sql)
      const values = params.map(bound)
      if (statement.reader) return stored(statement.all(values) as unknown[][])
      statement.run(values)
      return []
    })
  }

  changes(): number {
    return Number(this.query('SELECT changes()')[0]![0])
  }

  get autocommit(): boolean {
    return !this.#database.inTransaction
  }

  setDefensive(on: boolean): boolean {
    const before = (this.#defensive ??= isDefensive(this))
    // Its unsafe mode also lets statements write while others are read, which nothing here does.
    this.#database.unsafeMode(!on)
    this.#defensive = on
    return before
  }

  loadExtension(path: string): void {
    guarded(() => this.#database.loadExtension(path))
  }

  close(): void {
    this.#database.close()
  }
}

/** Errors of SQLite, and the driver's own about a statement, as SqlErrors. */
function guarded<Result>(act: () => Result): Result {
  try {
    return act()
  } catch (error) {
    if (error instanceof Database.SqliteError)
      throw new SqlError(error.message, resultCode(error.code), { cause: error })
    if (error instanceof RangeError || error instanceof TypeError)
      throw new SqlError(error.message, 1, { cause: error })
    throw error
  }
}

/** @throws SqlError 14 where the file is not there or cannot be opened; whether it is a database shows at the first statement */
export function openBetterSqlite3(path: string, options: OpenOptions = {}): Database.Database {
  const { readOnly = false, create = false, busySeconds = 5 } = options
  const file = sqliteFile(path, create)
  // It trims names, and would open another file.
  if (file.trim() !== file) throw new SqlError('the name of a database file must not end with a blank', 14)
  return guarded(
    () =>
      new Database(file, {
        readonly: readOnly,
        fileMustExist: !create && !readOnly,
        timeout: Math.round(busySeconds * 1000),
      }),
  )
}
