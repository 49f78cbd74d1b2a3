// Where memory or stack is short: an error of SQLite's, never the end of the process.
import { expect, test } from 'vitest'
import { testLibrary } from '../../support/sqlite/judge.ts'
import { python, runPython } from '../../support/sqlite/python.ts'

const opening = `
import os, resource, sqlite3, sys, threading
def opened():
    connection = sqlite3.connect(':memory:', isolation_level=None)
    connection.enable_load_extension(True)
    connection.load_extension(sys.argv[1])
    return connection
def ask(sql):
    try: return str(connection.execute(sql).fetchone()[0])
    except (MemoryError, sqlite3.Error) as error: return type(error).__name__ + ' ' + str(error)
def megabytes(): return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() >> 20
def allow(more):
    pages = int(open('/proc/self/statm').read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (more << 20),) * 2)
connection = opened()
series = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)'
`
const run = (script: string) => runPython(opening + script, testLibrary)
const linux = python !== null && process.platform === 'linux'

test.skipIf(!linux).for([
  ['a dictionary in the database', 90, `ask("SELECT zstd_compress('a', 3, 7)")`],
  ['a dictionary given', 90, `ask("SELECT zstd_compress('a', 3, zeroblob(60000000))")`],
  ['a sample', 100, `ask(series % 3000 + ' SELECT tamp_sample(randomblob(100000), 4000000000) FROM n')`],
  ['a value', 300, `ask("SELECT zstd_decompress(zstd_compress(zeroblob(200000000)), 0)")`],
] as const)('no memory for %s', ([, more, expression]) => {
  const told = run(`
connection.execute('CREATE TABLE _zstd_dicts (id INTEGER PRIMARY KEY, dict)')
connection.execute('INSERT INTO _zstd_dicts VALUES (7, zeroblob(60000000))')
allow(${more})
print(${expression})
`)
  expect(told).toMatch(/^MemoryError/)
})

test.skipIf(!linux)('millions of values of a byte take little', () => {
  const told = run(`
before = megabytes()
ask(series % 2500000 + " SELECT tamp_sample('a', 1000000) FROM n")
print(megabytes() - before)
`)
  expect(Number(told)).toBeLessThan(30)
})

test.skipIf(!linux).for([
  [96, 'OperationalError tamp needs a thread with at least 224 kB of stack left'],
  [256, '{"complete":true'],
  [384, '{"complete":true'],
] as const)('in a thread of %s kB', ([kilobytes, expected]) => {
  const told = run(`
told = []
def work():
    global connection
    connection = opened()
    connection.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)')
    connection.execute("INSERT INTO t " + series % 3000 + " SELECT i, json_object('id', i, 'name', 'user ' || (i * 7919 % 1000)) FROM n")
    ask('''SELECT tamp('enable', '{"table": "t", "column": "data", "minDictBytesForTraining": 1000}')''')
    told.append(ask("SELECT tamp('maintain')"))
    ask("SELECT zstd_enable_transparent('" + '[' * 100000 + "')")
    connection.close()
threading.stack_size(${kilobytes} * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(told[0])
`)
  expect(told.slice(0, expected.length)).toBe(expected)
})
