// Where the library lives: every host, two SQLite libraries in one process, threads, many connections, and its end with each of them.
import { spawnSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { shell } from '../../support/sqlite/hosts.ts'
import { testLibrary } from '../../support/sqlite/judge.ts'
import { python, runPython } from '../../support/sqlite/python.ts'

const folder = await temporaryFolder('tamp-native-hosts-')
const rows = 5000

const plain = [
  `CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)`,
  `INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
     SELECT i, json_object('id', i, 'name', 'user ' || (i * 7919 % 1000), 'kind', 'film ' || (i % 7)) FROM n`,
]
const compressing = [
  `SELECT zstd_enable_transparent('{"table": "t", "column": "data", "compression_level": 3, "dict_chooser": "''a''",
     "min_dict_size_bytes_for_training": 1000}')`,
  `SELECT zstd_incremental_maintenance(NULL, 1)`,
]
const compressedRows = 'SELECT count(*) FROM _t_zstd WHERE _data_dict > 0'
const question = `SELECT count(*) || ' ' || sum(length(data)) || ' ' || sum(id * unicode(substr(data, -5))) FROM t`

const answer = (() => {
  const db = new Database(':memory:')
  for (const sql of plain) db.exec(sql)
  const told = db.prepare(question).pluck().get() as string
  db.close()
  return told
})()

/** A file with the table, compressed. */
function makeFile(name: string): string {
  const file = join(folder, name)
  const db = new Database(file)
  db.loadExtension(testLibrary)
  for (const sql of plain) db.exec(sql)
  for (const sql of compressing) db.prepare(sql).all()
  expect(db.prepare(compressedRows).pluck().get()).toBe(rows)
  db.close()
  return file
}

describe.skipIf(shell.version === null)('the shell', () => {
  const run = (folderOfIt: string, ...lines: readonly string[]) => {
    const { stdout, stderr, status, signal } = spawnSync('sqlite3', ['-batch', '-init', '/dev/null', ':memory:'], {
      cwd: folderOfIt,
      input: lines.join('\n'),
      encoding: 'utf8',
    })
    return { out: stdout.trim().split('\n'), err: stderr, status, signal }
  }

  test('loads it by the name of its file, and does all of it in one session', () => {
    copyFileSync(testLibrary, join(folder, 'tamp.so'))
    const all = [...plain, ...compressing, compressedRows, question].map((sql) => `${sql};`)
    expect(run(folder, '.load ./tamp', ...all)).toEqual({
      out: ['Done!', '0', String(rows), answer],
      err: '',
      status: 0,
      signal: null,
    })
  })

  test.for(['libtamp_sqlite.so', 'another-name.so'])('loads it as %s', (name) => {
    copyFileSync(testLibrary, join(folder, name))
    expect(run(folder, `.load ./${name}`, `SELECT zstd_decompress(zstd_compress('a'), 1);`)).toMatchObject({
      out: ['a'],
      err: '',
    })
  })

  test('says nothing by default, and what it does when SQLITE_ZSTD_LOG asks for that', () => {
    const said = (level: string) =>
      spawnSync('sqlite3', ['-batch', ':memory:'], {
        input: [`.load ${testLibrary}`, ...plain, ...compressing].join(';\n').replace(';', '') + ';',
        env: { ...process.env, SQLITE_ZSTD_LOG: level },
        encoding: 'utf8',
      }).stderr
    expect(said('')).toBe('')
    expect(said('warn')).toBe('')
    expect(said('debug')).toMatch(/^tamp: (info|debug): /m)
    expect(said('debug')).toMatch(/dictionary 1: \d+ bytes loaded/)
  })
})

describe.skipIf(python === null)('Python', () => {
  test('compresses and reads', () => {
    const script = `
import json, sqlite3, sys
library, statements, question = json.loads(sys.argv[1])
connection = sqlite3.connect(':memory:', isolation_level=None)
connection.enable_load_extension(True)
connection.load_extension(library)
connection.enable_load_extension(False)
for sql in statements: connection.execute(sql).fetchall()
print(connection.execute(question).fetchone()[0])
connection.close()
`
    expect(runPython(script, JSON.stringify([testLibrary, [...plain, ...compressing], question]))).toBe(answer)
  })

  test('interrupts maintenance, which ends at once and leaves no transaction, and goes on later', () => {
    const script = `
import json, sqlite3, sys, threading, time
library, statements, question = json.loads(sys.argv[1])
connection = sqlite3.connect(sys.argv[2], isolation_level=None, check_same_thread=False)
connection.enable_load_extension(True)
connection.load_extension(library)
for sql in statements: connection.execute(sql).fetchall()
def interrupted(sql):
    threading.Timer(0.3, connection.interrupt).start()
    started = time.time()
    try:
        connection.execute(sql).fetchall()
        return 'ended by itself'
    except sqlite3.OperationalError as error:
        return str(error) if time.time() - started < 3 else 'too late'
told = [interrupted('SELECT zstd_incremental_maintenance(100, 0.0001)'), connection.in_transaction]
connection.execute('SELECT zstd_incremental_maintenance(NULL, 1)').fetchall()
told += [connection.execute(question).fetchone()[0], connection.execute('PRAGMA integrity_check').fetchone()[0]]
# A transaction of the caller's goes on, with nothing half done in it.
connection.execute('BEGIN')
connection.execute("INSERT INTO t (id, data) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i + 9000, hex(randomblob(300)) FROM n")
told += [interrupted('SELECT zstd_incremental_maintenance(100, 0.0001)')]
# Unless a statement that writes was interrupted, with which SQLite takes back all of it.
told += [connection.execute('SELECT count(*) FROM t').fetchone()[0] == (25000 if connection.in_transaction else 5000), connection.execute('PRAGMA integrity_check').fetchone()[0]]
if connection.in_transaction: connection.execute('ROLLBACK')
told += [connection.execute(question).fetchone()[0]]
print(json.dumps(told))
connection.close()
`
    const settings = [
      testLibrary,
      [...plain, compressing[0]!.replace('"compression_level": 3', '"compression_level": 19')],
      question,
    ]
    const told = JSON.parse(runPython(script, JSON.stringify(settings), join(folder, 'interrupted.db'))) as unknown
    expect(told).toEqual(['interrupted', false, answer, 'ok', 'interrupted', true, 'ok', answer])
  })
})

test('better-sqlite3 and node:sqlite use it in one process, in turns', () => {
  const file = makeFile('both.db')
  const one = new Database(file)
  const other = new DatabaseSync(file, { allowExtension: true })
  one.loadExtension(testLibrary)
  other.loadExtension(testLibrary)
  const third = new Database(file)
  third.loadExtension(testLibrary)
  const read = [
    one.prepare(question).pluck(),
    { get: () => Object.values(other.prepare(question).get()!)[0] },
    third.prepare(question).pluck(),
  ]
  for (let round = 0; round < 3; round++) expect(read.map((each) => each.get())).toEqual([answer, answer, answer])
  const versions = [
    one.prepare('SELECT tamp_library()').pluck().get(),
    Object.values(other.prepare('SELECT tamp_library()').get()!)[0],
  ]
  expect(versions.map((json) => (JSON.parse(String(json)) as { sqlite: string }).sqlite)).toEqual([
    one.prepare('SELECT sqlite_version()').pluck().get(),
    Object.values(other.prepare('SELECT sqlite_version()').get()!)[0],
  ])
  one.close()
  expect(Object.values(other.prepare(question).get()!)).toEqual([answer])
  other.close()
  expect(third.prepare(question).pluck().get()).toBe(answer)
  third.close()
})

test('six threads compress and read at the same time, each with both drivers', async () => {
  const work = `
const { workerData, parentPort } = require('node:worker_threads')
const Database = require('better-sqlite3')
const { DatabaseSync } = require('node:sqlite')
const { file, library, statements, question } = workerData
const answers = []
for (let round = 0; round < 3; round++) {
  const one = new Database(':memory:'), other = new DatabaseSync(':memory:', { allowExtension: true }), shared = new Database(file)
  one.loadExtension(library), other.loadExtension(library), shared.loadExtension(library)
  for (const sql of statements) { const it = one.prepare(sql); it.reader ? it.all() : it.run(); other.prepare(sql).all() }
  for (const db of [one, other, shared]) answers.push(Object.values(db.prepare(question).get())[0])
  one.close(), other.close(), shared.close()
}
parentPort.postMessage(answers)
`
  const workerData = {
    file: makeFile('threads.db'),
    library: testLibrary,
    statements: [...plain, ...compressing],
    question,
  }
  const answers = await Promise.all(
    Array.from(
      { length: 6 },
      () =>
        new Promise<unknown>((resolve, reject) => {
          const worker = new Worker(work, { eval: true, workerData })
          worker.once('message', resolve).once('error', reject)
        }),
    ),
  )
  expect(new Set(answers.flat(2))).toEqual(new Set([answer]))
  expect(answers.flat(2)).toHaveLength(6 * 3 * 3)
})

test('a connection can be closed right after any use, and nothing of it stays', () => {
  const file = makeFile('many.db')
  const use = (times: number) => {
    for (let i = 0; i < times; i++) {
      const db = new Database(file)
      db.loadExtension(testLibrary)
      db.prepare('SELECT data FROM t WHERE id = 7').get()
      db.prepare('SELECT tamp_sample(data, 100000) FROM t WHERE id < 100').get()
      // In the engine too.
      db.prepare('SELECT zstd_incremental_maintenance(0, 1)').get()
      const open = db.prepare('SELECT data FROM t').iterate()
      open.next()
      open.return!()
      db.close()
    }
  }
  use(20)
  const before = process.memoryUsage.rss()
  use(150)
  // 150 engines that stayed would be more than 100 MB.
  expect((process.memoryUsage.rss() - before) / 1e6).toBeLessThan(25)
})

test('it can be loaded twice into one connection', () => {
  const db = new Database(makeFile('twice.db'))
  db.loadExtension(testLibrary)
  expect(db.prepare(question).pluck().get()).toBe(answer)
  db.loadExtension(testLibrary)
  expect(db.prepare(question).pluck().get()).toBe(answer)
  db.close()
})
