// Ten times the rows take no more memory, a run ends when it was told to and rests as it was told to, a run with nothing to do writes
// nothing, and what was not to be executed leaves the file as it is to the byte.
import { readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { runTamp } from '../../cli/run-tamp.ts'
import { copyDatabase, databaseBytes, databaseFiles, temporaryFolder } from '../../support/sqlite/database-files.ts'
import { eventsColumn, integrity, makeEvents, stateOf, wrongRows } from '../../support/sqlite/events-database.ts'
import { openJudge, testLibrary } from '../../support/sqlite/judge.ts'
import type { PolicyChildEnd } from '../../support/sqlite/policy-child.ts'
import { driverNames, openHost, policyOf } from '../../support/sqlite/policy-host.ts'
import type { Deed } from '../../support/sqlite/policy-host.ts'
import { beside, policyChild } from '../../support/sqlite/processes.ts'
import { seeded } from '../../support/synapse/random.ts'

const folder = await temporaryFolder('tamp-bounded-')
const megabyte = 1_000_000

/** Rows of 2 kB, put together from sentences that come again. */
function makeLarge(file: string, rows: number): void {
  const db = new Database(file)
  db.pragma('journal_mode = off')
  db.pragma('synchronous = off')
  db.exec('CREATE TABLE page (id INTEGER PRIMARY KEY, body TEXT)')
  const random = seeded(rows)
  const sentences = Array.from({ length: 2000 }, (_, n) =>
    Array.from({ length: 16 }, () => `w${random.below(4000).toString(36)}`)
      .join(' ')
      .concat(` (${n}). `),
  )
  const insert = db.prepare('INSERT INTO page VALUES (?, ?)')
  db.transaction(() => {
    for (let id = 1; id <= rows; id++) {
      let body = `{"id": ${id}, "text": "`
      while (body.length < 2000) body += random.pick(sentences)
      insert.run(id, `${body}"}`)
    }
  })()
  db.close()
}

const pages: Deed = { command: 'enable', options: { table: 'page', column: 'body', level: 1 } }
const maintaining: Deed = { command: 'maintain' }

/** 30,000 is what the documentation speaks of; takes a minute. */
const fewRows = Number(process.env['TAMP_TEST_ROWS'] ?? 10_000)

/** How much more memory ten times the rows may take: allocators and garbage collectors are never quite the same twice. */
const margin = 50 * megabyte

test('P6: memory is flat: ten times the rows', { timeout: 120_000 }, async () => {
  const peaks: Record<string, number>[] = []
  for (const rows of [fewRows, 10 * fewRows]) {
    const file = join(folder, `large-${rows}.db`)
    makeLarge(file, rows)
    const peak: Record<string, number> = {}
    for (const [name, deeds] of Object.entries({
      maintain: [pages, maintaining],
      disable: [{ command: 'disable', options: { table: 'page', column: 'body' } }],
    } satisfies Record<string, Deed[]>)) {
      await using child = await beside<PolicyChildEnd>(policyChild, {
        file,
        deeds,
        first: ['PRAGMA synchronous = off'],
      })
      const end = await child.last
      expect(end!.failure).toBeUndefined()
      expect(end!.results.at(-1)).toMatchObject({ complete: true })
      peak[name] = end!.memory
    }
    peaks.push(peak)
    rmSync(file)
  }
  console.log(`peak memory in bytes, ${fewRows} and ${10 * fewRows} rows of 2 kB: ${JSON.stringify(peaks)}`)
  const [small, large] = peaks
  expect(large!['maintain']! - small!['maintain']!).toBeLessThan(margin)
  expect(large!['disable']! - small!['disable']!).toBeLessThan(margin)
})

describe('P6: a run keeps to its limits', () => {
  test('it stops when its time is over, and the next one goes on', () => {
    const file = join(folder, 'limits.db')
    makeLarge(file, 12_000)
    using host = openHost(file)
    host.run(policyOf({ command: 'enable', options: { table: 'page', column: 'body', level: 19 } }))
    const start = performance.now()
    const first = host.run(policyOf({ command: 'maintain', options: { maxSeconds: 1 } }))
    const seconds = (performance.now() - start) / 1000
    expect(first).toMatchObject({ complete: false, stopped: 'limit' })
    // A chunk is half a second, training no more than it is given; the machine may be busy.
    expect(seconds).toBeLessThan(6)
    const left = host.driver.query('SELECT count(*) FROM _page_zstd WHERE _body_dict IS NULL')[0]![0] as number
    expect(left).toBeGreaterThan(0)
    host.run(policyOf({ command: 'maintain', options: { maxSeconds: 2 } }))
    const then = host.driver.query('SELECT count(*) FROM _page_zstd WHERE _body_dict IS NULL')[0]![0] as number
    expect(then).toBeLessThan(left)
  })

  test('told to stop it stops after the chunk it is at', () => {
    const file = join(folder, 'stopped.db')
    makeLarge(file, 8000)
    using host = openHost(file)
    host.run(policyOf({ command: 'enable', options: { table: 'page', column: 'body', level: 19 } }))
    let chunks = 0
    const ended = host.run(policyOf(maintaining), undefined, {
      onEvent: ({ type }) => void (type === 'chunk' && chunks++),
      stopping: () => chunks >= 1,
    })
    expect(ended).toMatchObject({ complete: false, stopped: 'interrupted' })
    expect(chunks).toBe(1)
    expect(host.driver.autocommit).toBe(true)
  })

  test('one step is one chunk', () => {
    const file = join(folder, 'step.db')
    makeLarge(file, 8000)
    using host = openHost(file)
    host.run(policyOf({ command: 'enable', options: { table: 'page', column: 'body', level: 3 } }))
    let commits = 0
    const count = (_: number, request: { kind: string; sql?: string }): void => {
      if (request.sql === 'COMMIT') commits++
    }
    const ended = host.run(policyOf({ command: 'maintain', options: { maxSeconds: 0 } }), count)
    expect(ended).toMatchObject({ complete: false })
    // A dictionary is kept in a transaction of its own.
    expect(commits).toBeGreaterThan(0)
    expect(commits).toBeLessThan(4)
  })

  test.each(driverNames)('it works no more than the load it was given (%s)', (driver) => {
    const file = join(folder, `load-${driver.replace(':', '')}.db`)
    makeLarge(file, 6000)
    using host = openHost(file, driver)
    host.run(policyOf({ command: 'enable', options: { table: 'page', column: 'body', level: 9 } }))
    const pauses: string[] = []
    let asleep = 0
    const start = performance.now()
    const ended = host.run(policyOf({ command: 'maintain', options: { load: 0.3, maxSeconds: 4 } }), undefined, {
      sleep(seconds, reason) {
        pauses.push(reason)
        const began = performance.now()
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000)
        asleep += (performance.now() - began) / 1000
      },
    }) as { throttledSeconds: number }
    const seconds = (performance.now() - start) / 1000
    expect(new Set(pauses)).toEqual(new Set(['keeping to a load of 0.3']))
    // 70 % of the time, but for the last chunk, which may be followed by none.
    expect(asleep / seconds).toBeGreaterThan(0.4)
    expect(ended.throttledSeconds).toBeCloseTo(asleep, 0)
  })
})

