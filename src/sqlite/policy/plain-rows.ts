// The rows of a table with all their compressed columns as the user sees them, for choosers of rows that are compressed already: a chooser
// may look into the very column it chooses for.

import { configuredColumns, sameName } from './catalogue.ts'
import { compressedColumn, decoded, decodedOrNull } from './compressed-column.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { quoted } from './names.ts'
import type { Policy } from './request.ts'
import type { KeyPart } from './row-key.ts'

/** What `plainRows` gives beside the columns of the table. */
export const storedCell = '"tamp stored cell"'
export const storedDictionary = '"tamp stored dictionary"'

/** The key of a row under the names that `plainRows` gives it. */
export function plainKey({ key }: CompressedColumn): readonly KeyPart[] {
  return key.map(({ collate }, place) => ({ name: `"tamp key ${place}"`, collate }))
}

/**
 * A query that gives every row with its columns plain, its key, and the cell and dictionary of `column` as they are stored.
 * @param damaged what to give for a cell that cannot be decoded: an error, or NULL
 */
export function* plainRows(column: CompressedColumn, damaged: 'error' | 'null' = 'error'): Policy<string> {
  const plain = new Map<string, string>()
  for (const { config } of yield* configuredColumns())
    if (sameName(config.table, column.config.table)) {
      const sibling = yield* compressedColumn(config)
      plain.set(sibling.cell, damaged === 'error' ? decoded(sibling) : decodedOrNull(sibling))
    }
  const names = plainKey(column)
  const parts = [
    ...column.key.map((part, place) => `${part.name} AS ${names[place]!.name}`),
    `${column.cell} AS ${storedCell}`,
    `${column.dict} AS ${storedDictionary}`,
    ...(column.columns.some((name) => sameName(name, 'rowid')) || column.key[0]!.name !== 'rowid'
      ? []
      : ['rowid AS rowid']),
    ...column.columns.map((name) => `${plain.get(quoted(name)) ?? quoted(name)} AS ${quoted(name)}`),
  ]
  return `SELECT ${parts.join(', ')} FROM ${column.rows}`
}
