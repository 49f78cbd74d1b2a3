// Reading without native code: frames made by zlib, and every cell of a column that the extension compressed, over both drivers.
import { DatabaseSync } from 'node:sqlite'
import { constants, zstdCompressSync } from 'node:zlib'
import { copyFile, mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import type { SqliteDriver } from '../../../src/database/sqlite-driver.ts'
import { addJavaScriptFunctions } from '../../../src/sqlite/host/javascript-functions.ts'
import { driverOf, open } from '../../../src/sqlite/host/open.ts'
import { disableColumn, enableColumn, inspectSqlite, maintainSqlite } from '../../../src/sqlite/index.ts'
import { jsonText, noise } from '../../support/sqlite/json-rows.ts'
import { testLibrary } from '../../support/sqlite/judge.ts'

const drivers: [string, (path: string) => Database.Database | DatabaseSync][] = [
  ['better-sqlite3', (path) => new Database(path)],
  ['node:sqlite', (path) => new DatabaseSync(path)],
]

const dictionary = Buffer.from('{"type":"push","actor":"somebody","payload":{"size":'.repeat(20))

/** A frame as a compact cell has it: no magic, no sizes, no checksum. */
function cell(value: string | Buffer, withDictionary?: Buffer): Buffer {
  return zstdCompressSync(value, {
    params: {
      [constants.ZSTD_c_contentSizeFlag]: 0,
      [constants.ZSTD_c_checksumFlag]: 0,
      [constants.ZSTD_c_dictIDFlag]: 0,
    },
    ...(withDictionary === undefined ? {} : { dictionary: withDictionary }),
  }).subarray(4)
}

describe.each(drivers)('%s', (_name, connect) => {
  async function database(path = ':memory:'): Promise<SqliteDriver> {
    const connection = connect(path)
    const driver = await driverOf(connection)
    driver.query(
      'CREATE TABLE IF NOT EXISTS _zstd_dicts (id INTEGER PRIMARY KEY, chooser_key TEXT, dict BLOB NOT NULL)',
    )
    driver.query(`INSERT INTO _zstd_dicts VALUES (-1, '[nodict]', x''), (7, 'k', ?)`, [dictionary])
    addJavaScriptFunctions(connection, driver)
    return driver
  }

  test('decodes what was compressed, and lets plain cells through unchanged', async () => {
    const driver = await database()
    const column = 'SELECT v, typeof(v) FROM (SELECT zstd_decompress_col(?, ?, ?, ?) AS v)'
    const text = '{"type":"push","actor":"žofie","payload":{"size":3}}'
    const blob = Buffer.from([0, 255, 254, 0, 1])
    expect(driver.query(column, [cell(text, dictionary), 1, 7, 1])).toEqual([[text, 'text']])
    expect(driver.query(column, [cell(text), 1, -1, 1])).toEqual([[text, 'text']])
    expect(driver.query(column, [cell(blob), 0, -2, 1])).toEqual([[new Uint8Array(blob), 'blob']])
    expect(driver.query(column, [cell('a\0b'), 1, -1, 1])).toEqual([['a\0b', 'text']])
    expect(driver.query(column, [cell(''), 1, -1, 1])).toEqual([['', 'text']])
    for (const [value, type] of [
      [null, 'null'],
      [7, 'integer'],
      [2n ** 62n + 1n, 'integer'],
      [0.5, 'real'],
      ['x', 'text'],
      [new Uint8Array([1]), 'blob'],
    ] as const)
      expect(driver.query(column, [value, 1, null, 1])).toEqual([[value, type]])
    const whole = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), cell(text, dictionary)])
    expect(
      driver.query('SELECT zstd_decompress(?, true, ?), zstd_decompress(?, true, 7, false)', [
        whole,
        dictionary,
        whole,
      ]),
    ).toEqual([[text, text]])
    expect(driver.query('SELECT zstd_decompress(?, 0)', [zstdCompressSync(blob)])).toEqual([[new Uint8Array(blob)]])
    expect(driver.query('SELECT tamp_sha256(?), tamp_sha256(NULL)', ['abc'])).toEqual([
      ['ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', null],
    ])
    driver.close()
  })

  test('says what is wrong with a cell', async () => {
    const driver = await database()
    const good = cell('x'.repeat(1000))
    const fault = (data: Uint8Array | string, dict: number, isText = 1): unknown =>
      driver.query('SELECT tamp_cell_error(?, ?, ?, 1)', [data, isText, dict])[0]![0]
    expect(fault(good, -1)).toBeNull()
    expect(fault(good.subarray(0, -2), -1)).toMatch(/cannot be decoded: unexpected end/)
    expect(fault(Buffer.concat([good, Buffer.from('x')]), -1)).toMatch(/behind its end/)
    expect(fault(Buffer.from('no frame at all'), -1)).toMatch(/cannot be decoded/)
    expect(fault(good, 8)).toMatch(/there is no dictionary 8/)
    expect(fault('a text', -1)).toMatch(/not a blob/)
    expect(() => driver.query('SELECT zstd_decompress_col(?, 1, -1, 1)', [cell(Buffer.from([0xff, 0xfe]))])).toThrow(
      /UTF-8/,
    )
    expect(() => driver.query('SELECT zstd_decompress_col(?, 1, 7, 1234567)', [good])).toThrow(/another database/)
    driver.close()
  })

  test('finds a dictionary that somebody else made meanwhile, and refuses one that is not what it was', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'tamp-functions-'))
    const path = join(directory.path, 'a.db')
    const driver = await database(path)
    const other = new Database(path)
    const later = Buffer.from('another dictionary that came later '.repeat(9))
    other.prepare(`INSERT INTO _zstd_dicts VALUES (9, 'l', ?)`).run(later)
    const asked = `SELECT zstd_decompress_col(?, 1, 9, 1)`
    expect(driver.query(asked, [cell('another text that came later', later)])).toEqual([
      ['another text that came later'],
    ])
    driver.close()
    other.exec(
      `CREATE TABLE _tamp_dicts (id INTEGER PRIMARY KEY, sha256 TEXT); INSERT INTO _tamp_dicts VALUES (9, 'wrong')`,
    )
    other.close()
    const again = connect(path)
    const second = await driverOf(again)
    addJavaScriptFunctions(again, second)
    expect(() => second.query(asked, [cell('x', later)])).toThrow(/dictionary 9/)
    second.close()
  })
})

