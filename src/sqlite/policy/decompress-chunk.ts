// One chunk of the way back: some compressed cells, in the order of the key, made plain.

import { TampError } from '../../core/errors.ts'
import { decodedCell } from './layout.ts'
import type { Compressed } from './layout.ts'
import { dictColumn, quoted } from './names.ts'
import { execute, query, queryRow, queryValue, SqlError } from './request.ts'
import type { Policy, Row } from './request.ts'
import { isRowFault } from './sql-failures.ts'
import type { Table } from './table.ts'

export interface CellsToDecompress {
  readonly table: Table
  readonly column: Compressed
  readonly scope: number
  /** Key of the last row that was looked at. */
  readonly after?: Row
}

export interface DecompressedChunk {
  readonly rows: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  /** Of the chunk, in bytes of compressed cells and what a row costs beside them. */
  readonly weight: number
  readonly last: Row
}

const rowWeight = 100
/** Keys of a chunk are in memory together. */
const mostRows = 20_000

/** Whether there is a compressed cell left. */
export function* mayBeCompressed(table: Table, column: string): Policy<boolean> {
  const sql = `SELECT 1 FROM main.${quoted(table.stored)} WHERE ${quoted(dictColumn(column))} IS NOT NULL LIMIT 1`
  return (yield* queryRow(sql)) !== undefined
}

/** Makes the next cells plain, `weight` of them at least one. To be called in a transaction. @returns undefined where none is left */
export function* decompressChunk(cells: CellsToDecompress, weight: number): Policy<DecompressedChunk | undefined> {
  const { table, column, after } = cells
  const stored = `main.${quoted(table.stored)}`
  const [cell, dict] = [quoted(column.column), quoted(dictColumn(column.column))]
  const key = rowKey(table)
  const list = key.join(', ')
  const from = after === undefined ? '' : ` AND (${list}) > (${after.map(() => '?').join(', ')})`
  const found = yield* query(
    `SELECT length(${cell}), ${list} FROM ${stored} WHERE ${dict} IS NOT NULL${from} ORDER BY ${list} LIMIT ${mostRows}`,
    ...(after ?? []),
  )
  if (found.length === 0) return undefined
  let [rows, bytesBefore, total] = [0, 0, 0]
  while (rows < found.length && (rows === 0 || total < weight)) {
    const bytes = Number(found[rows]![0])
    total += bytes + rowWeight
    bytesBefore += bytes
    rows++
  }
  const [first, last] = [found[0]!.slice(1), found[rows - 1]!.slice(1)]
  const range = `(${list}) >= (${first.map(() => '?').join(', ')}) AND (${list}) <= (${last.map(() => '?').join(', ')})`
  let changed: number
  try {
    changed = yield* execute(
      `UPDATE ${stored} SET ${cell} = ${decodedCell(column, cells.scope)}, ${dict} = NULL WHERE ${dict} IS NOT NULL AND ${range}`,
      ...first,
      ...last,
    )
  } catch (error) {
    throw isRowFault(error) ? yield* inWords(error as SqlError, cells, range, [...first, ...last]) : error
  }
  if (changed !== rows) throw new Error(`${changed} instead of ${rows} rows of ${table.name} were decompressed`)
  const bytesAfter = yield* queryValue(
    `SELECT sum(length(CAST(${cell} AS BLOB))) FROM ${stored} WHERE ${range}`,
    ...first,
    ...last,
  )
  return { rows, bytesBefore, bytesAfter: Number(bytesAfter), weight: total, last }
}

/** What orders the rows: the rowid where it can be named, else the key, each in the order of its index. */
function rowKey({ rowid, rowidAlias, key }: Table): readonly string[] {
  if (rowidAlias !== undefined) return [quoted(rowidAlias)]
  return rowid === undefined
    ? key.map(({ name, collation }) => `${quoted(name)} COLLATE ${quoted(collation)}`)
    : [rowid]
}

function* inWords(
  error: SqlError,
  { table, column, scope }: CellsToDecompress,
  range: string,
  params: Row,
): Policy<TampError> {
  const [cell, dict] = [quoted(column.column), quoted(dictColumn(column.column))]
  const names = table.key.map(({ name }) => quoted(name)).join(', ')
  const fault = `tamp_cell_error(${cell}, ${dict} IS ${column.text ? 'NOT ' : ''}-2, ${dict}, ${scope})`
  let where = ''
  try {
    const row = yield* queryRow(
      `SELECT ${names} FROM main.${quoted(table.stored)} WHERE ${range} AND ${dict} IS NOT NULL AND ${fault} IS NOT NULL LIMIT 1`,
      ...params,
    )
    if (row !== undefined) where = ` of the row ${row.map((value) => String(value)).join(', ')}`
  } catch (another) {
    // Where there is only the decoding in JavaScript, the message must do.
    if (!(another instanceof SqlError)) throw another
  }
  return new TampError('failed', `${table.name}.${column.column}${where} cannot be made plain: ${error.message}.`, {
    hint: 'What was decompressed before is kept, and the table reads as ever. `tamp sqlite check` lists all such cells.',
    cause: error,
  })
}
