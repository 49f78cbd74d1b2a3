// The commands on real files, end to end: what they say, what they do, how they end, what their JSON holds.
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { databaseBytes, temporaryFolder } from '../support/sqlite/database-files.ts'
import { openJudge, testLibrary } from '../support/sqlite/judge.ts'
import { makeEvents, runSqlite } from '../support/sqlite/tamp-sqlite.ts'

const folder = await temporaryFolder('tamp-cli-')
const plain = join(folder, 'plain.db')
const rows = 8_000
makeEvents(plain, rows)
/** Enough rows for several transactions. */
const large = join(folder, 'large.db')
makeEvents(large, 25_000)
const target = ['--table', 'events', '--column', 'data']

function copy(name: string, source = plain): string {
  const file = join(folder, name)
  rmSync(file, { force: true })
  copyFileSync(source, file)
  return file
}

async function enabled(name: string, { changes = '', source = plain } = {}): Promise<string> {
  const file = copy(name, source)
  const db = new Database(file)
  db.exec(changes)
  db.close()
  expect((await runSqlite(['enable', file, ...target, '--level', '3', '--execute', '--quiet'])).status).toBe(0)
  return file
}

/** Rows of the table as it looks from outside that differ from the plain one's. */
function differences(file: string, source = plain): number {
  const judge = openJudge(file)
  try {
    judge.prepare('ATTACH ? AS plain').run(source)
    const cells = 'id, kind, typeof(data), data'
    return judge
      .prepare(
        `SELECT (SELECT count(*) FROM (SELECT ${cells} FROM plain.events EXCEPT SELECT ${cells} FROM main.events))
          + (SELECT count(*) FROM (SELECT ${cells} FROM main.events EXCEPT SELECT ${cells} FROM plain.events))`,
      )
      .pluck()
      .get() as number
  } finally {
    judge.close()
  }
}

test('the way there and back, as an operator goes it', { timeout: 120_000 }, async () => {
  const file = copy('events.db')
  const before = databaseBytes(file)

  const inspected = await runSqlite(['inspect', file])
  expect(inspected.err).toBe('')
  expect(inspected.status).toBe(0)
  expect(inspected.out).toMatch(/^events\.data +8,000 .* worth it$/m)
  expect(inspected.out).toMatch(/Next: tamp sqlite enable \S+events\.db --table events --column data/)

  const which = await runSqlite(['enable', file])
  expect(which).toMatchObject({ status: 2, out: '' })
  expect(which.err).toMatch(/Which column .*\n +Most is saved by --table events --column data \(about [\d.]+ MB\)/)

  const planned = await runSqlite(['enable', file, ...target])
  expect(planned.status).toBe(0)
  expect(planned.out).toMatch(/What will be different:\n {2}- Programs .* must load the extension/)
  expect(planned.out).toMatch(/Nothing was changed\./)
  expect(databaseBytes(file)).toBe(before)

  const enable = await runSqlite(['enable', file, ...target, '--execute'])
  expect(enable).toMatchObject({ status: 0, err: '' })
  expect(enable.out).toMatch(/events\.data can be compressed now\./)
  expect(differences(file)).toBe(0)

  const dry = await runSqlite(['maintain', file])
  expect(dry.status).toBe(0)
  expect(dry.out).toMatch(/8,000 rows would be compressed: .* → about/)
  const maintain = await runSqlite(['maintain', file, '--execute'])
  expect(maintain).toMatchObject({ status: 0 })
  expect(maintain.out).toMatch(/8,000 rows compressed: .* each cell compared/)
  expect(maintain.out).toMatch(/a VACUUM would give about/)
  expect(differences(file)).toBe(0)
  const judge = openJudge(file)
  judge.exec('VACUUM')
  const query = `SELECT count(*) FROM events WHERE data->>'startYear' = '1992'`
  const [plan] = judge.prepare(`EXPLAIN QUERY PLAN ${query}`).all() as { detail: string }[]
  expect(plan!.detail).toMatch(/USING (COVERING )?INDEX events_by_year/)
  judge.close()
  expect(statSync(file).size).toBeLessThan(0.6 * statSync(plain).size)

  const again = await runSqlite(['maintain', file, '--execute'])
  expect(again).toMatchObject({ status: 0, out: expect.stringMatching(/Nothing to compress\./) })
  const compressed = await runSqlite(['inspect', file])
  expect(compressed.out).toMatch(/^events\.data .* compressed$/m)
  const check = await runSqlite(['check', file])
  expect(check).toMatchObject({
    status: 0,
    out: expect.stringMatching(/Nothing found: 8,000 compressed cells in 1 column/),
  })

  const index = await runSqlite([
    'index',
    file,
    '--table',
    'events',
    '--on',
    "data->>'genres'",
    '--name',
    'by_genres',
    '--execute',
  ])
  expect(index.status).toBe(0)
  expect(index.out).toMatch(/The index by_genres is there\..*\n.*SEARCH .* USING INDEX by_genres/)

  const plan2 = await runSqlite(['disable', file])
  expect(plan2).toMatchObject({ status: 0, out: expect.stringMatching(/8,000 rows would be decompressed/) })
  const disable = await runSqlite(['disable', file, ...target, '--execute'])
  expect(disable).toMatchObject({ status: 0, out: expect.stringMatching(/events\.data: plain again\./) })
  expect(differences(file)).toBe(0)
  const back = new Database(file)
  expect(back.prepare(`SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY 1`).pluck().all()).toEqual(
    ['by_genres', 'events', 'events_by_year', 'notes'],
  )
  back.close()
  expect(await runSqlite(['disable', file, '--execute'])).toMatchObject({
    status: 0,
    out: 'No column is compressed here.\n',
  })
})

