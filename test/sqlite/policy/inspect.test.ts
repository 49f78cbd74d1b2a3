// The survey measures what compression would bring before anything is changed, and how compressed columns are doing. It never writes.
import { describe, expect, test } from 'vitest'
import { drive } from '../../../src/sqlite/host/drive.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { inspect } from '../../../src/sqlite/policy/inspect.ts'
import type { Inspected, InspectedColumn } from '../../../src/sqlite/policy/inspect.ts'
import { maintain } from '../../../src/sqlite/policy/maintain.ts'
import { jsonText, noise } from '../../support/sqlite/json-rows.ts'
import { policyDatabase } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'

/** A shop: events that compress well, pictures that do not, names that are too small to matter, and a table that cannot be compressed. */
function shop(rows = 4000): PolicyDatabase {
  const tried =
    policyDatabase(`CREATE TABLE events(id INTEGER PRIMARY KEY, kind TEXT, data TEXT, size REAL, data_length INT AS (length(data)));
    CREATE TABLE pictures(name TEXT PRIMARY KEY, bytes BLOB) WITHOUT ROWID;
    CREATE TABLE log(line TEXT);
    CREATE VIEW recent AS SELECT * FROM events;
    CREATE TABLE empty(a TEXT, "b c" BLOB)`)
  const event = tried.db.prepare('INSERT INTO events(id, kind, data, size) VALUES (?, ?, ?, ?)')
  const picture = tried.db.prepare('INSERT INTO pictures VALUES (?, ?)')
  const line = tried.db.prepare('INSERT INTO log VALUES (?)')
  tried.db.transaction(() => {
    for (let id = 1; id <= rows; id++) {
      event.run(id * 3, id % 2 === 0 ? 'a' : null, id % 10 === 0 ? Buffer.from([id & 255]) : jsonText(id), id / 3)
      if (id % 8 === 0) picture.run(`picture ${id}`, noise(id, 400))
      line.run(jsonText(id, 'invoice'))
    }
  })()
  return tried
}

function column(inspected: Inspected, lane: string): InspectedColumn {
  return inspected.columns.find((one) => one.lane === lane)!
}

