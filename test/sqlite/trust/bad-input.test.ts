// Whatever is wrong with the words, the file or what is in its catalogue: a TampError with one clear sentence and what to do, and the file is
// as it was, to the byte.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import {
  disabling,
  enabling,
  fileOf,
  folder,
  maintaining,
  outcome,
  rows,
  stages,
} from '../../support/sqlite/event-stages.ts'
import type { Stage } from '../../support/sqlite/event-stages.ts'
import { eventsColumn, stateOf, wrongRows } from '../../support/sqlite/events-database.ts'
import { openJudge } from '../../support/sqlite/judge.ts'
import { driverNames, openHost, policyOf } from '../../support/sqlite/policy-host.ts'
import type { Deed } from '../../support/sqlite/policy-host.ts'

/** The error a deed ends with. */
function refused(file: string, deed: Deed, first: readonly string[] = []): TampError {
  using host = openHost(file)
  for (const sql of first) host.driver.query(sql)
  try {
    host.run(policyOf(deed))
  } catch (error) {
    expect(error).toBeInstanceOf(TampError)
    expect(host.driver.autocommit).toBe(true)
    return error as TampError
  }
  throw new Error(`${deed.command} did not refuse`)
}

const enablingOf = (options: object): Deed => ({ command: 'enable', options: { ...eventsColumn, ...options } })

/** Tables that cannot be enabled, and wrong words; what is expected of code and message. */
const refusals: Readonly<Record<string, { sql?: string; stage?: Stage; deed: Deed; code: RegExp; says: RegExp }>> = {
  'no such table': { deed: enablingOf({ table: 'evnets' }), code: /^usage$/, says: /evnets/ },
  'no such column': { deed: enablingOf({ column: 'dta' }), code: /^usage$/, says: /dta/ },
  'the column is the key': {
    sql: 'CREATE TABLE k (name TEXT PRIMARY KEY, n INT)',
    deed: enablingOf({ table: 'k', column: 'name' }),
    code: /^(usage|failed)$/,
    says: /key/i,
  },
  'the column is part of a composite key': {
    sql: 'CREATE TABLE k (a INT, name TEXT, n INT, PRIMARY KEY (a, name)) WITHOUT ROWID',
    deed: enablingOf({ table: 'k', column: 'name' }),
    code: /^(usage|failed)$/,
    says: /key/i,
  },
  'a table without a key': {
    sql: 'CREATE TABLE k (a INT, name TEXT)',
    deed: enablingOf({ table: 'k', column: 'name', dictChooser: `'k'` }),
    code: /^(usage|failed)$/,
    says: /key/i,
  },
  'a view': { deed: enablingOf({ table: 'pushes' }), code: /^(usage|failed)$/, says: /view/ },
  'a virtual table': {
    sql: 'CREATE VIRTUAL TABLE words USING fts5(text)',
    deed: enablingOf({ table: 'words', column: 'text' }),
    code: /^(usage|failed)$/,
    says: /virtual/,
  },
  "SQLite's own table": {
    deed: enablingOf({ table: 'sqlite_schema', column: 'sql' }),
    code: /^(usage|failed)$/,
    says: /sqlite_schema/,
  },
  "tamp's own table": {
    stage: 'enabled',
    deed: enablingOf({ table: '_zstd_dicts', column: 'dict' }),
    code: /^(usage|failed)$/,
    says: /_zstd_dicts/,
  },
  'the table of the rows': {
    stage: 'enabled',
    deed: enablingOf({ table: '_events_zstd' }),
    code: /^(usage|failed)$/,
    says: /_events_zstd/,
  },
  'enabled already': { stage: 'enabled', deed: enabling, code: /^usage$/, says: /already/ },
  'a chooser that is no SQL': { deed: enablingOf({ dictChooser: 'iif(' }), code: /^usage$/, says: /chooser|iif/ },
  'a chooser that names no column': {
    deed: enablingOf({ dictChooser: `'a' || nothing` }),
    code: /^usage$/,
    says: /nothing/,
  },
  'a chooser that gives a number': {
    deed: enablingOf({ dictChooser: 'id / 100' }),
    code: /^usage$/,
    says: /text|integer|number/i,
  },
  'a chooser with an aggregate': {
    deed: enablingOf({ dictChooser: `'a' || count(*)` }),
    code: /^usage$/,
    says: /aggregate|count/,
  },
  'a chooser of two expressions': {
    deed: enablingOf({ dictChooser: `'a', 'b'` }),
    code: /^usage$/,
    says: /chooser|expression/,
  },
  'level 0': { deed: enablingOf({ level: 0 }), code: /^usage$/, says: /level/ },
  'level 23': { deed: enablingOf({ level: 23 }), code: /^usage$/, says: /level/ },
  'level abc': { deed: enablingOf({ level: 'abc' }), code: /^usage$/, says: /level/ },
  'level 3.5': { deed: enablingOf({ level: 3.5 }), code: /^usage$/, says: /level/ },
  'no table named': { deed: enablingOf({ table: '' }), code: /^usage$/, says: /table/ },
  'maintaining what is not enabled': {
    deed: { command: 'maintain', options: { table: 'events', column: 'data' } },
    code: /^usage$/,
    says: /events\.data/,
  },
  'maintaining with a load of 2': {
    stage: 'enabled',
    deed: { command: 'maintain', options: { load: 2 } },
    code: /^usage$/,
    says: /load/,
  },
  'maintaining for -1 s': {
    stage: 'enabled',
    deed: { command: 'maintain', options: { maxSeconds: -1 } },
    code: /^usage$/,
    says: /-1|seconds|time/,
  },
  'disabling what is not enabled': { deed: disabling, code: /^usage$/, says: /events/ },
  'an index on nothing': {
    stage: 'maintained',
    deed: { command: 'index', options: { table: 'events', on: [] } },
    code: /^usage$/,
    says: /index|column|expression/,
  },
  'an index on a column that is not there': {
    stage: 'maintained',
    deed: { command: 'index', options: { table: 'events', on: ['length(dta)'] } },
    code: /^usage$/,
    says: /dta/,
  },
  'an index with a name that is taken': {
    stage: 'maintained',
    deed: { command: 'index', options: { table: 'events', name: 'events_by_kind', on: ['version'] } },
    code: /^usage$/,
    says: /events_by_kind/,
  },
  'a damaged configuration': {
    stage: 'maintained',
    sql: `UPDATE _zstd_configs SET config = '{"table":'`,
    deed: maintaining,
    code: /^unknown-schema$/,
    says: /_zstd_configs|config/,
  },
  'a configuration that is something else': {
    stage: 'maintained',
    sql: `UPDATE _zstd_configs SET config = '[1, 2]'`,
    deed: maintaining,
    code: /^unknown-schema$/,
    says: /_zstd_configs|config/,
  },
  'a configuration without its table': {
    stage: 'maintained',
    sql: `UPDATE _zstd_configs SET config = json_remove(config, '$.table')`,
    deed: disabling,
    code: /^unknown-schema$/,
    says: /_zstd_configs|config/,
  },
  'a catalogue of a newer layout, maintained': {
    stage: 'maintained',
    sql: `UPDATE _zstd_configs SET config = json_set(config, '$.tamp.layout', 2)`,
    deed: maintaining,
    code: /^unknown-schema$/,
    says: /layout|newer/,
  },
  'a catalogue of a newer layout, disabled': {
    stage: 'maintained',
    sql: `UPDATE _zstd_configs SET config = json_set(config, '$.tamp.layout', 2)`,
    deed: disabling,
    code: /^unknown-schema$/,
    says: /layout|newer/,
  },
}