const enabling: Deed = { command: 'enable', options: eventsColumn }
const rows = 800

function prepared(stage: 'plain' | 'maintained', journal: 'delete' | 'wal'): string {
  const file = join(folder, `dry-${journal}-${stage}.db`)
  rmSync(file, { force: true })
  makeEvents(file, { rows, journal })
  if (stage === 'maintained') {
    using host = openHost(file)
    host.run(policyOf(enabling))
    host.run(policyOf({ command: 'maintain', options: { oneStep: true } }))
    host.driver.query(`UPDATE events SET data = data || ' ' WHERE id % 2 = 0 AND typeof(data) = 'text'`)
  }
  return file
}

describe.each(['delete', 'wal'] as const)('P4: nothing to do, nothing written: journal mode %s', (journal) => {
  test.each(driverNames)('a second maintenance (%s)', (driver) => {
    const file = join(folder, `twice-${journal}-${driver.replace(':', '')}.db`)
    makeEvents(file, { rows, journal })
    const maintain = (): unknown => {
      using host = openHost(file, driver)
      return host.run(policyOf(maintaining))
    }
    {
      using host = openHost(file, driver)
      host.run(policyOf(enabling))
    }
    expect(maintain()).toMatchObject({ complete: true })
    const bytes = databaseBytes(file)
    const { mtimeMs } = statSync(file)
    expect(maintain()).toMatchObject({ complete: true })
    expect(maintain()).toMatchObject({ complete: true })
    expect(databaseBytes(file)).toBe(bytes)
    expect(statSync(file).mtimeMs).toBe(mtimeMs)
    const db = openJudge(file)
    expect(wrongRows(db, { rows })).toEqual([])
    db.close()
  })

  test('a second maintenance by the extension itself', () => {
    const file = join(folder, `twice-${journal}-shell.db`)
    makeEvents(file, { rows, journal })
    const db = openJudge(file)
    using host = openHost(file)
    host.run(policyOf(enabling))
    const maintenance = db.prepare('SELECT zstd_incremental_maintenance(NULL, 1)').pluck()
    expect(maintenance.get()).toBe(0)
    db.pragma('wal_checkpoint(TRUNCATE)')
    const bytes = databaseBytes(file)
    expect(maintenance.get()).toBe(0)
    expect(databaseBytes(file)).toBe(bytes)
    db.close()
  })

  const dry: readonly [string, 'plain' | 'maintained', Deed][] = [
    ['enable', 'plain', { command: 'enable', options: { ...eventsColumn, dryRun: true } }],
    ['maintain', 'maintained', { command: 'maintain', options: { dryRun: true } }],
    ['maintain with retraining', 'maintained', { command: 'maintain', options: { dryRun: true, retrain: true } }],
    ['maintain with recompressing', 'maintained', { command: 'maintain', options: { dryRun: true, recompress: true } }],
    ['disable', 'maintained', { command: 'disable', options: { table: 'events', column: 'data', dryRun: true } }],
    ['inspect a plain file', 'plain', { command: 'inspect' }],
    ['inspect', 'maintained', { command: 'inspect' }],
    ['check', 'maintained', { command: 'check' }],
  ]

  test('P5: dry runs of the policy', () => {
    const made = { plain: prepared('plain', journal), maintained: prepared('maintained', journal) }
    for (const [name, stage, deed] of dry) {
      const file = join(folder, 'dry.db')
      copyDatabase(made[stage], file)
      const before = readFileSync(file)
      {
        using host = openHost(file)
        host.run(policyOf(deed))
        expect(host.driver.query('SELECT total_changes()')[0], name).toEqual([0])
      }
      expect(readFileSync(file).equals(before), name).toBe(true)
      expect(databaseFiles(file), name).toEqual({ '': before.length })
    }
  })
})

