// Settings of a connection and its file that make maintenance beside other programs hard, each worth a word.

import { log, queryValue } from './request.ts'
import type { Policy } from './request.ts'

export function* adviseOnConnection(): Policy<void> {
  if ((yield* queryValue('PRAGMA busy_timeout')) === 0)
    yield* log(
      'info',
      'busy_timeout is 0: while maintenance writes, other writers on such connections fail at once instead of waiting',
    )
  const file = yield* queryValue(`SELECT file FROM pragma_database_list WHERE name = 'main'`)
  if (file === null || file === '') return
  if ((yield* queryValue('PRAGMA journal_mode')) !== 'wal')
    yield* log(
      'info',
      'the database is not in WAL mode: while maintenance commits, readers wait (PRAGMA journal_mode = WAL)',
    )
  if ((yield* queryValue('PRAGMA auto_vacuum')) !== 2)
    yield* log(
      'info',
      'the file does not become smaller by itself: run VACUUM after maintenance, or use PRAGMA auto_vacuum = INCREMENTAL',
    )
}
