// The policy inside the extension: what the SQL functions take, give and refuse, and that its host does what it is asked.
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { beforeEach, describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { hosts } from '../../support/sqlite/hosts.ts'
import { testLibrary } from '../../support/sqlite/judge.ts'

const folder = await temporaryFolder('tamp-native-policy-')
let files = 0

const fill = (
  rows: number,
) => `INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
  SELECT i, json_object('id', i, 'name', 'user ' || (i * 7919 % 1000), 'kind', 'film ' || (i % 7)) FROM n`
const config = `{"table": "t", "column": "data", "compression_level": 3, "dict_chooser": "''a''", "min_dict_size_bytes_for_training": 1000}`
const enabling = `SELECT zstd_enable_transparent('${config}')`

let db: Database.Database
beforeEach(() => {
  db = new Database(join(folder, `${files++}.db`))
  db.loadExtension(testLibrary)
  db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)')
  db.exec(fill(3000))
  return () => db.close()
})

const ask = (sql: string, ...values: readonly unknown[]) =>
  db
    .prepare(sql)
    .pluck()
    .get(...values)
const pending = () => ask('SELECT count(*) FROM _t_zstd WHERE _data_dict IS NULL')

for (const host of hosts)
  describe.skipIf(host.version === null)(`${host.name} ${host.version}`, () => {
    test('compresses step by step, reads, and gives the table back', () => {
      const plain = `SELECT count(*), sum(length(data)), max(data) FROM t`
      const outcomes = host
        .run(
          join(folder, `${host.name.replace(':', '')}.db`),
          [
            'CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)',
            fill(3000),
            plain,
            enabling,
            `SELECT zstd_incremental_maintenance(0, 1)`,
            `SELECT zstd_incremental_maintenance(NULL, 0.9)`,
            `SELECT zstd_incremental_maintenance(3600, 1)`,
            `SELECT count(*) > 2900 FROM _t_zstd WHERE _data_dict > 0`,
            plain,
            `SELECT tamp('disable', '{"table": "t", "column": "data"}') ->> 'complete'`,
            plain,
            `SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'`,
          ],
          testLibrary,
        )
        .map((outcome) => ('rows' in outcome ? outcome.rows : outcome.error))
      const before = outcomes[2]
      expect(outcomes.slice(3)).toEqual([
        [['Done!']],
        // One step was enough for so few rows, or it was not.
        [[expect.toBeOneOf([0n, 1n])]],
        [[0n]],
        [[0n]],
        [[1n]],
        before,
        [[1n]],
        before,
        [[expect.stringMatching(/^CREATE TABLE "?t"? \(id INTEGER PRIMARY KEY, data TEXT\)$/)]],
      ])
    })
  })

describe('arguments', () => {
  test.for([
    [`zstd_enable_transparent(NULL)`, /takes its configuration as a JSON text/],
    [`zstd_enable_transparent('{')`, /The configuration is not JSON/],
    [`zstd_enable_transparent('{"table": "t", "colum": "data"}')`, /unknown key "colum".*Did you mean "column"\?/],
    [
      `zstd_enable_transparent('{"table": "no", "column": "data", "compression_level": 3, "dict_chooser": "''a''"}')`,
      /no table "?no/,
    ],
    [
      `zstd_enable_transparent('{"table": "t", "column": "id", "compression_level": 3, "dict_chooser": "''a''"}')`,
      /primary key|TEXT or BLOB/i,
    ],
    [`zstd_incremental_maintenance(-1, 1)`, /time too large/],
    [`zstd_incremental_maintenance(1e101, 1)`, /time too large/],
    [`zstd_incremental_maintenance('1', 1)`, /takes seconds, or NULL/],
    [`zstd_incremental_maintenance(1, NULL)`, /second argument .* is the load/],
    [`zstd_incremental_maintenance(1, 0)`, /load must be above 0/],
    [`zstd_incremental_maintenance(1)`, /wrong number of arguments/],
    [`tamp('maintian')`, /no command "maintian". \(Did you mean "maintain"\?\)/],
    [`tamp(NULL)`, /no command/],
    [`tamp('constructor')`, /no command "constructor"/],
    [`tamp('maintain', '[]')`, /options must be a JSON object/],
    [`tamp('maintain', '{"maxSecond": 1}')`, /no option "maxSecond". \(Did you mean "maxSeconds"\?\)/],
    [`tamp('maintain', '{"load": "much"}')`, /option "load" is a number, not "much"/],
    [`tamp('disable', '{"table": "t"}')`, /option "column" is missing/],
    [`tamp('disable', '{"table": 7, "column": "data"}')`, /option "table" is a text, not 7/],
    [`tamp('index', '{"table": "t", "on": "data"}')`, /option "on" is an array of texts/],
  ] as const)('%s', ([call, words]) => {
    expect(() => ask(`SELECT ${call}`)).toThrow(words)
    expect(db.inTransaction).toBe(false)
    expect(ask(`SELECT group_concat(name) FROM sqlite_schema`)).toBe('t')
  })
})