describe('P5 P7: refused, with the reason and what to do', () => {
  test.each(Object.entries(refusals))('%s', (_, { sql, stage = 'plain', deed, code, says }) => {
    const file = fileOf(stage, sql)
    const bytes = readFileSync(file)
    const error = refused(file, deed)
    expect(error.message).toMatch(says)
    expect(error.code).toMatch(code)
    // A sentence that says what it must be says enough.
    if (!/must be|needs/.test(error.message)) expect(error.hint ?? '').not.toBe('')
    expect(error.message).not.toMatch(/\n|undefined|\[object/)
    expect(readFileSync(file).equals(bytes)).toBe(true)
  })

  test('a catalogue without its scope: nothing is compressed with dictionaries of nobody', () => {
    const file = fileOf('enabled', 'DELETE FROM _tamp_scope')
    const bytes = readFileSync(file)
    using host = openHost(file)
    expect(outcome(() => host.run(policyOf(maintaining)))).toMatch(/_tamp_scope/)
    expect(readFileSync(file).equals(bytes)).toBe(true)
  })

  test.each([
    '(SELECT name FROM repo WHERE repo.id = events.repo)',
    '(SELECT name FROM repo WHERE repo.id = repo)',
    `'a' || (events.id / 100000)`,
    `'a' || length(events.kind) -- of its kind`,
    `'a' || (substr(data, 1, 1) = '{')`,
    `CASE "kind" WHEN 'it''s; a' THEN NULL ELSE 'b' END`,
  ])('a chooser that enabling accepts is one that maintenance can use: %s', (dictChooser) => {
    const file = fileOf('plain')
    using host = openHost(file)
    try {
      host.run(policyOf(enablingOf({ dictChooser })))
    } catch (error) {
      expect(error).toMatchObject({ name: 'TampError', code: 'usage', hint: expect.any(String) })
      return
    }
    const maintained = host.run(policyOf(maintaining))
    expect(maintained).toMatchObject({ complete: true, skipped: [] })
    expect(JSON.stringify(maintained)).not.toMatch(/"failed"/)
    const db = openJudge(file)
    expect(db.prepare('SELECT count(*) FROM _events_zstd WHERE _data_dict IS NOT NULL').pluck().get()).toBeGreaterThan(
      300,
    )
    expect(wrongRows(db, { rows })).toEqual([])
    db.close()
  })

  test.each([
    [`iif(id = 311, json('{' || id), 'a')`, /311.*malformed JSON/],
    [`iif(id = 311, 7, 'a')`, /the number 7, not text/],
    [`iif(id = 311, x'00', 'a')`, /blob/],
  ])('a chooser that goes wrong on a later row is named, and can be put right: %s', (dictChooser, says) => {
    const file = fileOf('plain')
    using host = openHost(file)
    host.run(policyOf(enablingOf({ dictChooser })))
    expect(outcome(() => host.run(policyOf(maintaining)))).toMatch(says)
    const db = openJudge(file)
    expect(wrongRows(db, { rows })).toEqual([])
    db.exec(`UPDATE _zstd_configs SET config = json_set(config, '$.dict_chooser', '''a''')`)
    expect(outcome(() => host.run(policyOf(maintaining)))).not.toMatch(/"failed"/)
    expect(db.prepare('SELECT count(*) FROM _events_zstd WHERE _data_dict IS NOT NULL').pluck().get()).toBeGreaterThan(
      300,
    )
    expect(wrongRows(db, { rows })).toEqual([])
    db.close()
  })

  test.each(['enable', 'maintain', 'disable'] as const)('%s of a file that is no database', (command) => {
    const file = join(folder, `no-database-${command}`)
    writeFileSync(file, 'this is a text, and long enough to be taken for a header of a database: '.repeat(20))
    expect(() => {
      using host = openHost(file)
      host.run(policyOf({ command, options: command === 'maintain' ? {} : eventsColumn }))
    }).toThrow(/not a SQLite database|not a database/)
    expect(readFileSync(file, 'utf8')).toMatch(/^this is a text/)
  })

  test('an empty file is an empty database', () => {
    const file = join(folder, 'empty')
    closeSync(openSync(file, 'w'))
    expect(refused(file, enabling)).toMatchObject({ code: 'usage', message: expect.stringContaining('events') })
    using host = openHost(file)
    expect(host.run(policyOf(maintaining))).toMatchObject({ complete: true, columns: [] })
    expect(statSync(file).size).toBe(0)
  })

  test.each(driverNames)('a file that is not there is not made, nor a directory opened (%s)', (driver) => {
    const file = join(folder, 'nowhere')
    expect(() => openHost(file, driver)).toThrow(/unable to open/)
    expect(existsSync(file)).toBe(false)
    const directory = join(folder, `directory-${driver.replace(':', '')}`)
    mkdirSync(directory)
    expect(() => {
      using host = openHost(directory, driver)
      host.run(policyOf(maintaining))
    }).toThrow(/open/)
  })

  test.each(stages)('without the extension: %s', (stage) => {
    const file = fileOf(stage)
    using host = openHost(file, 'better-sqlite3', { extension: false })
    const deed = stage === 'plain' ? enabling : stage === 'enabled' ? maintaining : disabling
    expect(() => host.run(policyOf(deed))).toThrow(/extension|zstd_|tamp_/)
    expect(host.driver.autocommit).toBe(true)
    const db = openJudge(file)
    expect(stateOf(db)).toBe(stage === 'plain' ? 'plain' : 'compressed')
    expect(wrongRows(db, { rows })).toEqual([])
    db.close()
  })

  test.each(stages)('a connection that only reads: %s', (stage) => {
    const file = fileOf(stage)
    const bytes = readFileSync(file)
    using host = openHost(file, 'better-sqlite3', { readOnly: true })
    const deed = stage === 'plain' ? enabling : stage === 'enabled' ? maintaining : disabling
    expect(() => host.run(policyOf(deed))).toThrow(/read-only|readonly|cannot be written/)
    expect(readFileSync(file).equals(bytes)).toBe(true)
  })
})
