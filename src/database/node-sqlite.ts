// The port to SQLite over node:sqlite. Only what imports this file pays for it, and sees Node's warning where it still is experimental.
import { DatabaseSync } from 'node:sqlite'
import type { SQLInputValue, StatementSync } from 'node:sqlite'
import { bound, isDefensive, sqliteFile, StatementCache, stored } from './sqlite-driver.ts'
import type { OpenOptions, SqliteDriver } from './sqlite-driver.ts'
import { SqlError } from './sqlite-value.ts'
import type { Row, Value } from './sqlite-value.ts'

export class NodeSqliteDriver implements SqliteDriver {
  readonly #database: DatabaseSync
  readonly #statements: StatementCache<StatementSync>
  #defensive: boolean | undefined

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#statements = new StatementCache((sql) => {
      const statement = database.prepare(sql)
      // It reads the first statement of a text and passes over the rest.
      if (/[^\s;]/.test(withoutComments(sql.slice(statement.sourceSQL.length))))
        throw new SqlError('The supplied SQL string contains more than one statement', 1)
      statement.setReturnArrays(true)
      statement.setReadBigInts(true)
      return statement
    })
  }

  query(sql: string, params: readonly Value[] = []): Row[] {
    return guarded(() => {
      const values = params.map(bound) as SQLInputValue[]
      return stored(this.#statements.get(sql).all(...values) as unknown as unknown[][])
    })
  }

  changes(): number {
    return Number(this.query('SELECT changes()')[0]![0])
  }

  get autocommit(): boolean {
    return !this.#database.isTransaction
  }

  setDefensive(on: boolean): boolean {
    const before = (this.#defensive ??= isDefensive(this))
    // Older versions of Node know no such mode and are never in it.
    const database: { enableDefensive?(active: boolean): void } = this.#database
    if (database.enableDefensive === undefined) return before
    database.enableDefensive(on)
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

function withoutComments(sql: string): string {
  return sql.replace(/--[^\n]*|\/\*[^]*?(?:\*\/|$)/g, '')
}

interface NodeSqliteError extends Error {
  readonly code: string
  readonly errcode?: number
}

/** Errors of SQLite, and the driver's own about a statement, as SqlErrors. */
function guarded<Result>(act: () => Result): Result {
  try {
    return act()
  } catch (error) {
    if (error instanceof Error && 'code' in error && /^ERR_(SQLITE|INVALID|LOAD_SQLITE)/.test(String(error.code)))
      throw new SqlError(error.message, (error as NodeSqliteError).errcode ?? 1, { cause: error })
    throw error
  }
}

/** @throws SqlError 14 where the file is not there or cannot be opened; whether it is a database shows at the first statement */
export function openNodeSqlite(path: string, options: OpenOptions = {}): DatabaseSync {
  const { readOnly = false, create = false, busySeconds = 5 } = options
  const file = sqliteFile(path, create)
  return guarded(
    () => new DatabaseSync(file, { readOnly, allowExtension: true, timeout: Math.round(busySeconds * 1000) }),
  )
}
