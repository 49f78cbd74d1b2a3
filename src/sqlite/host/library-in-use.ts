// Which SQLite library works on a file in this process. Two libraries on one file undo each other's locks (the system drops all locks that a
// process has on a file when it closes it anywhere; https://sqlite.org/howtocorrupt.html, section 2.2.1), so a thread of ours has to use
// the one that the program uses.
import { readdirSync, readlinkSync, realpathSync } from 'node:fs'
import { TampError } from '../../core/errors.ts'
import type { SqliteDriver, SqliteDriverName } from '../../database/sqlite-driver.ts'

const known = new Map<string, SqliteDriverName>()

/** Remembers the files of a connection. */
export function rememberLibrary(driver: SqliteDriver, name: SqliteDriverName): void {
  for (const [, , file] of driver.query('PRAGMA database_list'))
    if (typeof file === 'string' && file !== '') known.set(realPath(file), name)
}

/**
 * The library to use for a file: the one that `open` or `loadInto` has had it open with, else better-sqlite3.
 * @throws TampError `usage` where the program has the file open by other means, and may have it open with node:sqlite
 */
export function libraryFor(path: string): SqliteDriverName {
  const name = known.get(realPath(path))
  if (name !== undefined) return name
  if (hasLoadedNodeSqlite() && isOpenHere(path))
    throw new TampError('usage', 'This process has the file open already, perhaps with node:sqlite.', {
      hint: "Say with which library, { driver: 'node:sqlite' } or { driver: 'better-sqlite3' }: two at once on one file damage it.",
    })
  return 'better-sqlite3'
}

function hasLoadedNodeSqlite(): boolean {
  const { moduleLoadList } = process as typeof process & { readonly moduleLoadList?: readonly string[] }
  return moduleLoadList === undefined || moduleLoadList.includes('NativeModule sqlite')
}

/** True also where the system does not tell which files a process has open. */
function isOpenHere(path: string): boolean {
  try {
    const file = realPath(path)
    return readdirSync('/proc/self/fd').some((descriptor) => target(`/proc/self/fd/${descriptor}`) === file)
  } catch {
    return true
  }
}

function target(link: string): string | undefined {
  try {
    return readlinkSync(link)
  } catch {
    // Closed meanwhile, such as the one by which the list was read.
    return undefined
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}
