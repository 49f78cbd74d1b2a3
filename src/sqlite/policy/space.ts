// What compressed rows gave back to the file: pages freed inside it, and the ways to hand them to the disk.

import { autocommit, log, now, query, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import { reasonOf } from './sql-failures.ts'
import type { WorkBudget } from './work-budget.ts'

export interface FileSpace {
  /** Bytes of a page. */
  readonly pageSize: number
  readonly pages: number
  /** Pages that hold nothing. */
  readonly freePages: number
  /** Pages that this run cut off the end of the file. */
  readonly freedPages: number
  readonly autoVacuum: 'none' | 'full' | 'incremental'
  /**
   * Bytes that VACUUM would give back, about; 0 where it is not worth its while. Most of them lie inside pages: a cell that gets smaller
   * leaves a gap in its page, and SQLite joins half-empty pages only then.
   */
  readonly vacuumSavesBytesEstimate: number
}

/** Pages given back at once: a few milliseconds. */
const pagesAtOnce = 256
/** A VACUUM that frees less than this share of the file is not worth writing the rest of it anew. */
const leastShare = 0.1

/** Moves the write-ahead log into the database as far as readers allow, so that it does not grow without end. */
export function* checkpoint(): Policy<void> {
  if (!(yield* autocommit())) return
  if ((yield* queryValue('PRAGMA journal_mode')) !== 'wal') return
  try {
    yield* query('PRAGMA wal_checkpoint(PASSIVE)')
  } catch (error) {
    yield* log('debug', `the write-ahead log was not checkpointed: ${reasonOf(error)}`)
  }
}

/**
 * Gives free pages back to the disk where the file allows it, in small steps, and says what else could be gained.
 * @param savedBytes by which cells have become smaller in this run
 */
export function* giveBack(budget: WorkBudget, mayWrite: boolean, savedBytes: number): Policy<FileSpace> {
  const autoVacuum = (['none', 'full', 'incremental'] as const)[Number(yield* queryValue('PRAGMA auto_vacuum'))]!
  const before = yield* freePages()
  let free = before
  while (mayWrite && autoVacuum === 'incremental' && free > 0) {
    if ((yield* budget.secondsLeft()) <= 0) break
    const start = yield* now()
    const target = Math.max(0, free - pagesAtOnce)
    const left = yield* budget.transaction(() => cutTo(target))
    if (left >= free) break
    free = left
    yield* budget.rest((yield* now()) - start)
  }
  const pageSize = Number(yield* queryValue('PRAGMA page_size'))
  const pages = Number(yield* queryValue('PRAGMA page_count'))
  const gain = Math.min(pages * pageSize, free * pageSize + savedBytes)
  return {
    pageSize,
    pages,
    freePages: free,
    freedPages: before - free,
    autoVacuum,
    vacuumSavesBytesEstimate: gain >= pages * pageSize * leastShare ? gain : 0,
  }
}

/** Cuts free pages off until so many are left; how many there are then. Drivers that step a statement once free one page by it. */
function* cutTo(target: number): Policy<number> {
  for (let free = yield* freePages(); ;) {
    if (free <= target) return free
    yield* query(`PRAGMA incremental_vacuum(${free - target})`)
    const left = yield* freePages()
    if (left >= free) return left
    free = left
  }
}

function* freePages(): Policy<number> {
  return Number(yield* queryValue('PRAGMA freelist_count'))
}
