// A table whose every cell can be judged by itself: `data` is a function of `id` and `version`. With what hangs on a table in earnest: an
// index over the column, one beside it, a trigger, a view, foreign keys in both directions.
import Database from 'better-sqlite3'
import { seeded } from '../synapse/random.ts'

export type Connection = Database.Database

export interface EventsOptions {
  readonly rows: number
  readonly journal?: 'delete' | 'wal'
  /** Nothing but texts of about this many bytes; otherwise all kinds of values are among them. */
  readonly bytes?: number
}

const words =
  'merge branch release review comment issue label deploy rollback cache index vacuum frame sample page'.split(' ')

/** What rows speak of from their first change on: a dictionary of the words before does badly on them. */
const laterWords =
  'Straße Brücke Fähre Bahnhof Haltestelle Fahrplan Verspätung Umleitung Baustelle Kreuzung Ampel Tunnel'.split(' ')

/** What the cell of a row holds. */
export function eventData(id: number, version: number, bytes?: number): string | Buffer | null {
  if (bytes === undefined) {
    const kind = id % 23
    if (kind === 3) return null
    if (kind === 5) return version % 2 === 0 ? '' : 'short'
    if (kind === 7) return Buffer.from(text(id, version, 120))
    if (kind === 11) return Buffer.from([0, 255, id & 255, version & 255])
    if (id % 199 === 0) return text(id, version, 9000)
  }
  return text(id, version, bytes ?? 260)
}

function text(id: number, version: number, bytes: number): string {
  const random = seeded(id * 7919 + version)
  let title = ''
  const said = version === 0 ? words : laterWords
  while (title.length < bytes - 130) title += `${random.pick(said)} ${random.below(1000)} ž `
  const type = version === 0 ? 'type' : 'Ereignisart'
  return JSON.stringify({
    id,
    version,
    [type]: random.pick(['PushEvent', 'WatchEvent', 'ForkEvent']),
    actor: { login: `user-${random.below(5000)}`, avatar: 'https://avatars.example.org/u/' },
    title,
    public: random.chance(0.9),
  })
}

export const eventKind = (id: number): string => ['push', 'watch', 'fork'][id % 3]!

const schema = `
  CREATE TABLE repo (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
  CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    kind TEXT DEFAULT 'push', -- of the event
    version INTEGER NOT NULL DEFAULT 0,
    data TEXT,
    repo INTEGER DEFAULT 1 REFERENCES repo(id)
  );
  CREATE INDEX events_by_kind ON events (kind);
  CREATE INDEX events_by_start ON events (substr(data, 1, 40));
  CREATE TABLE star (event INTEGER NOT NULL REFERENCES events(id) ON DELETE CASCADE, at INTEGER);
  CREATE TABLE audit (event INTEGER, kind TEXT);
  CREATE TRIGGER events_audit AFTER UPDATE OF kind ON events BEGIN INSERT INTO audit VALUES (new.id, new.kind); END;
  CREATE VIEW pushes AS SELECT id, version, data FROM events WHERE kind = 'push';
`

/** Makes the file. Ids are 1 to `rows`, all of version 0. */
export function makeEvents(file: string, { rows, journal = 'delete', bytes }: EventsOptions): void {
  const db = new Database(file)
  try {
    db.pragma(`journal_mode = ${journal}`)
    db.pragma('synchronous = off')
    db.exec(schema)
    db.exec(`INSERT INTO repo VALUES (1, 'tamp'), (2, 'other')`)
    const insert = db.prepare('INSERT INTO events (id, kind, data) VALUES (?, ?, ?)')
    db.transaction(() => {
      for (let id = 1; id <= rows; id++) insert.run(id, eventKind(id), eventData(id, 0, bytes))
    })()
    db.exec('INSERT INTO star SELECT id, id * 10 FROM events WHERE id % 10 = 0')
  } finally {
    db.close()
  }
}

/** The column enabled so that every way a row can be stored occurs: two dictionaries, none, and rows that wait. */
export const eventsColumn = {
  table: 'events',
  column: 'data',
  level: 3,
  dictChooser: `iif(id % 50 = 0, '[nodict]', iif(id % 40 = 1, NULL, 'events ' || (id % 2)))`,
  minDictBytesForTraining: 1000,
  dictSizeRatio: 0.06,
} as const

