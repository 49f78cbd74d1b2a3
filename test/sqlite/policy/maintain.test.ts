// Maintenance compresses what is pending, says what it leaves and why, stops anywhere, and never changes an answer.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { SqliteDriver } from '../../../src/database/sqlite-driver.ts'
import { drive } from '../../../src/sqlite/host/drive.ts'
import { check } from '../../../src/sqlite/policy/check.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import type { EnableOptions } from '../../../src/sqlite/policy/enable.ts'
import { maintain } from '../../../src/sqlite/policy/maintain.ts'
import type { Maintained, MaintainOptions } from '../../../src/sqlite/policy/maintain.ts'
import type { Request } from '../../../src/sqlite/policy/request.ts'
import { jsonText, noise } from '../../support/sqlite/json-rows.ts'
import { policyDatabase, typedRows } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'
import { watched } from '../../support/sqlite/watched-policy.ts'

const folder = mkdtempSync(join(tmpdir(), 'tamp-maintain-'))
let files = 0
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))

const file = (): string => join(folder, `${files++}.db`)

/** A table of JSON texts whose column is enabled; groups of 50 kB and more get a dictionary. */
function texts(rows: number, options: Partial<EnableOptions> = {}, path?: string, before = ''): PolicyDatabase {
  const tried = policyDatabase(`${before}; CREATE TABLE t(id INTEGER PRIMARY KEY, k INT DEFAULT 7, data TEXT)`, path)
  insert(tried, rows)
  tried.run(enable({ table: 't', column: 'data', level: 3, minDictBytesForTraining: 500, ...options }))
  return tried
}

function insert({ db }: PolicyDatabase, rows: number, text: (id: number) => unknown = jsonText, from = 1): void {
  const statement = db.prepare('INSERT INTO t(id, data) VALUES (?, ?)')
  db.transaction(() => {
    for (let id = from; id < from + rows; id++) statement.run(id, text(id))
  })()
}

const all = ({ db }: PolicyDatabase): readonly unknown[][] => typedRows(db, 'SELECT * FROM t ORDER BY 1')
const pragma = ({ db }: PolicyDatabase, name: string): unknown => db.pragma(name, { simple: true })
const dictionaries = ({ db }: PolicyDatabase): unknown =>
  db.prepare('SELECT _data_dict, count(*) FROM _t_zstd GROUP BY 1 ORDER BY 1').raw().all()

function run(tried: PolicyDatabase, options: MaintainOptions = {}): Maintained {
  return tried.run(maintain(options))
}

/** The statements of a policy that could write. */
function writing(tried: PolicyDatabase, options: MaintainOptions = {}): string[] {
  const seen: string[] = []
  const look = (_: number, request: Request): void => {
    if (request.kind === 'query' && !/^\s*(SELECT|PRAGMA)/.test(request.sql)) seen.push(request.sql)
  }
  drive(watched(maintain(options), look), tried.driver)
  return seen
}

