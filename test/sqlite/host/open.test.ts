// Connections for programs: what was compressed reads and writes by its own name, with either driver, opened by tamp or not.
import { DatabaseSync } from 'node:sqlite'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { beforeAll, describe, expect, expectTypeOf, test } from 'vitest'
import { enableColumn, loadInto, maintainSqlite, open } from '../../../src/sqlite/index.ts'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { jsonText } from '../../support/sqlite/json-rows.ts'
import { testLibrary } from '../../support/sqlite/judge.ts'

const folder = await temporaryFolder('tamp-open-')
const file = join(folder, 'events.db')

beforeAll(async () => {
  expect(testLibrary).not.toBe('')
  const made = new Database(file)
  made.exec('CREATE TABLE events (id INTEGER PRIMARY KEY, data TEXT); BEGIN')
  const insert = made.prepare('INSERT INTO events VALUES (?, ?)')
  for (let id = 1; id <= 3000; id++) insert.run(id, jsonText(id))
  made.exec('COMMIT')
  made.close()
  await enableColumn(file, { table: 'events', column: 'data', level: 3 })
  const { columns } = await maintainSqlite(file)
  expect(columns[0]!.rows).toBe(3000)
})

const ways: [string, () => Promise<Database.Database | DatabaseSync>][] = [
  ['open', () => open(file)],
  ['open with node:sqlite', () => open(file, { driver: 'node:sqlite' })],
  [
    'loadInto a better-sqlite3 connection',
    async () => {
      const database = new Database(file)
      await loadInto(database)
      return database
    },
  ],
  [
    'loadInto a node:sqlite connection',
    async () => {
      const database = new DatabaseSync(file, { allowExtension: true })
      await loadInto(database)
      return database
    },
  ],
]

describe.each(ways)('%s', (name, connect) => {
  test('reads and writes', async () => {
    const database = await connect()
    const all = (sql: string): unknown[] =>
      database
        .prepare(sql)
        .all()
        .map((row) => Object.values(row as object))
    expect(all('SELECT data FROM events WHERE id = 77')).toEqual([[jsonText(77)]])
    expect(all(`SELECT count(*) FROM events WHERE data->>'titleType' IS NOT NULL`)).toEqual([[3000]])
    expect(all('PRAGMA temp_store')).toEqual([[2]])
    database.exec(`BEGIN; UPDATE events SET data = '${name}' WHERE id = 5; INSERT INTO events (data) VALUES ('new')`)
    expect(all('SELECT id, data FROM events WHERE id IN (4, 5, 3001)')).toEqual([
      [4, jsonText(4)],
      [5, name],
      [3001, 'new'],
    ])
    database.exec('DELETE FROM events WHERE id < 10; ROLLBACK')
    expect(all('SELECT count(*) FROM events')).toEqual([[3000]])
    database.close()
  })
})

test('without native code it reads, and does not write', async () => {
  const database = await open(file, { functions: 'javascript' })
  expect(database.prepare('SELECT data FROM events WHERE id = 77').pluck().get()).toBe(jsonText(77))
  // A text that is not UTF-8 would not come through a string unchanged.
  expect(() => database.exec(`INSERT INTO events (data) VALUES (CAST(x'4dfc6c6c6572' AS TEXT))`)).toThrow(/readonly/)
  database.close()
  const attached = new Database(file)
  attached.exec(`ATTACH ':memory:' AS other`)
  await expect(loadInto(attached, { functions: 'javascript' })).rejects.toMatchObject({ code: 'usage' })
  attached.close()
})

test('what cannot be opened is said in one sentence, and nothing is made', async () => {
  const text = join(folder, 'text.db')
  await writeFile(text, 'not a database, but long enough to be taken for one '.repeat(50))
  for (const driver of ['better-sqlite3', 'node:sqlite'] as const) {
    const opened = (path: string): Promise<unknown> => open(path, { driver } as { driver: 'node:sqlite' })
    await expect(opened(join(folder, 'nothing.db'))).rejects.toMatchObject({ code: 'no-such-database' })
    await expect(opened(text)).rejects.toMatchObject({
      code: 'unknown-schema',
      message: `The file ${text} is not a SQLite database.`,
    })
  }
  const closed = new DatabaseSync(file)
  await expect(loadInto(closed)).rejects.toMatchObject({ code: 'usage', hint: expect.stringMatching(/allowExtension/) })
  closed.close()
  await expect(open(join(folder, 'nothing.db'))).rejects.toThrow()
  const made = await open(join(folder, 'made.db'), { create: true })
  made.close()
})

test('the driver decides the type', () => {
  expectTypeOf(open).toBeFunction()
  expectTypeOf(() => open('x')).returns.resolves.toEqualTypeOf<Database.Database>()
  expectTypeOf(() => open('x', { driver: 'node:sqlite' })).returns.resolves.toEqualTypeOf<DatabaseSync>()
})
