// What concerns a database file as a whole, as policy: a copy of it, and giving back the pages it no longer needs.
import { configuredColumns } from '../policy/catalogue.ts'
import { query } from '../policy/request.ts'
import type { Policy } from '../policy/request.ts'

export interface CopyOptions {
  /** Path of the copy; an empty file at most. */
  readonly target: string
}

/** Writes a packed copy of the database, as it is in one moment. */
export function* copyInto({ target }: CopyOptions): Policy<null> {
  yield* query('VACUUM INTO ?', target)
  return null
}

/** Rebuilds the file with no more pages than it needs. Wants as much room again while it works, and nobody else at work. */
export function* vacuum(): Policy<null> {
  yield* query('VACUUM')
  return null
}

export interface ColumnName {
  readonly table: string
  readonly column: string
}

/** The compressed columns there are, oldest first. */
export function* compressedColumns(): Policy<readonly ColumnName[]> {
  const all = yield* configuredColumns()
  return all.map(({ config: { table, column } }) => ({ table, column }))
}