test('P5: the commands without --execute', { timeout: 60_000 }, async () => {
  const made = { plain: prepared('plain', 'wal'), maintained: prepared('maintained', 'wal') }
  const words: readonly [string, 'plain' | 'maintained', string[]][] = [
    ['inspect', 'plain', []],
    ['inspect', 'maintained', []],
    ['enable', 'plain', ['--table', 'events', '--column', 'data']],
    ['maintain', 'maintained', []],
    ['disable', 'maintained', ['--table', 'events', '--column', 'data']],
    ['index', 'maintained', ['--table', 'events', '--on', 'version']],
    ['check', 'maintained', []],
  ]
  for (const [command, stage, options] of words) {
    const file = join(folder, 'dry-command.db')
    copyDatabase(made[stage], file)
    const before = readFileSync(file)
    const ended = await runTamp(['sqlite', command, file, ...options], {
      env: { TAMP_SQLITE_EXTENSION: testLibrary },
    })
    expect(ended.status, `${command}: ${ended.err}${ended.out}`).toBe(0)
    expect(readFileSync(file).equals(before), command).toBe(true)
    expect(databaseFiles(file), command).toEqual({ '': before.length })
    const db = openJudge(file)
    expect(stateOf(db)).toBe(stage === 'plain' ? 'plain' : 'compressed')
    expect(integrity(db)).toEqual(['ok'])
    db.close()
  }
})
