// Drops the dictionaries that no cell needs and that no row can come to need: those that have been replaced, and those whose key no column
// gives any more. Only tamp's own: any other may be one that a user keeps for cells of their own.
//
// No new cell of tamp's can come to need one: whoever compresses looks, in the same transaction, whether the dictionary still has its key.
// sqlite-zstd does not look: a process of it that is at work on the same file may still write a dictionary's id that it read before.

import { configuredColumns, hasTampCatalogue } from './catalogue.ts'
import { constantKey } from './compressed-column.ts'
import { quoted } from './names.ts'
import { query, queryRow } from './request.ts'
import type { Policy } from './request.ts'
import type { WorkBudget } from './work-budget.ts'

/** A column that may say with which dictionaries the cells of a table are compressed; both quoted. */
export interface DictionaryColumn {
  readonly table: string
  readonly dict: string
}

/** Virtual tables cannot be asked where their module is missing. */
const ordinary = `tables.type = 'table' AND tables.rootpage > 0`

/** Drops what is not needed; the ids. Reads every table that may have compressed cells, twice where something goes. */
export function* collectUnused(budget: WorkBudget): Policy<readonly number[]> {
  if (!(yield* hasTampCatalogue())) return []
  const seen = yield* budget.patiently(unusedDictionaries)
  if (seen.length === 0) return []
  return yield* budget.transaction(function* () {
    const unused = (yield* unusedDictionaries()).filter((id) => seen.includes(id))
    if (unused.length === 0) return []
    const ids = unused.join(', ')
    const guard = yield* queryRow(
      `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name = '_zstd_dicts_never_deleted'`,
    )
    if (guard !== undefined) yield* query(`DROP TRIGGER main.${quoted(String(guard[0]))}`)
    yield* query(`DELETE FROM main._zstd_dicts WHERE id IN (${ids})`)
    yield* query(`DELETE FROM main._tamp_dicts WHERE id IN (${ids})`)
    if (guard !== undefined) yield* query(String(guard[1]).replace(/^CREATE TRIGGER /, 'CREATE TRIGGER main.'))
    return unused
  })
}

function* unusedDictionaries(): Policy<readonly number[]> {
  const unused = new Set(yield* outOfUse())
  for (const { table, dict } of yield* dictionaryColumns()) {
    if (unused.size === 0) return []
    const used = yield* query(`SELECT DISTINCT ${dict} FROM ${table} WHERE ${dict} IN (${[...unused].join(', ')})`)
    for (const [id] of used) unused.delete(Number(id))
  }
  return [...unused]
}

/** Ids of the dictionaries of tamp that no row is given any more. */
function* outOfUse(): Policy<readonly number[]> {
  const found = yield* query(
    `SELECT t.id, d.chooser_key FROM main._tamp_dicts t JOIN main._zstd_dicts d ON d.id = t.id
     WHERE t.id > 0 AND (d.chooser_key IS NOT NULL OR t.retired_key IS NOT NULL)`,
  )
  // The keys that columns have by default; a chooser that says just such a one of another column gets a new dictionary.
  const names = new Set(
    (yield* query(
      `SELECT DISTINCT lower(iif(tables.name LIKE '\\_%\\_zstd' ESCAPE '\\', substr(tables.name, 2, length(tables.name) - 6), tables.name)
       || '.' || columns.name)
     FROM sqlite_schema AS tables, pragma_table_xinfo(tables.name, 'main') AS columns WHERE ${ordinary}`,
    )).map(([name]) => String(name)),
  )
  const keys = new Set((yield* configuredColumns()).map(({ config }) => constantKey(config.dictChooser)))
  // Nobody knows what an expression will say of rows to come.
  const all = keys.has(undefined)
  const gone = (key: string): boolean => !keys.has(key) && (!all || names.has(key.toLowerCase()))
  return found.flatMap(([id, key]) => (key === null || gone(String(key)) ? [Number(id)] : []))
}

/** Every column that is named as one that says how cells are stored, listed as such or not. */
function* dictionaryColumns(condition = 'true'): Policy<readonly DictionaryColumn[]> {
  const found = yield* query(
    `SELECT tables.name, dict.name FROM sqlite_schema AS tables, pragma_table_xinfo(tables.name, 'main') AS dict
     WHERE ${ordinary} AND dict.name LIKE '\\_%\\_dict' ESCAPE '\\' AND ${condition}`,
  )
  return found.map(([table, dict]) => ({ table: `main.${quoted(String(table))}`, dict: quoted(String(dict)) }))
}

const besideItsCell = `EXISTS (
  SELECT 1 FROM pragma_table_xinfo(tables.name, 'main') AS cell WHERE dict.name = '_' || cell.name || '_dict' COLLATE NOCASE)`

/** A column whose cells are compressed, of those there are; undefined where there is none. */
export function* usedDictionaryColumn(): Policy<DictionaryColumn | undefined> {
  for (const column of yield* dictionaryColumns(besideItsCell)) {
    const { table, dict } = column
    if ((yield* queryRow(`SELECT 1 FROM ${table} WHERE typeof(${dict}) = 'integer' LIMIT 1`)) !== undefined)
      return column
  }
  return undefined
}