test('every command answers in JSON', () => {
  db.exec("CREATE INDEX by_kind ON t(json_extract(data, '$.kind'))")
  const run = (command: string, options: unknown = {}) =>
    JSON.parse(ask('SELECT tamp(?, ?)', command, JSON.stringify(options)) as string) as Record<string, unknown>
  const column = { table: 't', column: 'data' }
  expect(run('inspect')).toHaveProperty('tables')
  expect(run('enable', { ...column, level: 3, minDictBytesForTraining: 1000 })).toMatchObject({
    ...column,
    takenOver: false,
  })
  expect(run('maintain', { maxSeconds: null })).toMatchObject({ complete: true })
  expect(pending()).toBe(0)
  expect(run('index', { table: 't', on: ["data ->> 'name'"], name: 'by_name' })).toMatchObject({
    name: 'by_name',
    used: true,
  })
  expect(run('check')).toMatchObject({ complete: true, faults: 0, cells: 3000 })
  expect(run('disable', column)).toMatchObject({ complete: true, rows: 3000 })
})

describe('transactions', () => {
  test('a statement that writes is refused, and nothing happens', () => {
    ask(enabling)
    db.exec('CREATE TABLE log (more INTEGER)')
    for (const sql of [
      'INSERT INTO log SELECT zstd_incremental_maintenance(1, 1)',
      'CREATE TABLE other AS SELECT zstd_incremental_maintenance(1, 1)',
      `UPDATE t SET data = zstd_incremental_maintenance(1, 1) WHERE id = 1`,
      `INSERT INTO log SELECT tamp('maintain') ->> 'complete'`,
    ])
      expect(() => db.prepare(sql).run()).toThrow(/cannot be part of a statement that writes/)
    expect(ask('SELECT count(*) FROM log')).toBe(0)
    expect(pending()).toBe(3000)
    expect(ask('SELECT zstd_incremental_maintenance(NULL, 1)')).toBe(0)
  })

  test('in a transaction of the caller’s it works, and goes with it', () => {
    db.exec('BEGIN')
    expect(ask(enabling)).toBe('Done!')
    expect(ask('SELECT zstd_incremental_maintenance(NULL, 1)')).toBe(0)
    expect(pending()).toBeLessThan(100)
    expect(db.inTransaction).toBe(true)
    expect(ask('SELECT max(data) FROM t')).toContain('"id":999,')
    db.exec('ROLLBACK')
    expect(ask(`SELECT group_concat(name) FROM sqlite_schema`)).toBe('t')
    // What was rolled back is forgotten: the next one is a dictionary of its own.
    expect(ask(enabling)).toBe('Done!')
    expect(ask('SELECT zstd_incremental_maintenance(NULL, 1)')).toBe(0)
    expect(ask(`SELECT count(*) FROM t WHERE json_valid(data)`)).toBe(3000)
  })

  test('a lock is told as one, and nothing stays behind', () => {
    ask(enabling)
    const other = new Database(db.name)
    other.exec('BEGIN IMMEDIATE')
    db.pragma('busy_timeout = 0')
    expect(() => ask('SELECT zstd_incremental_maintenance(0.2, 1)')).toThrow(/^t.data was left: .*locked/)
    expect(db.inTransaction).toBe(false)
    other.exec('ROLLBACK')
    other.close()
    expect(ask('SELECT zstd_incremental_maintenance(10, 1)')).toBe(0)
  })

  test('each chunk is committed: another connection sees them while maintenance runs', () => {
    db.pragma('journal_mode = WAL')
    ask(enabling)
    const seen: unknown[] = []
    const other = new Database(db.name)
    other.loadExtension(testLibrary)
    const count = other.prepare('SELECT count(*) FROM _t_zstd WHERE _data_dict IS NULL').pluck()
    // Called for every row that is chosen for, in the middle of the run.
    db.function('look', () => (seen.push(count.get()), 'k'))
    db.prepare(
      `UPDATE _zstd_configs SET config = json_set(config, '$.dict_chooser', 'look()', '$.incremental_compression_step_bytes', 20000)`,
    ).run()
    expect(ask('SELECT zstd_incremental_maintenance(NULL, 1)')).toBe(0)
    expect(new Set(seen).size).toBeGreaterThan(1)
    other.close()
  })
})

