// The rows of a table with all their compressed columns as the user sees them, for choosers of rows that are compressed already: a chooser
// may look into the very column it chooses for.

import { configuredColumns, sameName } from './catalogue.ts'
import { compressedColumn, decoded } from './compressed-column.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { quoted } from './names.ts'
import type { Policy } from './request.ts'

/** What `plainRows` gives beside the columns of the table. */
export const storedCell = '"tamp stored cell"'
export const storedDictionary = '"tamp stored dictionary"'

/** The names under which `plainRows` gives the key of a row. */
export function keyNames({ key }: CompressedColumn): readonly string[] {
  return key.map((_, place) => `"tamp key ${place}"`)
}

/** A query that gives every row with its columns plain, its key, and the cell and dictionary of `column` as they are stored. */
export function* plainRows(column: CompressedColumn): Policy<string> {
  const plain = new Map<string, string>()
  for (const { config } of yield* configuredColumns())
    if (sameName(config.table, column.config.table)) {
      const sibling = yield* compressedColumn(config)
      plain.set(sibling.cell, decoded(sibling))
    }
  const names = keyNames(column)
  const parts = [
    ...column.key.map((part, place) => `${part} AS ${names[place]!}`),
    `${column.cell} AS ${storedCell}`,
    `${column.dict} AS ${storedDictionary}`,
    ...(column.columns.some((name) => sameName(name, 'rowid')) || column.key[0] !== 'rowid' ? [] : ['rowid AS rowid']),
    ...column.columns.map((name) => `${plain.get(quoted(name)) ?? quoted(name)} AS ${quoted(name)}`),
  ]
  return `SELECT ${parts.join(', ')} FROM ${column.rows}`
}
