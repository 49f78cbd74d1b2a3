// Tables of the kinds that sqlite-zstd can compress, with rows, changes and choosers: for tests that pass files between it and tamp.
import { createHash } from 'node:crypto'
import { titleRows } from '../../../bench/title-rows.ts'
import { dictColumn, quoted, rowsTable } from '../../../src/sqlite/policy/names.ts'
import type { Statement } from './sqlite-process.ts'

export interface SqliteZstdCase {
  readonly name: string
  readonly table: string
  /** Makes the table. */
  readonly schema: string
  readonly columns: readonly string[]
  readonly key: readonly string[]
  readonly compressed: readonly { readonly column: string; readonly chooser: string }[]
  /** Rows that are there when the columns are enabled. */
  readonly rows: readonly Statement[]
  /** Rows that come after the first maintenance. */
  readonly later: readonly Statement[]
  /** Changes through the table's own name that sqlite-zstd's triggers do right. */
  readonly changes: readonly Statement[]
}

/** What `zstd_enable_transparent` is given for each of the columns: small groups, so that small tables have dictionaries. */
export function configurations({ table, compressed }: SqliteZstdCase, level: number | 'auto' = 3): readonly string[] {
  return compressed.map(({ column, chooser }) =>
    JSON.stringify({
      table,
      column,
      compression_level: level,
      dict_chooser: chooser,
      min_dict_size_bytes_for_training: 1000,
      dict_size_ratio: 0.05,
      incremental_compression_step_bytes: 50_000,
    }),
  )
}

export function enabling(given: SqliteZstdCase, level?: number | 'auto'): readonly Statement[] {
  return configurations(given, level).map((json) => ['SELECT zstd_enable_transparent(?)', json])
}

export const maintaining = 'SELECT zstd_incremental_maintenance(NULL, 1)'

/** Every value of the table with its type, byte for byte, in the order of the key. */
export function everyRow({ table, columns, key }: Pick<SqliteZstdCase, 'table' | 'columns' | 'key'>): string {
  const values = columns
    .map(quoted)
    .map(
      (name) =>
        `typeof(${name}), CASE WHEN typeof(${name}) IN ('text', 'blob') THEN hex(CAST(${name} AS BLOB)) ELSE quote(${name}) END`,
    )
  return `SELECT ${values.join(', ')} FROM ${quoted(table)} ORDER BY ${key.map(quoted).join(', ')}`
}

/** How many cells a maintenance should compress and has not. */
export function pending({ table, compressed }: SqliteZstdCase): string {
  const counts = compressed.map(
    ({ column, chooser }) =>
      `(SELECT count(*) FROM ${quoted(rowsTable(table))} WHERE ${quoted(dictColumn(column))} IS NULL
        AND typeof(${quoted(column)}) IN ('text', 'blob') AND length(${quoted(column)}) >= 16 AND (${chooser}) IS NOT NULL)`,
  )
  return `SELECT ${counts.join(' + ')}`
}

/** Bytes that nothing makes smaller, the same for the same seed. */
export function noise(length: number, seed: string): Uint8Array {
  const parts: Uint8Array[] = []
  for (let made = 0; made < length; made += 64) parts.push(createHash('sha512').update(`${seed} ${made}`).digest())
  return new Uint8Array(Buffer.concat(parts).subarray(0, length))
}

const titles = [...titleRows(3000, 7)]
const title = (index: number): string => titles[index % titles.length]!
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const huge = title(0).repeat(14_000)

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

const oneColumn: SqliteZstdCase = {
  name: 'one text column, a dictionary for every 500 ids',
  table: 'events',
  schema: 'CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT, data TEXT)',
  columns: ['id', 'kind', 'data'],
  key: ['id'],
  compressed: [{ column: 'data', chooser: `'ev.' || (id / 500)` }],
  rows: range(0, 1000).map((id) => ['INSERT INTO events VALUES (?, ?, ?)', BigInt(id), `kind ${id % 3}`, title(id)]),
  // Some for the dictionaries that are there, and a group of their own.
  later: range(1000, 1500).map((id) => [
    'INSERT INTO events VALUES (?, ?, ?)',
    BigInt(id % 5 === 0 ? id + 10_000_000 : id),
    null,
    `${title(id)} ☃ 𝒳`,
  ]),
  changes: [
    ['UPDATE events SET data = ? WHERE id = 17', title(2000)],
    ['UPDATE events SET data = NULL WHERE id = 18'],
    [`UPDATE events SET kind = 'other' WHERE id % 7 = 0`],
    [`UPDATE events SET data = data || ' and more' WHERE id % 50 = 0`],
    ['DELETE FROM events WHERE id % 11 = 0'],
    ['INSERT INTO events VALUES (20000000, NULL, ?)', title(2001)],
    ['INSERT INTO events (data) VALUES (?)', title(2002)],
  ],
}

