// Compresses cells anew that were compressed with dictionaries which have been replaced since, with the dictionary that their key has now.
// Which cells those are is in the rows themselves, so it can be stopped and run again at any time. No cell gets larger.

import { Pace } from '../../core/pace.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { dictionaryOf } from './dictionaries.ts'
import { plainKey, plainRows, storedCell, storedDictionary } from './plain-rows.ts'
import { now, query, queryRow, tell } from './request.ts'
import type { Policy } from './request.ts'
import { keyTerms, keyValues, readKey, requireProgress, within } from './row-key.ts'
import type { KeyRange, RowKey } from './row-key.ts'
import type { WorkBudget } from './work-budget.ts'

export interface Recompressed {
  readonly complete: boolean
  readonly rows: number
  /** Bytes of these cells before and after. */
  readonly bytesBefore: number
  readonly bytesAfter: number
}

/** Ids of the dictionaries that have been replaced. */
export function* retiredDictionaries(): Policy<readonly number[]> {
  return (yield* query('SELECT id FROM main._tamp_dicts WHERE retired_key IS NOT NULL')).map(([id]) => Number(id))
}

export function* recompress(column: CompressedColumn, budget: WorkBudget): Policy<Recompressed> {
  const done = { rows: 0, bytesBefore: 0, bytesAfter: 0 }
  const retired = column.catalogue ? yield* retiredDictionaries() : []
  if (retired.length === 0) return { complete: true, ...done }
  const source = yield* plainRows(column)
  const isRetired = `IN (${retired.join(', ')})`
  const pace = new Pace()
  for (let after: RowKey | undefined; ;) {
    const stopped = yield* budget.stopped()
    if (stopped !== undefined) return { complete: false, ...done }
    const start = yield* now()
    const weight = Math.ceil(pace.weight())
    const chunk = yield* budget.transaction(function* () {
      const range = { after, upto: yield* endOfRange(column, isRetired, after, weight) }
      return { range, ...(yield* recompressRange(column, source, isRetired, range)) }
    })
    const seconds = (yield* now()) - start
    pace.took(weight, seconds)
    done.rows += chunk.rows
    done.bytesBefore += chunk.bytesBefore
    done.bytesAfter += chunk.bytesAfter
    if (chunk.rows > 0)
      yield* tell({
        type: 'chunk',
        lane: column.lane,
        rows: chunk.rows,
        bytesBefore: chunk.bytesBefore,
        bytesAfter: chunk.bytesAfter,
        seconds,
        rowsLeftEstimate: 0,
      })
    requireProgress(after, chunk.range.upto)
    after = chunk.range.upto
    if (after === undefined) return { complete: true, ...done }
    yield* budget.didChunk(seconds)
  }
}

function* endOfRange(
  column: CompressedColumn,
  isRetired: string,
  after: RowKey | undefined,
  rows: number,
): Policy<RowKey | undefined> {
  const { sql, params } = within(column, { after, upto: undefined })
  const found = yield* queryRow(
    `SELECT ${keyValues(column.key).join(', ')} FROM ${column.rows} WHERE ${column.dict} ${isRetired}${sql}
     ORDER BY ${keyTerms(column.key).join(', ')} LIMIT 1 OFFSET ?`,
    ...params,
    rows - 1,
  )
  return found === undefined ? undefined : readKey(found)
}

function* recompressRange(
  column: CompressedColumn,
  source: string,
  isRetired: string,
  range: KeyRange,
): Policy<Omit<Recompressed, 'complete'>> {
  const names = plainKey(column)
  const here = within({ key: names }, range)
  const inRange = `${storedDictionary} ${isRetired}${here.sql}`
  const keys = yield* query(
    `SELECT DISTINCT ${column.chooser} FROM (${source}) AS ${column.alias} WHERE ${inRange}`,
    ...here.params,
  )
  const { compressionLevel, tamp } = column.config
  const encodings: (string | number)[][] = []
  for (const [key] of keys) {
    const dictionary = typeof key === 'string' ? yield* dictionaryOf(column, key) : undefined
    const level = tamp?.auto === true ? (dictionary?.level ?? compressionLevel) : compressionLevel
    if (dictionary !== undefined) encodings.push([String(key), dictionary.id, level])
  }
  if (encodings.length === 0) return { rows: 0, bytesBefore: 0, bytesAfter: 0 }
  const before = yield* retiredBytes(column, isRetired, range)
  // By the collation of the key's index to find the row, and byte by byte, so that it cannot be another one.
  const same = names.flatMap(({ name, collate }, place) => {
    const own = `${column.alias}.${column.key[place]!.name}`
    const fresh = `"tamp fresh".${name}`
    return [`${own}${collate} = ${fresh}`, ...(collate === '' ? [] : [`${own} COLLATE BINARY = ${fresh}`])]
  })
  const changed = yield* query(
    `WITH "tamp encoding"("tamp key", "tamp dictionary", "tamp level") AS MATERIALIZED (
       VALUES ${encodings.map(() => '(?, ?, ?)').join(', ')})
     UPDATE ${column.rows} SET ${column.cell} = "tamp fresh".cell, ${column.dict} = "tamp fresh".dictionary
     FROM (SELECT ${names.map(({ name }) => name).join(', ')}, "tamp dictionary" AS dictionary, length(${storedCell}) AS bytes,
         zstd_compress_col(${column.cell}, "tamp level", "tamp dictionary", ${column.scope}) AS cell
       FROM (${source}) AS ${column.alias} JOIN "tamp encoding" ON ${column.chooser} = "tamp key" WHERE ${inRange}) AS "tamp fresh"
     WHERE ${same.join(' AND ')}
       AND length("tamp fresh".cell) <= "tamp fresh".bytes
     RETURNING length(${column.cell})`,
    ...encodings.flat(),
    ...here.params,
  )
  return {
    rows: changed.length,
    bytesBefore: before - (yield* retiredBytes(column, isRetired, range)),
    bytesAfter: changed.reduce((sum, [bytes]) => sum + Number(bytes), 0),
  }
}

/** Bytes of the cells of a range that still have a retired dictionary. */
function* retiredBytes(column: CompressedColumn, isRetired: string, range: KeyRange): Policy<number> {
  const { sql, params } = within(column, range)
  const found = yield* queryRow(
    `SELECT coalesce(sum(length(${column.cell})), 0) FROM ${column.rows} WHERE ${column.dict} ${isRetired}${sql}`,
    ...params,
  )
  return Number(found?.[0])
}
