// The way back: in chunks that can be stopped and taken up, past what stands in the way, and to a database that knows nothing of it any more.
import { describe, expect, test } from 'vitest'
import { addIndex } from '../../../src/sqlite/policy/add-index.ts'
import { configuredColumn } from '../../../src/sqlite/policy/catalogue.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { drive } from '../../../src/sqlite/host/drive.ts'
import type { PolicyEvent } from '../../../src/sqlite/policy/request.ts'
import { compressCells, policyDatabase, schemaOf, typedRows } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'

const rows = (n: number): string => `WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ${n})
  INSERT INTO t(id, data) SELECT n * 7 % ${n}, hex(n * n) || printf('%.*c', n % 3000, 'x') FROM n;`

const kinds: readonly (readonly [string, string])[] = [
  ['by an integer key', 'CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT)'],
  ['by rowid', 'CREATE TABLE t(id TEXT NOT NULL PRIMARY KEY, data TEXT)'],
  ['by key, without rowid', 'CREATE TABLE t(id TEXT PRIMARY KEY, data TEXT) WITHOUT ROWID'],
  [
    'by a key of two, one of them backwards',
    `CREATE TABLE t(id TEXT, part INT DEFAULT 1, data TEXT, PRIMARY KEY (part, id DESC)) WITHOUT ROWID`,
  ],
  [
    'by key, all names of the rowid taken',
    'CREATE TABLE t(rowid, oid, _rowid_, id INT NOT NULL PRIMARY KEY DESC, data TEXT)',
  ],
  [
    'by a key that takes letters for the same',
    'CREATE TABLE t(id TEXT COLLATE NOCASE PRIMARY KEY, data TEXT) WITHOUT ROWID',
  ],
]

function enabled(schema: string): PolicyDatabase {
  const tried = policyDatabase(schema)
  tried.run(enable({ table: 't', column: 'data' }))
  compressCells(tried.db, 't', 'data')
  return tried
}

describe.each(kinds)('%s', (_, schema) => {
  test('one chunk a run, the table reads right after each, and so it is whole in the end', () => {
    const plain = policyDatabase(`${schema}; ${rows(1999)}`)
    const tried = enabled(`${schema}; ${rows(1999)}`)
    const expected = typedRows(plain.db, 'SELECT * FROM t ORDER BY id')
    let done = 0
    let runs = 0
    for (let complete = false; !complete; runs++) {
      const result = tried.run(disable({ table: 't', column: 'data', oneStep: true }))
      ;({ complete } = result)
      done += result.rows
      if (complete) break
      expect(result.stopped).toBe('limit')
      const left = tried.db.prepare('SELECT count(*) FROM _t_zstd WHERE _data_dict IS NOT NULL').pluck().get()
      expect(left).toBe(1999 - done)
      expect(typedRows(tried.db, 'SELECT * FROM t ORDER BY id')).toEqual(expected)
    }
    expect(done).toBe(1999)
    expect(runs).toBeGreaterThan(0)
    expect(typedRows(tried.db, 'SELECT * FROM t ORDER BY id')).toEqual(expected)
    expect(schemaOf(tried.db)).toEqual(schemaOf(plain.db))
  })
})

test('tells of every chunk', () => {
  const tried = enabled(`${kinds[0]![1]}; ${rows(3000)}`)
  const events: PolicyEvent[] = []
  drive(disable({ table: 't', column: 'data' }), tried.driver, { onEvent: (event) => events.push(event) })
  const chunks = events.filter((event) => event.type === 'chunk')
  expect(chunks.reduce((sum, { rows: n }) => sum + n, 0)).toBe(3000)
  expect(chunks.every(({ lane, bytesBefore, bytesAfter }) => lane === 't.data' && bytesBefore < bytesAfter)).toBe(true)
  expect(chunks.at(-1)!.rowsLeftEstimate).toBe(0)
})

