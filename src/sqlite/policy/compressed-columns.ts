// The compressed columns of a table, from its description.

import type { ColumnConfig } from './catalogue.ts'
import { compressedAs } from './layout.ts'
import type { Compressed } from './layout.ts'
import { columnOf } from './table.ts'
import type { Column, Table } from './table.ts'

/** The columns of a table that are on their way back. */
export function disablingColumns(table: Table): readonly string[] {
  return table.compressed
    .filter(({ config }) => config.tamp?.disabling === true)
    .map(({ config }) => columnOf(table, config.column).name)
}

/** The compressed columns of a table, oldest first. */
export function compressedColumns(table: Table): readonly Compressed[] {
  return table.compressed.map(({ config }) => {
    const column = columnOf(table, config.column)
    return compressedAs(table, column, isStoredAsText(column, config), config.tamp?.minLength)
  })
}

/** Whether compressed cells are text: as the catalogue says; where sqlite-zstd wrote it, by the declared type, as it does. */
export function isStoredAsText(column: Column, { tamp }: ColumnConfig): boolean {
  return tamp?.text ?? column.affinity === 'TEXT'
}
