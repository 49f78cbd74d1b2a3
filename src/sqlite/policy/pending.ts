// The rows of a column that are still to be compressed: walked in the order of their key, in windows, never the same row twice in a run;
// counted by the chooser's key; compressed a window at a time.

import { noDictionary, noDictionaryOtherType } from './catalogue.ts'
import { bytesOf, usualType } from './compressed-column.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { execute, query, queryRow, queryValue } from './request.ts'
import type { Policy, Value } from './request.ts'
import { endOfRows, keyTerms, keyValues, readKey, requireProgress, within } from './row-key.ts'
import type { KeyRange, RowKey } from './row-key.ts'

/** Pending rows that are stored the same way. */
export interface Group {
  /** What the chooser says: `null` means plain for now. Not a string where the chooser is wrong. */
  readonly key: Value
  /** The cells are of the column's usual type. */
  readonly usual: boolean
  readonly rows: number
  /** Bytes of the cells. */
  readonly bytes: number
}

/** How the cells of a group are to be compressed. */
export interface Encoding {
  readonly key: string
  readonly usual: boolean
  /** Id of the dictionary, or what stands for none. */
  readonly dictionary: number
  readonly level: number
}

/** What a statement compressed, by dictionary. */
export interface Encoded {
  readonly rows: number
  /** Bytes of the cells afterwards. */
  readonly bytes: number
}

export function* pendingRows({ rows, indexedBy, pending }: CompressedColumn): Policy<number> {
  return Number(yield* queryValue(`SELECT count(*) FROM ${rows}${indexedBy} WHERE ${pending}`))
}

/** The key of the row after which so many pending rows, or rows of so many bytes, lie behind `after`; undefined where fewer are left. */
export function* endOfWindow(
  column: CompressedColumn,
  after: RowKey | undefined,
  bytes: number,
  rows: number,
): Policy<RowKey | undefined> {
  const { key, cell, pending, indexedBy } = column
  const range = within(column, { after, upto: undefined })
  const values = keyValues(key)
  const names = values.map((_, place) => `k${place}`)
  // The window functions run row by row, so this reads no further than it has to.
  const found = yield* queryRow(
    `SELECT ${names.join(', ')} FROM (
       SELECT ${values.map((value, place) => `${value} AS ${names[place]}`).join(', ')},
         sum(${bytesOf(cell)}) OVER walk AS bytes, row_number() OVER walk AS place
       FROM ${column.rows}${indexedBy} WHERE ${pending}${range.sql}
       WINDOW walk AS (ORDER BY ${keyTerms(key).join(', ')} ROWS UNBOUNDED PRECEDING))
     WHERE bytes >= ? OR place >= ? LIMIT 1`,
    ...range.params,
    bytes,
    rows,
  )
  return found === undefined ? undefined : readKey(found)
}

/**
 * The pending rows of a range by key and type. They are sorted in memory, so the range must not be the whole table.
 * @throws SqlError where the chooser fails on a row
 */
export function* groups(column: CompressedColumn, range: KeyRange): Policy<readonly Group[]> {
  const { cell, storedChooser: chooser, pending, indexedBy } = column
  const { sql, params } = within(column, range)
  // The limit keeps SQLite from merging the two: it would sort whole cells instead of their sizes.
  const found = yield* query(
    `SELECT key, usual, count(*), sum(bytes) FROM (
       SELECT ${chooser} AS key, typeof(${cell}) = '${usualType(column)}' AS usual, ${bytesOf(cell)} AS bytes
       FROM ${column.rows}${indexedBy} WHERE ${pending}${sql} LIMIT -1)
     GROUP BY key, usual`,
    ...params,
  )
  return found.map(([key, usual, rows, bytes]) => ({
    key: key!,
    usual: usual === 1,
    rows: Number(rows),
    bytes: Number(bytes),
  }))
}

/** Rows that are counted at once, and groups that are remembered: memory stays flat however many there are of both. */
const countedRows = 50_000
const countedGroups = 20_000

/** All pending rows by key and type, the largest groups first; where there are very many groups, only the largest. */
export function* allGroups(column: CompressedColumn): Policy<readonly Group[]> {
  const counted = new Map<string, Group>()
  for (let after: RowKey | undefined; ;) {
    const upto: RowKey | undefined = yield* endOfRows(column, pendingOf(column), after, countedRows)
    for (const group of yield* groups(column, { after, upto })) {
      const name = JSON.stringify([String(group.key), group.key === null, group.usual])
      const { rows, bytes } = counted.get(name) ?? { rows: 0, bytes: 0 }
      counted.set(name, { ...group, rows: rows + group.rows, bytes: bytes + group.bytes })
    }
    const all = upto === undefined
    if (all || counted.size > 2 * countedGroups) {
      const largest = [...counted].toSorted(([, one], [, other]) => other.bytes - one.bytes).slice(0, countedGroups)
      if (all) return largest.map(([, group]) => group)
      counted.clear()
      for (const [name, group] of largest) counted.set(name, group)
    }
    requireProgress(after, upto)
    after = upto
  }
}

/** The pending rows, found by their index. */
function pendingOf({ rows, indexedBy, pending }: CompressedColumn): string {
  return `${rows}${indexedBy} WHERE ${pending}`
}