test('stops when told, is marked as on its way, takes what is written meanwhile, and can be enabled again', () => {
  const tried = enabled(`${kinds[0]![1]}; ${rows(3000)}`)
  let asked = 0
  const result = drive(disable({ table: 't', column: 'data' }), tried.driver, { stopping: () => ++asked > 1 })
  expect(result).toMatchObject({ complete: false, stopped: 'interrupted' })
  expect(tried.run(configuredColumn('t', 'data'))?.config.tamp?.disabling).toBe(true)
  tried.db.exec(
    `UPDATE t SET data = 'new, and long enough to be compressed' WHERE id < 10; DELETE FROM t WHERE id = 20`,
  )
  const expected = typedRows(tried.db, 'SELECT * FROM t ORDER BY id')
  tried.run(enable({ table: 't', column: 'data' }))
  expect(tried.run(configuredColumn('t', 'data'))?.config.tamp?.disabling).toBeUndefined()
  expect(schemaOf(tried.db).some((line) => line.startsWith('index _t_data_pending'))).toBe(true)
  expect(typedRows(tried.db, 'SELECT * FROM t ORDER BY id')).toEqual(expected)
  expect(tried.run(disable({ table: 't', column: 'data' })).complete).toBe(true)
  expect(typedRows(tried.db, 'SELECT * FROM t ORDER BY id')).toEqual(expected)
})

test('the other column of the table stays compressed, also while one is on its way', () => {
  const schema = `CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT, note TEXT DEFAULT 'a note that is long enough'); ${rows(2000)}`
  const tried = enabled(schema)
  drive(disable({ table: 't', column: 'data', oneStep: true }), tried.driver)
  tried.run(enable({ table: 't', column: 'note' }))
  expect(tried.run(configuredColumn('t', 'data'))?.config.tamp?.disabling).toBe(true)
  expect(schemaOf(tried.db).filter((line) => line.includes('_pending'))).toHaveLength(1)
  compressCells(tried.db, 't', 'note')
  expect(tried.run(disable({ table: 't', column: 'data' })).complete).toBe(true)
  expect(typedRows(tried.db, 'SELECT DISTINCT _note_dict FROM _t_zstd')).toEqual([[-1n]])
  expect(typedRows(tried.db, 'SELECT * FROM t ORDER BY id')).toEqual(
    typedRows(policyDatabase(schema).db, 'SELECT * FROM t ORDER BY id'),
  )
  tried.run(disable({ table: 't', column: 'note' }))
  expect(schemaOf(tried.db)).toEqual(schemaOf(policyDatabase(schema).db))
})

test('a maintenance that had begun before does not get lost', () => {
  const tried = enabled(`${kinds[0]![1]}; ${rows(500)}`)
  const expected = typedRows(tried.db, 'SELECT * FROM t ORDER BY id')
  let compressedAgain = false
  drive(disable({ table: 't', column: 'data' }), tried.driver, {
    onEvent() {
      if (!compressedAgain) compressCells(tried.db, 't', 'data')
      compressedAgain = true
    },
  })
  expect(compressedAgain).toBe(true)
  expect(typedRows(tried.db, 'SELECT * FROM t ORDER BY id')).toEqual(expected)
})

test('a cell that cannot be decoded is named, and nothing is lost', () => {
  const tried = enabled(`${kinds[0]![1]}; ${rows(300)}`)
  tried.db.exec(`UPDATE _t_zstd SET data = x'ffffffff' WHERE id = 123`)
  expect(tried.run(disable({ table: 't', column: 'data' }))).toMatchObject({
    complete: false,
    rows: 299,
    left: [{ subject: 't.data row 123' }],
  })
  expect(tried.db.prepare('SELECT count(*) FROM t WHERE id <> 123 AND length(data) > 0').pluck().get()).toBe(299)
  tried.db.exec('DELETE FROM _t_zstd WHERE id = 123')
  expect(tried.run(disable({ table: 't', column: 'data' })).complete).toBe(true)
})

