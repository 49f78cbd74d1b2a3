// Commands in a thread of their own: events come as they happen, a signal stops between two transactions, errors arrive as what they are.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { beforeEach, expect, test } from 'vitest'
import {
  compressedColumns,
  disableColumn,
  enableColumn,
  exportPlain,
  maintainSqlite,
} from '../../../src/sqlite/index.ts'
import type { PolicyEvent } from '../../../src/sqlite/index.ts'
import { runPolicy } from '../../../src/sqlite/host/run-policy.ts'
import { copyDatabase, databaseBytes, temporaryFolder } from '../../support/sqlite/database-files.ts'
import { jsonText } from '../../support/sqlite/json-rows.ts'
import { openJudge } from '../../support/sqlite/judge.ts'

const folder = await temporaryFolder('tamp-worker-')
const plain = join(folder, 'plain.db')
const file = join(folder, 'events.db')
const rows = 20_000
const target = { table: 'events', column: 'data' }

{
  const made = new Database(plain)
  made.pragma('journal_mode = WAL')
  made.exec('CREATE TABLE events (id INTEGER PRIMARY KEY, data TEXT); BEGIN')
  const insert = made.prepare('INSERT INTO events VALUES (?, ?)')
  for (let id = 1; id <= rows; id++) insert.run(id, jsonText(id))
  made.exec('COMMIT')
  made.close()
}

beforeEach(() => copyDatabase(plain, file))

function pendingRows(): number {
  const judge = openJudge(file)
  try {
    return judge.prepare('SELECT count(*) FROM _events_zstd WHERE _data_dict IS NULL').pluck().get() as number
  } finally {
    judge.close()
  }
}

test('tells what happens, and the caller is free meanwhile', async () => {
  expect((await enableColumn(file, target)).statements.length).toBeGreaterThan(3)
  const events: PolicyEvent[] = []
  let ticks = 0
  const timer = setInterval(() => ticks++, 10)
  const maintained = await maintainSqlite(file, {}, { onEvent: (event) => events.push(event) })
  clearInterval(timer)
  expect(maintained).toMatchObject({ complete: true, columns: [{ lane: 'events.data', rows, pendingRows: 0 }] })
  expect(pendingRows()).toBe(0)
  const chunks = events.filter((event) => event.type === 'chunk')
  expect(chunks.reduce((sum, chunk) => sum + chunk.rows, 0)).toBe(rows)
  expect(chunks.at(-1)!.rowsLeftEstimate).toBe(0)
  expect(ticks).toBeGreaterThan(10)
  // The connection of the thread is closed: the write-ahead log is gone with it.
  expect(await compressedColumns(file)).toEqual([target])
})

test('a signal stops it, what was done stays, and the next run goes on', async () => {
  await enableColumn(file, { ...target, level: 3 })
  const controller = new AbortController()
  const waits: (string | null)[] = []
  const stopped = await maintainSqlite(
    file,
    { load: 0.2 },
    {
      signal: controller.signal,
      onEvent: (event) => event.type === 'chunk' && controller.abort(),
      onWait: (reason) => waits.push(reason),
    },
  )
  expect(stopped).toMatchObject({ complete: false, stopped: 'interrupted' })
  const left = pendingRows()
  expect(left).toBe(rows - stopped.columns[0]!.rows)
  expect(left).toBeGreaterThan(0)
  expect(left).toBeLessThan(rows)
  expect(waits[0]).toBe('keeping to a load of 0.2')
  await expect(maintainSqlite(file, {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'interrupted' })
  expect(pendingRows()).toBe(left)
  expect(await maintainSqlite(file, {})).toMatchObject({ complete: true, columns: [{ rows: left }] })
  expect(pendingRows()).toBe(0)
})

test('a dry run writes nothing, even where it is wrong', async () => {
  const before = databaseBytes(file)
  await enableColumn(file, { ...target, dryRun: true })
  expect(databaseBytes(file)).toBe(before)
  await enableColumn(file, target)
  const enabled = databaseBytes(file)
  const planned = await maintainSqlite(file, { dryRun: true })
  expect(planned.columns[0]!.plan![0]).toMatchObject({ action: 'train', rows })
  expect(await disableColumn(file, { ...target, dryRun: true })).toMatchObject({ complete: true, rows: 0 })
  expect(databaseBytes(file)).toBe(enabled)
  await expect(runPolicy(file, 'vacuum', {}, { writes: false })).rejects.toMatchObject({ code: 'no-permission' })
})

test('errors arrive as what they are', async () => {
  const missing = join(folder, 'missing.db')
  await expect(maintainSqlite(missing)).rejects.toMatchObject({ code: 'no-such-database' })
  const text = join(folder, 'text.db')
  await writeFile(text, 'neither this nor that '.repeat(99))
  await expect(maintainSqlite(text)).rejects.toMatchObject({ code: 'unknown-schema' })
  await expect(enableColumn(file, { table: 'evnts', column: 'data' })).rejects.toMatchObject({
    code: 'usage',
    hint: expect.stringMatching(/events/),
  })
  const other = new Database(file)
  other.exec('BEGIN IMMEDIATE')
  await expect(enableColumn(file, target, { busySeconds: 0.1 })).rejects.toMatchObject({ code: 'locked' })
  other.exec('ROLLBACK')
  other.close()
})

test('a plain copy: whole, of one moment, and the database is as it was', async () => {
  await enableColumn(file, target)
  await maintainSqlite(file)
  const before = databaseBytes(file)
  const copy = join(folder, 'copy.db')
  const exported = await exportPlain(file, copy, {}, { functions: 'javascript' })
  expect(exported).toMatchObject({ columns: [{ ...target, rows }] })
  expect(databaseBytes(file)).toBe(before)
  const made = new Database(copy)
  made.prepare('ATTACH ? AS plain').run(plain)
  const different = made
    .prepare('SELECT count(*) FROM (SELECT * FROM plain.events EXCEPT SELECT * FROM main.events)')
    .pluck()
    .get()
  expect(different).toBe(0)
  expect(made.prepare('SELECT name, type FROM sqlite_schema').raw().all()).toEqual([['events', 'table']])
  made.close()
  await expect(exportPlain(file, copy)).rejects.toMatchObject({ code: 'output-failed' })
  const second = join(folder, 'second.db')
  await expect(exportPlain(file, second, {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'interrupted',
  })
  expect(() => new Database(second, { fileMustExist: true })).toThrow()
})