test(
  'JSON lines: every line an object, the summary last, with the figures of the format',
  { timeout: 120_000 },
  async () => {
    const file = copy('json.db')
    const json = async (...words: string[]): Promise<any[]> => {
      const [command, ...rest] = words
      const ended = await runSqlite([command!, file, '--json', ...rest])
      expect(ended.err, ended.err).toBe('')
      expect(ended.status).toBe(0)
      const lines = ended.lines()
      expect(lines.every(({ v, type }) => v === 1 && typeof type === 'string')).toBe(true)
      expect(lines.at(-1)).toMatchObject({
        type: 'summary',
        command: `sqlite ${command}`,
        complete: true,
        before: { rows: expect.any(Number), fileBytes: expect.any(Number) },
        units: { skipped: 0, failed: 0 },
        proof: { mismatches: 0 },
        findings: expect.any(Array),
        seconds: expect.any(Number),
        throttledSeconds: expect.any(Number),
        skipped: [],
      })
      return lines
    }
    const { size } = statSync(file)
    const inspected = await json('inspect')
    expect(inspected.at(-1)).toMatchObject({ mode: 'dry-run', before: { rows, fileBytes: size }, after: { rows } })
    expect(inspected.at(-1).after.fileBytesEstimate).toBeLessThan(0.6 * size)
    expect(inspected.find(({ type }) => type === 'column')).toMatchObject({
      table: 'events',
      column: 'data',
      declaredType: 'TEXT',
      verdict: 'worth',
    })

    const enable = await json('enable', ...target, '--execute')
    expect(enable[0]).toMatchObject({ type: 'plan', table: 'events', column: 'data', takenOver: false })
    expect(enable[0].statements.length).toBeGreaterThan(5)
    expect(enable.at(-1)).toMatchObject({ mode: 'execute' })

    const dry = await json('maintain')
    expect(dry.at(-1)).toMatchObject({
      mode: 'dry-run',
      before: { rows },
      after: { bytesEstimate: expect.any(Number) },
    })
    const maintain = await json('maintain', '--execute', '--verbose')
    const summary = maintain.at(-1)
    expect(summary).toMatchObject({ mode: 'execute', before: { rows }, after: { rows }, proof: { checked: rows } })
    expect(summary.after.bytes).toBeLessThan(0.5 * summary.before.bytes)
    expect(summary.after.fileBytes).toBe(statSync(file).size)
    const units = maintain.filter(({ type }) => type === 'unit')
    expect(units.reduce((sum, unit) => sum + unit.rows, 0)).toBe(rows)
    expect(maintain.some(({ type }) => type === 'training')).toBe(true)
    expect(summary.units).toMatchObject({ done: units.length })

    expect((await json('check')).at(-1)).toMatchObject({ before: { rows }, columns: 1, dictionaries: 1 })
    const index = await json('index', '--table', 'events', '--on', "data->>'genres'", '--execute')
    expect(index[0]).toMatchObject({ type: 'plan', table: 'events', used: true })
    const disable = await json('disable', '--execute')
    expect(disable.at(-1)).toMatchObject({ mode: 'execute', before: { rows } })
    expect(differences(file)).toBe(0)
  },
)

test('75: stopped by --max-duration, and the next run goes on', { timeout: 120_000 }, async () => {
  const file = await enabled('limited.db', { source: large })
  const limited = await runSqlite(['maintain', file, '--execute', '--max-duration', '0.01s'])
  expect(limited.status).toBe(75)
  expect(limited.out).toMatch(/Stopped by --max-duration/)
  expect((await runSqlite(['maintain', file, '--execute'])).status).toBe(0)
  expect(differences(file, large)).toBe(0)
  const back = await runSqlite(['disable', file, '--execute', '--json', '--max-duration', '0.01s'])
  expect(back.status).toBe(75)
  expect(back.lines().at(-1)).toMatchObject({ complete: false, stopped: 'limit' })
  expect(differences(file, large)).toBe(0)
  expect((await runSqlite(['disable', file, '--execute'])).status).toBe(0)
  expect(differences(file, large)).toBe(0)
})

