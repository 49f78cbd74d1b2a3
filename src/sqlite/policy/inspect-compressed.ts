// How a compressed column is doing: rows by dictionary, what is pending, the ratio, and whether dictionaries do worse than they did.

import type { CompressedColumn } from './compressed-column.ts'
import { bytesOf, decoded } from './compressed-column.ts'
import { drift } from './dictionaries.ts'
import type { CompressedState, DictionaryState } from './inspected.ts'
import { pendingRows } from './pending.ts'
import { query, queryRow } from './request.ts'
import type { Policy } from './request.ts'
import type { TableSample } from './table-sample.ts'

/** Cells that are decoded to learn the ratio. */
const decodedCells = 2_000

/** @param sample of the rows as they are stored */
export function* compressedState(column: CompressedColumn, sample: TableSample): Policy<CompressedState> {
  const { dict, cell, config } = column
  const share = sample.sampledRows === 0 ? 0 : sample.rows / sample.sampledRows
  const found = yield* query(`SELECT ${dict}, count(*) FROM (${sample.sql}) GROUP BY 1 ORDER BY 2 DESC`)
  const dictionaries: DictionaryState[] = []
  let plain = 0
  for (const [id, count] of found)
    if (id === null) plain = Number(count) * share
    else dictionaries.push(yield* dictionaryState(column, Number(id), Math.round(Number(count) * share)))
  const oneOf = Math.max(1, Math.floor(sample.sampledRows / decodedCells))
  const ratio = yield* queryRow(
    `SELECT sum(length(${cell})), sum(${bytesOf(decoded(column))}) FROM (
       SELECT * FROM (${sample.sql}) WHERE ${dict} IS NOT NULL AND (random() & 0x7fffffff) % ? = 0 LIMIT -1)`,
    oneOf,
  )
  const pending = yield* pendingRows(column)
  return {
    layout: config.tamp?.layout ?? 'sqlite-zstd',
    level: config.tamp?.auto === true ? 'auto' : config.compressionLevel,
    dictChooser: config.dictChooser,
    disabling: config.tamp?.disabling === true,
    pendingRows: pending,
    plainRowsEstimate: Math.max(0, Math.round(plain) - pending),
    ratio: ratio?.[0] == null || !ratio[1] ? null : Number(ratio[0]) / Number(ratio[1]),
    dictionaries,
  }
}

function* dictionaryState(column: CompressedColumn, id: number, rowsEstimate: number): Policy<DictionaryState> {
  const [key, bytes, level, trainedRatio, plain, recent] = (yield* queryRow(
    column.catalogue
      ? `SELECT d.chooser_key, length(d.dict), t.level, t.trained_ratio, t.recent_plain_bytes, t.recent_bytes
         FROM main._zstd_dicts d LEFT JOIN main._tamp_dicts t ON t.id = d.id WHERE d.id = ?`
      : `SELECT chooser_key, length(dict), NULL, NULL, NULL, NULL FROM main._zstd_dicts WHERE id = ?`,
    id,
  )) ?? [null, 0, null, null, null, null]
  const number = (value: unknown): number | null => (typeof value === 'number' ? value : null)
  const state = { id, level: number(level), trainedRatio: number(trainedRatio) }
  return {
    ...state,
    key: id < 0 || key === null || key === undefined ? null : String(key),
    rowsEstimate,
    bytes: Number(bytes),
    drift: drift({ ...state, recentPlainBytes: Number(plain ?? 0), recentBytes: Number(recent ?? 0) }) ?? null,
  }
}
