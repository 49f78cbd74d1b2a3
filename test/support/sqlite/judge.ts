// A connection that owes nothing to the code under test but the extension: better-sqlite3 as it comes, and where the extension is.
import Database from 'better-sqlite3'
import { extensionLibrary } from '../../../src/sqlite/host/extension-library.ts'

/** Built once, by whoever is first; the processes that a test starts are told where it is. */
export const testLibrary: string = await extensionLibrary({ tell: (sentence) => console.log(sentence) })
process.env['TAMP_SQLITE_EXTENSION'] = testLibrary

export function openJudge(file: string, options: Database.Options = {}): Database.Database {
  const db = new Database(file, { fileMustExist: true, ...options })
  db.loadExtension(testLibrary)
  return db
}