describe('a column', () => {
  test('is compressed with a dictionary, its answers stay, and a second run does nothing', () => {
    const tried = texts(3000)
    const before = all(tried)
    const { complete, columns, skipped } = run(tried)
    expect({ complete, skipped }).toEqual({ complete: true, skipped: [] })
    expect(columns[0]).toMatchObject({ lane: 't.data', rows: 3000, pendingRows: 0, left: [], complete: true })
    expect(columns[0]!.dictionaries).toMatchObject([{ key: 't.data', level: 3, replaced: null }])
    expect(columns[0]!.bytesAfter).toBeLessThan(columns[0]!.bytesBefore / 2.5)
    const stored = tried.db.prepare('SELECT sum(length(data)) FROM _t_zstd').pluck().get()
    expect(columns[0]!.bytesAfter).toBe(stored)
    expect(all(tried)).toEqual(before)
    expect(pragma(tried, 'integrity_check')).toBe('ok')
    expect(writing(tried)).toEqual([])
    expect(run(tried)).toMatchObject({ complete: true, columns: [{ rows: 0, chunks: 0, pendingRows: 0 }] })
  })

  test('is looked at through the index over what is pending, and counted by it alone', () => {
    const tried = texts(1500)
    const plans: string[] = []
    const look = (_: number, request: Request): void => {
      if (
        request.kind === 'query' &&
        /_t_zstd"[^]*IS NULL/.test(request.sql) &&
        /^\s*(SELECT|UPDATE|WITH)/.test(request.sql)
      )
        plans.push(
          tried.db
            .prepare(`EXPLAIN QUERY PLAN ${request.sql}`)
            .all(...request.params)
            .map((row) => (row as { detail: string }).detail)
            .filter((detail) => /\bt\b/.test(detail))
            .join(', '),
        )
    }
    drive(watched(maintain(), look), tried.driver)
    expect(plans.length).toBeGreaterThan(4)
    for (const plan of plans) expect(plan).toMatch(/^(SEARCH t USING (COVERING )?INDEX _t_data_pending[^,]*(, )?)+$/)
  })

  test('gets what came in meanwhile with the dictionary it has', () => {
    const tried = texts(2000)
    run(tried)
    insert(tried, 10, jsonText, 5001)
    const { columns } = run(tried)
    expect(columns[0]).toMatchObject({ rows: 10, dictionaries: [], chunks: 1 })
    expect(columns[0]!.bytesAfter).toBeLessThan(columns[0]!.bytesBefore / 2.5)
    expect(dictionaries(tried)).toEqual([[1, 2010]])
  })

  test('keeps cells of every type', () => {
    const tried = texts(2000)
    const odd = [
      null,
      '',
      'short',
      1,
      2.5,
      Buffer.from(''),
      Buffer.from(jsonText(1)),
      'ž'.repeat(300),
      'a\0b'.repeat(9),
    ]
    insert(tried, odd.length, (id) => odd[id - 9001], 9001)
    const before = all(tried)
    expect(run(tried)).toMatchObject({
      complete: true,
      skipped: [],
      columns: [{ rows: 2002, left: [], pendingRows: 0 }],
    })
    expect(all(tried)).toEqual(before)
    expect(dictionaries(tried)).toEqual([
      [null, 7],
      [-2, 1],
      [1, 2001],
    ])
  })

  test('of nothing but empty and short cells has nothing pending', () => {
    const tried = texts(0)
    insert(tried, 5, (id) => ['', null, 7, 'tiny', ''][id - 1])
    expect(run(tried)).toMatchObject({ complete: true, skipped: [], columns: [{ rows: 0, pendingRows: 0, left: [] }] })
  })

  test('stays plain where nothing is gained, with the reason, and is not walked for it', () => {
    const tried = policyDatabase('CREATE TABLE t(id INTEGER PRIMARY KEY, data BLOB)')
    insert(tried, 3000, noise)
    tried.run(enable({ table: 't', column: 'data', minDictBytesForTraining: 500 }))
    const { complete, columns } = run(tried)
    expect(complete).toBe(true)
    expect(columns[0]).toMatchObject({ rows: 0, pendingRows: 3000, dictionaries: [], chunks: 0 })
    expect(columns[0]!.left).toMatchObject([{ code: 'not-worth-it', key: 't.data', rows: 3000, bytes: 600_000 }])
    expect(columns[0]!.left[0]!.reason).toMatch(/not worth it: the best dictionary would save (nothing|\d)/)
    expect(writing(tried)).toEqual([])
  })

  test('with "auto" takes the level that did best, and remembers it', () => {
    const tried = texts(4000, { level: 'auto' })
    const [trained] = run(tried).columns[0]!.dictionaries
    const kept = tried.db.prepare('SELECT level, trained_ratio FROM _tamp_dicts WHERE id = 1').raw().get()
    expect(kept).toEqual([trained!.level, trained!.ratio])
    const hash = tried.db.prepare(
      'SELECT tamp_sha256(dict) = sha256 FROM _zstd_dicts JOIN _tamp_dicts USING (id) WHERE id = 1',
    )
    expect(hash.pluck().get()).toBe(1)
  })
})

