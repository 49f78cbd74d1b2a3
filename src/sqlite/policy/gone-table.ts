// A compressed table that somebody dropped by its parts, the rows and the view: all that is left of its columns is their place on the list.

import { TampError } from '../../core/errors.ts'
import { configuredColumns, hasTampCatalogue, sameName } from './catalogue.ts'
import type { ColumnConfig, ConfiguredColumn } from './catalogue.ts'
import { dropCatalogue } from './drop-catalogue.ts'
import { dictColumn, literal, quoted, rowsTable } from './names.ts'
import { log, query, queryValue } from './request.ts'
import type { Policy } from './request.ts'

/** Whether there are neither the rows of a compressed table nor a view of its name. */
export function* isGone(table: string): Policy<boolean> {
  const left = yield* queryValue(
    `SELECT count(*) FROM sqlite_schema
      WHERE (type = 'table' AND name = ? COLLATE NOCASE) OR (type = 'view' AND name = ? COLLATE NOCASE)`,
    rowsTable(table),
    table,
  )
  return left === 0
}

/**
 * Takes a column of such a table off the list. To be called in a transaction, but for a dry run.
 * @returns the statements
 * @throws TampError where the rows seem to be there by another name
 */
export function* takeOffList({ id, config }: ConfiguredColumn, dryRun: boolean): Policy<readonly string[]> {
  yield* requireNotRenamed(config)
  const remembers = yield* hasTampCatalogue()
  const statements = [
    `DELETE FROM main._zstd_configs WHERE id = ${id}`,
    ...(remembers ? [`DELETE FROM main._tamp_schema WHERE table_name = ${literal(config.table)} COLLATE NOCASE`] : []),
  ]
  if (dryRun) return statements
  for (const sql of statements) yield* query(sql)
  if (remembers && (yield* configuredColumns()).length === 0) yield* dropCatalogue()
  yield* log(
    'info',
    `${config.table}.${config.column} is taken off the list of compressed columns: there is neither ${quoted(rowsTable(config.table))} nor a view of it`,
  )
  return statements
}

/** Cells of a table that was renamed need what is known of the column, and its dictionaries. */
function* requireNotRenamed({ table, column }: ColumnConfig): Policy<void> {
  const others = (yield* configuredColumns()).map(({ config }) => rowsTable(config.table))
  const tables = yield* query(
    `SELECT t.name FROM sqlite_schema t, pragma_table_info(t.name, 'main') c
      WHERE t.type = 'table' AND c.name COLLATE NOCASE IN (?, ?) GROUP BY t.name HAVING count(*) = 2`,
    column,
    dictColumn(column),
  )
  const found = tables.map(([name]) => String(name)).find((name) => !others.some((other) => sameName(other, name)))
  if (found === undefined) return
  throw new TampError(
    'failed',
    `There is no table ${rowsTable(table)} for ${table}.${column}; ${found} has a column ${dictColumn(column)} too, and may be it.`,
    {
      hint: `If it is: ALTER TABLE ${quoted(found)} RENAME TO ${quoted(rowsTable(table))}. If it is not, drop that column of it.`,
    },
  )
}
