// What a table would do differently with a compressed column, and what stands in the way: said before anything is changed.

import { sameName } from './catalogue.ts'
import type { Compressed } from './layout.ts'
import { obstaclesOf } from './obstacles.ts'
import { columnRemarks, tableRemarks } from './remarks.ts'
import type { Remark } from './remarks.ts'
import type { Policy } from './request.ts'
import { columnOf, describeTable } from './table.ts'
import type { Column, Table } from './table.ts'

export type { Remark }

export interface Differences {
  /** `enable` would refuse. */
  readonly obstacles: readonly Remark[]
  /** Works differently. */
  readonly remarks: readonly Remark[]
}

/** @throws TampError where there is no such table or column */
export function* differences(table: string, column: string): Policy<Differences> {
  const described = yield* describeTable(table)
  const found = columnOf(described, column)
  if (described.compressed.some(({ config }) => sameName(config.column, found.name)))
    return { obstacles: [], remarks: [...tableRemarks(described), ...columnRemarks(described, found)] }
  return yield* differencesOf(described, found, [])
}

/** @param others the columns that are compressed beside it */
export function* differencesOf(table: Table, column: Column, others: readonly Compressed[]): Policy<Differences> {
  const ofTable = table.madeBy === 'nobody' ? [...tableRemarks(table)] : []
  return {
    obstacles: yield* obstaclesOf(table, column, others),
    remarks: [...ofTable, ...columnRemarks(table, column)],
  }
}