describe('the chooser', () => {
  const dictChooser = `CASE WHEN id > 4000 THEN NULL WHEN id > 3900 THEN '[nodict]' WHEN id > 3890 THEN 'few' ELSE 'g' || (id % 2) END`

  test('gives groups their dictionaries, leaves NULL and too small ones, and takes [nodict]', () => {
    const tried = texts(4100, { dictChooser })
    const before = all(tried)
    const { columns, complete } = run(tried)
    expect(complete).toBe(true)
    expect(columns[0]!.dictionaries.map(({ key }) => key).toSorted()).toEqual(['g0', 'g1'])
    expect(columns[0]!.left.map(({ code, key, rows }) => [code, key, rows])).toEqual([
      ['not-yet', null, 100],
      ['too-small', 'few', 10],
    ])
    expect(columns[0]!.left[1]!.reason).toMatch(/^10 rows of 1\d\d\d bytes are worth a dictionary of 1\d bytes/)
    expect(dictionaries(tried)).toEqual([
      [null, 110],
      [-1, 100],
      [1, 1945],
      [2, 1945],
    ])
    expect(all(tried)).toEqual(before)
    expect(writing(tried)).toEqual([])
  })

  test('may look into the column, and have hundreds of groups in one window', () => {
    const tried = texts(6000, {
      dictChooser: `CASE WHEN data ->> 'titleType' = 'movie' THEN 'm' ELSE 'x' || (id % 400) END -- by type`,
    })
    const before = all(tried)
    const [column] = run(tried).columns
    expect(column!.dictionaries.map(({ key }) => key)).toEqual(['m'])
    expect(column!.left).toHaveLength(101)
    expect(column!.left.reduce((sum, { keys }) => sum + keys, 0)).toBe(400)
    expect(column!.left.reduce((sum, { rows }) => sum + rows, 0)).toBe(column!.pendingRows)
    tried.db.exec(`INSERT INTO _zstd_dicts(chooser_key, dict)
      SELECT DISTINCT 'x' || (id % 400), (SELECT dict FROM _zstd_dicts WHERE chooser_key = 'm') FROM t`)
    const again = run(tried)
    expect(again).toMatchObject({ skipped: [], columns: [{ rows: column!.pendingRows, pendingRows: 0, left: [] }] })
    expect(again.columns[0]!.chunks).toBeLessThan(5)
    expect(dictionaries(tried)).toHaveLength(401)
    expect(all(tried)).toEqual(before)
  })

  test('sees other compressed columns plain, also in rows of which only this one is pending', () => {
    const tried = policyDatabase('CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT, kind TEXT)')
    const put = tried.db.prepare('INSERT INTO t VALUES (?, ?, ?)')
    tried.db.transaction(() => {
      for (let id = 1; id <= 3000; id++)
        put.run(id, jsonText(id), JSON.stringify({ kind: id % 2 === 0 ? 'push' : 'pull', of: 'a row' }))
    })()
    for (const [column, dictChooser] of [
      ['data', `t.kind ->> '$.kind'`],
      ['kind', `'of kinds'`],
    ] as const)
      tried.run(enable({ table: 't', column, dictChooser, level: 3, minDictBytesForTraining: 100 }))
    expect(run(tried)).toMatchObject({ complete: true, skipped: [], columns: [{ rows: 3000 }, { rows: 3000 }] })
    tried.db.exec(`UPDATE t SET data = 'changed ' || data WHERE id <= 100`)
    const before = all(tried)
    expect(run(tried)).toMatchObject({
      complete: true,
      columns: [{ rows: 100, pendingRows: 0, left: [] }, { rows: 0 }],
    })
    const groups = tried.db.prepare('SELECT _data_dict, count(*), min(id % 2), max(id % 2) FROM _t_zstd GROUP BY 1')
    expect((groups.raw().all() as number[][]).map(([, ...group]) => group).toSorted()).toEqual([
      [1500, 0, 0],
      [1500, 1, 1],
    ])
    expect(all(tried)).toEqual(before)
  })

  test('that gives a number has its column skipped, and the others go on', () => {
    const tried = texts(2000)
    tried.db.exec(`CREATE TABLE u(id INTEGER PRIMARY KEY, note TEXT); INSERT INTO u SELECT id, data FROM t`)
    tried.db.exec(`UPDATE _zstd_configs SET config = json_set(config, '$.dict_chooser', 'id / 100000')`)
    tried.run(enable({ table: 'u', column: 'note', level: 3, minDictBytesForTraining: 500 }))
    const { columns, skipped, complete } = run(tried)
    expect(complete).toBe(true)
    expect(skipped).toEqual([
      {
        subject: 't.data',
        reason: `The dict_chooser id / 100000 gives the number 0, not text. Make it text, for instance 'x' || (id / 100000).`,
      },
    ])
    expect(columns.map(({ lane, rows }) => [lane, rows])).toEqual([
      ['t.data', 0],
      ['u.note', 2000],
    ])
  })

  test('that fails has its column skipped, and one that fails on a row leaves that row', () => {
    const tried = texts(2000)
    tried.db.exec(`UPDATE _zstd_configs SET config = json_set(config, '$.dict_chooser', 'nowhere')`)
    expect(run(tried).skipped).toEqual([{ subject: 't.data', reason: 'no such column: nowhere' }])
    tried.db.exec(`UPDATE _zstd_configs SET config = json_set(config, '$.dict_chooser', '''t.data''')`)
    run(tried)
    tried.db.exec(
      `UPDATE _zstd_configs SET config = json_set(config, '$.dict_chooser', 'iif(json_valid(data), ''t.data'', abs(-9223372036854775807 - 1))')`,
    )
    insert(tried, 9, jsonText, 3001)
    tried.db.exec(
      `INSERT INTO t(id, data) VALUES (3004.0 + 16, 'not JSON, but long enough'); UPDATE t SET data = 'no JSON that is long enough' WHERE id = 3003`,
    )
    const { columns, skipped, complete } = run(tried)
    expect({ skipped, complete }).toEqual({ skipped: [], complete: true })
    expect(columns[0]!.rows).toBe(8)
    expect(columns[0]!.left).toMatchObject([{ code: 'failed', rows: 2, reason: 'row 3003: integer overflow' }])
  })
})

