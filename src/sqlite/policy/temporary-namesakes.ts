// Temporary tables and views that hide those of the database: statements that mean the one would be carried out on the other.

import { TampError } from '../../core/errors.ts'
import { rowsTable } from './names.ts'
import type { Remark } from './remarks.ts'
import { queryValue } from './request.ts'
import type { Policy } from './request.ts'
import type { Table } from './table.ts'

/** What this connection hides the table, or its rows, behind; undefined where it does not. */
export function* temporaryNamesake(table: Table): Policy<Remark | undefined> {
  const name = yield* queryValue(
    `SELECT name FROM sqlite_temp_schema WHERE type IN ('table', 'view') AND name COLLATE NOCASE IN (?, ?)`,
    table.name,
    rowsTable(table.name),
  )
  if (name === undefined) return undefined
  return {
    code: 'temporary-namesake',
    detail: `This connection has a temporary ${String(name)}, which hides the one of the database.`,
    hint: 'Drop it, or use another connection.',
  }
}

/** @throws TampError where there is such a one */
export function* requireNoTemporaryNamesake(table: Table): Policy<void> {
  const found = yield* temporaryNamesake(table)
  if (found !== undefined)
    throw new TampError('failed', `${table.name} cannot be changed: ${found.detail}`, { hint: found.hint! })
}