test('dictionaries that somebody trained for cells of their own stay', () => {
  const tried = enabled(`${kinds[0]![1]}; ${rows(300)}`)
  tried.db.exec(
    `INSERT INTO _zstd_dicts(id, chooser_key, dict) VALUES (5, 'tamp', x'00'), (6, 'mine', x'01'); INSERT INTO _tamp_dicts(id, sha256) VALUES (5, '')`,
  )
  tried.run(disable({ table: 't', column: 'data' }))
  expect(typedRows(tried.db, 'SELECT id FROM _zstd_dicts WHERE id > 0')).toEqual([[6n]])
  expect(schemaOf(tried.db).filter((line) => /_tamp|_configs|never/.test(line))).toEqual([])
  // And a column can be compressed again.
  tried.run(enable({ table: 't', column: 'data' }))
  tried.run(disable({ table: 't', column: 'data' }))
})

test.each([
  [
    'an index',
    `CREATE INDEX mine ON _t_zstd(zstd_decompress_col(data, 1, _data_dict, 1))`,
    'The index mine reads "_data_dict"',
  ],
  ['a view', `CREATE VIEW mine AS SELECT _data_dict FROM _t_zstd`, 'The view mine reads "_data_dict"'],
  [
    'an INSTEAD OF trigger',
    `CREATE TRIGGER mine INSTEAD OF INSERT ON t BEGIN SELECT 1; END`,
    'The trigger mine is an INSTEAD OF trigger',
  ],
])('%s that somebody made over the cells is in the way, and is said before anything is done', (_, sql, message) => {
  const tried = enabled(`${kinds[0]![1]}; ${rows(30)}`)
  tried.db.exec(sql)
  expect(() => tried.run(disable({ table: 't', column: 'data' }))).toThrow(message)
  expect(tried.db.prepare('SELECT count(*) FROM _t_zstd WHERE _data_dict IS NULL').pluck().get()).toBe(0)
  expect(tried.run(configuredColumn('t', 'data'))?.config.tamp?.disabling).toBeUndefined()
})

test('what is written to the rows by their own name comes along', () => {
  const tried = enabled(`${kinds[0]![1]}; ${rows(30)} CREATE TABLE log(x)`)
  tried.db
    .exec(`CREATE INDEX on_rows ON _t_zstd(length(id)); CREATE TABLE child(t REFERENCES _t_zstd(id)); CREATE TRIGGER on_rows AFTER DELETE ON _t_zstd BEGIN INSERT INTO log VALUES (old.id); END;
    INSERT INTO _t_zstd(id, data) VALUES (1000, 'written to the rows')`)
  tried.run(addIndex({ table: 't', on: ['lower(data)'] }))
  tried.run(disable({ table: 't', column: 'data' }))
  tried.db.exec('DELETE FROM t WHERE id = 1000')
  expect(typedRows(tried.db, 'SELECT * FROM log')).toEqual([[1000n]])
  expect(schemaOf(tried.db)).toContain('table child child CREATE TABLE child ( t REFERENCES t ( id ) )')
  expect(schemaOf(tried.db)).toContain('index t_lower_data t CREATE INDEX t_lower_data ON t ( lower ( data ) )')
})

test('a dry run says how many rows and which statements, and changes nothing', () => {
  const tried = enabled(`${kinds[0]![1]}; ${rows(30)}`)
  const before = schemaOf(tried.db)
  const planned = tried.run(disable({ table: 't', column: 'data', dryRun: true }))
  expect(planned.rows).toBe(30)
  expect(schemaOf(tried.db)).toEqual(before)
  expect(tried.run(disable({ table: 't', column: 'data' })).statements).toEqual(
    planned.statements.filter((sql) => !sql.includes('_t_data_pending')),
  )
})

