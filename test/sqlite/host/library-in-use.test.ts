// Two SQLite libraries in one process on one file damage it: the thread that maintains uses the one that the program uses.
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { enableColumn, maintainSqlite, open } from '../../../src/sqlite/index.ts'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'

const folder = await temporaryFolder('tamp-library-in-use-')
const target = { table: 'events', column: 'data', level: 3 } as const

function makeEvents(file: string): void {
  const db = new DatabaseSync(file)
  db.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE events (id INTEGER PRIMARY KEY, data TEXT);
    WITH RECURSIVE ids (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 20000)
    INSERT INTO events SELECT id, json_object('id', id, 'type', 'push', 'text', 'event number ' || id, 'half', id / 2) FROM ids`)
  db.close()
}

test(
  'P1 a program that inserts by node:sqlite while its file is maintained loses nothing',
  { timeout: 120_000 },
  async () => {
    const file = join(folder, 'beside.db')
    makeEvents(file)
    const db = await open(file, { driver: 'node:sqlite' })
    try {
      await enableColumn(file, target)
      let over = false
      const maintaining = maintainSqlite(file).finally(() => (over = true))
      const insert = db.prepare('INSERT INTO events VALUES (?, ?)')
      let id = 20_000
      while (!over) {
        for (let i = 0; i < 20; i++) insert.run(++id, `an event of the program itself, ${id}`)
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      expect(await maintaining).toMatchObject({ skipped: [] })
      expect(id).toBeGreaterThan(20_000)
      expect(db.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
      expect(db.prepare('SELECT count(*) AS n, count(data) AS cells FROM events').get()).toEqual({ n: id, cells: id })
    } finally {
      db.close()
    }
  },
)

test('P7 a file that is open by other means is asked about', async () => {
  const file = join(folder, 'by-other-means.db')
  makeEvents(file)
  const db = new DatabaseSync(file)
  try {
    expect(db.prepare('SELECT count(*) AS n FROM events').get()).toEqual({ n: 20_000 })
    const asked = enableColumn(file, target)
    await expect(asked).rejects.toMatchObject({ code: 'usage', hint: expect.stringContaining('node:sqlite') })
    await enableColumn(file, target, { driver: 'node:sqlite' })
  } finally {
    db.close()
  }
})