test('a command inside a command is refused', () => {
  ask(enabling)
  db.prepare(`UPDATE _zstd_configs SET config = json_set(config, '$.dict_chooser', 'tamp(''maintain'')')`).run()
  const told = JSON.stringify([tryTo(() => ask(`SELECT tamp('maintain')`))])
  expect(told).toContain('tamp is already at work on this connection')
  expect(db.inTransaction).toBe(false)
})

function tryTo(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as Error).message
  }
}

test('errors of SQLite keep their code', () => {
  ask(enabling)
  db.pragma('query_only = 1')
  expect(tryCode(() => ask('SELECT zstd_incremental_maintenance(1, 1)'))).toMatch(/^SQLITE_(READONLY|ERROR)/)
  db.pragma('query_only = 0')
})

function tryCode(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code: string }).code
  }
}

test('keys of every kind go through the policy unharmed: integers beyond 2^53, blobs, texts with NUL, reals', () => {
  db.exec(`CREATE TABLE k (a, b, data TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID`)
  const keys = `(VALUES (9007199254740993), (-9223372036854775808), (9223372036854775807), (1.5), ('a' || char(0) || 'b'), (x'00ff'), ('ü☃𝒳'), (''), (x''))`
  db.exec(
    `INSERT INTO k SELECT a.column1, b.column1, 'some text that is long enough to be compressed ' || hex(a.column1) || hex(b.column1) FROM ${keys} a, ${keys} b`,
  )
  const all = `SELECT group_concat(quote(a) || quote(b) || quote(data)) FROM (SELECT * FROM k ORDER BY typeof(a), a, typeof(b), b)`
  const before = ask(all)
  ask(
    `SELECT zstd_enable_transparent('{"table": "k", "column": "data", "compression_level": 3, "dict_chooser": "''[nodict]''"}')`,
  )
  expect(ask('SELECT zstd_incremental_maintenance(NULL, 1)')).toBe(0)
  expect(ask('SELECT count(*) FROM _k_zstd WHERE _data_dict IS NULL')).toBe(0)
  expect(ask(all)).toBe(before)
  expect(JSON.parse(ask(`SELECT tamp('disable', '{"table": "k", "column": "data"}')`) as string)).toMatchObject({
    complete: true,
  })
  expect(ask(all)).toBe(before)
})

test('the engine holds little memory, and a thousand calls no more', () => {
  ask(enabling)
  ask('SELECT zstd_incremental_maintenance(NULL, 1)')
  const call = db.prepare('SELECT zstd_incremental_maintenance(NULL, 1)').pluck()
  for (let i = 0; i < 100; i++) call.get()
  const before = process.memoryUsage.rss()
  for (let i = 0; i < 1000; i++) call.get()
  expect((process.memoryUsage.rss() - before) / 1e6).toBeLessThan(20)
})