describe('a table', () => {
  test('WITHOUT ROWID and with a key of two columns is walked by its key', () => {
    const tried = policyDatabase(
      `CREATE TABLE w(a TEXT COLLATE NOCASE, b REAL, data TEXT, PRIMARY KEY (a, b DESC)) WITHOUT ROWID;`,
    )
    const put = tried.db.prepare('INSERT INTO w VALUES (?, ?, ?)')
    tried.db.transaction(() => {
      for (let id = 0; id < 3000; id++) put.run(id % 2 === 0 ? `k${id % 30}` : `K${id % 30}`, id / 4, jsonText(id))
    })()
    const before = typedRows(tried.db, 'SELECT * FROM w ORDER BY 1, 2')
    tried.run(
      enable({
        table: 'w',
        column: 'data',
        level: 3,
        minDictBytesForTraining: 500,
        incrementalCompressionStepBytes: 20_000,
      }),
    )
    expect(run(tried)).toMatchObject({ skipped: [], columns: [{ rows: 3000, pendingRows: 0 }] })
    expect(run(tried, {}).columns[0]!.chunks).toBe(0)
    expect(typedRows(tried.db, 'SELECT * FROM w ORDER BY 1, 2')).toEqual(before)
  })

  test('that sqlite-zstd enabled is maintained as it is', () => {
    const tried = policyDatabase(sqliteZstdTable)
    insert(tried, 2000)
    const odd = [null, '', 7, Buffer.from(jsonText(5))]
    insert(tried, odd.length, (id) => odd[id - 9001], 9001)
    const before = all(tried)
    expect(run(tried)).toMatchObject({ complete: true, skipped: [], columns: [{ rows: 2000, pendingRows: 0 }] })
    expect(all(tried)).toEqual(before)
    expect(dictionaries(tried)).toEqual([
      [null, 3],
      // The NULL, which would make sqlite-zstd's own maintenance fail.
      [-1, 1],
      [1, 2000],
    ])
    expect(tried.db.prepare(`SELECT name FROM sqlite_schema WHERE name LIKE '%tamp%'`).all()).toEqual([])
    expect(writing(tried)).toEqual([])
    const { cells, findings } = tried.run(check())
    expect({ cells, codes: findings.map(({ code }) => code) }).toEqual({
      cells: 2001,
      codes: ['trigger-missing', 'made-by-sqlite-zstd'],
    })
    insert(tried, 1000, (id) => jsonText(id, 'invoice'), 20_001)
    const retrained = run(tried, { retrain: true, recompress: true })
    expect(retrained).toMatchObject({ complete: true, skipped: [], columns: [{ rows: 1000, pendingRows: 0 }] })
    expect(retrained.columns[0]!.notes).toEqual([expect.stringMatching(/not retrained; enabling takes one over/)])
  })

  test('whose key compares otherwise than its column keeps every cell with its row when it is compressed anew', () => {
    const tried = policyDatabase(
      `CREATE TABLE w(name TEXT COLLATE NOCASE, data TEXT, PRIMARY KEY (name COLLATE BINARY)) WITHOUT ROWID`,
    )
    const put = tried.db.prepare('INSERT OR REPLACE INTO w VALUES (?, ?)')
    tried.db.transaction(() => {
      for (let id = 0; id < 2000; id++) for (const name of ['Key', 'kEY']) put.run(name + id, `${name} ${jsonText(id)}`)
    })()
    tried.run(enable({ table: 'w', column: 'data', level: 3, minDictBytesForTraining: 500 }))
    run(tried)
    tried.db.exec(`DELETE FROM w WHERE name GLOB '*[0-6]'`)
    const other = tried.db.prepare('INSERT INTO w VALUES (?, ?)')
    tried.db.transaction(() => {
      for (let id = 5000; id < 9000; id++)
        for (const name of ['Key', 'kEY']) other.run(name + id, `${name} ${jsonText(id, 'invoice')}`)
    })()
    run(tried)
    const before = typedRows(tried.db, 'SELECT * FROM w ORDER BY name COLLATE BINARY')
    const { columns } = run(tried, { retrain: true, recompress: true })
    expect(columns[0]!.recompressed.rows).toBeGreaterThan(1000)
    expect(typedRows(tried.db, 'SELECT * FROM w ORDER BY name COLLATE BINARY')).toEqual(before)
  })

  test.each(['UTF-8', 'UTF-16le'])('whose keys are no Unicode is walked to its end, in %s', (encoding) => {
    const tried = policyDatabase(
      `PRAGMA encoding = '${encoding}'; CREATE TABLE w(path PRIMARY KEY, data TEXT) WITHOUT ROWID`,
    )
    // A lone byte in UTF-8, a lone surrogate in UTF-16.
    const odd = encoding === 'UTF-8' ? `x'666ffc'` : `x'660000d8'`
    const put = tried.db.prepare(`INSERT INTO w VALUES (CAST(${odd} AS TEXT) || ?, ?)`)
    tried.db.transaction(() => {
      for (let id = 0; id < 1500; id++) put.run(String(id).padStart(5, '0'), jsonText(id))
      tried.db
        .prepare(`INSERT INTO w VALUES ('', ?), (x'', ?), (7, ?), (x'fc', ?)`)
        .run(...[1, 2, 3, 4].map((id) => jsonText(id)))
    })()
    const rows = `SELECT typeof(path), hex(path), data FROM w ORDER BY 1, 2`
    const before = typedRows(tried.db, rows)
    tried.run(
      enable({
        table: 'w',
        column: 'data',
        level: 3,
        minDictBytesForTraining: 500,
        incrementalCompressionStepBytes: 20_000,
      }),
    )
    expect(run(tried)).toMatchObject({ complete: true, skipped: [], columns: [{ rows: 1504, pendingRows: 0 }] })
    expect(tried.run(check())).toMatchObject({ complete: true, findings: [], cells: 1504 })
    expect(typedRows(tried.db, rows)).toEqual(before)
    expect(tried.run(disable({ table: 'w', column: 'data' }))).toMatchObject({ complete: true, rows: 1504, left: [] })
    expect(typedRows(tried.db, rows)).toEqual(before)
  })
})

