// P2 for rows: a process that enables, maintains, retrains, indexes or disables may die at every one of its steps. The file then opens,
// is whole, answers as before, is plain or compressed and nothing between, and the same command run again comes to its end.
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { copyDatabase, databaseBytes, temporaryFolder } from '../../support/sqlite/database-files.ts'
import {
  changeEvents,
  dumpOf,
  eventsColumn,
  integrity,
  makeEvents,
  stateOf,
  wrongRows,
} from '../../support/sqlite/events-database.ts'
import { openHost, policyOf } from '../../support/sqlite/policy-host.ts'
import type { Deed as PolicyDeed, DriverName } from '../../support/sqlite/policy-host.ts'
import { openJudge } from '../../support/sqlite/judge.ts'
import { beside, policyChild } from '../../support/sqlite/processes.ts'
import type { PolicyChildInput, PolicyChildEnd } from '../../support/sqlite/policy-child.ts'
import { shellIsThere, startShell } from '../../support/sqlite/sqlite-shell.ts'
import { seeded } from '../../support/synapse/random.ts'

const seed = Number(process.env['TAMP_TEST_SEED'] ?? Date.now() % 1_000_000)

/** Kills of each command in each journal mode; `all` is one at every request. */
const kills = process.env['TAMP_TEST_KILLS'] ?? '1'

const rows = 700

/** What is killed, what the file is before, and what it is after. */
const deeds = [
  { name: 'enable', command: 'enable', options: eventsColumn, from: 'plain', to: 'compressed' },
  { name: 'maintain', command: 'maintain', options: {}, from: 'enabled', to: 'compressed' },
  { name: 'retrain', command: 'maintain', options: { retrain: true }, from: 'changed', to: 'compressed' },
  { name: 'recompress', command: 'maintain', options: { recompress: true }, from: 'retrained', to: 'compressed' },
  {
    name: 'index',
    command: 'index',
    options: { table: 'events', name: 'events_by_end', on: ['kind', 'length(data) DESC'] },
    from: 'maintained',
    to: 'compressed',
  },
  {
    name: 'disable',
    command: 'disable',
    options: { table: 'events', column: 'data' },
    from: 'maintained',
    to: 'plain',
  },
] as const satisfies readonly (PolicyDeed & { [key: string]: unknown })[]
type Deed = (typeof deeds)[number]

const journals = ['delete', 'wal'] as const
const folder = await temporaryFolder('tamp-crashes-')
const prepared = (journal: string, stage: string): string => join(folder, `${journal}-${stage}.db`)

/** What the file was before anything was done to it, by stage. */
const originals = new Map<string, unknown>()

function carryOut(file: string, { command, options }: Pick<Deed, 'command' | 'options'>): number {
  const host = openHost(file, 'better-sqlite3')
  let requests = 0
  try {
    // A disabled column may already be plain, an enabled one already compressed: that is what the last run was for.
    host.run(policyOf({ command, options }), (n) => (requests = n))
  } finally {
    host.close()
  }
  return requests
}

beforeAll(() => {
  for (const journal of journals) {
    const file = prepared(journal, 'now')
    makeEvents(file, { rows, journal })
    const original = dumpNow(file)
    const keep = (stage: string, before: unknown): void => {
      copyDatabase(file, prepared(journal, stage))
      originals.set(stage, before)
    }
    keep('plain', original)
    carryOut(file, deeds[0])
    keep('enabled', original)
    carryOut(file, deeds[1])
    keep('maintained', original)

    copyDatabase(prepared(journal, 'plain'), file)
    change(file)
    const changed = dumpNow(file)
    copyDatabase(prepared(journal, 'maintained'), file)
    change(file)
    keep('changed', changed)
    carryOut(file, deeds[2])
    keep('retrained', changed)
    const db = openJudge(file)
    // Or neither retraining nor recompressing is put to the test.
    expect(db.prepare('SELECT count(*) FROM _zstd_dicts WHERE id > 0').pluck().get()).toBeGreaterThan(2)
    db.close()
  }
}, 60_000)