test('a column that is not compressed', () => {
  const tried = enabled(kinds[0]![1])
  expect(() => tried.run(disable({ table: 't', column: 'dat' }))).toThrow('t.dat is not compressed.')
})

describe('what somebody dropped by hand', () => {
  const schema = `CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT); CREATE TABLE log(x); CREATE INDEX i ON t(data);
    CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.data); END; CREATE VIEW v AS SELECT data FROM t`

  test.each(['disabled', 'enabled again'])('the view: %s', (way) => {
    const plain = policyDatabase(`${schema}; ${rows(50)}`)
    const tried = enabled(`${schema}; ${rows(50)}`)
    const before = schemaOf(tried.db)
    tried.db.exec('DROP VIEW t')
    if (way !== 'disabled') {
      const planned = tried.run(enable({ table: 't', column: 'data', dryRun: true }))
      expect(tried.run(enable({ table: 't', column: 'data' })).statements).toEqual(planned.statements)
      expect(schemaOf(tried.db)).toEqual(before)
      expect(typedRows(tried.db, 'SELECT * FROM t ORDER BY id')).toEqual(
        typedRows(plain.db, 'SELECT * FROM t ORDER BY id'),
      )
      for (const { db } of [plain, tried]) db.exec(`INSERT INTO t VALUES (1000, 'new')`)
    }
    expect(tried.run(disable({ table: 'T', column: 'data' })).complete).toBe(true)
    expect(schemaOf(tried.db)).toEqual(schemaOf(plain.db))
    for (const query of ['SELECT * FROM t ORDER BY id', 'SELECT * FROM log', 'SELECT * FROM v ORDER BY data'])
      expect(typedRows(tried.db, query)).toEqual(typedRows(plain.db, query))
  })

  test('the view and the rows: the column goes off the list, and the others stay', () => {
    const tried = enabled(`${kinds[0]![1]}; ${rows(30)} CREATE TABLE u(id INTEGER PRIMARY KEY, data TEXT)`)
    tried.run(enable({ table: 'u', column: 'data' }))
    tried.db.exec('DROP VIEW t; DROP TABLE _t_zstd')
    const before = schemaOf(tried.db)
    expect(() => tried.run(enable({ table: 't', column: 'data' }))).toThrow('there is no table _t_zstd')
    const { statements } = tried.run(disable({ table: 't', column: 'data', dryRun: true }))
    expect(tried.run(configuredColumn('t', 'data'))).toBeDefined()
    expect(tried.run(disable({ table: 't', column: 'data' }))).toMatchObject({ complete: true, rows: 0, statements })
    expect(tried.logs.join()).toContain('t.data is taken off the list')
    expect(typedRows(tried.db, 'SELECT DISTINCT table_name FROM _tamp_schema')).toEqual([['u']])
    expect(schemaOf(tried.db)).toEqual(before)
    tried.db.exec(`DROP VIEW u; DROP TABLE _u_zstd; CREATE TABLE u(id INTEGER PRIMARY KEY, data TEXT)`)
    expect(() => tried.run(enable({ table: 'u', column: 'data' }))).toThrow('but it is a table')
    tried.run(disable({ table: 'u', column: 'data' }))
    expect(schemaOf(tried.db)).toEqual(['table u u CREATE TABLE u ( id INTEGER PRIMARY KEY , data TEXT )'])
  })

  test('the view, and the rows were given another name: the dictionaries stay', () => {
    const tried = enabled(`${kinds[0]![1]}; ${rows(30)}`)
    tried.db.exec('DROP VIEW t; ALTER TABLE _t_zstd RENAME TO mine')
    expect(() => tried.run(disable({ table: 't', column: 'data' }))).toThrow('mine has a column _data_dict too')
    tried.db.exec('ALTER TABLE mine RENAME TO _t_zstd')
    expect(tried.run(disable({ table: 't', column: 'data' })).rows).toBe(30)
  })
})