/** Changes two rows of three by the table's name, so that most of it is of another kind. */
export function changeEvents(db: Connection): void {
  const ids = db.prepare<[], number>('SELECT id FROM events WHERE version = 0 AND id % 3 > 0').pluck().all()
  const update = db.prepare('UPDATE events SET version = 1, data = ? WHERE id = ?')
  db.transaction(() => ids.forEach((id) => update.run(eventData(id, 1), id)))()
}

/** A cell that is not what its row says. */
export interface WrongRow {
  readonly id: number
  readonly version: number
  readonly got: unknown
}

export function isRight(id: number, version: number, data: unknown, bytes?: number): boolean {
  const wanted = eventData(id, version, bytes)
  return Buffer.isBuffer(wanted) ? Buffer.isBuffer(data) && wanted.equals(data) : wanted === data
}

/** Reads the whole table by its name. */
export function wrongRows(db: Connection, { rows, bytes }: EventsOptions): readonly WrongRow[] {
  const wrong: WrongRow[] = []
  let id = 0
  const select = db.prepare<[], [number, number, string, unknown]>(
    'SELECT id, version, kind, data FROM events ORDER BY id',
  )
  for (const [rowId, version, kind, data] of select.raw().iterate()) {
    id++
    if (rowId !== id || kind !== eventKind(id) || !isRight(id, version, data, bytes))
      wrong.push({ id: rowId, version, got: data })
  }
  if (id !== rows) wrong.push({ id, version: -1, got: `${id} rows of ${rows}` })
  return wrong
}

/** Plain or compressed; everything that is neither wholly is named. */
export function stateOf(db: Connection): string {
  const objects = db
    .prepare<[], [string, string, string | null]>('SELECT type, name, sql FROM sqlite_schema ORDER BY type, name')
    .raw()
    .all()
  const has = (type: string, name: string): boolean => objects.some((one) => one[0] === type && one[1] === name)
  const mentions = objects.filter(([, name, sql]) => `${name} ${sql ?? ''}`.includes('_events_zstd'))
  const configured = has('table', '_zstd_configs')
    ? (db.prepare(`SELECT count(*) FROM _zstd_configs WHERE config->>'table' = 'events'`).pluck().get() as number)
    : 0
  if (has('table', 'events')) {
    if (mentions.length > 0) return `half: ${mentions.map((one) => one[1]).join(', ')} beside the plain table`
    if (configured > 0) return 'half: configured, and plain'
    if (objects.some(([, name]) => name.startsWith('_events_'))) return 'half: leftovers'
    return 'plain'
  }
  if (!has('view', 'events')) return 'half: events is not there'
  if (!has('table', '_events_zstd')) return 'half: the rows are not there'
  if (configured !== 1) return `half: configured ${configured} times`
  const triggers = objects.filter(([type, , sql]) => type === 'trigger' && /INSTEAD\s+OF/i.test(sql ?? ''))
  if (triggers.length !== 3) return `half: ${triggers.length} triggers on the view`
  return 'compressed'
}

/** Everything in a file, but for the quoting of names and the catalogue's own remains. */
export function dumpOf(db: Connection): unknown {
  const objects = db
    .prepare<[], [string, string, string, string | null]>(
      `SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name`,
    )
    .raw()
    .all()
  const rows = objects
    .filter(([type]) => type === 'table')
    .map(([, name]) => [name, db.prepare(`SELECT * FROM "${name}" ORDER BY 1`).raw().all()])
  return { objects: objects.map(([type, name, on, sql]) => [type, name, on, unquoted(sql)]), rows }
}

const unquoted = (sql: string | null): string | undefined => sql?.replaceAll('"', '').replace(/\s+/g, ' ')

/** What SQLite itself finds wrong with the file. */
export function integrity(db: Connection): readonly unknown[] {
  return [
    ...(db.pragma('integrity_check') as { integrity_check: string }[]).map((row) => row.integrity_check),
    ...(db.pragma('foreign_key_check') as unknown[]),
  ]
}