function change(file: string): void {
  const db = openJudge(file)
  changeEvents(db)
  db.close()
}

function dumpNow(file: string): unknown {
  const db = openJudge(file, { readonly: true })
  try {
    return dumpOf(db)
  } finally {
    db.close()
  }
}

/** The file as a process that died left it: whole, one thing or the other, and every row what it was. Gives which it is. */
function judge(file: string, where: string): string {
  const db = openJudge(file)
  try {
    expect(integrity(db), where).toEqual(['ok'])
    expect(wrongRows(db, { rows }), where).toEqual([])
    const state = stateOf(db)
    expect(['plain', 'compressed'], where).toContain(state)
    return state
  } finally {
    db.close()
  }
}

/** Runs the command again to its end, judges, takes the column back and compares with what never was touched. */
function goOn(file: string, deed: Deed, where: string): void {
  const state = judge(file, where)
  const doneAlready = (deed.command === 'enable' || deed.command === 'disable') && state === deed.to
  if (!doneAlready && !(deed.name === 'index' && indexed(file))) carryOut(file, deed)
  expect(judge(file, `${where}, again`), where).toBe(deed.to)
  if (deed.name === 'index') expect(indexed(file), where).toBe(true)
  if (deed.to !== 'plain') carryOut(file, { command: 'disable', options: { table: 'events', column: 'data' } })
  expect(judge(file, `${where}, disabled`), where).toBe('plain')
  if (deed.name === 'index') {
    const db = openJudge(file)
    db.exec('DROP INDEX events_by_end')
    db.close()
  }
  expect(dumpNow(file), where).toEqual(originals.get(deed.from))
}

