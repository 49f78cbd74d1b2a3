// What an error of SQLite means for a run: whether anything else has a chance after it, and how to say it.

import { TampError } from '../../core/errors.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { SqlError } from './request.ts'

/** Result codes after which no column of the database can be worked on. */
const words: ReadonlyMap<number, string> = new Map([
  [7, 'SQLite ran out of memory'],
  [8, 'the database cannot be written: the file, its folder or the connection is read-only'],
  [9, 'the statement was interrupted'],
  [10, 'the disk reported an error'],
  [13, 'the disk is full, or the database has reached its max_page_count'],
  [14, 'SQLite could not open a file it needs'],
  [26, 'the file is not a SQLite database'],
])

const codes: ReadonlyMap<number, ErrorCode> = new Map([
  [5, 'locked'],
  [6, 'locked'],
  [8, 'no-permission'],
  [9, 'interrupted'],
  [26, 'unknown-schema'],
])

/** True where the rest of the run has no chance either. */
export function endsRun(error: unknown): boolean {
  return error instanceof SqlError && words.has(error.primaryCode)
}

/** True where somebody interrupted the statement. */
export function isInterruption(error: unknown): boolean {
  return error instanceof SqlError && error.primaryCode === 9
}

/** True where one cell or one row may be the reason: an error of a function, a constraint, a value that is too large. */
export function isRowFault(error: unknown): boolean {
  return error instanceof SqlError && [1, 18, 19, 20].includes(error.primaryCode)
}

/** The error in words, for a list of what was left. */
export function reasonOf(error: unknown): string {
  if (error instanceof SqlError) {
    const meaning = words.get(error.primaryCode)
    if (meaning !== undefined) return meaning
    if (error.primaryCode === 5 || error.primaryCode === 6)
      return `another connection kept the database locked (${error.message}); run again later`
    if (error.primaryCode === 11) return `the database file is damaged (${error.message}); see PRAGMA integrity_check`
    return error.message
  }
  if (error instanceof TampError && error.hint !== undefined) return `${error.message} ${error.hint}`
  return error instanceof Error ? error.message : String(error)
}

/** The error as one a user can act on. */
export function asTampError(error: unknown): TampError {
  if (error instanceof TampError) return error
  const reason = reasonOf(error)
  const sentence = `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`
  const code = error instanceof SqlError ? codes.get(error.primaryCode) : undefined
  return new TampError(code ?? 'failed', sentence, {
    hint: 'What was compressed before is kept; once the cause is gone, run again.',
    cause: error,
  })
}
