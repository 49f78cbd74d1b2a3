// `tamp sqlite` as a user runs it, with the extension that was built for the tests, and a file of events to run it on.
import Database from 'better-sqlite3'
import { runTamp } from '../../cli/run-tamp.ts'
import type { Ended, RunOptions } from '../../cli/run-tamp.ts'
import { jsonText } from './json-rows.ts'
import { testLibrary } from './judge.ts'

export function runSqlite(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return runTamp(['sqlite', ...words], { ...options, env: { TAMP_SQLITE_EXTENSION: testLibrary, ...options.env } })
}

/** A table `events` with a column worth compressing, one that is not, and an index over the first; and a table without rows. */
export function makeEvents(file: string, rows: number): void {
  const db = new Database(file)
  db.exec(`CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT NOT NULL DEFAULT 'push', data TEXT);
    CREATE INDEX events_by_year ON events (data->>'startYear');
    CREATE TABLE notes (id INTEGER PRIMARY KEY, data TEXT);
    BEGIN`)
  const insert = db.prepare('INSERT INTO events (id, data) VALUES (?, ?)')
  for (let id = 1; id <= rows; id++) insert.run(id, jsonText(id))
  db.exec('COMMIT')
  db.close()
}