describe('inspect', () => {
  test('says of every column what it holds and what compressing it would save, the largest gain first', () => {
    const tried = shop()
    const inspected = tried.run(inspect())
    expect(inspected).toMatchObject({ complete: true, skipped: [] })
    expect(inspected.tables.map(({ table, rows, sampled }) => [table, rows, sampled])).toEqual([
      ['log', 4000, false],
      ['events', 4000, false],
      ['pictures', 500, false],
      ['empty', 0, false],
    ])
    const data = column(inspected, 'events.data')
    expect(data).toMatchObject({
      verdict: 'worth',
      shares: { text: 0.9, integer: 0, blob: 0.1, null: 0 },
      obstacles: [],
    })
    expect(data.gainBytesEstimate).toBeGreaterThan(300_000)
    expect(inspected.columns[0]!.lane).toBe('events.data')
    expect(column(inspected, 'log.line')).toMatchObject({ verdict: 'refused', obstacles: [{ code: 'no-primary-key' }] })
    expect(column(inspected, 'pictures.bytes')).toMatchObject({ verdict: 'not-worth-it', gainBytesEstimate: 0 })
    expect(column(inspected, 'events.kind')).toMatchObject({ verdict: 'too-small', shares: { text: 0.5, null: 0.5 } })
    expect(column(inspected, 'events.size')).toMatchObject({
      verdict: 'too-small',
      reason: 'it holds no text and no blob',
    })
    expect(column(inspected, 'empty.b c')).toMatchObject({ verdict: 'too-small', rows: 0 })
  })

  test('foretells what maintenance then reaches', () => {
    const tried = shop()
    const foretold = column(tried.run(inspect()), 'events.data')
    expect(foretold.trials.map(({ trainer }) => trainer)).toContain(null)
    for (const { encodeMicroseconds, decodeMicroseconds } of foretold.trials) {
      expect(encodeMicroseconds).toBeGreaterThan(0)
      expect(decodeMicroseconds).toBeGreaterThan(0)
    }
    tried.run(enable({ table: 'events', column: 'data', minDictBytesForTraining: 500 }))
    tried.run(maintain())
    tried.db.exec('VACUUM')
    const [best] = foretold.trials
    const bytes = tried.db
      .prepare('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size')
      .pluck()
      .get() as number
    expect(bytes / best!.fileBytesEstimate).toBeGreaterThan(0.8)
    expect(bytes / best!.fileBytesEstimate).toBeLessThan(1.2)
  })

  test('samples a large table from everywhere in it', () => {
    const tried = shop(6000)
    tried.db.exec('DELETE FROM events WHERE id BETWEEN 4000 AND 14000')
    const rows = tried.db.prepare('SELECT count(*) FROM events').pluck().get() as number
    const whole = column(tried.run(inspect()), 'events.data')
    const inspected = tried.run(inspect({ sampleRows: 1000 }))
    const table = inspected.tables.find((one) => one.table === 'events')!
    expect(table.sampled).toBe(true)
    expect(table.rows / rows).toBeGreaterThan(0.95)
    expect(table.rows / rows).toBeLessThan(1.05)
    const sampled = column(inspected, 'events.data')
    expect(sampled.bytesEstimate / whole.bytesEstimate).toBeGreaterThan(0.9)
    expect(sampled.bytesEstimate / whole.bytesEstimate).toBeLessThan(1.1)
    expect(sampled.verdict).toBe('worth')
    expect(inspected.tables.find((one) => one.table === 'pictures')).toMatchObject({ rows: 750, sampled: false })
  })

  test('says how a compressed column is doing', () => {
    const tried = shop()
    tried.run(
      enable({
        table: 'events',
        column: 'data',
        level: 3,
        minDictBytesForTraining: 500,
        dictChooser: `iif(id > 11400, NULL, 'a')`,
      }),
    )
    tried.run(maintain())
    tried.db.exec(`UPDATE events SET data = data || '.' WHERE id = 3`)
    const inspected = tried.run(inspect({ table: 'events' }))
    expect(inspected.tables).toHaveLength(1)
    expect(inspected.columns.map(({ lane }) => lane)).not.toContain('events._data_dict')
    const { verdict, compressed } = column(inspected, 'events.data')
    expect(verdict).toBe('compressed')
    expect(compressed).toMatchObject({
      layout: 1,
      level: 3,
      dictChooser: `iif(id > 11400, NULL, 'a')`,
      disabling: false,
      pendingRows: 181,
      plainRowsEstimate: 400,
      dictionaries: [{ id: 1, key: 'a', rowsEstimate: 3419, level: 3, drift: null }],
    })
    expect(compressed!.ratio).toBeLessThan(0.5)
    expect(compressed!.dictionaries[0]!.trainedRatio! / compressed!.ratio!).toBeGreaterThan(0.85)
    tried.run(disable({ table: 'events', column: 'data', maxSeconds: 0 }))
    expect(column(tried.run(inspect()), 'events.data')).toMatchObject({
      reason: 'it is being disabled',
      compressed: { disabling: true },
    })
  })

  test('says what a VACUUM would give back, from a megabyte on', () => {
    const tried = policyDatabase('CREATE TABLE b(id INTEGER PRIMARY KEY, data BLOB)')
    const gain = (): number => tried.run(inspect()).file.vacuumSavesBytesEstimate
    tried.db.exec('INSERT INTO b VALUES (1, randomblob(900000)), (2, randomblob(900000)); DELETE FROM b WHERE id = 1')
    expect(gain()).toBe(0)
    tried.db.exec('DELETE FROM b')
    expect(gain()).toBeGreaterThan(1_000_000)
    tried.db.exec('VACUUM')
    expect(gain()).toBe(0)
  })

  test('writes nothing, can be asked for one column, stops, and says what is not there', () => {
    const tried = shop(300)
    const before = tried.db.prepare('SELECT total_changes()').pluck().get()
    const one = tried.run(inspect({ table: 'EVENTS', column: 'Data' }))
    expect(one.columns.map(({ lane }) => lane)).toEqual(['events.data'])
    expect(one.columns[0]!.trials.length).toBeGreaterThan(0)
    expect(tried.db.prepare('SELECT total_changes()').pluck().get()).toBe(before)
    expect(drive(inspect(), tried.driver, { stopping: () => true })).toMatchObject({
      complete: false,
      stopped: 'interrupted',
    })
    expect(() => tried.run(inspect({ table: 'nothing' }))).toThrow(/There is no table nothing/)
    expect(policyDatabase('').run(inspect())).toMatchObject({ complete: true, tables: [], columns: [] })
  })
})
