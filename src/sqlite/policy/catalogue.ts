// What a database knows about its compressed columns: sqlite-zstd's two tables, read and written as it does, and tamp's own beside them.
//
//   _zstd_configs    one JSON object a column, sqlite-zstd's keys; tamp's own are under the key "tamp", which sqlite-zstd passes over
//   _zstd_dicts      the dictionaries; id -1 is "no dictionary", id -2 is the same for cells of the column's other type
//   _tamp_dicts      what is known of a dictionary beyond its bytes: hash, level, how well it did
//   _tamp_schema     the statements of the table and of its indexes and triggers as they are on the plain table
//   _tamp_scope      one number, drawn at random, that tells this database's dictionaries from those of an attached one
//
// How a cell is stored (layout 1), by its dictionary column:
//   NULL  as it is (plain; whatever its type)      -1  a zstd frame without a dictionary, of the column's usual type
//   ≥ 1   a zstd frame with that dictionary        -2  a zstd frame without a dictionary, of the other type (a blob among texts)
// Frames are magicless, without checksum, content size and dictionary id ("compact").

import { TampError } from '../../core/errors.ts'
import { execute, query, queryRow, queryValue } from './request.ts'
import type { Policy, Value } from './request.ts'

/** sqlite-zstd's configuration of a column, with its names and defaults, and tamp's own settings. */
export interface ColumnConfig {
  readonly table: string
  readonly column: string
  /** zstd level, 1–22; used where the dictionary does not say a better one. */
  readonly compressionLevel: number
  /** SQL expression over the row; NULL leaves the row plain for now, `[nodict]` compresses it without a dictionary. */
  readonly dictChooser: string
  readonly minDictBytesForTraining: number
  /** Dictionary bytes wanted per byte of the group. */
  readonly dictSizeRatio: number
  /** Bytes of samples per byte of dictionary. */
  readonly trainDictSamplesRatio: number
  /** Plain bytes compressed by one transaction, at most; time decides below that. */
  readonly incrementalCompressionStepBytes: number
  /** Absent on columns that sqlite-zstd enabled and tamp has not taken over. */
  readonly tamp?: TampConfig
}

export interface TampConfig {
  /** How cells and objects are laid out; 1 is the only one there is. */
  readonly layout: 1
  /** The type that compressed cells have unless their dictionary is -2. */
  readonly text: boolean
  /** Cells shorter than this many characters (bytes, for blobs) stay plain. */
  readonly minLength: number
  /** Trainer, dictionary size and level are tried on held-back rows and the best taken. */
  readonly auto: boolean
  /** The column is on its way back to plain: maintenance leaves it alone. */
  readonly disabling?: boolean
}

/** Ids of `_zstd_dicts` that stand for no dictionary. */
export const noDictionary = -1
export const noDictionaryOtherType = -2

export const defaults = {
  minDictBytesForTraining: 5000,
  dictSizeRatio: 0.01,
  trainDictSamplesRatio: 100,
  incrementalCompressionStepBytes: 1_666_666,
  minLength: 16,
} as const

/** A configured column and the id of its row in `_zstd_configs`. */
export interface ConfiguredColumn {
  readonly id: number
  readonly config: ColumnConfig
}

interface StoredConfig {
  table: string
  column: string
  compression_level: number
  dict_chooser: string
  min_dict_size_bytes_for_training?: number
  dict_size_ratio?: number
  train_dict_samples_ratio?: number
  incremental_compression_step_bytes?: number
  tamp?: { layout: 1; text: boolean; min_length: number; auto: boolean; disabling?: boolean }
}

