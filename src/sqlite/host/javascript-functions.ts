// Reading compressed columns without native code: the functions that decode, in JavaScript over Node's zlib. They compress nothing.
// A JavaScript function cannot ask its own connection, so dictionaries are read before, and later ones over a second connection.
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type Database from 'better-sqlite3'
import { TampError } from '../../core/errors.ts'
import { BetterSqlite3Driver, openBetterSqlite3 } from '../../database/better-sqlite3.ts'
import type { SqliteDriver } from '../../database/sqlite-driver.ts'
import type { Value } from '../../database/sqlite-value.ts'
import { Samples, Sampling } from './javascript-sampling.ts'

type SqlFunction = (...args: readonly Value[]) => Value

/** Largest value SQLite holds unless it is told otherwise, in bytes. */
const largestValue = 1_000_000_000

const magic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])

/**
 * Adds the functions of the extension that read and that measure to a connection.
 * @throws TampError `no-library` where this version of Node knows no dictionaries
 */
export function addJavaScriptFunctions(database: Database.Database | DatabaseSync, driver: SqliteDriver): void {
  if (!zlibKnowsDictionaries())
    throw new TampError('no-library', `The zlib of Node.js ${process.versions.node} does not know dictionaries.`, {
      hint: 'Use Node.js 24.6 or newer (of the 22s, 22.19), or the native extension.',
    })
  const dictionaries = new Dictionaries(driver)
  const last = new LastCell()
  const decompress: SqlFunction = (data, isText, dictionary = null, compact = null) => {
    if (data === null) return null
    const frame = compressedBytes(data)
    const bytes = dictionary instanceof Uint8Array ? dictionary : dictionaries.find(idOf(dictionary), scopeOf(compact))
    const whole = isTrue(compact) ? Buffer.concat([magic, frame]) : frame
    return last.decoded(whole, bytes, isTrue(isText))
  }
  const decompressColumn: SqlFunction = (data, isText, dictionary, compact) =>
    dictionary === null ? data! : decompress(data!, isText!, dictionary!, compact!)
  const cellError: SqlFunction = (data, _isText, dictionary, compact) => {
    try {
      decompressColumn(data!, 0, dictionary!, compact!)
      return null
    } catch (error) {
      return (error as Error).message
    }
  }
  const add = (name: string, counts: readonly number[], act: SqlFunction): void => {
    for (const count of counts) addFunction(database, name, count, act)
  }
  add('zstd_decompress', [2, 3, 4], decompress)
  add('zstd_decompress_col', [4], decompressColumn)
  add('tamp_cell_error', [4], cellError)
  add('tamp_sha256', [1], (value) => (value === null ? null : sha256(value as string | Uint8Array)))
  const samples = new Samples()
  addSampling(database, samples)
  add('tamp_samples', [1], (handle) => samples.size(handle))
  add('tamp_trial', [3], (handle, _none, level) => samples.trial(handle, Number(level)))
  add('tamp_train', [4, 5], () => null)
  add('tamp_release', [1], (handle) => samples.release(handle))
  add('tamp_library', [0], () => JSON.stringify({ version: 'javascript', zstd: process.versions['zstd'] }))
}

function addFunction(database: Database.Database | DatabaseSync, name: string, count: number, act: SqlFunction): void {
  const counted = Object.defineProperty((...args: Value[]) => act(...args), 'length', { value: count })
  // Integers as bigint: a plain value goes through unchanged, however large.
  if ('unsafeMode' in database)
    database.function(name, { deterministic: true, safeIntegers: true }, counted as (...args: unknown[]) => unknown)
  else database.function(name, { deterministic: true, useBigIntArguments: true }, counted)
}

/** The aggregate `tamp_sample(value, max_bytes)`. */
function addSampling(database: Database.Database | DatabaseSync, samples: Samples): void {
  const start = (): { sampling: Sampling; maxBytes: number } => ({ sampling: new Sampling(), maxBytes: 0 })
  const step = (state: ReturnType<typeof start>, value: unknown, maxBytes: unknown): ReturnType<typeof start> => {
    state.maxBytes = Number(maxBytes)
    state.sampling.take(value as Value, state.maxBytes)
    return state
  }
  const result = ({ sampling, maxBytes }: ReturnType<typeof start>): bigint | null => {
    const sample = sampling.finish(maxBytes)
    return sample === undefined ? null : BigInt(samples.keep(sample))
  }
  // Neither driver's types know an aggregate whose state is something else than its values.
  const aggregate: unknown = { start, step, result }
  if ('unsafeMode' in database) database.aggregate('tamp_sample', aggregate as Database.AggregateOptions)
  else database.aggregate('tamp_sample', aggregate as Parameters<DatabaseSync['aggregate']>[1])
}

/** The dictionaries of one database file. */
class Dictionaries {
  readonly #found = new Map<number, Uint8Array>()
  /** When a dictionary was last looked for in vain, in milliseconds: a damaged cell must not have the file opened for every row. */
  readonly #missed = new Map<number, number>()
  readonly #file: string
  #scope: number | undefined

