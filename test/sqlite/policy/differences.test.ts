// What is said before a column is compressed, line by line: that it is so, and that the other way to do it works.
import { describe, expect, test } from 'vitest'
import { differences } from '../../../src/sqlite/policy/differences.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { compressCells, policyDatabase, typedRows } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'

const schema = `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT DEFAULT 7, data TEXT); INSERT INTO t VALUES (1, 1, 'a text that is long enough'), (2, 2, '77')`

const codes = (tried: PolicyDatabase, column = 'data'): readonly string[] =>
  tried.run(differences('t', column)).remarks.map(({ code }) => code)

function enabled(sql = schema): PolicyDatabase {
  const tried = policyDatabase(sql)
  tried.run(enable({ table: 't', column: 'data' }))
  compressCells(tried.db, 't', 'data')
  return tried
}

/** On the plain table `sql` works; on the compressed one it does something else, and `instead` works. */
const lines: readonly (readonly [code: string, sql: string, fails: string | undefined, instead: string | undefined])[] =
  [
    [
      'upsert',
      `INSERT INTO t VALUES (1, 1, 'x') ON CONFLICT DO UPDATE SET data = 'y'`,
      'cannot UPSERT a view',
      `INSERT INTO _t_zstd(id, data) VALUES (1, 'x') ON CONFLICT DO UPDATE SET data = 'y', _data_dict = NULL`,
    ],
    [
      'upsert',
      `INSERT INTO t VALUES (1, 1, 'x') ON CONFLICT DO NOTHING`,
      'cannot UPSERT a view',
      `INSERT OR IGNORE INTO t VALUES (1, 1, 'x')`,
    ],
    [
      'new-foreign-key',
      `CREATE TABLE c(t REFERENCES t); PRAGMA foreign_keys = ON; INSERT INTO c VALUES (1)`,
      'foreign key mismatch',
      undefined,
    ],
    ['alter-table', 'ALTER TABLE t ADD COLUMN x', 'Cannot add a column to a view', undefined],
    ['alter-table', 'CREATE INDEX i ON t(data)', 'views may not be indexed', undefined],
    [
      'alter-table',
      'CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END',
      'cannot create AFTER trigger on view',
      undefined,
    ],
    ['rowid', 'SELECT rowid FROM t', 'no such column: rowid', 'SELECT id FROM t'],
  ]

describe('a plain table of the usual kind', () => {
  test('the codes', () => {
    expect(codes(policyDatabase(schema))).toEqual([
      'needs-extension',
      'returning',
      'upsert',
      'changes',
      'new-foreign-key',
      'alter-table',
      'column-information',
      'rowid',
      'null-for-default',
      'affinity',
    ])
  })

  test.each(lines)('%s: %s', (code, sql, fails, instead) => {
    expect(codes(policyDatabase(schema))).toContain(code)
    policyDatabase(schema).db.exec(sql)
    expect(() => enabled().db.exec(sql)).toThrow(fails)
    if (instead !== undefined) enabled().db.exec(instead)
  })

  test('a new foreign key may reference the rows', () => {
    const { db } = enabled()
    db.exec(
      `PRAGMA foreign_keys = ON; CREATE TABLE c(t REFERENCES _t_zstd ON DELETE CASCADE); INSERT INTO c VALUES (1); DELETE FROM t WHERE id = 1`,
    )
    expect(typedRows(db, 'SELECT * FROM c')).toEqual([])
  })

  test('returning', () => {
    const { db } = enabled()
    expect(typedRows(db, `INSERT INTO t(data) VALUES ('x') RETURNING id, k, data`)).toEqual([[null, null, 'x']])
    expect(typedRows(db, `INSERT INTO t VALUES (9, 9, 'x') RETURNING id, k, data`)).toEqual([[9n, 9n, 'x']])
    expect(typedRows(db, `UPDATE t SET data = data || '!' WHERE id = 1 RETURNING *`)).toEqual([
      [1n, 1n, 'a text that is long enough!'],
    ])
    expect(typedRows(db, `DELETE FROM t WHERE id = 1 RETURNING *`)).toEqual([[1n, 1n, 'a text that is long enough!']])
  })

  test('changes', () => {
    const { db } = enabled()
    expect(db.prepare(`INSERT INTO t(data) VALUES ('x')`).run().changes).toBe(0)
    const before = db.prepare('SELECT total_changes()').pluck().get() as number
    db.exec(`UPDATE t SET k = 5`)
    expect(db.prepare('SELECT total_changes()').pluck().get()).toBe(before + 3)
  })

  test('null-for-default', () => {
    const { db } = enabled()
    db.exec(`INSERT INTO t VALUES (5, NULL, 'x')`)
    expect(typedRows(db, 'SELECT k FROM t WHERE id = 5')).toEqual([[7n]])
    db.exec('UPDATE t SET k = NULL WHERE id = 5')
    expect(typedRows(db, 'SELECT k FROM t WHERE id = 5')).toEqual([[null]])
  })

  test('affinity', () => {
    const find = 'SELECT id FROM t WHERE data = 77'
    expect(typedRows(policyDatabase(schema).db, find)).toEqual([[2n]])
    expect(typedRows(enabled().db, find)).toEqual([])
    expect(typedRows(enabled().db, 'SELECT id FROM t WHERE CAST("data" AS TEXT) = 77')).toEqual([[2n]])
  })
})

