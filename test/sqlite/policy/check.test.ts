// `check` finds what is wrong with compressed columns, by its name, and nothing where nothing is wrong. Each damage is done by hand.
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { drive } from '../../../src/sqlite/host/drive.ts'
import { check } from '../../../src/sqlite/policy/check.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { faultCodes } from '../../../src/sqlite/policy/findings.ts'
import { maintain } from '../../../src/sqlite/policy/maintain.ts'
import { jsonText } from '../../support/sqlite/json-rows.ts'
import { policyDatabase } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'

const rows = 1500

function compressed(schema = 'CREATE TABLE t(id INTEGER PRIMARY KEY, k INT DEFAULT 7, data TEXT)'): PolicyDatabase {
  const tried = policyDatabase(schema)
  const statement = tried.db.prepare('INSERT INTO t(id, data) VALUES (?, ?)')
  tried.db.transaction(() => {
    for (let id = 1; id <= rows; id++) statement.run(id, id === 77 ? Buffer.from(jsonText(id)) : jsonText(id))
  })()
  tried.run(enable({ table: 't', column: 'data', level: 3, minDictBytesForTraining: 500 }))
  tried.run(maintain())
  return tried
}

/** Damage, the code it is found under, what it is found on, and what is said of it. */
const damages: readonly (readonly [string, string, string, string, RegExp])[] = [
  [
    'a cell that is no frame',
    `UPDATE _t_zstd SET data = x'0102030405' WHERE id = 500`,
    'cell-unreadable',
    't.data row 500',
    /./,
  ],
  [
    'a cell that was cut off',
    `UPDATE _t_zstd SET data = substr(data, 1, length(data) - 3) WHERE id = 77`,
    'cell-unreadable',
    't.data row 77',
    /./,
  ],
  [
    'a cell with a dictionary that never was',
    'UPDATE _t_zstd SET _data_dict = 99 WHERE id IN (3, 4)',
    'dictionary-missing',
    't.data dictionary 99',
    /^2 cells need it/,
  ],
  [
    'a dictionary with other bytes',
    `DROP TRIGGER _zstd_dicts_never_changed; UPDATE _zstd_dicts SET dict = zeroblob(900) WHERE id = 1`,
    'dictionary-changed',
    '1',
    /not those/,
  ],
  [
    'a dictionary that is gone',
    `DROP TRIGGER _zstd_dicts_never_deleted; DELETE FROM _zstd_dicts WHERE id = 1`,
    'dictionary-missing',
    't.data dictionary 1',
    /^1499 cells need it/,
  ],
  ['no guard', 'DROP TRIGGER _zstd_dicts_never_deleted', 'guard-missing', '_zstd_dicts_never_deleted', /./],
  ['no view', 'DROP VIEW t', 'view-missing', 't', /no view/],
  ['another view', 'DROP VIEW t; CREATE VIEW t AS SELECT id, k, data FROM _t_zstd', 'view-differs', 't', /./],
  ['no trigger', 'DROP TRIGGER _t_zstd_insert', 'trigger-missing', '_t_zstd_insert', /INSERT on t/],
  [
    'another trigger',
    'DROP TRIGGER _t_zstd_delete; CREATE TRIGGER _t_zstd_delete INSTEAD OF DELETE ON t BEGIN SELECT 1; END',
    'trigger-differs',
    '_t_zstd_delete',
    /./,
  ],
  ['no rows', 'DROP TABLE _t_zstd', 'config-without-rows', 't.data', /there is no table _t_zstd/],
  [
    'a configuration that is no JSON',
    `UPDATE _zstd_configs SET config = '{'`,
    'config-unreadable',
    '_zstd_configs',
    /./,
  ],
  ['a catalogue that is gone', 'DROP TABLE _tamp_scope', 'catalogue-missing', 'database', /_tamp_scope/],
  [
    'a child without a parent',
    `CREATE TABLE child(t INTEGER REFERENCES _t_zstd(id)); PRAGMA foreign_keys = 0; INSERT INTO child VALUES (999999)`,
    'foreign-key',
    'child',
    /row 1 has no parent/,
  ],
]

