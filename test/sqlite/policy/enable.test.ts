// What enabling asks for, refuses, finds out and says.
import { describe, expect, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import { configuredColumn } from '../../../src/sqlite/policy/catalogue.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable, parseEnableJson } from '../../../src/sqlite/policy/enable.ts'
import { compressCells, policyDatabase, schemaOf, typedRows } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'

function thrown(act: () => unknown): TampError {
  try {
    act()
  } catch (error) {
    if (error instanceof TampError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** Enabling fails and leaves everything as it was. */
function refused(tried: PolicyDatabase, options: Parameters<typeof enable>[0]): TampError {
  const before = schemaOf(tried.db)
  const error = thrown(() => tried.run(enable(options)))
  expect(schemaOf(tried.db)).toEqual(before)
  expect(tried.db.inTransaction).toBe(false)
  return error
}

const events = `CREATE TABLE events(id INTEGER PRIMARY KEY, data TEXT, note TEXT)`

describe('refuses, with the reason and what to do', () => {
  test.each([
    ['a slip in the table', events, 'event', 'data', 'There is no table event.', 'Did you mean events?'],
    ['a table that is not there', events, 'x', 'data', 'There is no table x.', 'There are events.'],
    ['a slip in the column', events, 'events', 'dtaa', 'events has no column dtaa.', 'Did you mean data?'],
    ['a view', `${events}; CREATE VIEW v AS SELECT * FROM events`, 'v', 'data', 'v is a view', undefined],
    ['a virtual table', 'CREATE VIRTUAL TABLE f USING fts5(data)', 'f', 'data', 'f is a virtual table', undefined],
    ['no key', 'CREATE TABLE t(data)', 't', 'data', 'no PRIMARY KEY', 'id INTEGER PRIMARY KEY'],
    ['the key', 'CREATE TABLE t(data TEXT PRIMARY KEY)', 't', 'data', 'part of the PRIMARY KEY', undefined],
    [
      'a UNIQUE constraint',
      'CREATE TABLE t(id INTEGER PRIMARY KEY, data UNIQUE)',
      't',
      'data',
      'UNIQUE constraint',
      'CREATE UNIQUE INDEX',
    ],
    [
      'a foreign key',
      'CREATE TABLE p(x PRIMARY KEY); CREATE TABLE t(id INTEGER PRIMARY KEY, data REFERENCES p)',
      't',
      'data',
      'part of a foreign key',
      undefined,
    ],
    [
      'a referenced column',
      'CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT); CREATE UNIQUE INDEX u ON t(data); CREATE TABLE c(x REFERENCES t(data))',
      't',
      'data',
      'part of a foreign key',
      undefined,
    ],
    [
      'a generated column',
      'CREATE TABLE t(id INTEGER PRIMARY KEY, d, data AS (upper(d)))',
      't',
      'data',
      'is a generated column',
      'computed from',
    ],
    [
      'numbers',
      'CREATE TABLE t(id INTEGER PRIMARY KEY, data INT); INSERT INTO t VALUES (1, 2)',
      't',
      'data',
      'holds numbers',
      undefined,
    ],
    [
      'a STRICT INTEGER column',
      'CREATE TABLE t(id INTEGER PRIMARY KEY, data INTEGER) STRICT',
      't',
      'data',
      'is declared INTEGER',
      undefined,
    ],
    [
      'NULL in the key',
      `CREATE TABLE t(id TEXT PRIMARY KEY, data); INSERT INTO t VALUES (NULL, '')`,
      't',
      'data',
      'NULL in the PRIMARY KEY',
      'IS NULL',
    ],
    [
      'a name that is taken',
      `${events}; CREATE TABLE _events_zstd(x)`,
      'events',
      'data',
      '_events_zstd already',
      undefined,
    ],
    [
      'a column name that is taken',
      'CREATE TABLE t(id INTEGER PRIMARY KEY, data, _data_dict)',
      't',
      'data',
      'column _data_dict already',
      undefined,
    ],
    ['a temporary namesake', `${events}; CREATE TEMP TABLE events(x)`, 'events', 'data', 'temporary events', 'Drop it'],
    [
      'a temporary trigger',
      `${events}; CREATE TEMP TRIGGER tt AFTER INSERT ON main.events BEGIN SELECT 1; END`,
      'events',
      'data',
      'temporary trigger tt',
      'Drop it',
    ],
    [
      'FTS5 by rowid',
      `${events}; CREATE VIRTUAL TABLE f USING fts5(data, content='events')`,
      'events',
      'data',
      'reads events by its rowid',
      'content_rowid',
    ],
    [
      'a trigger elsewhere that upserts',
      `${events}; CREATE TABLE u(a); CREATE TRIGGER ut AFTER INSERT ON u BEGIN INSERT INTO events VALUES (new.a, '', '') ON CONFLICT DO NOTHING; END`,
      'events',
      'data',
      'Inserting into u would not work any more: cannot UPSERT a view',
      'rewrite it',
    ],
    [
      'a view that needs the rowid',
      `CREATE TABLE t(id TEXT NOT NULL PRIMARY KEY, data); CREATE VIEW v AS SELECT rowid, data FROM t`,
      't',
      'data',
      'Reading the view v would not work any more: no such column: rowid',
      'rewrite it',
    ],
    [
      'a trigger whose writing to its table cannot be carried over',
      `${events}; CREATE TRIGGER et AFTER INSERT ON events BEGIN UPDATE events SET data = (SELECT max(data) FROM events) WHERE data = (SELECT min(data) FROM events); END`,
      'events',
      'data',
      'The trigger et cannot be carried over',
      'drop it',
    ],
    ...[
      `BEFORE UPDATE OF note ON events BEGIN UPDATE events SET note = 'x' WHERE id = new.id;`,
      `UPDATE ON events BEGIN REPLACE INTO events VALUES (new.id, replace(new.data, 'a', 'b'), 'x');`,
    ].map((trigger): [string, string, string, string, string, string] => [
      `a trigger before an update that updates: ${trigger}`,
      `${events}; CREATE TRIGGER et ${trigger} END`,
      'events',
      'data',
      'The trigger et cannot be carried over: it fires BEFORE UPDATE and updates events itself',
      'drop it',
    ]),
    [
      'a trigger of a name that compression needs',
      `${events}; CREATE TABLE u(a); CREATE TRIGGER _events_zstd_insert AFTER INSERT ON u BEGIN SELECT 1; END`,
      'events',
      'data',
      'There is a trigger of the name _events_zstd_insert already',
      undefined,
    ],
    [
      'triggers that come back to the table',
      `${events}; CREATE TABLE u(a); CREATE TRIGGER et AFTER UPDATE ON events BEGIN UPDATE u SET a = 1; END; CREATE TRIGGER ut AFTER UPDATE ON u BEGIN UPDATE events SET note = 'x'; END`,
      'events',
      'data',
      'The trigger ut does an UPDATE of events, while events itself is being written',
      'drop it',
    ],
  ])('%s', (_, schema, table, column, message, hint) => {
    const error = refused(policyDatabase(schema), { table, column })
    expect(error.message).toContain(message)
    if (hint !== undefined) expect(error.hint).toContain(hint)
  })

  test('a column that is compressed already', () => {
    const tried = policyDatabase(events)
    tried.run(enable({ table: 'events', column: 'data' }))
    expect(refused(tried, { table: 'EVENTS', column: 'Data' }).message).toBe('events.data is compressed already.')
  })

  test.each([
    ['an integer', 'id / 1000', 'gives an integer', `Say 'x' || (id / 1000).`],
    ['a real', '1.5', 'gives a real', `Say 'x' || (1.5).`],
    ['a blob', `x'00'`, 'gives a blob', 'CAST'],
    ['what is no expression', 'nowhere', 'no such column: nowhere', 'SQL expression'],
    ['what breaks out', `1) FROM events; --`, 'cannot be computed', undefined],
  ])('a dictionary chooser that gives %s', (_, dictChooser, message, hint) => {
    const tried = policyDatabase(`${events}; INSERT INTO events VALUES (1, 'a', 'b')`)
    const error = refused(tried, { table: 'events', column: 'data', dictChooser })
    expect(error.code).toBe('usage')
    expect(error.message).toContain(message)
    if (hint !== undefined) expect(error.hint).toContain(hint)
  })
})

describe('refuses where a temporary table or view hides what it would change', () => {
  const schema = 'CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT, note TEXT); CREATE INDEX i ON t(data)'

  test.each(['CREATE TEMP TABLE t(id, data, note)', 'CREATE TEMP VIEW T AS SELECT 1', 'CREATE TEMP TABLE _T_zstd(id)'])(
    '%s',
    (namesake) => {
      const tried = policyDatabase(schema)
      tried.run(enable({ table: 't', column: 'data' }))
      const before = schemaOf(tried.db)
      tried.db.exec(namesake)
      const temporary = tried.db.prepare('SELECT count(*) FROM sqlite_temp_schema').pluck()
      const count = temporary.get()
      for (const dryRun of [true, false]) {
        expect(refused(tried, { table: 't', column: 'note', dryRun }).message).toMatch(/has a temporary _?t/i)
        expect(thrown(() => tried.run(disable({ table: 't', column: 'data', dryRun }))).message).toMatch(
          /^t cannot be changed: This connection has a temporary _?t(_zstd)?, which hides/i,
        )
      }
      expect(schemaOf(tried.db)).toEqual(before)
      expect(temporary.get()).toBe(count)
    },
  )

  test('what is elsewhere stays in the database', () => {
    const tried = policyDatabase(
      `${schema}; CREATE TABLE u(a); CREATE TRIGGER ut AFTER INSERT ON u BEGIN INSERT INTO t(data) VALUES (new.a); END; CREATE TEMP TABLE u(a)`,
    )
    tried.run(enable({ table: 't', column: 'data' }))
    tried.db.exec(`INSERT INTO main.u VALUES ('a'); INSERT INTO temp.u VALUES ('b')`)
    tried.run(disable({ table: 't', column: 'data' }))
    tried.db.exec(`INSERT INTO main.u VALUES ('c'); INSERT INTO temp.u VALUES ('d')`)
    expect(typedRows(tried.db, 'SELECT data FROM t')).toEqual([['a'], ['c']])
  })
})

test('foreign keys are seen however they are spelled, and whatever LIKE does', () => {
  const tried = policyDatabase(
    `PRAGMA case_sensitive_like = ON; create table t(id integer primary key, data text); create unique index u on t(data); create table c(x references t(data))`,
  )
  expect(refused(tried, { table: 't', column: 'data' }).message).toContain('part of a foreign key')
})

test('tables are offered by the names that their users know', () => {
  const tried = policyDatabase(`${events}; CREATE TABLE other(x)`)
  tried.run(enable({ table: 'events', column: 'data' }))
  expect(refused(tried, { table: 'nothing of that', column: 'data' }).hint).toBe('There are events, other.')
  expect(refused(tried, { table: 'event', column: 'data' }).hint).toBe('Did you mean events?')
})

test('a dictionary chooser may leave rows plain, and may end with a comment', () => {
  const tried = policyDatabase(`${events}; INSERT INTO events VALUES (1, 'a', 'b'), (2000, 'a', 'b')`)
  const dictChooser = `CASE WHEN id > 1000 THEN 'old' END -- the young ones are hot`
  tried.run(enable({ table: 'events', column: 'data', dictChooser }))
  expect(tried.run(configuredColumn('events', 'data'))?.config.dictChooser).toBe(dictChooser)
})

test('names are saved as the schema spells them, and every column has a dictionary of its own', () => {
  const tried = policyDatabase(events)
  tried.run(enable({ table: 'EVENTS', column: 'DATA' }))
  tried.run(enable({ table: 'Events', column: 'Note', level: 12, minLength: 40, dictChooser: `'a'` }))
  expect(tried.run(configuredColumn('events', 'data'))?.config).toMatchObject({
    table: 'events',
    column: 'data',
    dictChooser: `'events.data'`,
    compressionLevel: 19,
    tamp: { layout: 1, text: true, minLength: 16, auto: true },
  })
  expect(tried.run(configuredColumn('events', 'note'))?.config).toMatchObject({
    column: 'note',
    dictChooser: `'a'`,
    compressionLevel: 12,
    tamp: { minLength: 40, auto: false },
  })
})

test.each([
  ['TEXT', '', true],
  ['VARCHAR(20)', `x'00'`, true],
  ['BLOB', '', false],
  ['BLOB', `'text'`, true],
  ['', `'text'`, true],
  ['', `x'00'`, false],
  ['JSON', '', true],
  ['JSON', `'{}'`, true],
  ['NUMERIC', `x'00'`, false],
])('cells of a %s column that holds %s are text: %s', (type, value, text) => {
  const tried = policyDatabase(`CREATE TABLE t(id INTEGER PRIMARY KEY, data ${type})`)
  if (value !== '') tried.db.exec(`INSERT INTO t VALUES (1, NULL), (2, ${value})`)
  tried.run(enable({ table: 't', column: 'data' }))
  expect(tried.run(configuredColumn('t', 'data'))?.config.tamp?.text).toBe(text)
})

test('a dry run changes nothing and says what would be run', () => {
  const [dry, wet] = [policyDatabase(events), policyDatabase(events)]
  const before = schemaOf(dry.db)
  const planned = dry.run(enable({ table: 'events', column: 'data', dryRun: true }))
  expect(schemaOf(dry.db)).toEqual(before)
  const scope = /, \d+\)/g
  const done = wet.run(enable({ table: 'events', column: 'data' }))
  expect(planned.statements.map((sql) => sql.replace(scope, ')'))).toEqual(
    done.statements.map((sql) => sql.replace(scope, ')')),
  )
  expect(planned.remarks).toEqual(done.remarks)
})

test('what does not work anyway is no obstacle, and stays as it is', () => {
  const tried = policyDatabase(`${events}; CREATE TABLE u(a);
    CREATE VIEW broken AS SELECT a FROM gone; CREATE VIEW needs AS SELECT a_function_of_the_application(a) FROM u; CREATE VIEW on_broken AS SELECT * FROM broken;
    CREATE TRIGGER ut AFTER UPDATE ON u BEGIN INSERT INTO gone VALUES (1); END`)
  const before = schemaOf(tried.db)
  tried.run(enable({ table: 'events', column: 'data' }))
  expect(schemaOf(tried.db)).toEqual(expect.arrayContaining(before.filter((line) => !line.startsWith('table events'))))
  tried.run(disable({ table: 'events', column: 'data' }))
  expect(schemaOf(tried.db)).toEqual(before)
})

test("views and triggers of the connection's temporary schema go on", () => {
  const tried = policyDatabase(`${events}; CREATE TABLE u(a);
    CREATE TEMP VIEW tv AS SELECT id, data FROM events;
    CREATE TEMP TRIGGER tvi INSTEAD OF INSERT ON tv BEGIN INSERT INTO events(id, data) VALUES (new.id, new.data); END;
    CREATE TEMP TRIGGER ut AFTER INSERT ON u BEGIN INSERT INTO events(data) VALUES (new.a); END`)
  const use = (id: number): void => {
    tried.db.exec(
      `INSERT INTO tv VALUES (${id}, 'through the temporary view'); INSERT INTO u VALUES ('by the temporary trigger')`,
    )
    expect(tried.db.prepare('SELECT count(*) FROM tv').pluck().get()).toBe(
      tried.db.prepare('SELECT count(*) FROM events').pluck().get(),
    )
  }
  use(1)
  tried.run(enable({ table: 'events', column: 'data' }))
  compressCells(tried.db, 'events', 'data')
  use(101)
  tried.run(disable({ table: 'events', column: 'data' }))
  use(201)
  expect(tried.db.prepare('SELECT count(*) FROM events').pluck().get()).toBe(6)
})

test('a cell that nobody touches keeps its compressed form', () => {
  const tried = policyDatabase(
    `${events}; INSERT INTO events VALUES (1, 'a text that is long enough', 'n'), (2, 'another text, long enough', 'n')`,
  )
  tried.run(enable({ table: 'events', column: 'data' }))
  compressCells(tried.db, 'events', 'data')
  const stored = (): unknown => typedRows(tried.db, 'SELECT typeof(data), _data_dict FROM _events_zstd ORDER BY id')
  tried.db.exec(`UPDATE events SET note = 'new'; UPDATE events SET id = id + 10; UPDATE events SET data = data`)
  expect(stored()).toEqual([
    ['blob', -1n],
    ['blob', -1n],
  ])
  tried.db.exec(`UPDATE events SET data = data || '!' WHERE id = 11`)
  expect(stored()).toEqual([
    ['text', null],
    ['blob', -1n],
  ])
})

test('maintenance fires no trigger', () => {
  const tried =
    policyDatabase(`${events}; CREATE TABLE log(x); CREATE TRIGGER u1 AFTER UPDATE ON events BEGIN INSERT INTO log VALUES (1); END;
    CREATE TRIGGER u2 BEFORE UPDATE OF data ON events BEGIN INSERT INTO log VALUES (2); END; INSERT INTO events VALUES (1, 'a text that is long enough', 'n')`)
  tried.run(enable({ table: 'events', column: 'data' }))
  compressCells(tried.db, 'events', 'data')
  expect(typedRows(tried.db, 'SELECT * FROM log')).toEqual([])
})

test('all pending rows, and only they, are in the index over them', () => {
  const tried = policyDatabase(events)
  tried.run(enable({ table: 'events', column: 'data' }))
  tried.db.exec(
    `INSERT INTO events(data) VALUES ('short'), (NULL), ('a text that is long enough'), (x'00112233445566778899aabbccddeeff'), (1.5)`,
  )
  const pending = `SELECT id FROM _events_zstd INDEXED BY _events_data_pending
    WHERE _data_dict IS NULL AND typeof(data) IN ('text','blob') AND length(data) >= 16 ORDER BY id`
  expect(typedRows(tried.db, pending)).toEqual([[3n], [4n]])
  compressCells(tried.db, 'events', 'data')
  expect(typedRows(tried.db, pending)).toEqual([])
})

test('says what is worth a word about the connection', () => {
  const tried = policyDatabase(events)
  tried.db.pragma('busy_timeout = 0')
  tried.run(enable({ table: 'events', column: 'data' }))
  expect(tried.logs.join()).toContain('busy_timeout is 0')
})

describe('the configuration in JSON', () => {
  test('knows all keys of sqlite-zstd', () => {
    expect(
      parseEnableJson(
        JSON.stringify({
          table: 't',
          column: 'c',
          compression_level: 3,
          dict_chooser: `'a'`,
          min_dict_size_bytes_for_training: 1,
          dict_size_ratio: 0.5,
          train_dict_samples_ratio: 10,
          incremental_compression_step_bytes: 1000,
        }),
      ),
    ).toEqual({
      table: 't',
      column: 'c',
      level: 3,
      dictChooser: `'a'`,
      minDictBytesForTraining: 1,
      dictSizeRatio: 0.5,
      trainDictSamplesRatio: 10,
      incrementalCompressionStepBytes: 1000,
    })
  })

  test.each([
    ['{', 'is not JSON', 'Such as'],
    ['[]', 'must be a JSON object', 'Such as'],
    ['{"column":"c"}', 'lacks "table"', 'Such as'],
    ['{"table":"t","column":"c","dict_choser":"1"}', 'unknown key "dict_choser"', 'Did you mean "dict_chooser"?'],
    ['{"table":"t","column":"c","speed":1}', 'unknown key "speed"', 'The keys are table, column'],
    [
      '{"table":"t","column":"c","compression_level":23}',
      'compression_level must be a whole number from 1 to 22',
      undefined,
    ],
    ['{"table":"t","column":"c","compression_level":0}', 'compression_level must be', undefined],
    ['{"table":"t","column":"c","compression_level":"fast"}', 'compression_level must be', undefined],
    ['{"table":"t","column":"c","dict_size_ratio":0}', 'dict_size_ratio must be', undefined],
    ['{"table":"","column":"c"}', 'table must be a text', undefined],
    ['{"table":"t","column":3}', 'column must be a text', undefined],
  ])('%s', (json, message, hint) => {
    const error = thrown(() => parseEnableJson(json))
    expect(error.code).toBe('usage')
    expect(error.message).toContain(message)
    if (hint !== undefined) expect(error.hint).toContain(hint)
  })
})
