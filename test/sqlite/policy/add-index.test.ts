// Indexes behind a view: those that were there, and those made since, are used by the table's own name and give the rows that a scan gives.
import { describe, expect, test } from 'vitest'
import { addIndex } from '../../../src/sqlite/policy/add-index.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { compressCells, policyDatabase, schemaOf, typedRows } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'

const rows = `WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300)
  INSERT INTO t SELECT n, 'kind ' || n % 7, json_object('year', CAST(1900 + n % 100 AS TEXT), 'title', 'Title ' || n) FROM n;`

function made(declared: string, indexes = ''): PolicyDatabase {
  return policyDatabase(
    `CREATE TABLE t(id INTEGER PRIMARY KEY, kind TEXT, data ${declared}) ${declared.endsWith(' ') ? 'STRICT' : ''}; ${rows} ${indexes}`,
  )
}

function plan({ db }: PolicyDatabase, sql: string): string {
  return (db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]).map(({ detail }) => detail).join('; ')
}

/** Columns in which the index works, with and without STRICT and a collation. */
const declarations = [
  'TEXT',
  'JSON',
  'BLOB',
  '',
  'TEXT COLLATE NOCASE',
  'TEXT COLLATE RTRIM',
  'TEXT /* of a STRICT table */ ',
]

const wanted: readonly (readonly [index: string, query: string])[] = [
  ['data', `SELECT id FROM t WHERE data = '{"year":"1992","title":"Title 92"}'`],
  ['data', `SELECT id FROM t WHERE data >= '{"year":"1998"' AND data < '{"year":"1999"' ORDER BY data, id`],
  ['data COLLATE NOCASE', `SELECT id FROM t WHERE data = '{"YEAR":"1992","TITLE":"TITLE 92"}' COLLATE NOCASE`],
  [`data ->> 'year'`, `SELECT * FROM t WHERE data ->> 'year' = '1992' ORDER BY id`],
  [`data->>'year' DESC`, `SELECT id FROM t WHERE data->>'year' IN ('1992', '1993') ORDER BY id`],
  [
    `json_extract(data, '$.year')`,
    `SELECT count(*) FROM t WHERE json_extract(data, '$.year') BETWEEN '1990' AND '1995'`,
  ],
  [`lower(data)`, `SELECT id FROM t WHERE lower(data) = '{"year":"1992","title":"title 92"}'`],
  [`length(data)`, `SELECT max(id) FROM t WHERE length(data) = 33`],
]

describe.each(declarations)('a column declared %s', (declared) => {
  test.each(wanted)('an index on %s that was there is carried over: %s', (index, query) => {
    const tried = made(declared, `CREATE INDEX i ON t(${index})`)
    const expected = typedRows(tried.db, query)
    const before = schemaOf(tried.db)
    expect(expected).not.toEqual([])
    expect(plan(tried, query)).toMatch(/USING (COVERING )?INDEX i /)
    tried.run(enable({ table: 't', column: 'data' }))
    expect(plan(tried, query)).toMatch(/USING (COVERING )?INDEX i /)
    expect(typedRows(tried.db, query)).toEqual(expected)
    compressCells(tried.db, 't', 'data')
    expect(plan(tried, query)).toMatch(/USING (COVERING )?INDEX i /)
    expect(typedRows(tried.db, query)).toEqual(expected)
    expect(tried.db.pragma('integrity_check', { simple: true })).toBe('ok')
    tried.run(disable({ table: 't', column: 'data' }))
    expect(schemaOf(tried.db)).toEqual(before)
    expect(typedRows(tried.db, query)).toEqual(expected)
  })

  test.each(wanted)('a new index on %s is used: %s', (index, query) => {
    const tried = made(declared)
    tried.run(enable({ table: 't', column: 'data' }))
    compressCells(tried.db, 't', 'data')
    const expected = typedRows(tried.db, query)
    const added = tried.run(addIndex({ table: 't', on: [index], name: 'i' }))
    expect(added).toMatchObject({ name: 'i', used: true })
    expect(plan(tried, query)).toMatch(/USING (COVERING )?INDEX i /)
    expect(typedRows(tried.db, query)).toEqual(expected)
    tried.run(disable({ table: 't', column: 'data' }))
    expect(schemaOf(tried.db)).toEqual(schemaOf(made(declared, `CREATE INDEX i ON t(${index})`).db))
    expect(plan(tried, query)).toMatch(/USING (COVERING )?INDEX i /)
  })
})