function indexed(file: string): boolean {
  const db = openJudge(file, { readonly: true })
  try {
    return db.prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'events_by_end'`).get() !== undefined
  } finally {
    db.close()
  }
}

describe.each(journals)('P2: copies taken between the steps, journal mode %s', (journal) => {
  test.each(deeds)('$name', { timeout: 60_000 }, async (deed) => {
    const file = prepared(journal, `copied-${deed.name}`)
    copyDatabase(prepared(journal, deed.from), file)
    const copies: string[] = []
    const host = openHost(file, 'better-sqlite3')
    // So small a cache that pages reach the file in the midst of a transaction: the journal of the copy is a hot one.
    host.driver.query('PRAGMA cache_size = 8')
    let last = ''
    try {
      host.run(policyOf(deed), (n) => {
        const bytes = databaseBytes(file)
        if (bytes === last) return
        last = bytes
        copies.push(`${file}.${n}`)
        // SQLite's locks on the file do not survive this: nobody else is at it.
        copyDatabase(file, `${file}.${n}`)
      })
    } finally {
      host.close()
    }
    expect(copies.length).toBeGreaterThan(1)
    let changed = 0
    for (const [i, copy] of copies.entries()) {
      const where = `${deed.name}, before request ${copy.slice(file.length + 1)}`
      if (judge(copy, where) !== (deed.from === 'plain' ? 'plain' : 'compressed')) changed++
      if (i % Math.ceil(copies.length / 6) === 0 || i === copies.length - 1) goOn(copy, deed, where)
    }
    expect(changed).toBeLessThan(copies.length)
    goOn(file, deed, `${deed.name}, at its end`)
  })
})

describe.each(journals)(`P2: kill -9, journal mode %s (seed ${seed})`, (journal) => {
  test.each(deeds)('$name', { timeout: 600_000 }, async (deed) => {
    const random = seeded(seed + deeds.indexOf(deed) * 7 + journals.indexOf(journal))
    const counted = prepared(journal, `counted-${deed.name}`)
    copyDatabase(prepared(journal, deed.from), counted)
    const requests = carryOut(counted, deed)
    const every = Array.from({ length: requests }, (_, i) => i + 1)
    const at = kills === 'all' ? every : Array.from({ length: Number(kills) }, () => random.pick(every))
    console.log(`kill -9 of ${deed.name} (${journal}): TAMP_TEST_SEED=${seed}, requests ${at} of ${requests}`)
    let killed = 0
    for (const n of at) {
      const file = prepared(journal, `killed-${deed.name}-${n}`)
      copyDatabase(prepared(journal, deed.from), file)
      const driver: DriverName = random.chance(0.5) ? 'better-sqlite3' : 'node:sqlite'
      const input: PolicyChildInput = {
        file,
        driver,
        deeds: [deed],
        killAt: n,
        first: ['PRAGMA cache_size = 8'],
      }
      await using child = await beside<PolicyChildEnd>(policyChild, input)
      if ((await child.last) === null) killed++
      goOn(file, deed, `${deed.name} killed at request ${n} with ${driver}`)
    }
    // How many requests there are depends on the time chunks take, by a few.
    expect(killed).toBeGreaterThanOrEqual(at.filter((n) => n < 0.8 * requests).length)
  })
})

describe.each(journals)(
  `P2: the sqlite3 shell killed in the midst of it, journal mode %s (seed ${seed})`,
  (journal) => {
    const shellRows = 4000

    test.skipIf(!shellIsThere)(
      'enabling, maintaining and disabling, again and again',
      { timeout: 120_000 },
      async () => {
        const random = seeded(seed + 99)
        console.log(`sqlite3 killed: TAMP_TEST_SEED=${seed}`)
        const file = prepared(journal, 'shell')
        makeEvents(file, { rows: shellRows, journal })
        const config = {
          table: 'events',
          column: 'data',
          compression_level: 12,
          dict_chooser: eventsColumn.dictChooser,
          min_dict_size_bytes_for_training: 1000,
          incremental_compression_step_bytes: 50_000,
        }
        const sql = (text: string): string => `'${text.replaceAll("'", "''")}'`
        const enabling = `SELECT zstd_enable_transparent(${sql(JSON.stringify(config))});`
        const maintaining = 'SELECT zstd_incremental_maintenance(NULL, 1);'
        const disabling = `SELECT tamp('disable', ${sql(JSON.stringify({ table: 'events', column: 'data' }))});`
        const states = new Set<string>()
        let killed = 0
        for (let round = 0; round < 12; round++) {
          const before = stateNow(file)
          const shell = startShell(file, ['PRAGMA cache_size = 8;'])
          await shell.ask('SELECT 1;')
          shell.say(before === 'plain' ? enabling + maintaining : round % 3 === 2 ? disabling : maintaining)
          shell.say('SELECT 2;')
          await Promise.race([shell.closed, sleep(random.below(400))])
          if (shell.kill()) killed++
          await shell.closed
          const db = openJudge(file)
          expect(integrity(db), `round ${round}`).toEqual(['ok'])
          expect(wrongRows(db, { rows: shellRows }), `round ${round}`).toEqual([])
          states.add(stateOf(db))
          db.close()
        }
        expect([...states].filter((state) => state !== 'plain' && state !== 'compressed')).toEqual([])
        expect(killed).toBeGreaterThan(5)
        const last = startShell(file)
        if (stateNow(file) === 'plain') expect(await last.ask(enabling)).toBe('Done!')
        // Where the last one killed was disabling, with the remark that the column is on its way back.
        expect(await last.ask(maintaining)).toMatch(/^0$/m)
        expect(JSON.parse(await last.ask(disabling))).toMatchObject({ complete: true })
        await last.end()
        const db = openJudge(file)
        expect(stateOf(db)).toBe('plain')
        expect(wrongRows(db, { rows: shellRows })).toEqual([])
        expect(integrity(db)).toEqual(['ok'])
        db.close()
      },
    )
  },
)

function stateNow(file: string): string {
  const db = openJudge(file)
  try {
    return stateOf(db)
  } finally {
    db.close()
  }
}
