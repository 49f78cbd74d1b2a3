// A damaged cell or dictionary costs the rows that it holds and no others: they say so when they are read, the check names them, nothing
// crashes, and the rest can be maintained and taken back.
import { describe, expect, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import { disabling, fileOf, maintaining, rows } from '../../support/sqlite/event-stages.ts'
import { integrity, isRight } from '../../support/sqlite/events-database.ts'
import { openJudge } from '../../support/sqlite/judge.ts'
import { openHost, policyOf } from '../../support/sqlite/policy-host.ts'

/** Every kind of harm to one stored cell that a reader must notice. */
const harms = {
  'half of it is missing': (cell: Buffer) => cell.subarray(0, cell.length >> 1),
  'nothing of it is left': () => Buffer.alloc(0),
  'it is something else': (cell: Buffer) => Buffer.alloc(cell.length, 0xa5),
  'its header is another': (cell: Buffer) => Buffer.concat([Buffer.from([0xff, 0xff, 0xff]), cell.subarray(3)]),
} as const

function storedCell(file: string, id: number): { cell: Buffer; dict: number } {
  const db = openJudge(file, { readonly: true })
  try {
    return db.prepare(`SELECT data AS cell, _data_dict AS dict FROM _events_zstd WHERE id = ?`).get(id) as any
  } finally {
    db.close()
  }
}

function storeCell(file: string, id: number, cell: Buffer, dict: number): void {
  const db = openJudge(file)
  try {
    // The index over the column would have to read the cell to change it.
    db.exec(`DELETE FROM _events_zstd WHERE id <> id; DROP INDEX IF EXISTS events_by_start`)
    db.prepare('UPDATE _events_zstd SET data = ?, _data_dict = ? WHERE id = ?').run(cell, dict, id)
  } finally {
    db.close()
  }
}

/** Reads the table row by row; ids that cannot be read, and rows that are wrong without saying so. */
function readAll(file: string): { unreadable: number[]; wrong: number[]; messages: string[] } {
  const db = openJudge(file, { readonly: true })
  const unreadable: number[] = []
  const wrong: number[] = []
  const messages: string[] = []
  const one = db.prepare<[number], [number, unknown]>('SELECT version, data FROM events WHERE id = ?').raw()
  for (let id = 1; id <= rows; id++)
    try {
      const [version, data] = one.get(id)!
      if (!isRight(id, version, data)) wrong.push(id)
    } catch (error) {
      unreadable.push(id)
      messages.push((error as Error).message)
    }
  db.close()
  return { unreadable, wrong, messages }
}

describe('P7: a cell that is damaged', () => {
  test.each(Object.entries(harms))('%s: the row is named, all others go on', (_, harm) => {
    const file = fileOf('maintained')
    const { cell, dict } = storedCell(file, 8)
    expect(dict).toBeGreaterThan(0)
    storeCell(file, 8, harm(cell), dict)
    const read = readAll(file)
    expect(read.wrong).toEqual([])
    expect(read.unreadable).toEqual([8])
    expect(read.messages[0]).toMatch(/cell cannot be decoded/)

    using host = openHost(file)
    expect(JSON.stringify(host.run(policyOf({ command: 'check' })))).toMatch(
      /events\.data[^}]*\b8\b|\b8\b[^}]*events\.data/,
    )
    // Work on everything else goes on.
    host.run(policyOf(maintaining))
    const retrained = host.run(policyOf({ command: 'maintain', options: { recompress: true } }))
    expect(JSON.stringify(retrained)).toMatch(/\b8\b/)
    expect(readAll(file)).toMatchObject({ wrong: [], unreadable: [8] })
    expect(host.run(policyOf(disabling))).toMatchObject({
      complete: false,
      left: [{ subject: 'events.data row 8', reason: expect.stringContaining('UPDATE "_events_zstd" SET') }],
    })
    const others = openJudge(file, { readonly: true })
    expect(others.prepare('SELECT id FROM _events_zstd WHERE _data_dict IS NOT NULL').pluck().all()).toEqual([8])
    others.close()
    expect(readAll(file)).toMatchObject({ wrong: [], unreadable: [8] })
    // And once the cell is given up, the rest comes back.
    const repair = openJudge(file)
    repair.prepare('UPDATE _events_zstd SET data = NULL, _data_dict = NULL WHERE id = 8').run()
    repair.close()
    expect(host.run(policyOf(disabling))).toMatchObject({ complete: true })
    expect(readAll(file)).toMatchObject({ wrong: [8], unreadable: [] })
  })

  test('a bit is flipped, at every byte: never a crash, no other row is touched', () => {
    const file = fileOf('maintained')
    const { cell, dict } = storedCell(file, 8)
    for (let at = 0; at < cell.length; at += 3) {
      const flipped = Buffer.from(cell)
      flipped[at]! ^= 1 << (at % 8)
      storeCell(file, 8, flipped, dict)
      const db = openJudge(file, { readonly: true })
      try {
        db.prepare('SELECT data FROM events WHERE id = 8').get()
      } catch (error) {
        expect((error as Error).message).toMatch(/cell cannot be decoded/)
      }
      expect(isRight(9, 0, db.prepare('SELECT data FROM events WHERE id = 9').pluck().get())).toBe(true)
      db.close()
    }
  })

  test.each([999, -7, 0])('its dictionary is number %d, which there is not', (dict) => {
    const file = fileOf('maintained')
    storeCell(file, 8, storedCell(file, 8).cell, dict)
    const read = readAll(file)
    expect(read).toMatchObject({ wrong: [], unreadable: [8] })
    expect(read.messages[0]).toMatch(new RegExp(`dictionary.*${dict}|${dict}.*dictionary`))
    using host = openHost(file)
    expect(JSON.stringify(host.run(policyOf({ command: 'check' })))).toMatch(/\b8\b|999|-7|\b0\b/)
  })
})