test('130: Ctrl-C ends between two transactions, and what was done stays', { timeout: 120_000 }, async () => {
  const file = await enabled('interrupted.db', { source: large })
  let sent = false
  const { status, out, err } = await runSqlite(['maintain', file, '--execute', '--verbose', '--load', '0.05'], {
    watch({ err: told }, child) {
      if (sent || !/rows in/.test(told)) return
      sent = true
      child.kill('SIGINT')
    },
  })
  expect(err).toMatch(/Stopping: the transaction at hand is finished first\./)
  expect(out).toMatch(/Interrupted\. What was done is whole and stays/)
  expect(status).toBe(130)
  expect(differences(file, large)).toBe(0)
  expect((await runSqlite(['check', file])).status).toBe(0)
})

test('4: check names a cell that cannot be read', { timeout: 120_000 }, async () => {
  const file = await enabled('damaged.db', { changes: 'DROP INDEX events_by_year' })
  await runSqlite(['maintain', file, '--execute', '--quiet'])
  const judge = openJudge(file)
  judge.exec(`UPDATE _events_zstd SET data = x'00ff00ff00ff' WHERE id = 77`)
  judge.close()
  for (const env of [{}, { TAMP_SQLITE_EXTENSION: '/nowhere/tamp.so' }]) {
    const { status, out } = await runSqlite(['check', file], { env })
    expect(out).toMatch(/^cell-unreadable/m)
    expect(out).toMatch(/77/)
    expect(status).toBe(4)
  }
  const json = await runSqlite(['check', file, '--json'])
  const lines = json.lines()
  expect(lines.find(({ type }) => type === 'finding')).toMatchObject({ code: 'cell-unreadable', fault: true })
  expect(lines.at(-1)).toMatchObject({ counts: { 'cell-unreadable': 1 } })
  const disable = await runSqlite(['disable', file, '--execute'])
  expect(disable.status).toBe(3)
  expect(disable.out).toMatch(/^ +events\.data row 77: .*UPDATE "_events_zstd" SET/m)
  const copy = await runSqlite(['disable', file, '--export', join(folder, 'of-damaged.db')])
  expect(copy).toMatchObject({ status: 1, err: expect.stringMatching(/No copy was made: .*row 77/) })
  expect(existsSync(join(folder, 'of-damaged.db'))).toBe(false)
})

test('--export writes a plain copy, whole or not at all', { timeout: 120_000 }, async () => {
  const file = await enabled('exported.db')
  await runSqlite(['maintain', file, '--execute', '--quiet'])
  const before = databaseBytes(file)
  const out = join(folder, 'export')
  for (const env of [{}, { TAMP_SQLITE_EXTENSION: '/nowhere/tamp.so' }]) {
    rmSync(out, { force: true })
    const ended = await runSqlite(['disable', file, '--export', out], { env })
    expect(ended.status).toBe(0)
    expect(ended.out).toMatch(/A plain copy is in .*8,000 rows decompressed/)
    if ('TAMP_SQLITE_EXTENSION' in env) expect(ended.err).toMatch(/does not exist\. Going on without it, in JavaScript/)
    const copied = new Database(out, { readonly: true })
    expect(copied.prepare(`SELECT count(*) FROM events WHERE typeof(data) = 'text'`).pluck().get()).toBe(rows)
    copied.close()
    expect(differences(out)).toBe(0)
  }
  expect(databaseBytes(file)).toBe(before)
  const twice = await runSqlite(['disable', file, '--export', out])
  expect(twice).toMatchObject({ status: 1, err: expect.stringMatching(/exists already/) })
  // A log that is left of an older file of that name would be played into the copy.
  const older = join(folder, 'older.db')
  writeFileSync(`${older}-wal`, 'a log')
  writeFileSync(`${older}.partial`, 'precious')
  const beside = await runSqlite(['disable', file, '--export', older])
  expect(beside).toMatchObject({ status: 1, err: expect.stringMatching(/older\.db-wal exists already/) })
  rmSync(`${older}-wal`)
  expect((await runSqlite(['disable', file, '--export', older])).status).toBe(0)
  expect(readFileSync(`${older}.partial`, 'utf8')).toBe('precious')
  rmSync(`${older}.partial`)
  const nowhere = await runSqlite(['disable', file, '--export', join(folder, 'no', 'where.db')])
  expect(nowhere).toMatchObject({ status: 1, out: '' })
  expect(nowhere.err).toMatch(/^tamp: The file .* cannot be made: its directory does not exist\.\n {6}[^\n]+\n$/)
  expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([])
  expect(existsSync(join(folder, 'no'))).toBe(false)
})

test('shell-init prints what loads the extension', async () => {
  const all = await runSqlite(['shell-init'])
  expect(all).toMatchObject({ status: 0, err: '' })
  for (const part of [
    '.load ',
    'enable_load_extension(True)',
    "import { open } from 'tamp/sqlite'",
    'PRAGMA temp_store = MEMORY',
  ])
    expect(all.out).toContain(part)
  expect(all.out).toContain(testLibrary)
  const shell = await runSqlite(['shell-init', '--for', 'shell'])
  expect(shell.out).toMatch(/^\.load .*\n(--.*\n)?PRAGMA temp_store = MEMORY;\n$/)
  expect(shell.out).toContain(testLibrary)
})