describe('check', () => {
  test('finds nothing wrong with a column, before, while and after it is compressed', () => {
    const tried = compressed()
    expect(tried.run(check())).toMatchObject({ complete: true, findings: [], faults: 0, columns: 1, cells: rows })
    tried.db.exec(
      'UPDATE t SET data = data || 1 WHERE id < 100; DELETE FROM t WHERE id > 1400; ALTER TABLE _t_zstd RENAME COLUMN k TO k',
    )
    expect(tried.run(check({ table: 'T', column: 'DATA' }))).toMatchObject({ findings: [], cells: rows - 99 - 100 })
    tried.run(disable({ table: 't', column: 'data' }))
    expect(tried.run(check())).toMatchObject({ complete: true, findings: [], columns: 0 })
  })

  test('has nothing to check in a database without compressed columns, and says which there are', () => {
    const tried = policyDatabase('CREATE TABLE plain(a)')
    expect(tried.run(check())).toMatchObject({ complete: true, findings: [], columns: 0, cells: 0 })
    expect(() => tried.run(check({ table: 'plain' }))).toThrow(/No column plain is compressed/)
  })

  test.each(damages)('finds %s', (_, damage, code, subject, detail) => {
    const tried = compressed()
    tried.db.exec(damage)
    const told: string[] = []
    const checked = drive(check(), tried.driver, {
      onEvent: (event) => {
        if (event.type === 'finding') told.push(event.code)
      },
    })
    const found = checked.findings.find((finding) => finding.code === code && finding.subject === subject)
    expect(found, JSON.stringify(checked.findings)).toMatchObject({ fault: true })
    expect(found!.detail).toMatch(detail)
    expect(told).toEqual(checked.findings.map((finding) => finding.code))
    expect(checked.faults).toBeGreaterThan(0)
  })

  test('names the first hundred bad cells and counts the others', () => {
    const tried = compressed()
    tried.db.exec(`UPDATE _t_zstd SET data = x'00' WHERE id % 3 = 0`)
    const { findings, counts, faults } = tried.run(check())
    expect(findings).toHaveLength(100)
    expect({ counts, faults }).toEqual({ counts: { 'cell-unreadable': 500 }, faults: 500 })
  })

  test('remarks on what is no fault', () => {
    const tried = compressed()
    tried.db.exec(`DROP INDEX _t_data_pending; UPDATE _tamp_dicts SET retired_key = 't.data' WHERE id = 1;
      UPDATE _zstd_dicts SET chooser_key = NULL WHERE id = 1; INSERT INTO _zstd_dicts(dict) VALUES (zeroblob(9));
      CREATE TABLE _x_zstd(id INTEGER PRIMARY KEY, c, _c_dict)`)
    const { findings, faults } = tried.run(check())
    expect(faults).toBe(0)
    expect(findings.map(({ code, subject }) => `${code} ${subject}`).toSorted()).toEqual([
      'column-unlisted x.c',
      'dictionary-replaced t.data dictionary 1',
      'dictionary-unhashed 2',
      'pending-index-missing _t_data_pending',
    ])
  })

  test('sees a compressed column that the catalogue has lost, and its dictionaries, which the end of the others does not take', () => {
    const tried = compressed(
      'CREATE TABLE other(id INTEGER PRIMARY KEY, d TEXT); CREATE TABLE t(id INTEGER PRIMARY KEY, k, data TEXT)',
    )
    tried.run(enable({ table: 'other', column: 'd', level: 3 }))
    tried.db.exec(`DELETE FROM _zstd_configs WHERE config ->> 'table' = 't'`)
    const before = tried.db.prepare('SELECT * FROM t').all()
    const unlisted = { code: 'column-unlisted', subject: 't.data', fault: true }
    expect(tried.run(check())).toMatchObject({ findings: [unlisted], faults: 1 })
    tried.run(disable({ table: 'other', column: 'd' }))
    expect(tried.logs).toContainEqual(expect.stringMatching(/catalogue stay.*_t_zstd/))
    expect(tried.db.prepare('SELECT * FROM t').all()).toEqual(before)
    expect(tried.run(check())).toMatchObject({ findings: [unlisted], faults: 1 })
    tried.db.exec('DROP TABLE _zstd_configs; DROP TABLE _zstd_dicts')
    const codes = tried.run(check()).findings.map(({ code, subject }) => `${code} ${subject}`)
    expect(codes).toEqual(['column-unlisted t.data', 'dictionary-missing t.data dictionary 1'])
  })

  test('writes nothing, stops at its limit, and goes on in a table without rowid', () => {
    const tried = compressed('CREATE TABLE t(id TEXT PRIMARY KEY, k INT, data TEXT) WITHOUT ROWID')
    const before = tried.db.prepare('SELECT total_changes()').pluck().get()
    expect(tried.run(check())).toMatchObject({ findings: [], cells: rows })
    expect(tried.db.prepare('SELECT total_changes()').pluck().get()).toBe(before)
    expect(drive(check(), tried.driver, { stopping: () => true })).toMatchObject({
      complete: false,
      stopped: 'interrupted',
    })
  })
})

test('docs/findings.md has every fault', async () => {
  const page = await readFile(new URL('../../../docs/findings.md', import.meta.url), 'utf8')
  const ofColumns = page.slice(page.indexOf('## Compressed columns'))
  const faults = ofColumns.slice(ofColumns.indexOf('| fault '), ofColumns.indexOf('| remark '))
  const documented = [...faults.matchAll(/^\| `([a-z-]+)` +\|/gm)].map(([, code]) => code!)
  expect(documented.filter((code) => code !== 'column-unlisted').toSorted()).toEqual([...faultCodes].toSorted())
})
