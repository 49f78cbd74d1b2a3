// One chunk of the way back: some compressed cells, in the order of the key, made plain. Damaged ones are passed over, and named.

import type { Left } from '../../core/unit.ts'
import { decodedCell } from './layout.ts'
import type { Compressed } from './layout.ts'
import { dictColumn, quoted } from './names.ts'
import { execute, query, queryRow, queryValue } from './request.ts'
import type { Policy, Value } from './request.ts'
import { keyIs, keyTerms, keyValues, readKey, requireProgress, rowKey } from './row-key.ts'
import type { RowKey } from './row-key.ts'
import { isRowFault } from './sql-failures.ts'
import type { Table } from './table.ts'

export interface CellsToDecompress {
  readonly table: Table
  readonly column: Compressed
  readonly scope: number
  /** Key of the last row that was looked at. */
  readonly after?: RowKey
}

export interface DecompressedChunk {
  readonly rows: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  /** Of the chunk, in bytes of compressed cells and what a row costs beside them. */
  readonly weight: number
  readonly last: RowKey
  /** Damaged cells, which stay as they are. */
  readonly left: readonly Left[]
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
  const key = yield* rowKey(table.stored)
  const from = after === undefined ? { sql: 'true', params: [] } : keyIs(key, '>', after)
  const found = yield* query(
    `SELECT length(${cell}), ${keyValues(key).join(', ')} FROM ${stored} WHERE ${dict} IS NOT NULL AND ${from.sql}
     ORDER BY ${keyTerms(key).join(', ')} LIMIT ${mostRows}`,
    ...from.params,
  )
  if (found.length === 0) return undefined
  let [rows, bytesBefore, total] = [0, 0, 0]
  while (rows < found.length && (rows === 0 || total < weight)) {
    const bytes = Number(found[rows]![0])
    total += bytes + rowWeight
    bytesBefore += bytes
    rows++
  }
  const last = readKey(found[rows - 1]!.slice(1))
  requireProgress(after, last)
  const bounds = [keyIs(key, '>=', readKey(found[0]!.slice(1))), keyIs(key, '<=', last)]
  const range = bounds.map(({ sql }) => sql).join(' AND ')
  const params = bounds.flatMap((bound) => bound.params)
  const decompress = (condition: string): Policy<number> =>
    execute(
      `UPDATE ${stored} SET ${cell} = ${decodedCell(column, cells.scope)}, ${dict} = NULL WHERE ${dict} IS NOT NULL AND ${range}${condition}`,
      ...params,
    )
  let left: readonly Left[] = []
  let changed: number
  try {
    changed = yield* decompress('')
  } catch (error) {
    if (!isRowFault(error)) throw error
    left = yield* damagedCells(cells, range, params)
    if (left.length === 0) throw error
    changed = yield* decompress(` AND ${cellError(cells)} IS NULL`)
  }
  if (changed + left.length !== rows)
    throw new Error(`${changed} instead of ${rows - left.length} rows of ${table.name} were decompressed`)
  const bytesAfter = yield* queryValue(
    `SELECT sum(length(CAST(${cell} AS BLOB))) FROM ${stored} WHERE ${range}`,
    ...params,
  )
  return { rows: changed, bytesBefore, bytesAfter: Number(bytesAfter), weight: total, last, left }
}

/** Why a cell cannot be decoded, or NULL. */
function cellError({ column, scope }: CellsToDecompress): string {
  const [cell, dict] = [quoted(column.column), quoted(dictColumn(column.column))]
  return `tamp_cell_error(${cell}, ${dict} IS ${column.text ? 'NOT ' : ''}-2, ${dict}, ${scope})`
}

function* damagedCells(cells: CellsToDecompress, range: string, params: readonly Value[]): Policy<readonly Left[]> {
  const { table, column } = cells
  const names = table.key.map(({ name }) => quoted(name)).join(', ')
  const rows = yield* query(
    `SELECT error, ${names} FROM (
       SELECT ${cellError(cells)} AS error, ${names} FROM main.${quoted(table.stored)}
       WHERE ${quoted(dictColumn(column.column))} IS NOT NULL AND ${range} LIMIT -1)
     WHERE error IS NOT NULL`,
    ...params,
  )
  return rows.map(([error, ...key]) => ({
    subject: `${table.name}.${column.column} row ${key.map(String).join(', ')}`,
    reason: String(error),
  }))
}