/** What sqlite-zstd 0.3.5 makes of `t(id INTEGER PRIMARY KEY, k INT DEFAULT 7, data TEXT)`. */
const sqliteZstdTable = `
  CREATE TABLE _zstd_dicts (id INTEGER PRIMARY KEY AUTOINCREMENT, chooser_key TEXT UNIQUE, dict BLOB NOT NULL);
  INSERT INTO _zstd_dicts VALUES (-1, '[nodict]', '');
  CREATE TABLE _zstd_configs (id INTEGER PRIMARY KEY AUTOINCREMENT, config JSON NOT NULL);
  INSERT INTO _zstd_configs (config) VALUES ('{"table":"t","column":"data","compression_level":3,"dict_chooser":"''a''","min_dict_size_bytes_for_training":500,"dict_size_ratio":0.01,"train_dict_samples_ratio":100.0,"incremental_compression_step_bytes":1666666}');
  CREATE TABLE "_t_zstd" (id INTEGER PRIMARY KEY, k INT DEFAULT 7, data TEXT, \`_data_dict\` INTEGER DEFAULT NULL REFERENCES _zstd_dicts(id));
  CREATE INDEX \`_data_dict_idx\` ON \`_t_zstd\` (\`_data_dict\`);
  CREATE VIEW \`t\` AS SELECT \`id\`, \`k\`, zstd_decompress_col(\`data\`, 1, \`_data_dict\`, true) AS \`data\` FROM \`_t_zstd\`;
  CREATE TRIGGER \`t_insert_trigger\` INSTEAD OF INSERT ON \`t\` FOR EACH ROW BEGIN
    INSERT INTO \`_t_zstd\`(id, k, data, _data_dict) SELECT new.\`id\`, new.\`k\`, new.\`data\` AS \`data\`, NULL AS \`_data_dict\`; END;`

