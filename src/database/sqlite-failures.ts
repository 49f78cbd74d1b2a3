// What goes wrong with a SQLite database, in plain words: an SqlError as a TampError with one sentence and a hint.
import { TampError } from '../core/errors.ts'
import { SqlError } from './sqlite-value.ts'

/** SQLite's primary result codes that have a sentence of their own. */
const known: Readonly<Record<number, (file: string, error: SqlError) => TampError>> = {
  5: (file, error) => locked(file, error),
  6: (file, error) => locked(file, error),
  8: (file, error) =>
    new TampError('no-permission', `The database ${file} cannot be written: ${readOnlyReason(error)}.`, {
      hint: 'Check who owns the file and its directory, and whether the file system is mounted for writing.',
      cause: error,
    }),
  9: (_file, error) => new TampError('interrupted', 'Interrupted.', { cause: error }),
  10: (file, error) =>
    new TampError('failed', `The database ${file} cannot be read or written: ${plain(error)}.`, {
      hint: 'The disk may be failing or full, or the file lies on a network share that went away.',
      cause: error,
    }),
  11: (file, error) =>
    new TampError('failed', `The database ${file} is damaged: ${plain(error)}.`, {
      hint: 'Make a copy of the file first. PRAGMA integrity_check says what is damaged; ".recover" of the sqlite3 shell saves what can be read.',
      cause: error,
    }),
  13: (file, error) =>
    new TampError('failed', `There is no room left for the database ${file}: ${plain(error)}.`, {
      hint: 'What was not finished was taken back. Make room on the disk (or raise max_page_count) and run the command again.',
      cause: error,
    }),
  14: (file, error) =>
    new TampError('no-such-database', `The database ${file} cannot be opened: ${plain(error)}.`, {
      hint: 'Is the path right, is it a file, and may this user read it (and, in WAL mode, write to its directory)?',
      cause: error,
    }),
  23: (file, error) =>
    new TampError('no-permission', `The database ${file} does not allow this: ${plain(error)}.`, { cause: error }),
  26: (file, error) =>
    new TampError('unknown-schema', `The file ${file} is not a SQLite database.`, {
      hint: 'Is it the right file? An encrypted database looks like this, too.',
      cause: error,
    }),
}

function locked(file: string, error: SqlError): TampError {
  return new TampError('locked', `The database ${file} is locked by another program.`, {
    hint: 'Try again when that has finished; "fuser FILE" names the processes that have it open.',
    cause: error,
  })
}

/** SQLITE_READONLY_DBMOVED and _ROLLBACK mean something else than a missing permission. */
function readOnlyReason(error: SqlError): string {
  if (error.code === (8 | (4 << 8))) return 'it was moved or deleted since it was opened'
  if (error.code === (8 | (3 << 8))) return 'a transaction that broke off must be rolled back first'
  return 'it is read-only'
}

function plain({ message }: SqlError): string {
  return message.replace(/[.\s]+$/, '')
}

/** An error met at work on a database, for the user; a TampError stays what it is. */
export function describeSqliteFailure(error: unknown, file: string): TampError {
  if (error instanceof TampError) return error
  if (error instanceof SqlError) {
    return (
      known[error.primaryCode]?.(file, error) ??
      new TampError('failed', `SQLite reports: ${plain(error)}.`, { cause: error })
    )
  }
  return new TampError('failed', error instanceof Error ? error.message : String(error), { cause: error })
}