export function* tableExists(name: string): Policy<boolean> {
  return (
    (yield* queryValue(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`, name)) !==
    undefined
  )
}

/** All compressed columns, oldest first; none where the database has no catalogue. */
export function* configuredColumns(): Policy<readonly ConfiguredColumn[]> {
  if (!(yield* tableExists('_zstd_configs'))) return []
  const rows = yield* query('SELECT id, config FROM main._zstd_configs ORDER BY id')
  return rows.map(([id, config]) => ({ id: Number(id), config: parseConfig(Number(id), config ?? null) }))
}

/** The compressed column `column` of `table`, names compared as SQLite does. */
export function* configuredColumn(table: string, column: string): Policy<ConfiguredColumn | undefined> {
  const all = yield* configuredColumns()
  return all.find(({ config }) => sameName(config.table, table) && sameName(config.column, column))
}

/** SQLite compares names without regard to the case of ASCII letters. */
export function sameName(one: string, other: string): boolean {
  return asciiLower(one) === asciiLower(other)
}

function asciiLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/** Makes the tables of the catalogue where they are not there, in sqlite-zstd's shape. To be called in a transaction. */
export function* createCatalogue(): Policy<void> {
  yield* query(
    `CREATE TABLE IF NOT EXISTS main._zstd_dicts (id INTEGER PRIMARY KEY AUTOINCREMENT, chooser_key TEXT UNIQUE, dict BLOB NOT NULL)`,
  )
  yield* query(`INSERT OR IGNORE INTO main._zstd_dicts VALUES (${noDictionary}, '[nodict]', x'')`)
  yield* query(`INSERT OR IGNORE INTO main._zstd_dicts VALUES (${noDictionaryOtherType}, '[nodict, other type]', x'')`)
  yield* query(
    `CREATE TABLE IF NOT EXISTS main._zstd_configs (id INTEGER PRIMARY KEY AUTOINCREMENT, config JSON NOT NULL)`,
  )
  yield* query(`CREATE TABLE IF NOT EXISTS main._tamp_dicts (
    id INTEGER PRIMARY KEY, -- of _zstd_dicts
    sha256 TEXT NOT NULL, -- of its bytes, hexadecimal
    level INTEGER, -- zstd level that did best with it
    trained_ratio REAL, -- compressed bytes per plain byte on rows held back from training
    recent_plain_bytes INTEGER NOT NULL DEFAULT 0, -- of the rows compressed since
    recent_bytes INTEGER NOT NULL DEFAULT 0,
    retired_key TEXT)`) // the key it was for, until a better one took its place
  yield* query(`CREATE TABLE IF NOT EXISTS main._tamp_schema (
    table_name TEXT NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL, sql TEXT NOT NULL, PRIMARY KEY (type, name)) WITHOUT ROWID`)
  yield* query(`CREATE TABLE IF NOT EXISTS main._tamp_scope (scope INTEGER NOT NULL)`)
  yield* query(
    `INSERT INTO main._tamp_scope SELECT (random() & 0x3fffffff) | 0x40000000 WHERE NOT EXISTS (SELECT 1 FROM main._tamp_scope)`,
  )
  for (const [name, event, condition] of guards)
    yield* query(`CREATE TRIGGER IF NOT EXISTS main.${name} BEFORE ${event} ON _zstd_dicts WHEN ${condition}
      BEGIN SELECT raise(ABORT, 'dictionaries never change: cells that were compressed with one need it'); END`)
}

/** What keeps dictionaries as they are. REPLACE fires no trigger for the row that it deletes, so it is caught before. */
const guards = [
  [
    '_zstd_dicts_never_changed',
    'UPDATE',
    `old.id IS NOT new.id OR old.dict IS NOT new.dict
      OR EXISTS (SELECT 1 FROM _zstd_dicts WHERE chooser_key = new.chooser_key AND id <> old.id)`,
  ],
  ['_zstd_dicts_never_deleted', 'DELETE', 'true'],
  [
    '_zstd_dicts_never_replaced',
    'INSERT',
    'EXISTS (SELECT 1 FROM _zstd_dicts WHERE id > 0 AND (id = new.id OR chooser_key = new.chooser_key))',
  ],
] as const

/** The triggers that keep dictionaries as they are. */
export const guardNames: readonly string[] = guards.map(([name]) => name)

/** The number that this database's views pass with every cell. @throws TampError where there is no catalogue of tamp's */
export function* scope(): Policy<number> {
  const number = yield* queryValue('SELECT scope FROM main._tamp_scope')
  if (typeof number !== 'number') throw new TampError('unknown-schema', 'The table _tamp_scope is empty.')
  return number
}

/** Writes the configuration of a column, anew or over the old one. */
export function* saveConfig(config: ColumnConfig): Policy<void> {
  const there = yield* configuredColumn(config.table, config.column)
  if (there === undefined) yield* query('INSERT INTO main._zstd_configs (config) VALUES (?)', printConfig(config))
  else yield* execute('UPDATE main._zstd_configs SET config = ? WHERE id = ?', printConfig(config), there.id)
}

/** Takes a column out of the catalogue. */
export function* removeConfig(table: string, column: string): Policy<void> {
  const there = yield* configuredColumn(table, column)
  if (there !== undefined) yield* query('DELETE FROM main._zstd_configs WHERE id = ?', there.id)
}

/** True where tamp's own tables are there; sqlite-zstd's alone make no difference. */
export function* hasTampCatalogue(): Policy<boolean> {
  return (yield* queryRow(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_tamp_scope'`)) !== undefined
}

/** @throws TampError where it is not a configuration, or one of a newer tamp */
function parseConfig(id: number, text: Value): ColumnConfig {
  const stored = storedConfig(text)
  if (stored === undefined)
    throw new TampError('unknown-schema', `The configuration ${id} in the table _zstd_configs is damaged.`, {
      hint: 'It must be a JSON object with table, column, compression_level and dict_chooser; a backup of the database has it.',
    })
  const { tamp } = stored
  // Whatever a newer layout means, it is not what is understood here.
  if (tamp !== undefined && (tamp.layout as number) !== 1)
    throw new TampError(
      'unknown-schema',
      `${stored.table}.${stored.column} is stored in a layout (${JSON.stringify(tamp.layout)}) that this version of tamp does not know.`,
      { hint: 'A newer version of tamp made it: use that one.' },
    )
  return {
    table: stored.table,
    column: stored.column,
    compressionLevel: stored.compression_level,
    dictChooser: stored.dict_chooser,
    minDictBytesForTraining: stored.min_dict_size_bytes_for_training ?? defaults.minDictBytesForTraining,
    dictSizeRatio: stored.dict_size_ratio ?? defaults.dictSizeRatio,
    trainDictSamplesRatio: stored.train_dict_samples_ratio ?? defaults.trainDictSamplesRatio,
    incrementalCompressionStepBytes:
      stored.incremental_compression_step_bytes ?? defaults.incrementalCompressionStepBytes,
    ...(tamp === undefined
      ? {}
      : {
          tamp: {
            layout: tamp.layout,
            text: tamp.text,
            minLength: tamp.min_length,
            auto: tamp.auto,
            ...(tamp.disabling === true ? { disabling: true } : {}),
          },
        }),
  }
}

/** Undefined where it is damaged. */
function storedConfig(text: Value): StoredConfig | undefined {
  try {
    const stored = JSON.parse(String(text)) as Partial<StoredConfig> | null
    const whole =
      typeof stored?.table === 'string' &&
      typeof stored.column === 'string' &&
      typeof stored.compression_level === 'number' &&
      typeof stored.dict_chooser === 'string'
    return whole ? (stored as StoredConfig) : undefined
  } catch {
    return undefined
  }
}

function printConfig({ tamp, ...config }: ColumnConfig): string {
  const stored: StoredConfig = {
    table: config.table,
    column: config.column,
    compression_level: config.compressionLevel,
    dict_chooser: config.dictChooser,
    min_dict_size_bytes_for_training: config.minDictBytesForTraining,
    dict_size_ratio: config.dictSizeRatio,
    train_dict_samples_ratio: config.trainDictSamplesRatio,
    incremental_compression_step_bytes: config.incrementalCompressionStepBytes,
    ...(tamp === undefined
      ? {}
      : {
          tamp: {
            layout: tamp.layout,
            text: tamp.text,
            min_length: tamp.minLength,
            auto: tamp.auto,
            ...(tamp.disabling === true ? { disabling: true } : {}),
          },
        }),
  }
  return JSON.stringify(stored)
}