/** Encodings of one statement, at most: every row is compared with them one after the other. */
const encodingsAtOnce = 200

/**
 * Compresses the pending rows of a range whose group has an encoding; what each dictionary got.
 * @param whole these encodings are those of all rows in the range, which are so many
 */
export function* encode(
  column: CompressedColumn,
  range: KeyRange,
  encodings: readonly Encoding[],
  whole: number | undefined,
): Policy<ReadonlyMap<number, Encoded>> {
  const [only] = encodings
  if (only !== undefined && encodings.length === 1 && whole !== undefined) {
    const encoded = yield* isDense(column, range, whole)
      ? encodeDense(column, range, only)
      : encodeAll(column, range, only)
    return new Map([[only.dictionary, encoded]])
  }
  const encoded = new Map<number, Encoded>()
  for (let from = 0; from < encodings.length; from += encodingsAtOnce)
    for (const [id, bytes] of yield* encodeSome(column, range, encodings.slice(from, from + encodingsAtOnce))) {
      const sum = encoded.get(Number(id)) ?? { rows: 0, bytes: 0 }
      encoded.set(Number(id), { rows: sum.rows + 1, bytes: sum.bytes + Number(bytes) })
    }
  return encoded
}

/** True where a range holds hardly any row but its pending ones. */
function* isDense(column: CompressedColumn, range: KeyRange, rows: number): Policy<boolean> {
  const { sql, params } = within(column, range)
  const most = 2 * rows + 1
  const found = yield* queryValue(
    `SELECT count(*) FROM (SELECT 1 FROM ${column.rows} WHERE true${sql} LIMIT ${most})`,
    ...params,
  )
  return Number(found) < most
}

/** All pending rows of a range; their bytes afterwards are summed by SQLite, over all rows of the range. */
function* encodeDense(column: CompressedColumn, range: KeyRange, encoding: Encoding): Policy<Encoded> {
  const { sql, params } = within(column, range)
  const sum = `SELECT coalesce(sum(length(${column.cell})), 0) FROM ${column.rows} WHERE ${column.dict} = ?${sql}`
  const before = Number(yield* queryValue(sum, encoding.dictionary, ...params))
  const rows = yield* execute(updateAll(column, sql), ...updateParams(encoding), ...params)
  return { rows, bytes: Number(yield* queryValue(sum, encoding.dictionary, ...params)) - before }
}

/** All pending rows of a range, among many others: each of them gives its bytes. */
function* encodeAll(column: CompressedColumn, range: KeyRange, encoding: Encoding): Policy<Encoded> {
  const { sql, params } = within(column, range)
  const update = `${updateAll(column, sql)} RETURNING length(${column.cell})`
  const done = yield* query(update, ...updateParams(encoding), ...params)
  return { rows: done.length, bytes: done.reduce((sum, [bytes]) => sum + Number(bytes), 0) }
}

function updateAll({ rows, cell, dict, pending, indexedBy, scope }: CompressedColumn, range: string): string {
  return `UPDATE ${rows}${indexedBy} SET ${cell} = zstd_compress_col(${cell}, ?, ?, ${scope}), ${dict} = ?
    WHERE ${pending}${range}`
}

function updateParams(encoding: Encoding): readonly Value[] {
  return [encoding.level, encodingDictionary(encoding), encoding.dictionary]
}

function* encodeSome(
  column: CompressedColumn,
  range: KeyRange,
  encodings: readonly Encoding[],
): Policy<readonly (readonly Value[])[]> {
  const { cell, dict, pending, indexedBy, scope, storedChooser: chooser } = column
  const { sql, params } = within(column, range)
  const usual = usualType(column)
  const other = usual === 'text' ? 'blob' : 'text'
  return yield* query(
    `WITH "tamp encoding"("tamp key", "tamp type", "tamp dictionary", "tamp id", "tamp level") AS MATERIALIZED (
       VALUES ${encodings.map(() => '(?, ?, ?, ?, ?)').join(', ')})
     UPDATE ${column.rows}${indexedBy}
     SET ${cell} = zstd_compress_col(${cell}, "tamp level", "tamp dictionary", ${scope}), ${dict} = "tamp id"
     FROM "tamp encoding"
     WHERE ${pending}${sql} AND ${chooser} = "tamp key" AND typeof(${cell}) = "tamp type"
     RETURNING ${dict}, length(${cell})`,
    ...encodings.flatMap((encoding) => [
      encoding.key,
      encoding.usual ? usual : other,
      encodingDictionary(encoding),
      encoding.dictionary,
      encoding.level,
    ]),
    ...params,
  )
}

/** The dictionary to compress with, which does not tell the cell's type. */
function encodingDictionary({ dictionary }: Encoding): number {
  return dictionary === noDictionaryOtherType ? noDictionary : dictionary
}

/** The condition that a pending row is of the group with this key and of the usual type. */
export function ofGroup(column: CompressedColumn, key: string): { sql: string; params: Value[] } {
  const { cell, storedChooser: chooser, pending, onlyKey } = column
  const sql = `${pending} AND typeof(${cell}) = '${usualType(column)}'`
  return onlyKey === key ? { sql, params: [] } : { sql: `${sql} AND ${chooser} = ?`, params: [key] }
}