const dictionaryHarms = {
  missing: 'DELETE FROM _zstd_dicts WHERE id = 1',
  truncated: 'UPDATE _zstd_dicts SET dict = substr(dict, 1, length(dict) / 2) WHERE id = 1',
  altered: `UPDATE _zstd_dicts SET dict = CAST(substr(dict, 1, 300) || x'00112233' || substr(dict, 305) AS BLOB) WHERE id = 1`,
  'that of others': 'UPDATE _zstd_dicts SET dict = (SELECT dict FROM _zstd_dicts WHERE id = 2) WHERE id = 1',
  'a text': `UPDATE _zstd_dicts SET dict = 'a dictionary' WHERE id = 1`,
  empty: `UPDATE _zstd_dicts SET dict = x'' WHERE id = 1`,
} as const

describe('P7: a dictionary that is damaged', () => {
  const unguarded = `
    PRAGMA writable_schema = ON;
    DELETE FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = '_zstd_dicts';
    PRAGMA writable_schema = RESET;
    DROP INDEX IF EXISTS events_by_start;`

  test('it is guarded', () => {
    const file = fileOf('maintained')
    const db = openJudge(file)
    expect(() => db.exec(dictionaryHarms.missing)).toThrow(/never change/)
    expect(() => db.exec(dictionaryHarms.truncated)).toThrow(/never change/)
    db.close()
  })

  test.each(Object.entries(dictionaryHarms))('%s: its rows say so, all others go on', (_, harm) => {
    const file = fileOf('maintained', `${unguarded}${harm};`)
    const db = openJudge(file)
    const users = db.prepare('SELECT id FROM _events_zstd WHERE _data_dict = 1').pluck().all() as number[]
    expect(users.length).toBeGreaterThan(50)
    db.close()
    const read = readAll(file)
    expect(read).toMatchObject({ wrong: [], unreadable: users })
    expect(read.messages[0]).toMatch(/dictionary 1\b/)
    {
      using host = openHost(file)
      expect(JSON.stringify(host.run(policyOf({ command: 'check' })))).toMatch(/dictionary|dict/)
      for (const deed of [maintaining, { command: 'maintain', options: { retrain: true } }, disabling] as const) {
        let ended: unknown
        try {
          ended = host.run(policyOf(deed))
        } catch (error) {
          expect(error).toBeInstanceOf(TampError)
          ended = error
        }
        if (deed === disabling) {
          expect(ended).toMatchObject({ complete: false, rows: expect.any(Number) })
          expect(JSON.stringify(ended)).toMatch(/dictionary 1\b/)
        }
        expect(readAll(file)).toMatchObject({ wrong: [], unreadable: users })
      }
    }
    const after = openJudge(file)
    expect(integrity(after)).toEqual(['ok'])
    after.close()
  })
})
