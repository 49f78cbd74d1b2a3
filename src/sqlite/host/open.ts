// Connections for programs: better-sqlite3 or node:sqlite, with everything set that compressed columns want.
import type Database from 'better-sqlite3'
import type { DatabaseSync } from 'node:sqlite'
import { TampError } from '../../core/errors.ts'
import { BetterSqlite3Driver, openBetterSqlite3 } from '../../database/better-sqlite3.ts'
import type { OpenOptions as DriverOptions, SqliteDriver, SqliteDriverName } from '../../database/sqlite-driver.ts'
import { describeSqliteFailure } from '../../database/sqlite-failures.ts'
import { extensionLibrary } from './extension-library.ts'
import type { LibraryOptions } from './extension-library.ts'
import { addJavaScriptFunctions } from './javascript-functions.ts'
import { rememberLibrary } from './library-in-use.ts'

export interface LoadOptions extends LibraryOptions {
  /**
   * What decompresses: the loadable extension (default), or functions in JavaScript, which are slower and only read, for where there
   * is no native code. They know the dictionaries of one file: attach no copy of it.
   */
  readonly functions?: 'native' | 'javascript'
}

export interface OpenOptions extends DriverOptions, LoadOptions {
  /** Default better-sqlite3. */
  readonly driver?: SqliteDriverName
}

/**
 * Opens a database whose compressed columns can be read and written by their own names. The file has to be there unless `create` is true.
 *
 * ```ts
 * const db = await open('events.db')
 * db.prepare('SELECT data FROM events WHERE id = ?').get(7)
 * ```
 * @throws TampError `no-such-database`, `unknown-schema` where the file is no database, `no-library`
 */
export async function open(
  path: string,
  options?: OpenOptions & { readonly driver?: 'better-sqlite3' },
): Promise<Database.Database>
export async function open(
  path: string,
  options: OpenOptions & { readonly driver: 'node:sqlite' },
): Promise<DatabaseSync>
export async function open(path: string, options: OpenOptions = {}): Promise<Database.Database | DatabaseSync> {
  const database = await openPlain(path, options)
  try {
    requireDatabase(await driverOf(database), path)
    await loadInto(database, options)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** A connection without any of that. @throws TampError `no-such-database` */
export async function openPlain(path: string, options: OpenOptions): Promise<Database.Database | DatabaseSync> {
  try {
    if (options.driver !== 'node:sqlite') return openBetterSqlite3(path, options)
    const { openNodeSqlite } = await import('../../database/node-sqlite.ts')
    return openNodeSqlite(path, options)
  } catch (error) {
    throw describeSqliteFailure(error, path)
  }
}

/** The first look at the file: only here it shows whether it is a database at all. @throws TampError `unknown-schema`, `locked` */
export function requireDatabase(driver: SqliteDriver, path: string): void {
  try {
    driver.query('SELECT count(*) FROM sqlite_schema')
  } catch (error) {
    throw describeSqliteFailure(error, path)
  }
}

/**
 * Makes compressed columns readable and writable on a connection that is there already. One of node:sqlite must have been made with
 * `allowExtension: true`. Also keeps temporary tables in memory, which makes updates of compressed tables ten times as fast;
 * before a VACUUM of a large file say `PRAGMA temp_store = DEFAULT`, else it is done in memory.
 * @throws TampError `no-library`; `usage` where the connection may load no extension
 */
export async function loadInto(database: Database.Database | DatabaseSync, options: LoadOptions = {}): Promise<void> {
  const driver = await driverOf(database)
  rememberLibrary(driver, 'unsafeMode' in database ? 'better-sqlite3' : 'node:sqlite')
  if (options.functions === 'javascript') {
    requireAlone(driver)
    addJavaScriptFunctions(database, driver)
    // A text that is not UTF-8 does not come through a string of JavaScript unchanged: an index over cells would be written wrong.
    driver.query('PRAGMA query_only = ON')
  } else loadLibrary(driver, await extensionLibrary(options))
  if (driver.autocommit) driver.query('PRAGMA temp_store = MEMORY')
}

/** Which file a cell is of, a function in JavaScript cannot tell. @throws TampError `usage` where other files are attached */
function requireAlone(driver: SqliteDriver): void {
  const attached = driver.query(`SELECT name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')`)
  if (attached.length > 0)
    throw new TampError('usage', 'Functions in JavaScript decompress the cells of one file only.', {
      hint: `Detach ${attached.map(([name]) => String(name)).join(', ')}, or load the extension.`,
    })
}

/** The port over a connection of either kind. */
export async function driverOf(database: Database.Database | DatabaseSync): Promise<SqliteDriver> {
  if ('unsafeMode' in database) return new BetterSqlite3Driver(database)
  const { NodeSqliteDriver } = await import('../../database/node-sqlite.ts')
  return new NodeSqliteDriver(database)
}

/** @throws TampError `no-library`, `usage` */
export function loadLibrary(driver: SqliteDriver, library: string): void {
  try {
    driver.loadExtension(library)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    if (/not allowed|not authorized/.test(message))
      throw new TampError('usage', 'This connection may not load an extension.', {
        hint: 'Make it with new DatabaseSync(path, { allowExtension: true }), or use open().',
        cause: error,
      })
    throw new TampError('no-library', `The SQLite extension ${library} cannot be loaded: ${message}.`, {
      hint: 'It must be built for this platform; on Linux it needs glibc 2.34 or newer.',
      cause: error,
    })
  }
}