  constructor(driver: SqliteDriver) {
    this.#file = String(driver.query('SELECT file FROM pragma_database_list WHERE name = ?', ['main'])[0]?.[0] ?? '')
    this.#readAll(driver)
  }

  /** The bytes of a dictionary; undefined for the ids that stand for none. @throws Error where it is not there */
  find(id: number, scope: number | undefined): Uint8Array | undefined {
    if (id < 0) return undefined
    let dictionary = this.#found.get(id)
    if (dictionary === undefined || (scope !== undefined && scope !== this.#scope)) {
      this.#readAgain(id)
      dictionary = this.#found.get(id)
    }
    if (scope !== undefined && scope !== this.#scope)
      throw new Error(
        'cell cannot be decoded: it belongs to another database, whose dictionaries only the native extension finds',
      )
    if (dictionary === undefined) throw new Error(`cell cannot be decoded: there is no dictionary ${id}`)
    return dictionary
  }

  /** Reads what has come since, over a connection of its own: it sees what is committed. */
  #readAgain(id: number): void {
    if (this.#file === '' || performance.now() - (this.#missed.get(id) ?? -Infinity) < 1000) return
    this.#missed.set(id, performance.now())
    const other = new BetterSqlite3Driver(openBetterSqlite3(this.#file, { readOnly: true }))
    try {
      this.#readAll(other)
    } finally {
      other.close()
    }
  }

  #readAll(driver: SqliteDriver): void {
    const tables = new Set(
      driver
        .query(
          `SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name IN ('_zstd_dicts', '_tamp_dicts', '_tamp_scope')`,
        )
        .map(([name]) => name),
    )
    if (!tables.has('_zstd_dicts')) return
    const rows = driver.query(
      tables.has('_tamp_dicts')
        ? 'SELECT id, dict, (SELECT sha256 FROM main._tamp_dicts k WHERE k.id = d.id) FROM main._zstd_dicts d'
        : 'SELECT id, dict, NULL FROM main._zstd_dicts',
    )
    for (const [id, dictionary, hash] of rows)
      if (hash === null || hash === sha256(dictionary as Uint8Array))
        this.#found.set(Number(id), dictionary as Uint8Array)
    if (tables.has('_tamp_scope')) this.#scope = Number(driver.query('SELECT scope FROM main._tamp_scope')[0]?.[0])
  }
}

/** A statement decodes the same cell several times, in indexes and comparisons: the last one is remembered. */
class LastCell {
  #frame: Uint8Array = new Uint8Array()
  #dictionary: Uint8Array | undefined
  #text = false
  #value: Value = null

  decoded(frame: Uint8Array, dictionary: Uint8Array | undefined, text: boolean): Value {
    const same = dictionary === this.#dictionary && text === this.#text && Buffer.compare(frame, this.#frame) === 0
    if (!same || this.#value === null) {
      this.#value = decode(frame, dictionary, text)
      this.#frame = frame
      this.#dictionary = dictionary
      this.#text = text
    }
    return this.#value
  }
}

function decode(frame: Uint8Array, dictionary: Uint8Array | undefined, text: boolean): Value {
  let bytes: Buffer
  try {
    const { buffer, engine } = zstdDecompressSync(frame, {
      maxOutputLength: largestValue,
      info: true,
      ...(dictionary === undefined ? {} : { dictionary }),
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } }
    if (engine.bytesWritten !== frame.length) throw new Error('there is something behind its end')
    bytes = buffer
  } catch (error) {
    throw new Error(`cell cannot be decoded: ${(error as Error).message}`, { cause: error })
  }
  if (!text) return bytes
  // A string of JavaScript would hold other bytes than these.
  if (!isUtf8(bytes)) throw new Error('cell cannot be decoded: it is not UTF-8, which needs the native extension')
  return bytes.toString()
}

function compressedBytes(data: Value): Uint8Array {
  if (data instanceof Uint8Array) return data
  throw new Error(`cell cannot be decoded: it is not a blob`)
}

function isTrue(value: Value | undefined): boolean {
  return Number(value ?? 0) !== 0
}

function idOf(dictionary: Value): number {
  return dictionary === null ? -1 : Number(dictionary)
}

/** Numbers above 1 in the place of "compact" say whose dictionaries are meant. */
function scopeOf(compact: Value): number | undefined {
  const number = Number(compact ?? 0)
  return number > 1 ? number : undefined
}

function sha256(value: string | Uint8Array): string {
  return createHash('sha256').update(value).digest('hex')
}

/** Older versions take the option, and pass over it. */
function zlibKnowsDictionaries(): boolean {
  const dictionary = Buffer.from('a dictionary for a text that repeats it')
  const options = { dictionary } as Parameters<typeof zstdCompressSync>[1]
  return zstdCompressSync(dictionary, options).length < zstdCompressSync(dictionary).length
}
