// A look at a table that costs little however large it is: all rows of a small one, blocks of rows from many places of a large one.

import { quoted } from './names.ts'
import { query, queryRow, queryValue } from './request.ts'
import type { Policy } from './request.ts'

/** Rows of a table, for a FROM: a query that gives every column of each. */
export interface TableSample {
  readonly sql: string
  /** Rows in the sample. */
  readonly sampledRows: number
  /** Rows in the table; an estimate where not all were read. */
  readonly rows: number
  readonly sampled: boolean
}

/** Places of a table that are looked at. */
const places = 48

/**
 * @param table as SQL, `rowid` a name of its rowid or integer key as SQL, undefined where it has none
 * @param most rows to look at
 */
export function* sampleTable(table: string, rowid: string | undefined, most: number): Policy<TableSample> {
  const whole = `SELECT * FROM ${table}`
  const small = Number(yield* queryValue(`SELECT count(*) FROM (SELECT 1 FROM ${table} LIMIT ${most + 1})`))
  if (small <= most) return { sql: whole, sampledRows: small, rows: small, sampled: false }
  const ends =
    rowid === undefined
      ? undefined
      : yield* queryRow(`SELECT (SELECT min(${rowid}) FROM ${table}), (SELECT max(${rowid}) FROM ${table})`)
  const [first, last] = (ends ?? []).map(Number)
  if (first === undefined || last === undefined || !Number.isSafeInteger(last - first)) {
    const rows = Number(yield* queryValue(`SELECT count(*) FROM ${table}`))
    return { sql: `${whole} LIMIT ${most}`, sampledRows: most, rows, sampled: true }
  }
  const each = Math.floor(most / places)
  const starts = Array.from({ length: places }, (_, place) => first + Math.floor(((last - first) / places) * place))
  const arms = starts.map(
    (start, place) =>
      `SELECT * FROM (SELECT * FROM ${table} WHERE ${rowid!} >= ${start} AND ${rowid!} < ${starts[place + 1] ?? last + 1} ORDER BY ${rowid!} LIMIT ${each})`,
  )
  const sql = arms.join(' UNION ALL ')
  return {
    sql,
    sampledRows: Number(yield* queryValue(`SELECT count(*) FROM (${sql})`)),
    rows: yield* reckon(table, rowid!, starts, last, each),
    sampled: true,
  }
}

/** Rows of the table, from how densely they lie behind each place. */
function* reckon(table: string, rowid: string, starts: readonly number[], last: number, each: number): Policy<number> {
  let rows = 0
  for (const [place, start] of starts.entries()) {
    const end = starts[place + 1] ?? last + 1
    const found = yield* queryRow(
      `SELECT count(*), max(id) FROM (SELECT ${rowid} AS id FROM ${table} WHERE ${rowid} >= ? AND ${rowid} < ? ORDER BY ${rowid} LIMIT ${each})`,
      start,
      end,
    )
    const [count, reached] = [Number(found?.[0]), Number(found?.[1])]
    rows += count < each ? count : (count * (end - start)) / (reached - start + 1)
  }
  return Math.round(rows)
}

/** Types and bytes of one column in a sample. */
export interface ColumnFigures {
  readonly text: number
  readonly blob: number
  readonly integer: number
  readonly real: number
  readonly nulls: number
  readonly bytes: number
  /** Bytes of texts and blobs alone. */
  readonly contentBytes: number
}

/** SQLite gives at most 2000 result columns. */
const columnsAtOnce = 200

/** The figures of each column, in their order. */
export function* columnFigures(sample: TableSample, columns: readonly string[]): Policy<readonly ColumnFigures[]> {
  const figures: ColumnFigures[] = []
  for (let from = 0; from < columns.length; from += columnsAtOnce) {
    const some = columns.slice(from, from + columnsAtOnce)
    const row = (yield* query(
      `SELECT ${some.map((column) => sumsOf(quoted(column))).join(', ')} FROM (${sample.sql})`,
    ))[0]!
    for (const place of some.keys()) {
      const [text, blob, integer, real, content] = row.slice(place * 5, place * 5 + 5).map(Number)
      figures.push({
        text: text!,
        blob: blob!,
        integer: integer!,
        real: real!,
        nulls: sample.sampledRows - text! - blob! - integer! - real!,
        contentBytes: content!,
        // Integers take 0 to 8 bytes; most are small.
        bytes: content! + integer! * 3 + real! * 8,
      })
    }
  }
  return figures
}

function sumsOf(column: string): string {
  const isType = (type: string): string => `coalesce(sum(typeof(${column}) = '${type}'), 0)`
  const content = `coalesce(sum(iif(typeof(${column}) IN ('text', 'blob'), length(CAST(${column} AS BLOB)), 0)), 0)`
  return [...['text', 'blob', 'integer', 'real'].map(isType), content].join(', ')
}