describe('making an index', () => {
  const enabled = (): PolicyDatabase => {
    const tried = made('TEXT')
    tried.run(enable({ table: 't', column: 'data' }))
    compressCells(tried.db, 't', 'data')
    return tried
  }

  test('on columns that are not compressed, several at once', () => {
    const tried = enabled()
    expect(tried.run(addIndex({ table: 'T', on: ['kind', `data ->> 'title' DESC`] }))).toMatchObject({
      name: 't_kind_data_title_DESC',
      used: true,
    })
    const query = `SELECT id FROM t WHERE kind = 'kind 3' ORDER BY data ->> 'title' DESC LIMIT 3`
    expect(plan(tried, query)).toBe('SEARCH _t_zstd USING COVERING INDEX t_kind_data_title_DESC (kind=?)')
  })

  test('with a condition, and a name that is free', () => {
    const tried = enabled()
    const where = `data ->> 'year' > '1990'`
    tried.run(addIndex({ table: 't', on: ['kind'], where }))
    expect(tried.run(addIndex({ table: 't', on: ['kind'], where: `${where} AND kind <> ''` }))).toMatchObject({
      name: 't_kind_2',
      used: true,
    })
    expect(plan(tried, `SELECT data FROM t WHERE kind = 'kind 1' AND ${where}`)).toContain('INDEX t_kind (')
  })

  test('unique, or not', () => {
    const tried = enabled()
    expect(() => tried.run(addIndex({ table: 't', on: [`data ->> 'year'`], unique: true }))).toThrow('not unique')
    expect(schemaOf(tried.db).filter((line) => line.includes('t_data_year'))).toEqual([])
    tried.run(addIndex({ table: 't', on: [`data ->> 'title'`], unique: true }))
    expect(() => tried.db.exec(`INSERT INTO t(data) VALUES ('{"title":"Title 5"}')`)).toThrow('UNIQUE')
    tried.db.exec(`INSERT OR REPLACE INTO t(id, data) VALUES (9999, '{"title":"Title 5"}')`)
    expect(typedRows(tried.db, `SELECT id FROM t WHERE data ->> 'title' = 'Title 5'`)).toEqual([[9999n]])
  })

  test('on a table that is not compressed is what CREATE INDEX does', () => {
    const tried = made('TEXT')
    expect(tried.run(addIndex({ table: 't', on: ['kind'] }))).toMatchObject({
      used: true,
      statement: 'CREATE INDEX "t_kind" ON "t"("kind")',
    })
  })

  test('dry, changes nothing', () => {
    const tried = enabled()
    const before = schemaOf(tried.db)
    tried.run(addIndex({ table: 't', on: ['kind'], dryRun: true }))
    expect(schemaOf(tried.db)).toEqual(before)
  })

  test.each([
    [['dtaa'], 'no such column: dtaa'],
    [['random()'], 'non-deterministic'],
    [['kind, data'], 'is not one expression'],
    [['kind); DROP TABLE t; --'], 'is not one expression'],
    [['(kind'], 'is not one expression'],
    [[''], 'is empty'],
    [[], 'at least one'],
  ])('refuses %j', (on, message) => {
    const tried = enabled()
    const before = schemaOf(tried.db)
    expect(() => tried.run(addIndex({ table: 't', on }))).toThrow(message)
    expect(() => tried.run(addIndex({ table: 't', on, dryRun: true }))).toThrow(message)
    expect(schemaOf(tried.db)).toEqual(before)
  })

  test.each([
    [{ on: ['kind'], unique: true }, 'not unique'],
    [{ on: ['lower(kind) DESC', `data ->> 'year'`], where: 'id < 100 -- the first', unique: true }, undefined],
    [{ on: ['kind COLLATE NOCASE ASC'], unique: true, where: 'id < 2' }, undefined],
    [{ on: ['kind COLLATE NOCASE'], unique: true, where: 'id < 3' }, 'not unique'],
    [{ on: [`nullif(kind, kind)`], unique: true }, undefined],
    [{ on: [`('x' || kind) ->> 'year'`] }, 'malformed JSON'],
    [{ on: [`('x' || kind) ->> 'year'`], where: 'id > 1000' }, undefined],
    [{ on: ['id'], where: 'nope > 1' }, 'no such column: nope'],
  ])('a dry run says of %j what making it says, and writes nothing', (options, message) => {
    const tried = enabled()
    const said = (dryRun: boolean): string | undefined => {
      try {
        tried.run(addIndex({ table: 't', ...options, dryRun }))
        return undefined
      } catch (error) {
        return (error as Error).message
      }
    }
    tried.db.pragma('query_only = ON')
    const dry = said(true)
    tried.db.pragma('query_only = OFF')
    const wet = said(false)
    if (message === undefined) expect([dry, wet]).toEqual([undefined, undefined])
    else for (const one of [dry, wet]) expect(one).toContain(message)
  })

  test('refuses a name that is taken', () => {
    expect(() => enabled().run(addIndex({ table: 't', on: ['kind'], name: 'T' }))).toThrow('of the name T already')
  })
})

test('an index over two compressed columns goes with both, one after the other', () => {
  const schema = `CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT); CREATE INDEX i ON t(a, b);
    INSERT INTO t VALUES (1, 'a text that is long enough, a', 'b'), (2, 'c', 'a text that is long enough, d')`
  const [plain, tried] = [policyDatabase(schema), policyDatabase(schema)]
  const query = `SELECT id FROM t WHERE a = 'c' AND b = 'a text that is long enough, d'`
  const looks = (): void => {
    expect(plan(tried, query)).toContain('INDEX i (')
    expect(typedRows(tried.db, query)).toEqual([[2n]])
    expect(tried.db.pragma('integrity_check', { simple: true })).toBe('ok')
  }
  for (const column of ['a', 'b']) {
    tried.run(enable({ table: 't', column }))
    compressCells(tried.db, 't', column)
    looks()
  }
  for (const column of ['a', 'b']) {
    tried.run(disable({ table: 't', column }))
    looks()
  }
  expect(schemaOf(tried.db)).toEqual(schemaOf(plain.db))
})
