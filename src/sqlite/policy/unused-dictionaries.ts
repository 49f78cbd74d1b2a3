// Drops the dictionaries that have been replaced and that no cell needs any more. Only those: a dictionary without a key may be one that
// a user keeps for cells of their own.
//
// No new cell can come to need a replaced dictionary: whoever compresses looks, in the same transaction, whether it still has its key.

import { hasTampCatalogue } from './catalogue.ts'
import { quoted } from './names.ts'
import { retiredDictionaries } from './recompress.ts'
import { query, queryRow } from './request.ts'
import type { Policy } from './request.ts'
import type { WorkBudget } from './work-budget.ts'

/** Drops what is not needed; the ids. Reads every table that has compressed cells. */
export function* collectUnused(budget: WorkBudget): Policy<readonly number[]> {
  if (!(yield* hasTampCatalogue())) return []
  const unused = new Set(yield* budget.patiently(retiredDictionaries))
  for (const { table, dict } of yield* dictionaryColumns()) {
    if (unused.size === 0) return []
    const used = yield* budget.patiently(() =>
      query(`SELECT DISTINCT ${dict} FROM ${table} WHERE ${dict} IN (${[...unused].join(', ')})`),
    )
    for (const [id] of used) unused.delete(Number(id))
  }
  if (unused.size === 0) return []
  const ids = [...unused].join(', ')
  yield* budget.transaction(function* () {
    const guard = yield* queryRow(
      `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name = '_zstd_dicts_never_deleted'`,
    )
    if (guard !== undefined) yield* query(`DROP TRIGGER main.${quoted(String(guard[0]))}`)
    yield* query(`DELETE FROM main._zstd_dicts WHERE id IN (${ids}) AND chooser_key IS NULL`)
    yield* query(`DELETE FROM main._tamp_dicts WHERE id IN (${ids})`)
    if (guard !== undefined) yield* query(String(guard[1]).replace(/^CREATE TRIGGER /, 'CREATE TRIGGER main.'))
  })
  return [...unused]
}

/** Every table that has the columns of a compressed column, listed as one or not, quoted. */
function* dictionaryColumns(): Policy<readonly { readonly table: string; readonly dict: string }[]> {
  const found = yield* query(
    `SELECT tables.name, dict.name FROM sqlite_schema AS tables, pragma_table_xinfo(tables.name, 'main') AS dict
     JOIN pragma_table_xinfo(tables.name, 'main') AS cell ON dict.name = '_' || cell.name || '_dict'
     WHERE tables.type = 'table'`,
  )
  return found.map(([table, dict]) => ({ table: `main.${quoted(String(table))}`, dict: quoted(String(dict)) }))
}
