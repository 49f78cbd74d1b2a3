// New dictionaries for a whole column because they were asked for: trained on the rows as they are now, compressed or not, and put in the
// place of those that do worse.

import type { CompressedColumn } from './compressed-column.ts'
import { bytesOf, usualType } from './compressed-column.ts'
import type { Encodings } from './encodings.ts'
import { plainKey, plainRows } from './plain-rows.ts'
import { query, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import { everyNth } from './samples.ts'
import type { CellSource } from './samples.ts'
import { isRowFault } from './sql-failures.ts'
import type { WorkBudget } from './work-budget.ts'

/** Rows that are read to learn which groups there are. */
const readRows = 200_000
/** Keys that are retrained in one run, those with most bytes. */
const mostKeys = 100

/** Cells that cannot be decoded are passed over. */
export function* retrainColumn(column: CompressedColumn, budget: WorkBudget, encodings: Encodings): Policy<void> {
  try {
    yield* retrainFrom(yield* plainRows(column), column, budget, encodings)
  } catch (error) {
    if (!isRowFault(error)) throw error
    // Looking at every cell twice is for those who must.
    yield* retrainFrom(yield* plainRows(column, 'null'), column, budget, encodings)
  }
}

function* retrainFrom(
  source: string,
  column: CompressedColumn,
  budget: WorkBudget,
  encodings: Encodings,
): Policy<void> {
  const rows = Number(yield* budget.patiently(() => queryValue(`SELECT count(*) FROM ${column.rows}`)))
  const stride = Math.max(1, Math.ceil(rows / readRows))
  const some = everyNth({ ...column, key: plainKey(column) }, stride)
  const share = some === '' ? 1 : stride
  const worthwhile = `typeof(${column.cell}) = '${usualType(column)}' AND length(${column.cell}) >= ${column.config.tamp?.minLength ?? 1}`
  const found = yield* budget.patiently(() =>
    query(
      `SELECT key, count(*), sum(bytes) FROM (
         SELECT ${column.chooser} AS key, ${bytesOf(column.cell)} AS bytes FROM (${source}) AS ${column.alias} WHERE ${worthwhile}${some} LIMIT -1)
       WHERE typeof(key) = 'text' AND key <> '[nodict]' GROUP BY key ORDER BY 3 DESC LIMIT ${mostKeys}`,
    ),
  )
  for (const [key, count, bytes] of found) {
    if ((yield* budget.stopped()) !== undefined) return
    const cells: CellSource = {
      sql: `SELECT ${column.cell} AS cell FROM (${source}) AS ${column.alias} WHERE ${worthwhile} AND ${column.chooser} = ?${some}`,
      params: [key!],
    }
    yield* encodings.retrain(String(key), cells, { rows: Number(count), bytes: Number(bytes) }, share)
  }
}
