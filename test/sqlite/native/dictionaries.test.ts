// Which dictionary a cell is decoded with: the one its database has now, never one that was rolled back, belongs to another database, or
// is not what it was.
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { beforeEach, describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { testLibrary } from '../../support/sqlite/judge.ts'

const folder = await temporaryFolder('tamp-native-dictionaries-')
let files = 0

const value = '{"name":"somebody","kind":"film","note":"nothing of note"}'

/** Two dictionaries that give different values for the same frame: what each was made of is all that they hold. */
const [one, other] = ['film', 'play'].map((kind) => {
  const db = new Database(':memory:')
  db.loadExtension(testLibrary)
  const dictionary = db
    .prepare(
      `SELECT zstd_train_dict(json_object('name', 'somebody' || i, 'kind', ?, 'note', 'nothing of note'), 1000, 1000)
       FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n)`,
    )
    .pluck()
    .get(kind) as Buffer
  db.close()
  return dictionary
}) as [Buffer, Buffer]

interface Catalogue {
  readonly scope?: number
  /** Whether hashes are kept, as tamp does and sqlite-zstd does not. */
  readonly hashes?: boolean
}

function open(file: string = join(folder, `${files++}.db`), catalogue: Catalogue = {}): Database.Database {
  const db = new Database(file)
  db.loadExtension(testLibrary)
  createCatalogue(db, 'main', catalogue)
  return db
}

function createCatalogue(db: Database.Database, schema: string, { scope, hashes = true }: Catalogue): void {
  db.exec(
    `CREATE TABLE IF NOT EXISTS ${schema}._zstd_dicts (id INTEGER PRIMARY KEY AUTOINCREMENT, chooser_key TEXT UNIQUE, dict BLOB NOT NULL)`,
  )
  if (hashes) db.exec(`CREATE TABLE IF NOT EXISTS ${schema}._tamp_dicts (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL)`)
  if (scope !== undefined)
    db.exec(
      `CREATE TABLE ${schema}._tamp_scope (scope INTEGER NOT NULL); INSERT INTO ${schema}._tamp_scope VALUES (${scope})`,
    )
}

function insert(db: Database.Database, id: number, dictionary: Buffer, schema = 'main'): void {
  db.prepare(`INSERT INTO ${schema}._zstd_dicts (id, dict) VALUES (?, ?)`).run(id, dictionary)
  if (db.prepare(`SELECT 1 FROM ${schema}.sqlite_schema WHERE name = '_tamp_dicts'`).get() !== undefined)
    db.prepare(
      `INSERT INTO ${schema}._tamp_dicts (id, sha256) SELECT id, tamp_sha256(dict) FROM ${schema}._zstd_dicts WHERE id = ?`,
    ).run(id)
}

/** A frame made with a dictionary. */
function frameWith(dictionary: Buffer): Buffer {
  const db = new Database(':memory:')
  db.loadExtension(testLibrary)
  const frame = db.prepare('SELECT zstd_compress(?, 19, ?, 1)').pluck().get(value, dictionary) as Buffer
  db.close()
  return frame
}

const [frame, otherFrame] = [frameWith(one), frameWith(other)]

function decode(db: Database.Database, cell: Buffer = frame, scope: number | string = 1, id = 7): string {
  return db.prepare(`SELECT zstd_decompress_col(?, 1, ${id}, ${scope})`).pluck().get(cell) as string
}

/** As `decode`, in a statement that reads the database, which is when a look at it may be remembered. */
function decodeReading(db: Database.Database, cell: Buffer, scope = 1): string {
  return db
    .prepare(`SELECT zstd_decompress_col(?, 1, 7, ${scope}) FROM sqlite_schema LIMIT 1`)
    .pluck()
    .get(cell) as string
}

test('the two dictionaries are told apart by what comes out', () => {
  const db = open()
  insert(db, 7, one)
  insert(db, 8, other)
  expect(decode(db, frame)).toBe(value)
  expect(decode(db, otherFrame, 1, 8)).toBe(value)
  expect(mistaken(() => decode(db, frame, 1, 8))).toBe(true)
  db.close()
})

/** True where a wrong value came out, or an error. */
function mistaken(read: () => string): boolean {
  try {
    return read() !== value
  } catch {
    return true
  }
}

describe.for([{ hashes: true }, { hashes: false }])('of a database with hashes: $hashes', (catalogue) => {
  let db: Database.Database
  beforeEach(() => {
    db = open(undefined, catalogue)
    return () => db.close()
  })

  test('one that was made and rolled back is not used for the next of its number', () => {
    for (const [begin, end] of [
      ['BEGIN', 'ROLLBACK'],
      ['BEGIN; SAVEPOINT s', 'ROLLBACK TO s; RELEASE s; COMMIT'],
      ['BEGIN; CREATE TABLE written (x); SAVEPOINT s', 'ROLLBACK TO s; RELEASE s; ROLLBACK'],
    ] as const) {
      db.exec(begin)
      insert(db, 7, other)
      expect(decode(db, otherFrame)).toBe(value)
      db.exec(end)
      expect(() => decode(db, otherFrame)).toThrow('there is no dictionary 7')
      db.exec('BEGIN')
      insert(db, 7, one)
      expect(decode(db)).toBe(value)
      db.exec('ROLLBACK')
    }
    // The other way round, within one transaction.
    db.exec('BEGIN; SAVEPOINT s')
    insert(db, 7, other)
    expect(decode(db, otherFrame)).toBe(value)
    db.exec('ROLLBACK TO s')
    insert(db, 7, one)
    expect(decode(db)).toBe(value)
    db.exec('COMMIT')
    expect(decode(db)).toBe(value)
  })

  test('one that the running transaction replaced is read anew, also after it', () => {
    insert(db, 7, one)
    expect(decodeReading(db, frame)).toBe(value)
    db.exec('BEGIN; DELETE FROM _zstd_dicts')
    if (catalogue.hashes) db.exec('DELETE FROM _tamp_dicts')
    expect(() => decodeReading(db, frame)).toThrow('there is no dictionary 7')
    insert(db, 7, other)
    expect(decodeReading(db, otherFrame)).toBe(value)
    const cell = db
      .prepare('SELECT zstd_compress_col(?, 3, 7, 1) FROM sqlite_schema LIMIT 1')
      .pluck()
      .get(value) as Buffer
    db.exec('COMMIT')
    expect(decodeReading(db, otherFrame)).toBe(value)
    expect(decodeReading(db, cell)).toBe(value)
  })

  test('one that another connection replaced is read anew', () => {
    insert(db, 7, other)
    expect(decode(db, otherFrame)).toBe(value)
    const second = open(db.name, catalogue)
    second.exec('DELETE FROM _zstd_dicts')
    if (catalogue.hashes) second.exec('DELETE FROM _tamp_dicts')
    expect(() => decode(db, otherFrame)).toThrow('there is no dictionary 7')
    insert(second, 7, one)
    expect(decode(db)).toBe(value)
    second.close()
  })

  test('one that was deleted is not used any more', () => {
    insert(db, 7, one)
    expect(decode(db)).toBe(value)
    db.exec('DELETE FROM _zstd_dicts')
    expect(() => decode(db)).toThrow('there is no dictionary 7')
  })

  test('one that is no dictionary of zstd but plain bytes is used as such, and compared to its last byte', () => {
    const bytes = Buffer.alloc(3000, 'some bytes; ')
    insert(db, 7, bytes)
    const cell = frameWith(bytes)
    expect(decode(db, cell)).toBe(value)
    const changed = Buffer.from(bytes)
    changed[2999]! ^= 1
    db.prepare('UPDATE _zstd_dicts SET dict = ?').run(changed)
    if (catalogue.hashes) {
      // What was loaded stays what it was; whoever loads it now finds out.
      expect(decode(db, cell)).toBe(value)
      const second = open(db.name, catalogue)
      expect(() => decode(second, cell)).toThrow(/its bytes do not match their hash/)
      second.close()
    } else expect(decode(db, frameWith(changed))).toBe(value)
  })

  test('a truncated one is refused', () => {
    insert(db, 7, one)
    db.exec('UPDATE _zstd_dicts SET dict = substr(dict, 1, 100)')
    expect(() => decode(db)).toThrow(
      catalogue.hashes
        ? /dictionary 7 is not what it was: its bytes do not match their hash/
        : /dictionary 7 is damaged/,
    )
  })

  test('hundreds of them take bounded memory, and the right one is used each time', () => {
    db.exec('BEGIN')
    const large = Buffer.concat([one, Buffer.alloc(1_000_000, 'x')])
    for (let id = 1; id <= 200; id++) insert(db, id, Buffer.concat([Buffer.from(String(id).padStart(20)), large]))
    db.exec('COMMIT')
    const cells = Array.from(
      { length: 200 },
      (_, i) =>
        db
          .prepare(`SELECT zstd_compress_col(?, 1, ?, 1)`)
          .pluck()
          .get(value, BigInt(i + 1)) as Buffer,
    )
    const before = process.memoryUsage.rss()
    for (let round = 0; round < 3; round++)
      for (let id = 1; id <= 200; id++) expect(decode(db, cells[id - 1]!, 1, id)).toBe(value)
    expect((process.memoryUsage.rss() - before) / 1e6).toBeLessThan(60)
  })
})

test('a changed dictionary is found out by its hash when it is loaded', () => {
  const db = open()
  insert(db, 7, one)
  db.prepare('UPDATE _zstd_dicts SET dict = ?').run(other)
  expect(() => decode(db)).toThrow(
    'cell cannot be decoded: dictionary 7 is not what it was: its bytes do not match their hash',
  )
  db.close()
})

test('dictionaries that need one of themselves to be read are refused, and others are found afterwards', () => {
  const db = new Database(':memory:')
  db.loadExtension(testLibrary)
  db.exec('CREATE TABLE _zstd_dicts (id INTEGER PRIMARY KEY, cell BLOB)')
  db.prepare('INSERT INTO _zstd_dicts VALUES (7, ?)').run(frame)
  db.exec('ALTER TABLE _zstd_dicts ADD COLUMN dict BLOB AS (zstd_decompress_col(cell, 0, id, 1))')
  expect(() => decode(db)).toThrow('a dictionary is needed to read the dictionaries')
  db.exec('DROP TABLE _zstd_dicts')
  createCatalogue(db, 'main', {})
  insert(db, 7, one)
  expect(decode(db)).toBe(value)
  db.close()
})

describe('attached databases', () => {
  const scopes = { main: 1_500_000_001, second: 1_500_000_002 }
  let db: Database.Database
  let attached: string
  beforeEach(() => {
    const second = open(undefined, { scope: scopes.second })
    attached = second.name
    insert(second, 7, other)
    second.close()
    db = open(undefined, { scope: scopes.main })
    insert(db, 7, one)
    expect(decode(db)).toBe(value)
    db.exec(`ATTACH '${attached}' AS second`)
    return () => db.close()
  })

  test('each cell is decoded with the dictionaries of its own database', () => {
    expect(decode(db, frame, scopes.main)).toBe(value)
    expect(decode(db, otherFrame, scopes.second)).toBe(value)
    expect(
      db
        .prepare(`SELECT zstd_decompress_col(?, 1, 7, ${scopes.main}) = zstd_decompress_col(?, 1, 7, ${scopes.second})`)
        .pluck()
        .get(frame, otherFrame),
    ).toBe(1)
  })

  test('where a cell does not say, dictionaries that differ are refused', () => {
    expect(() => decode(db)).toThrow('the databases main and second have different dictionaries 7; detach one')
    db.exec('DETACH second')
    expect(decode(db)).toBe(value)
  })

  test('where a cell does not say, dictionaries that are alike are used, and one that only one database has', () => {
    db.exec(
      'UPDATE second._zstd_dicts SET dict = (SELECT dict FROM main._zstd_dicts WHERE id = 7); DELETE FROM second._tamp_dicts',
    )
    expect(decode(db)).toBe(value)
    insert(db, 8, other, 'second')
    expect(decode(db, otherFrame, 1, 8)).toBe(value)
    expect(() => decode(db, otherFrame, 1, 9)).toThrow('there is no dictionary 9')
  })

  test('a database that takes the place of a detached one brings its own', () => {
    expect(decode(db, otherFrame, scopes.second)).toBe(value)
    const third = open(undefined, { scope: scopes.second })
    insert(third, 7, one)
    third.close()
    db.exec(`DETACH second; ATTACH '${third.name}' AS second`)
    expect(decode(db, frame, scopes.second)).toBe(value)
    db.exec('DETACH second')
    expect(() => decode(db, frame, scopes.second)).toThrow(
      `the database with the dictionaries of scope ${scopes.second} is not attached`,
    )
  })

  test('their views work through both names', () => {
    for (const [schema, cell] of [
      ['main', frame],
      ['second', otherFrame],
    ] as const) {
      db.exec(`CREATE TABLE ${schema}._t_zstd (id INTEGER PRIMARY KEY, data, _data_dict INTEGER)`)
      db.prepare(`INSERT INTO ${schema}._t_zstd VALUES (1, ?, 7)`).run(cell)
      db.exec(
        `CREATE VIEW ${schema}.t AS SELECT id, zstd_decompress_col(data, _data_dict IS NOT -2, _data_dict, ${scopes[schema]}) AS data FROM _t_zstd`,
      )
    }
    expect(db.prepare('SELECT a.data = b.data FROM main.t a JOIN second.t b USING (id)').pluck().get()).toBe(1)
    expect(db.prepare('SELECT data FROM main.t UNION ALL SELECT data FROM second.t').pluck().all()).toEqual([
      value,
      value,
    ])
  })

  test('a dictionary in the temporary schema is nobody’s', () => {
    const alone = open()
    alone.exec('CREATE TEMP TABLE _zstd_dicts (id INTEGER PRIMARY KEY, chooser_key TEXT, dict BLOB)')
    alone.prepare('INSERT INTO temp._zstd_dicts VALUES (7, NULL, ?)').run(one)
    expect(() => decode(alone)).toThrow('there is no dictionary 7')
    alone.close()
  })
})

test('a database that is deserialized in place of main brings its own dictionaries', () => {
  const source = open(undefined, { scope: 1_500_000_003 })
  insert(source, 7, one)
  const bytes = source.serialize()
  source.close()
  const db = new Database(bytes)
  db.loadExtension(testLibrary)
  expect(decode(db, frame, 1_500_000_003)).toBe(value)
  db.close()
})

test('a scope that the running transaction changed is read anew', () => {
  const db = open(undefined, { scope: 5 })
  insert(db, 7, one)
  expect(decodeReading(db, frame, 5)).toBe(value)
  db.exec('BEGIN; UPDATE _tamp_scope SET scope = 6')
  expect(decodeReading(db, frame, 6)).toBe(value)
  expect(() => decodeReading(db, frame, 5)).toThrow(/scope 5 is not attached/)
  db.exec('ROLLBACK')
  expect(decodeReading(db, frame, 5)).toBe(value)
  db.close()
})

test('rows of one database are read whatever is wrong with another', () => {
  const db = open(undefined, { scope: 5 })
  insert(db, 7, one)
  const locked = open(undefined, { scope: 6 })
  db.exec(`ATTACH '${locked.name}' AS locked`)
  db.exec(`ATTACH ':memory:' AS odd; CREATE TABLE odd._tamp_scope (x)`)
  db.pragma('busy_timeout = 0')
  locked.exec('BEGIN EXCLUSIVE')
  expect(decode(db, frame, 5)).toBe(value)
  expect(() => decode(db, frame, 6)).toThrow(/locked/)
  locked.exec('ROLLBACK')
  expect(() => decode(db, frame, 6)).toThrow('there is no dictionary 7')
  expect(() => decode(db, frame, 8)).toThrow(/scope 8 is not attached/)
  db.close()
  locked.close()
})

test('one of more than 64 MB is refused', () => {
  const db = open()
  db.exec(`INSERT INTO _zstd_dicts (id, dict) VALUES (7, zeroblob(${(64 << 20) + 1}))`)
  expect(() => decode(db)).toThrow('dictionary 7 is longer than 64 MB')
  expect(() => db.prepare(`SELECT zstd_compress('a', 3, zeroblob(${(64 << 20) + 1}))`).get()).toThrow(
    'the dictionary is longer than 64 MB',
  )
  db.close()
})
