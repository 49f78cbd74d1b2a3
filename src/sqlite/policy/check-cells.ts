// Every compressed cell of a column can be read, with a dictionary that is there. Goes over the rows in the order of their key, in windows.

import { Pace } from '../../core/pace.ts'
import { noDictionary, noDictionaryOtherType } from './catalogue.ts'
import type { ColumnConfig } from './catalogue.ts'
import { cellError, compressedColumn } from './compressed-column.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { missingText } from './findings.ts'
import type { Findings } from './findings.ts'
import { now, query, queryValue, tell } from './request.ts'
import type { Policy } from './request.ts'
import { endOfRows, requireProgress, within } from './row-key.ts'
import type { KeyRange, RowKey } from './row-key.ts'
import { endsRun, reasonOf } from './sql-failures.ts'
import type { WorkBudget } from './work-budget.ts'

export interface CheckedCells {
  readonly cells: number
  readonly stopped: 'limit' | 'interrupted' | undefined
}

export function* checkCells(
  config: ColumnConfig,
  dictionaries: ReadonlySet<number>,
  findings: Findings,
  budget: WorkBudget,
): Policy<CheckedCells> {
  let cells = 0
  try {
    const column = yield* compressedColumn(config)
    const pace = new Pace()
    const used = new Set<number>()
    let left = Number(yield* queryValue(`SELECT count(*) FROM ${column.rows}`))
    for (let after: RowKey | undefined; ;) {
      const stopped = yield* budget.stopped()
      if (stopped !== undefined) return { cells, stopped }
      const start = yield* now()
      const weight = Math.ceil(pace.weight())
      const range: KeyRange = { after, upto: yield* endOfRows(column, `${column.rows} WHERE true`, after, weight) }
      cells += yield* budget.patiently(() => checkRange(column, range, dictionaries, used, findings))
      const seconds = (yield* now()) - start
      pace.took(weight, seconds)
      left -= weight
      yield* tell({ type: 'read', lane: column.lane, rows: weight, rowsLeftEstimate: Math.max(0, left) })
      requireProgress(after, range.upto)
      after = range.upto
      if (after === undefined) break
      yield* budget.rest(seconds)
    }
    yield* checkUse(column, used, findings)
  } catch (error) {
    // What is missing has been found before; the other columns can be checked all the same.
    if (endsRun(error)) throw error
    if (findings.count('config-without-rows') === 0)
      yield* findings.add('check-failed', `${config.table}.${config.column}`, reasonOf(error))
  }
  return { cells, stopped: undefined }
}

/** @returns cells that were decoded */
function* checkRange(
  column: CompressedColumn,
  range: KeyRange,
  dictionaries: ReadonlySet<number>,
  used: Set<number>,
  findings: Findings,
): Policy<number> {
  const { dict, lane } = column
  const { sql, params } = within(column, range)
  const error = cellError(column)
  const key = column.key.map(({ name }) => name)
  const rows = `FROM ${column.rows} WHERE ${dict} IS NOT NULL${sql}`
  const states = yield* query(
    `SELECT dict, count(*), sum(bad) FROM (SELECT ${dict} AS dict, ${error} IS NOT NULL AS bad ${rows} LIMIT -1)
     GROUP BY dict`,
    ...params,
  )
  let cells = 0
  for (const [id, count, bad] of states) {
    const dictionary = Number(id)
    const there = dictionary === noDictionary || dictionary === noDictionaryOtherType || dictionaries.has(dictionary)
    cells += Number(count)
    used.add(dictionary)
    if (!there) {
      yield* missing(column, dictionary, Number(count), findings)
      continue
    }
    if (Number(bad) === 0) continue
    const named = yield* query(
      `SELECT ${key.join(', ')}, error FROM (
         SELECT ${key.join(', ')}, ${error} AS error ${rows} AND ${dict} = ? LIMIT -1)
       WHERE error IS NOT NULL LIMIT ?`,
      ...params,
      dictionary,
      findings.room('cell-unreadable'),
    )
    for (const row of named) {
      const place = row.slice(0, key.length).map(String).join(', ')
      yield* findings.add('cell-unreadable', `${lane} row ${place}`, String(row.at(-1)))
    }
    findings.more('cell-unreadable', Number(bad) - named.length)
  }
  return cells
}

function* missing(column: CompressedColumn, id: number, count: number, findings: Findings): Policy<void> {
  yield* findings.add('dictionary-missing', `${column.lane} dictionary ${id}`, missingText(count))
}

/** A dictionary that has been replaced and that nothing needs is no fault, but takes space. */
function* checkUse(column: CompressedColumn, used: ReadonlySet<number>, findings: Findings): Policy<void> {
  if (!column.catalogue) return
  const retired = yield* query(
    `SELECT t.id, length(d.dict) FROM main._tamp_dicts t JOIN main._zstd_dicts d ON d.id = t.id WHERE t.retired_key IS NOT NULL`,
  )
  for (const [id, bytes] of retired)
    if (used.has(Number(id)))
      yield* findings.add(
        'dictionary-replaced',
        `${column.lane} dictionary ${String(id)}`,
        `it was replaced by a better one, and cells still need it (${String(bytes)} bytes): maintain with recompress`,
      )
}
