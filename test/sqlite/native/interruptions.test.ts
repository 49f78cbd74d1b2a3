// What an interrupted call of the policy leaves of its caller's transaction and connection: everything as it was, nothing of its own.
import { describe, expect, test } from 'vitest'
import { testLibrary } from '../../support/sqlite/judge.ts'
import { python, runPython } from '../../support/sqlite/python.ts'

/** Python asks its authorizer while the policy prepares its statements: from there a chosen one is interrupted. */
const opening = `
import json, sqlite3, sys
connection = sqlite3.connect(':memory:', isolation_level=None)
connection.enable_load_extension(True)
connection.load_extension(sys.argv[1])
def interrupting(sql, at):
    connection.set_authorizer(lambda *action: connection.interrupt() or 0 if at(*action) else 0)
    try: return connection.execute(sql).fetchall()
    except sqlite3.OperationalError as error: return str(error)
    finally: connection.set_authorizer(None)
def filled(rows, kind=''):
    connection.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)' + kind)
    connection.execute("INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i, json_object('id', i, 'name', 'user ' || (i * 7919 % 1000)) FROM n", (rows,))
enabling = '''SELECT tamp('enable', '{"table": "t", "column": "data", "minDictBytesForTraining": 1000}')'''
`
const run = (script: string) => JSON.parse(runPython(opening + script, testLibrary)) as unknown

describe.skipIf(python === null)('interrupted', () => {
  test.for(['inspect', 'check'])('%s leaves the transaction that it was called in', (command) => {
    const told = run(`
filled(500)
connection.execute(enabling).fetchall()
connection.execute('BEGIN')
connection.execute("INSERT INTO t (data) VALUES ('mine')")
error = interrupting("SELECT tamp('${command}')", lambda action, table, *_: action == sqlite3.SQLITE_READ and table == '_zstd_configs')
print(json.dumps(['nterrupted' in error, connection.in_transaction, connection.execute("SELECT count(*) FROM t WHERE data = 'mine'").fetchone()[0]]))
`)
    expect(told).toEqual([true, true, 1])
  })

  test('enabling leaves the schema table closed', () => {
    const told = run(`
filled(100, ' STRICT')
error = interrupting(enabling, lambda action, name, value, *_: action == sqlite3.SQLITE_PRAGMA and name == 'writable_schema' and value == 'ON')
try:
    connection.execute('UPDATE sqlite_schema SET sql = sql')
    closed = 'open'
except sqlite3.OperationalError as refusal: closed = str(refusal)
tables = [name for name, in connection.execute('SELECT name FROM sqlite_schema')]
print(json.dumps([error, closed, connection.in_transaction, tables]))
`)
    expect(told).toEqual(['interrupted', 'table sqlite_master may not be modified', false, ['t']])
  })

  test('maintenance leaves no samples', () => {
    const told = run(`
filled(3000)
connection.execute(enabling).fetchall()
trainings = []
def training(action, _, name, *__):
    if action == sqlite3.SQLITE_FUNCTION and name == 'tamp_train': trainings.append(name)
    return action == sqlite3.SQLITE_FUNCTION and name == 'tamp_train'
errors = [interrupting('SELECT zstd_incremental_maintenance(NULL, 1)', training) for _ in range(3)]
alive = 0
for number in range(1, 100):
    try:
        connection.execute('SELECT tamp_samples(?)', (number,)).fetchall()
        alive += 1
    except sqlite3.OperationalError: pass
print(json.dumps([all('nterrupted' in str(error) for error in errors), len(trainings) > 0, alive]))
`)
    expect(told).toEqual([true, true, 0])
  })
})
