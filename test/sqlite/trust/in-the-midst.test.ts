// Others in the midst of something: compiled statements go on, a read transaction sees what it saw first, a connection takes no dictionary
// for another of the same number, and a transaction of the user's stays the user's.
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { disableColumn, enableColumn, maintainSqlite } from '../../../src/sqlite/index.ts'
import { disabling, enabling, freshFile, judgeOf, maintaining } from '../../support/sqlite/event-stages.ts'
import {
  changeEvents,
  eventData,
  eventKind,
  eventsColumn,
  integrity,
  isRight,
  stateOf,
  wrongRows,
} from '../../support/sqlite/events-database.ts'
import { driverNames, openHost, policyOf } from '../../support/sqlite/policy-host.ts'
import type { Host } from '../../support/sqlite/policy-host.ts'

describe('P1 P3: others who are in the midst of something', () => {
  test.each(['wal', 'delete'] as const)('statements compiled before go on after (%s)', (journal) => {
    const file = freshFile(400, journal)
    const db = judgeOf(file)
    const select = db.prepare('SELECT data FROM events WHERE id = ?').pluck()
    const all = db.prepare('SELECT count(*), sum(version) FROM events').raw()
    const insert = db.prepare('INSERT INTO events (id, kind, version, data) VALUES (?, ?, ?, ?)')
    const update = db.prepare('UPDATE events SET version = version + 1, data = ? WHERE id = ?')
    const remove = db.prepare('DELETE FROM events WHERE id = ?')
    const view = db.prepare('SELECT count(*) FROM pushes WHERE data IS NOT NULL').pluck()
    const pushes = view.get()
    const steps = [enabling, maintaining, maintaining, disabling]
    steps.forEach((deed, i) => {
      using host = openHost(file)
      host.run(policyOf(deed))
      const id = 1001 + i
      insert.run(id, eventKind(id), 0, eventData(id, 0))
      expect(isRight(id, 0, select.get(id))).toBe(true)
      update.run(eventData(id, 1), id)
      expect(isRight(id, 1, select.get(id))).toBe(true)
      expect(isRight(8 + i, 0, select.get(8 + i))).toBe(true)
      expect(all.get()).toEqual([401, 1])
      remove.run(id)
      expect(all.get()).toEqual([400, 0])
      expect(view.get()).toBe(pushes)
    })
    expect(wrongRows(db, { rows: 400 })).toEqual([])
  })

  test('a connection that has read with dictionaries does not take later ones of the same number for them', () => {
    const file = freshFile(600, 'wal')
    const db = judgeOf(file)
    const select = db.prepare('SELECT data FROM events WHERE id = ?').pluck()
    for (const deed of [enabling, maintaining, disabling, enabling, maintaining]) {
      {
        using host = openHost(file)
        host.run(policyOf(deed))
      }
      expect(wrongRows(db, { rows: 600 })).toEqual([])
      expect(isRight(8, select.get(8) === eventData(8, 0) ? 0 : 1, select.get(8))).toBe(true)
      if (deed === disabling) changeEvents(db)
    }
  })

  test.each(driverNames)('a dictionary of a transaction that was rolled back is forgotten (%s)', (driver) => {
    const file = freshFile(600, 'wal')
    {
      using host = openHost(file, driver)
      host.run(policyOf(enabling))
      host.driver.query('BEGIN')
      host.run(policyOf(maintaining))
      const [[id]] = host.driver.query('SELECT max(id) FROM _zstd_dicts') as [[number]]
      expect(id).toBeGreaterThan(0)
      // Read with it too.
      expect(host.driver.query('SELECT count(*) FROM events WHERE data IS NOT NULL')).not.toEqual([[0]])
      host.driver.query('ROLLBACK')
      for (let row = 1; row <= 600; row++)
        if (row % 3 > 0)
          host.driver.query('UPDATE events SET version = 1, data = ? WHERE id = ?', [eventData(row, 1), row])
      host.run(policyOf(maintaining))
      const found = host.driver.query('SELECT id, version, data FROM events')
      const wrong = found.filter(([row, version, data]) => {
        const value = data instanceof Uint8Array ? Buffer.from(data) : data
        return !isRight(Number(row), Number(version), value)
      })
      expect(wrong.slice(0, 3)).toEqual([])
    }
    const db = judgeOf(file)
    expect(wrongRows(db, { rows: 600 })).toEqual([])
    expect(db.prepare('SELECT count(*) FROM _events_zstd WHERE _data_dict > 0').pluck().get()).toBeGreaterThan(100)
  })

  test('a read transaction sees what it saw first, whatever happens beside it', () => {
    const file = freshFile(600, 'wal')
    const db = judgeOf(file)
    const steps = [enabling, maintaining, { command: 'maintain', options: { retrain: true } } as const, disabling]
    for (const deed of steps) {
      db.exec('BEGIN')
      const before = stateOf(db)
      const half = db
        .prepare<[], [number, number, unknown]>('SELECT id, version, data FROM events ORDER BY id')
        .raw()
        .iterate()
      for (let id = 1; id <= 100; id++) half.next()
      {
        using host = openHost(file)
        host.run(policyOf(deed))
      }
      let id = 100
      for (const [rowId, version, data] of half) {
        expect(rowId).toBe(++id)
        expect(isRight(rowId, version, data), `row ${rowId} after ${deed.command}`).toBe(true)
      }
      expect(id).toBe(600)
      expect(stateOf(db)).toBe(before)
      expect(wrongRows(db, { rows: 600 })).toEqual([])
      db.exec('COMMIT')
      expect(wrongRows(db, { rows: 600 })).toEqual([])
    }
    expect(stateOf(db)).toBe('plain')
  })

  // The judge comes when the connection is gone: two SQLite libraries in one process undo each other's locks on a file.
  describe.each(driverNames)("a transaction of the user's on the connection itself (%s)", (driver) => {
    const adding = 'INSERT INTO events (id, kind, data) VALUES (?, ?, ?)'
    const whatIs = (host: Host): unknown =>
      host.driver.query(`SELECT type FROM sqlite_schema WHERE name = 'events'`)[0]![0]

    test('enabling belongs to it', () => {
      const file = freshFile(300, 'wal')
      {
        using host = openHost(file, driver)
        host.driver.query('BEGIN')
        host.run(policyOf(enabling))
        expect(host.driver.autocommit).toBe(false)
        expect(whatIs(host)).toBe('view')
        host.driver.query('ROLLBACK')
        expect(whatIs(host)).toBe('table')
        host.driver.query('BEGIN')
        host.driver.query(adding, [301, eventKind(301), eventData(301, 0)])
        host.run(policyOf(enabling))
        host.driver.query('COMMIT')
      }
      const db = judgeOf(file)
      expect(stateOf(db)).toBe('compressed')
      expect(wrongRows(db, { rows: 301 })).toEqual([])
    })

    test.each([
      ['maintain', 'COMMIT'],
      ['maintain', 'ROLLBACK'],
      ['disable', 'COMMIT'],
      ['disable', 'ROLLBACK'],
    ] as const)('%s works in it or says why not, and leaves the %s to the user', (command, end) => {
      const file = freshFile(300, 'wal')
      let refused = false
      {
        using host = openHost(file, driver)
        host.run(policyOf(enabling))
        if (command === 'disable') host.run(policyOf(maintaining))
        host.driver.query('BEGIN')
        host.driver.query(adding, [301, eventKind(301), eventData(301, 0)])
        try {
          host.run(policyOf({ command, options: { table: 'events', column: 'data' } }))
        } catch (error) {
          refused = true
          expect(error).toMatchObject({
            name: 'TampError',
            message: expect.stringMatching(/transaction/),
            hint: expect.any(String),
          })
        }
        expect(host.driver.autocommit).toBe(false)
        host.driver.query(end)
      }
      const db = judgeOf(file)
      expect(wrongRows(db, { rows: end === 'COMMIT' ? 301 : 300 })).toEqual([])
      expect(integrity(db)).toEqual(['ok'])
      expect(stateOf(db)).toBe(command === 'disable' && end === 'COMMIT' && !refused ? 'plain' : 'compressed')
    })
  })
})

// The driver must be the program's own: the locks of two SQLite libraries in one process mean nothing to each other.
test.each(driverNames)(
  'a program that writes while the library works in a thread of it (%s)',
  { timeout: 60_000 },
  async (driver) => {
    const file = freshFile(4000, 'wal')
    await enableColumn(file, eventsColumn, { driver })
    let id = 4000
    {
      using host = openHost(file, driver)
      let over = false
      const work = (async () => {
        await maintainSqlite(file, {}, { driver })
        await maintainSqlite(file, { retrain: true, recompress: true }, { driver })
        return disableColumn(file, { table: 'events', column: 'data' }, { driver })
      })().finally(() => (over = true))
      while (!over) {
        id++
        host.driver.query('INSERT INTO events (id, kind, data) VALUES (?, ?, ?)', [id, eventKind(id), eventData(id, 0)])
        await setTimeout(1)
      }
      expect(await work).toMatchObject({ complete: true })
    }
    const db = judgeOf(file)
    expect(id).toBeGreaterThan(4010)
    expect(integrity(db)).toEqual(['ok'])
    expect(wrongRows(db, { rows: id })).toEqual([])
    expect(stateOf(db)).toBe('plain')
  },
)
