// NULLs of columns that sqlite-zstd enabled. Its own maintenance fails on a group that has nothing pending but NULLs, unless they are marked
// as seen to, which it does itself where it compresses a group.

import { Pace } from '../../core/pace.ts'
import { noDictionary } from './catalogue.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { now, query, queryRow } from './request.ts'
import type { Policy } from './request.ts'
import { keyTerms, keyValues, readKey, requireProgress, within } from './row-key.ts'
import type { RowKey } from './row-key.ts'
import type { WorkBudget } from './work-budget.ts'

/** Marks the NULLs of a column, chunk by chunk, as far as the budget goes; the next run goes on. */
export function* settleNulls(column: CompressedColumn, budget: WorkBudget): Policy<void> {
  const { rows, cell, dict, key } = column
  const open = `${dict} IS NULL AND ${cell} IS NULL`
  const none = yield* budget.patiently(() =>
    queryRow(
      `SELECT 1 FROM main._zstd_dicts WHERE id = ${noDictionary} AND EXISTS (SELECT 1 FROM ${rows} WHERE ${open})`,
    ),
  )
  if (none === undefined) return
  const pace = new Pace()
  for (let after: RowKey | undefined; (yield* budget.stopped()) === undefined;) {
    const start = yield* now()
    const weight = Math.ceil(pace.weight())
    const upto = yield* budget.transaction(function* () {
      const rest = within(column, { after, upto: undefined })
      const found = yield* queryRow(
        `SELECT ${keyValues(key).join(', ')} FROM ${rows} WHERE ${open}${rest.sql}
         ORDER BY ${keyTerms(key).join(', ')} LIMIT 1 OFFSET ?`,
        ...rest.params,
        weight - 1,
      )
      const last = found === undefined ? undefined : readKey(found)
      const range = within(column, { after, upto: last })
      yield* query(`UPDATE ${rows} SET ${dict} = ${noDictionary} WHERE ${open}${range.sql}`, ...range.params)
      return last
    })
    const seconds = (yield* now()) - start
    pace.took(weight, seconds)
    requireProgress(after, upto)
    after = upto
    if (after === undefined) return
    yield* budget.rest(seconds)
  }
}
