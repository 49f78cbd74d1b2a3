// Samples of a group of pending rows, held by the extension under a number: some to train on, some only to measure with.

import { bytesOf, usualType } from './compressed-column.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { ofGroup } from './pending.ts'
import { query, queryRow, queryValue } from './request.ts'
import type { Policy, Value } from './request.ts'

/** What `tamp_samples` says. */
export interface SampleSize {
  readonly cells: number
  readonly bytes: number
  readonly seenCells: number
  readonly seenBytes: number
  readonly heldBackCells: number
  readonly heldBackBytes: number
}

/** What `tamp_trial` measured: CPU seconds, and bytes of the held-back cells before and after. */
export interface Trial {
  readonly cells: number
  readonly plainBytes: number
  readonly bytes: number
  readonly encodeSeconds: number
  readonly decodeSeconds: number
}

/** Two sets of samples without a row in common; the same set twice where the group is too small to part. */
export interface Samples {
  /** To train on. */
  readonly training: number
  /** To measure with: never trained on, or only its held-back rows where it is the same set. */
  readonly measuring: number
}

/** Where samples come from: a query that gives each cell, plain, under the name `cell`. */
export interface CellSource {
  readonly sql: string
  readonly params: readonly Value[]
}

/** Groups up to this many bytes are one set: a fifth of it is held back from training. */
const onePart = 4_000_000
/** Bytes of the set to measure with, of which a fifth is used. */
const measuringBytes = 2_500_000
/** Groups above this many bytes are not read whole. */
const readWhole = 128_000_000

/**
 * Draws samples at random, evenly over the cells of a source.
 * @param bytes of the cells, and at most so many of them to train on
 * @returns undefined where there is nothing to compress
 */
export function* drawSamples(
  { sql, params }: CellSource,
  bytes: number,
  trainingBytes: number,
): Policy<Samples | undefined> {
  if (bytes <= onePart) {
    const set = yield* queryValue(`SELECT tamp_sample(cell, ?) FROM (${sql})`, Math.ceil(bytes), ...params)
    return typeof set === 'number' ? { training: set, measuring: set } : undefined
  }
  // The limit keeps SQLite from merging the two, and from drawing two lots for a row.
  const sets = yield* queryRow(
    `SELECT tamp_sample(cell, ?) FILTER (WHERE lot > 0), tamp_sample(cell, ?) FILTER (WHERE lot = 0)
     FROM (SELECT cell, random() & 7 AS lot FROM (${sql}) LIMIT -1)`,
    Math.ceil(trainingBytes),
    measuringBytes,
    ...params,
  )
  const [training, measuring] = sets ?? []
  if (typeof training === 'number' && typeof measuring === 'number') return { training, measuring }
  yield* release(training, measuring)
  return undefined
}

/** The pending cells of a group of so many bytes. */
export function pendingCells(column: CompressedColumn, key: string, bytes: number): CellSource {
  const { sql, params } = ofGroup(column, key)
  const where = `${sql}${everyNth(column, Math.ceil(bytes / readWhole))}`
  return { sql: `SELECT ${column.cell} AS cell FROM ${column.rows}${column.indexedBy} WHERE ${where}`, params }
}

/** The condition that takes of all rows only every so many blocks of 64, evenly spread; nothing where keys are no integers. */
export function everyNth({ integerKey, key }: CompressedColumn, stride: number): string {
  return integerKey && stride > 1 ? ` AND (${key[0]!.name} >> 6) % ${stride} = 0` : ''
}

/** Places in a column that a glance looks at, and rows at each of them. */
const glances = 16
const glanceRows = 100

/**
 * A quick sample of the group from a few places of the column, for a first impression; undefined where the places tell too little.
 * Its cost does not depend on the size of the column.
 */
export function* glance(column: CompressedColumn, key: string): Policy<number | undefined> {
  if (!column.integerKey) return undefined
  const { cell, rows, indexedBy, pending, storedChooser: chooser, onlyKey } = column
  const id = column.key[0]!.name
  const ends = yield* queryRow(
    `SELECT (SELECT ${id} FROM ${rows}${indexedBy} WHERE ${pending} ORDER BY ${id} LIMIT 1),
       (SELECT ${id} FROM ${rows}${indexedBy} WHERE ${pending} ORDER BY ${id} DESC LIMIT 1)`,
  )
  const [first, last] = (ends ?? []).map(Number)
  if (first === undefined || last === undefined || !Number.isSafeInteger(last - first)) return undefined
  const starts = Array.from({ length: glances }, (_, place) => first + Math.floor(((last - first) * place) / glances))
  const chosen = onlyKey === key ? '' : ` AND key = ?`
  const set = yield* queryValue(
    `SELECT tamp_sample(cell, 1000000) FROM (${starts
      .map(
        () => `SELECT * FROM (SELECT ${cell} AS cell, ${chosen === '' ? 'NULL' : chooser} AS key
          FROM ${rows}${indexedBy} WHERE ${pending} AND ${id} >= ? ORDER BY ${id} LIMIT ${glanceRows})`,
      )
      .join(' UNION ALL ')})
     WHERE typeof(cell) = '${usualType(column)}' AND ${bytesOf('cell')} < 1000000${chosen}`,
    ...starts,
    ...(chosen === '' ? [] : [key]),
  )
  return typeof set === 'number' ? set : undefined
}

export function* sampleSize(set: number): Policy<SampleSize> {
  return JSON.parse(String(yield* queryValue('SELECT tamp_samples(?)', set))) as SampleSize
}

/** How the held-back cells of a set compress with a dictionary, or with none, at a level. */
export function* trial(set: number, dictionary: number | null, level: number): Policy<Trial> {
  return JSON.parse(String(yield* queryValue('SELECT tamp_trial(?, ?, ?)', set, dictionary, level))) as Trial
}

/** Gives back what the extension holds under these numbers. */
export function* release(...handles: readonly (Value | undefined)[]): Policy<void> {
  for (const handle of new Set(handles)) if (typeof handle === 'number') yield* query('SELECT tamp_release(?)', handle)
}