const twoColumns: SqliteZstdCase = {
  name: 'a text and a blob column, a key of two columns, names that are no plain words',
  table: 'my pages',
  schema: `CREATE TABLE "my pages" (site TEXT, body TEXT, n INTEGER, raw BLOB, PRIMARY KEY (site, n))`,
  columns: ['site', 'n', 'body', 'raw'],
  key: ['site', 'n'],
  compressed: [
    { column: 'body', chooser: `'body'` },
    { column: 'raw', chooser: `'raw.' || site` },
  ],
  rows: range(0, 800).map((n) => pageRow(n)),
  later: range(800, 1100).map((n) => pageRow(n)),
  changes: [
    [`UPDATE "my pages" SET body = ? WHERE site = 'site 1' AND n = 1`, title(2100)],
    [`UPDATE "my pages" SET raw = ? WHERE n % 40 = 0`, noise(300, 'changed')],
    [`UPDATE "my pages" SET body = upper(body), raw = NULL WHERE n % 90 = 0`],
    [`DELETE FROM "my pages" WHERE site = 'site 2' AND n % 4 = 2`],
    [`INSERT INTO "my pages" (site, n, body, raw) VALUES ('new', 1, ?, ?)`, title(2101), bytes(title(2102))],
  ],
}

function pageRow(n: number): Statement {
  const raw = n % 10 === 0 ? noise(100, `page ${n}`) : bytes(`\0\x01${title(n + 500)}`)
  const insert = 'INSERT INTO "my pages" (site, n, body, raw) VALUES (?, ?, ?, ?)'
  return [insert, `site ${n % 3}`, BigInt(n), title(n), raw]
}

const textKey: SqliteZstdCase = {
  name: 'a text key, some rows without a dictionary, some not to be compressed for now',
  table: 'notes',
  schema: 'CREATE TABLE notes (name TEXT PRIMARY KEY, at INTEGER, note TEXT)',
  columns: ['name', 'at', 'note'],
  key: ['name'],
  compressed: [{ column: 'note', chooser: `CASE at % 3 WHEN 0 THEN '[nodict]' WHEN 1 THEN NULL ELSE 'notes' END` }],
  rows: range(0, 900).map((at) => ['INSERT INTO notes VALUES (?, ?, ?)', `name ${at} ü`, BigInt(at), title(at)]),
  later: range(900, 1000).map((at) => ['INSERT INTO notes VALUES (?, ?, ?)', `name ${at}`, BigInt(at), title(at)]),
  changes: [
    ['UPDATE notes SET at = at + 1 WHERE at < 100'],
    [`UPDATE notes SET note = 'short' WHERE at = 500`],
    [`DELETE FROM notes WHERE name LIKE 'name 2%'`],
    [`INSERT INTO notes VALUES ('last', 2, ?)`, title(2200)],
  ],
}

const oddValues: SqliteZstdCase = {
  name: 'NULL, empty, short, incompressible and three megabytes long values',
  table: 'odd',
  schema: 'CREATE TABLE odd (id INTEGER PRIMARY KEY, data TEXT)',
  columns: ['id', 'data'],
  key: ['id'],
  compressed: [{ column: 'data', chooser: `'odd'` }],
  rows: range(0, 400).map((id) => ['INSERT INTO odd VALUES (?, ?)', BigInt(id), oddValue(id)]),
  later: range(400, 500).map((id) => ['INSERT INTO odd VALUES (?, ?)', BigInt(id), oddValue(id)]),
  changes: [
    [`UPDATE odd SET data = '' WHERE id = 10`],
    ['UPDATE odd SET data = ? WHERE id = 11', huge],
    ['UPDATE odd SET data = id WHERE id = 12'],
    ['DELETE FROM odd WHERE id = 8'],
  ],
}

function oddValue(id: number): string | null | bigint {
  if (id === 3) return huge
  switch (id % 8) {
    case 0:
      return null
    case 1:
      return ''
    case 2:
      return 'x'
    case 4:
      return Buffer.from(noise(200, `odd ${id}`)).toString('base64')
    case 5:
      return BigInt(id)
    case 6:
      return `nul \0 inside ${title(id)}`
    default:
      return title(id)
  }
}

const lateKey: SqliteZstdCase = {
  name: 'a key that is not the first column, columns with defaults',
  table: 'late',
  schema: `CREATE TABLE late (data TEXT, k INTEGER DEFAULT 7, s TEXT NOT NULL DEFAULT 'none', id INTEGER PRIMARY KEY)`,
  columns: ['data', 'k', 's', 'id'],
  key: ['id'],
  compressed: [{ column: 'data', chooser: `'late'` }],
  rows: range(0, 600).map((id) => [`INSERT INTO late VALUES (?, ?, 'some', ?)`, title(id), BigInt(id), BigInt(id)]),
  later: range(600, 700).map((id) => [`INSERT INTO late VALUES (?, ?, 'some', ?)`, title(id), 0n, BigInt(id)]),
  changes: [
    ['UPDATE late SET data = ? WHERE id = 100', title(2300)],
    ['UPDATE late SET k = k + 1 WHERE id < 50'],
    ['DELETE FROM late WHERE id = 60'],
  ],
}

export const sqliteZstdCases: readonly SqliteZstdCase[] = [oneColumn, twoColumns, textKey, oddValues, lateKey]