test('P8: every cell that the extension compressed reads the same, and becomes plain again the same', async () => {
  expect(testLibrary).not.toBe('')
  await using directory = await mkdtempDisposable(join(tmpdir(), 'tamp-functions-'))
  const [plain, compressed] = [join(directory.path, 'plain.db'), join(directory.path, 'compressed.db')]
  const made = new Database(plain)
  made.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT); CREATE INDEX i ON t (substr(data, 1, 20)); BEGIN')
  const insert = made.prepare('INSERT INTO t VALUES (?, ?)')
  for (let id = 1; id <= 6000; id++) {
    const kind = id % 29
    insert.run(
      id,
      kind === 3
        ? null
        : kind === 5
          ? ''
          : kind === 7
            ? noise(id)
            : kind === 11
              ? Buffer.from(jsonText(id))
              : jsonText(id, id % 2 ? 'event' : 'invoice'),
    )
  }
  made.exec('COMMIT')
  made.close()
  await copyFile(plain, compressed)
  const target = { table: 't', column: 'data' }
  await enableColumn(compressed, {
    ...target,
    dictChooser: "iif(id % 2, 'event', '[nodict]')",
    minDictBytesForTraining: 1000,
  })
  expect(await maintainSqlite(compressed)).toMatchObject({ complete: true })

  const everything = 'SELECT id, typeof(data), data FROM t ORDER BY id'
  const rowsOf = async (path: string, functions: 'native' | 'javascript', driver: 'better-sqlite3' | 'node:sqlite') => {
    const database = await open(path, { functions, driver } as { functions: 'native' })
    const rows = (await driverOf(database)).query(everything)
    database.close()
    return rows
  }
  const expected = await rowsOf(plain, 'native', 'better-sqlite3')
  expect(expected).toHaveLength(6000)
  expect(await rowsOf(compressed, 'native', 'better-sqlite3')).toEqual(expected)
  for (const driver of ['better-sqlite3', 'node:sqlite'] as const)
    expect(await rowsOf(compressed, 'javascript', driver)).toEqual(expected)

  const kinds = await open(compressed)
  const dictionaries = kinds.prepare('SELECT DISTINCT _data_dict FROM _t_zstd ORDER BY 1').pluck().all()
  kinds.close()
  expect(dictionaries.slice(0, 3)).toEqual([null, -2, -1])
  expect(dictionaries.length).toBeGreaterThan(3)

  expect(await disableColumn(compressed, target, { functions: 'javascript' })).toMatchObject({ complete: true })
  expect(await rowsOf(compressed, 'native', 'better-sqlite3')).toEqual(expected)
  const back = new Database(compressed)
  expect(
    back.prepare("SELECT name FROM sqlite_schema WHERE name <> 'sqlite_sequence' ORDER BY name").pluck().all(),
  ).toEqual(['i', 't'])
  expect(back.pragma('integrity_check', { simple: true })).toBe('ok')
  back.close()
})

test('the survey measures the same without native code, as far as no dictionary is needed', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'tamp-functions-'))
  const file = join(directory.path, 'a.db')
  const made = new Database(file)
  made.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT); BEGIN')
  const insert = made.prepare('INSERT INTO t VALUES (?, ?)')
  for (let id = 1; id <= 5000; id++) insert.run(id, jsonText(id).repeat(1 + (id % 9)))
  made.exec('COMMIT')
  made.close()
  const [native, javascript] = await Promise.all(
    (['native', 'javascript'] as const).map(async (functions) => {
      const { columns } = await inspectSqlite(file, { table: 't', column: 'data' }, { functions })
      expect(columns).toHaveLength(1)
      return columns[0]!.trials
    }),
  )
  expect(native!.some(({ trainer }) => trainer !== null)).toBe(true)
  expect(javascript!.every(({ trainer }) => trainer === null)).toBe(true)
  for (const level of [3, 19]) {
    const [one, other] = [native!, javascript!].map((trials) =>
      trials.find((trial) => trial.level === level && trial.trainer === null)!,
    )
    expect(other!.bytesEstimate / one!.bytesEstimate).toBeGreaterThan(0.93)
    expect(other!.bytesEstimate / one!.bytesEstimate).toBeLessThan(1.07)
  }
})