describe('other tables', () => {
  test.each([
    ['strict', 'CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT) STRICT', ['strict'], ['affinity']],
    [
      'a BLOB column',
      'CREATE TABLE t(id INTEGER PRIMARY KEY, data BLOB)',
      [],
      ['affinity', 'null-for-default', 'null-in-key'],
    ],
    ['a CHECK', 'CREATE TABLE t(id INTEGER PRIMARY KEY, data CHECK (json_valid(data)))', ['read-by-table'], []],
    ['a key that may be NULL', 'CREATE TABLE t(id TEXT PRIMARY KEY, data)', ['null-in-key'], []],
    ['without rowid', 'CREATE TABLE t(id TEXT PRIMARY KEY, data) WITHOUT ROWID', [], ['rowid', 'null-in-key']],
    ['a column called rowid', 'CREATE TABLE t(rowid INTEGER PRIMARY KEY, data)', [], ['rowid']],
    [
      'a trigger on a column',
      'CREATE TABLE t(id INTEGER PRIMARY KEY, data); CREATE TRIGGER x AFTER UPDATE OF data ON t BEGIN SELECT 1; END',
      ['update-of'],
      [],
    ],
    [
      'full-text search',
      `CREATE TABLE t(id INTEGER PRIMARY KEY, data); CREATE VIRTUAL TABLE f USING fts5(data, content='t', content_rowid='id')`,
      ['content-table'],
      [],
    ],
  ])('%s', (_, sql, there, missing) => {
    const { remarks, obstacles } = policyDatabase(sql).run(differences('t', 'data'))
    expect(obstacles).toEqual([])
    const found = remarks.map(({ code }) => code)
    for (const code of there) expect(found).toContain(code)
    for (const code of missing) expect(found).not.toContain(code)
  })

  test('NULL in a key is refused', () => {
    const { db } = enabled('CREATE TABLE t(id TEXT PRIMARY KEY, data)')
    expect(() => db.exec('INSERT INTO t VALUES (NULL, 1)')).toThrow('NULL in the key of a compressed table: t.id')
    db.exec(`INSERT INTO t VALUES ('a', 1)`)
    expect(() => db.exec('UPDATE t SET id = NULL')).toThrow('NULL in the key')
  })

  test('a second column has only what is its own', () => {
    const tried = enabled('CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT, note TEXT)')
    expect(codes(tried, 'note')).toEqual(['affinity'])
  })

  test('full-text search over the table goes on', () => {
    const tried =
      enabled(`CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT); CREATE VIRTUAL TABLE f USING fts5(data, content='t', content_rowid='id');
      CREATE TRIGGER ai AFTER INSERT ON t BEGIN INSERT INTO f(rowid, data) VALUES (new.id, new.data); END;
      CREATE TRIGGER ad AFTER DELETE ON t BEGIN INSERT INTO f(f, rowid, data) VALUES ('delete', old.id, old.data); END;
      CREATE TRIGGER au AFTER UPDATE ON t BEGIN INSERT INTO f(f, rowid, data) VALUES ('delete', old.id, old.data); INSERT INTO f(rowid, data) VALUES (new.id, new.data); END;
      INSERT INTO t VALUES (1, 'the quick brown fox jumps'), (2, 'over the lazy dog, and so on')`)
    tried.db.exec(
      `INSERT INTO t VALUES (3, 'another quick one, long enough'); DELETE FROM t WHERE id = 1; UPDATE t SET data = data || ', quickly' WHERE id = 2`,
    )
    compressCells(tried.db, 't', 'data')
    expect(typedRows(tried.db, `SELECT rowid, data FROM f('quick* OR fox') ORDER BY rowid`)).toEqual([
      [2n, 'over the lazy dog, and so on, quickly'],
      [3n, 'another quick one, long enough'],
    ])
    tried.db.exec(`INSERT INTO f(f, rank) VALUES ('integrity-check', 1)`)
  })
})