describe('a run', () => {
  test('can be stopped after any chunk without changing an answer, and the next one goes on', () => {
    const tried = texts(2000, { incrementalCompressionStepBytes: 40_000 }, file())
    const before = all(tried)
    let steps = 0
    let rows = 0
    for (let done = false; !done; steps++) {
      const one = run(tried, { maxSeconds: 0 })
      rows += one.columns[0]!.rows
      expect(one.columns[0]!.chunks).toBeLessThanOrEqual(1)
      expect(one.stopped).toBe(one.complete ? undefined : 'limit')
      expect(all(tried)).toEqual(before)
      done = one.complete
    }
    expect(rows).toBe(2000)
    expect(steps).toBeGreaterThan(3)
    expect(run(tried, { oneStep: true })).toMatchObject({ complete: true, columns: [{ rows: 0 }] })
  })

  test('goes back for rows that others made pending behind it, and says how many there still are', () => {
    const tried = texts(3000, { incrementalCompressionStepBytes: 20_000 })
    let chunks = 0
    const result = drive(maintain(), tried.driver, {
      onEvent: (event) => {
        if (event.type === 'chunk' && ++chunks === 2) tried.db.exec(`UPDATE t SET data = data || ' ' WHERE id <= 20`)
      },
    })
    expect(result).toMatchObject({ complete: true, columns: [{ complete: true, rows: 3020, pendingRows: 0 }] })
    const without = drive(maintain(), tried.driver, {})
    expect(without.columns[0]).toMatchObject({ rows: 0 })
    tried.db.exec(`UPDATE t SET data = data || ' ' WHERE id = 5`)
    const endless = drive(maintain(), tried.driver, {
      onEvent: (event) => {
        if (event.type === 'chunk') tried.db.exec(`UPDATE t SET data = data || ' ' WHERE id = 5`)
      },
    })
    expect(endless).toMatchObject({ complete: false, columns: [{ complete: false, pendingRows: 1 }] })
  })

  test('leaves a column that is being disabled, with a note', () => {
    const tried = texts(2000)
    run(tried)
    tried.run(disable({ table: 't', column: 'data', maxSeconds: 0 }))
    const { complete, skipped, columns } = run(tried)
    expect({ complete, skipped }).toEqual({ complete: true, skipped: [] })
    expect(columns).toMatchObject([{ rows: 0, notes: [expect.stringMatching(/^t\.data is being disabled/)] }])
  })

  test('stops at its limit, and when told to', () => {
    const tried = texts(3000, { incrementalCompressionStepBytes: 20_000 })
    let now = 0
    const clock = (request: Request): void => {
      if (request.kind === 'query' && request.sql.includes('UPDATE main."_t_zstd"')) now += 10
    }
    const limited = drive(
      clocked(maintain({ maxSeconds: 25 }), () => now, clock),
      tried.driver,
    )
    expect(limited).toMatchObject({ complete: false, stopped: 'limit', columns: [{ chunks: 3, complete: false }] })
    let chunks = 0
    const stopped = drive(maintain(), tried.driver, {
      stopping: () => chunks >= 2,
      onEvent: ({ type }) => (chunks += type === 'chunk' ? 1 : 0),
    })
    expect(stopped).toMatchObject({ complete: false, stopped: 'interrupted', columns: [{ chunks: 2 }] })
  })

  test('keeps to a load, in short naps', () => {
    const tried = texts(1500, { incrementalCompressionStepBytes: 60_000 })
    const naps: number[] = []
    const reasons = new Set<string>()
    let busy = 0
    const { throttledSeconds } = drive(maintain({ load: 0.25 }), tried.driver, {
      sleep: (seconds, reason) => {
        naps.push(seconds)
        reasons.add(reason)
        const until = performance.now() + seconds * 1000
        while (performance.now() < until);
      },
      onEvent: (event) => (busy += event.type === 'chunk' ? event.seconds : 0),
    })
    expect([...reasons]).toEqual(['keeping to a load of 0.25'])
    expect(Math.max(...naps)).toBeLessThanOrEqual(0.5)
    expect(naps.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(busy * 2)
    expect(throttledSeconds).toBeGreaterThan(busy * 2)
  })

  test('gives way to another writer, and says so where that one does not end', () => {
    const path = file()
    const tried = texts(2000, {}, path)
    const other = policyDatabase('', path)
    tried.db.pragma('busy_timeout = 0')
    other.db.exec('BEGIN IMMEDIATE')
    let slept = 0
    const sleep = (seconds: number): void => {
      if (++slept > 4 && other.db.inTransaction) other.db.exec('COMMIT')
      expect(seconds).toBeLessThanOrEqual(0.5)
    }
    expect(drive(maintain(), tried.driver, { sleep })).toMatchObject({ complete: true, columns: [{ rows: 2000 }] })
    expect(slept).toBeGreaterThan(3)
    insert(tried, 5, jsonText, 4001)
    other.db.exec('BEGIN IMMEDIATE')
    const locked = run(tried, { maxSeconds: 0.3 })
    expect(locked).toMatchObject({ complete: false, stopped: 'limit', skipped: [{ subject: 't.data' }] })
    expect(locked.skipped[0]!.reason).toMatch(/another connection kept the database locked/)
    other.db.exec('COMMIT')
    expect(run(tried)).toMatchObject({ complete: true, columns: [{ rows: 5 }] })
  })

  test.each(['delete', 'wal'])('goes on beside a second one, statement by statement, in mode %s', (mode) => {
    const path = file()
    const first = texts(
      3000,
      { incrementalCompressionStepBytes: 30_000, dictChooser: `'g' || (id % 2)` },
      path,
      `PRAGMA journal_mode = ${mode}`,
    )
    const before = all(first)
    const second = policyDatabase('', path)
    for (const { db } of [first, second]) db.pragma('busy_timeout = 0')
    const results = sideBySide([first.driver, second.driver])
    expect(results.every(({ complete, skipped }) => complete && skipped.length === 0)).toBe(true)
    expect(results.reduce((sum, { columns }) => sum + columns[0]!.rows, 0)).toBe(3000)
    expect(results.every(({ columns }) => columns[0]!.rows > 0)).toBe(true)
    expect(all(first)).toEqual(before)
    expect(first.db.prepare('SELECT count(*) FROM _zstd_dicts WHERE id > 0').pluck().get()).toBe(2)
    expect(pragma(first, 'integrity_check')).toBe('ok')
  })

  test('that finds no room says so and loses nothing', () => {
    const tried = texts(3000, { incrementalCompressionStepBytes: 100_000 }, file(), 'PRAGMA page_size = 512')
    const before = all(tried)
    tried.db.pragma(`max_page_count = ${String(pragma(tried, 'page_count'))}`)
    expect(() => run(tried)).toThrow(/disk is full, or the database has reached its max_page_count/)
    expect(all(tried)).toEqual(before)
    expect(pragma(tried, 'integrity_check')).toBe('ok')
    tried.db.pragma('max_page_count = 100000')
    expect(run(tried)).toMatchObject({ complete: true, columns: [{ rows: 3000 }] })
  })

  test('says what is wrong with its options, and where the extension is missing', () => {
    const tried = texts(10)
    expect(() => run(tried, { load: 2 })).toThrow(/load must be above 0 and at most 1/)
    expect(() => run(tried, { maxSeconds: -1 })).toThrow(/number of seconds from 0 on/)
    expect(() => run(tried, { table: 'x' })).toThrow(/No column x is compressed/)
    const none: SqliteDriver = {
      ...bare(tried.driver),
      query: (sql, params) => tried.driver.query(sql.replace('tamp_library', 'nothing'), params),
    }
    expect(() => drive(maintain(), none)).toThrow(/extension is not loaded/)
  })

  test('tried dry writes nothing and says what it would do', () => {
    const path = file()
    const tried = texts(4100, { dictChooser: `iif(id > 4000, NULL, iif(id > 3950, 'few', 'many'))` }, path)
    const bytes = readFileSync(path)
    const { columns } = run(tried, { dryRun: true })
    expect(readFileSync(path).equals(bytes)).toBe(true)
    expect(columns[0]!.plan).toMatchObject([
      { key: 'many', rows: 3950, action: 'train', level: 3, reason: null },
      { key: null, rows: 100, action: 'leave' },
      { key: 'few', rows: 50, action: 'leave' },
    ])
    const planned = columns[0]!.plan![0]!
    const done = run(tried).columns[0]!
    expect(done.bytesBefore).toBe(planned.bytes)
    expect(done.bytesAfter / planned.bytesAfterEstimate).toBeGreaterThan(0.8)
    expect(done.bytesAfter / planned.bytesAfterEstimate).toBeLessThan(1.2)
  })
})

describe('a dictionary', () => {
  test('that does badly lately is replaced from the new rows; what it compressed can be compressed anew, and then it goes', () => {
    const tried = texts(4000)
    run(tried)
    insert(tried, 6000, (id) => jsonText(id, 'invoice'), 10_001)
    expect(run(tried).columns[0]).toMatchObject({ rows: 6000, dictionaries: [] })
    const before = all(tried)
    insert(tried, 4000, (id) => jsonText(id, 'invoice'), 20_001)
    const { columns } = run(tried)
    expect(columns[0]!.drifted).toMatchObject([{ key: 't.data', id: 1 }])
    expect(columns[0]!.drifted[0]!.worse).toBeGreaterThan(0.25)
    expect(columns[0]!.dictionaries).toMatchObject([{ key: 't.data', id: 2, replaced: 1 }])
    expect(dictionaries(tried)).toEqual([
      [1, 10_000],
      [2, 4000],
    ])
    const keys = tried.db.prepare('SELECT id, chooser_key FROM _zstd_dicts WHERE id > 0').raw().all()
    expect(keys).toEqual([
      [1, null],
      [2, 't.data'],
    ])
    const anew = run(tried, { recompress: true })
    expect(anew.columns[0]!.recompressed.rows).toBeGreaterThan(5000)
    expect(anew.columns[0]!.recompressed.bytesAfter).toBeLessThan(anew.columns[0]!.recompressed.bytesBefore)
    expect(all(tried).slice(0, before.length)).toEqual(before)
    expect(anew.collected).toEqual([])
    tried.db.exec('DELETE FROM t WHERE id <= 4000')
    expect(run(tried, { recompress: true }).collected).toEqual([1])
    expect(tried.db.prepare('SELECT id FROM _zstd_dicts ORDER BY id').pluck().all()).toEqual([-2, -1, 2])
    expect(() => tried.db.exec('DELETE FROM _zstd_dicts WHERE id = 2')).toThrow(/dictionaries never change/)
    expect(all(tried)).toHaveLength(10_000)
  })

  test('is retrained from all rows when asked for, and only replaced by a better one', () => {
    const tried = texts(500)
    run(tried)
    insert(tried, 9000, (id) => jsonText(id, 'invoice'), 10_001)
    run(tried)
    const before = all(tried)
    const { columns } = run(tried, { retrain: true, recompress: true })
    expect(columns[0]!.dictionaries).toMatchObject([{ replaced: 1 }])
    expect(columns[0]!.recompressed.rows).toBeGreaterThan(8000)
    expect(all(tried)).toEqual(before)
    expect(run(tried, { retrain: true }).columns[0]!.dictionaries).toEqual([])
  })

  test('is never trained for rows that want none', () => {
    const tried = texts(3000, { dictChooser: `'[nodict]'` })
    run(tried)
    const { columns } = run(tried, { retrain: true, recompress: true })
    expect(columns[0]!.dictionaries).toEqual([])
    expect(tried.db.prepare('SELECT id, chooser_key FROM _zstd_dicts ORDER BY id').raw().all()).toEqual([
      [-2, '[nodict, other type]'],
      [-1, '[nodict]'],
    ])
  })

  test('is not collected for the sake of a temporary table of the same name', () => {
    const tried = texts(3000)
    run(tried)
    const before = all(tried)
    insert(tried, 200, jsonText, 5000)
    tried.db.exec(`CREATE TEMP TABLE _t_zstd AS SELECT * FROM main._t_zstd LIMIT 0;
      CREATE TEMP TABLE _zstd_dicts AS SELECT * FROM main._zstd_dicts LIMIT 0`)
    run(tried, { retrain: true })
    run(tried)
    tried.db.exec('DROP TABLE temp._t_zstd; DROP TABLE temp._zstd_dicts')
    expect(all(tried).slice(0, 3000)).toEqual(before)
  })

  test('is not replaced, whatever the conflict clause', () => {
    const tried = texts(3000)
    run(tried)
    const key = tried.db.prepare('SELECT chooser_key FROM _zstd_dicts WHERE id = 1').pluck().get()
    for (const statement of [
      `INSERT OR REPLACE INTO _zstd_dicts VALUES (1, 'other', x'00')`,
      `INSERT OR REPLACE INTO _zstd_dicts (chooser_key, dict) VALUES ('${String(key)}', x'00')`,
      `INSERT INTO _zstd_dicts (chooser_key, dict) VALUES ('other', x'00');
       UPDATE OR REPLACE _zstd_dicts SET chooser_key = '${String(key)}' WHERE chooser_key = 'other'`,
    ])
      expect(() => tried.db.exec(statement), statement).toThrow('dictionaries never change')
    expect(all(tried)).toHaveLength(3000)
  })

  test('is retrained although a cell is damaged', () => {
    const tried = texts(500)
    run(tried)
    insert(tried, 6000, (id) => jsonText(id, 'invoice'), 10_001)
    run(tried)
    tried.db.exec(`UPDATE _t_zstd SET data = x'0102030405' WHERE id = 10050`)
    const { columns, skipped } = run(tried, { retrain: true })
    expect(skipped).toEqual([])
    expect(columns[0]!.dictionaries).toMatchObject([{ replaced: 1 }])
  })

  test('goes with its column, where another one stays', () => {
    const tried = texts(2000, {}, undefined, 'CREATE TABLE u(id INTEGER PRIMARY KEY, data TEXT)')
    tried.db.exec('INSERT INTO u SELECT id, data FROM t')
    tried.run(
      enable({ table: 'u', column: 'data', level: 3, minDictBytesForTraining: 500, dictChooser: `'u ' || (id > 0)` }),
    )
    run(tried)
    const before = all(tried)
    expect(run(tried, { recompress: true }).collected).toEqual([])
    tried.run(disable({ table: 't', column: 'data' }))
    tried.db.exec('CREATE TABLE kept(id, "_x_dict")')
    tried.db.exec('INSERT INTO kept VALUES (1, 1)')
    expect(run(tried, { recompress: true }).collected).toEqual([])
    tried.db.exec('DROP TABLE kept')
    expect(run(tried, { recompress: true }).collected).toEqual([1])
    expect(tried.db.prepare('SELECT chooser_key FROM _zstd_dicts WHERE id > 0').pluck().all()).toEqual(['u 1'])
    expect(typedRows(tried.db, 'SELECT id, data FROM u ORDER BY 1').map(([, data]) => data)).toEqual(
      before.map((row) => row[2]),
    )
  })

  test('that a user keeps without a key is never collected', () => {
    const tried = texts(2000)
    const id = tried.db.prepare(`SELECT zstd_train_dict_and_save(data, 1000, 1000, NULL) FROM t`).pluck().get()
    expect(run(tried, { recompress: true }).collected).toEqual([])
    expect(tried.db.prepare('SELECT count(*) FROM _zstd_dicts WHERE id = ?').pluck().get(id)).toBe(1)
  })
})

test('a file with incremental vacuum gives its free pages back', () => {
  const tried = texts(3000, {}, file(), 'PRAGMA auto_vacuum = 2')
  tried.db.exec('CREATE TABLE filler AS SELECT * FROM t; DROP TABLE filler')
  const { space } = run(tried)
  expect(space).toMatchObject({ autoVacuum: 'incremental', freePages: 0 })
  expect(space.freedPages).toBeGreaterThan(50)
  expect(space.vacuumSavesBytesEstimate).toBeGreaterThan(200_000)
})

/** The policy with a clock of its own. */
function* clocked<Result>(
  policy: Generator<Request, Result, unknown>,
  now: () => number,
  look: (request: Request) => void,
): Generator<Request, Result, unknown> {
  let step = policy.next()
  while (step.done !== true) {
    look(step.value)
    step = policy.next(step.value.kind === 'now' ? now() : yield step.value)
  }
  return step.value
}

/** Two runs, a statement each in turn. */
function sideBySide(drivers: readonly SqliteDriver[]): readonly Maintained[] {
  const results = new Map<number, Maintained>()
  const policies = drivers.map(() => maintain())
  const answers: (() => IteratorResult<Request, Maintained>)[] = policies.map((policy) => () => policy.next())
  while (results.size < drivers.length)
    for (const [place, policy] of policies.entries()) {
      if (results.has(place)) continue
      const step = answers[place]!()
      if (step.done === true) {
        results.set(place, step.value)
        continue
      }
      try {
        const answer = drive(one(step.value), drivers[place]!, { sleep: () => {} })
        answers[place] = () => policy.next(answer)
      } catch (error) {
        answers[place] = () => policy.throw(error)
      }
    }
  return [...results.values()]
}

function* one(request: Request): Generator<Request, unknown, unknown> {
  return yield request
}

function bare(driver: SqliteDriver): Omit<SqliteDriver, 'query'> {
  return {
    changes: () => driver.changes(),
    get autocommit() {
      return driver.autocommit
    },
    setDefensive: (on) => driver.setDefensive(on),
    loadExtension: (path) => driver.loadExtension(path),
    close: () => driver.close(),
  }
}
