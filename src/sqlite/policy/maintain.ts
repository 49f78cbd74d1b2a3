// Maintenance: compresses what is pending in every compressed column, trains the dictionaries that are missing or no longer do well, and
// gives the space back. Chunk by chunk, each a transaction: it can be stopped, killed and run again at any time, by several at once.

import { TampError } from '../../core/errors.ts'
import type { Left } from '../../core/unit.ts'
import { configuredColumns, sameName } from './catalogue.ts'
import type { ColumnConfig } from './catalogue.ts'
import { compressedColumn } from './compressed-column.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { beingDisabled, planColumn } from './maintain-plan.ts'
import { ColumnRun } from './maintain-column.ts'
import type { MaintainedColumn } from './maintained.ts'
import { recompress } from './recompress.ts'
import type { Recompressed } from './recompress.ts'
import { log, now, query, SqlError, tell } from './request.ts'
import type { Policy } from './request.ts'
import { retrainColumn } from './retrain-column.ts'
import { settleNulls } from './settle-nulls.ts'
import { checkpoint, giveBack } from './space.ts'
import type { FileSpace } from './space.ts'
import { asTampError, endsRun, isInterruption, reasonOf } from './sql-failures.ts'
import { collectUnused } from './unused-dictionaries.ts'
import { isLocked, startWork } from './work-budget.ts'
import type { Limits, WorkBudget } from './work-budget.ts'

export type * from './maintained.ts'

export interface MaintainOptions extends Limits {
  /** Only columns of this table. */
  readonly table?: string
  /** Only this column. */
  readonly column?: string
  /** Train new dictionaries from the rows as they are now, and take those that are better. */
  readonly retrain?: boolean
  /** Compress anew what was compressed with dictionaries that have been replaced, and drop those that nothing needs any more. */
  readonly recompress?: boolean
  /** Change nothing; say what would be done. */
  readonly dryRun?: boolean
}

export interface Maintained {
  /** All columns were gone through; rows and columns that were left for a reason do not count against it. */
  readonly complete: boolean
  /** Why it stopped before it was complete. */
  readonly stopped?: 'limit' | 'interrupted'
  readonly columns: readonly MaintainedColumn[]
  /** Columns that were left, and why. */
  readonly skipped: readonly Left[]
  /** Ids of dictionaries that nothing needed any more. */
  readonly collected: readonly number[]
  readonly space: FileSpace
  readonly seconds: number
  readonly throttledSeconds: number
}

/** @throws TampError for options that cannot be, and where not even one column could be worked on for the same reason */
export function* maintain(options: MaintainOptions = {}): Policy<Maintained> {
  const start = yield* now()
  const budget = yield* startWork(options)
  yield* requireExtension()
  return yield* new MaintainRun(options, budget).run(start)
}

/** @throws TampError where the functions of the extension are not there */
export function* requireExtension(): Policy<void> {
  try {
    yield* query('SELECT tamp_library()')
  } catch (error) {
    if (!(error instanceof SqlError) || error.primaryCode !== 1) throw error
    throw new TampError('failed', 'The tamp extension is not loaded in this connection.', {
      hint: 'Load it first; `tamp sqlite shell-init` says how.',
      cause: error,
    })
  }
}

class MaintainRun {
  readonly #options: MaintainOptions
  readonly #budget: WorkBudget
  readonly #columns: MaintainedColumn[] = []
  readonly #skipped: Left[] = []
  #stopped: 'limit' | 'interrupted' | undefined
  /** Somebody kept the database locked: the next run may find it free. */
  #locked = false
  /** Others made rows pending faster than this run compressed them. */
  #more = false
  #collected: readonly number[] = []

  constructor(options: MaintainOptions, budget: WorkBudget) {
    this.#options = options
    this.#budget = budget
  }

  *run(start: number): Policy<Maintained> {
    const { dryRun = false, recompress: again = false } = this.#options
    const configs = yield* this.#configs()
    for (const config of configs) {
      const lane = `${config.table}.${config.column}`
      if (this.#stopped === undefined && this.#columns.length + this.#skipped.length > 0)
        this.#stopped = yield* this.#budget.stopped()
      if (this.#stopped !== undefined) break
      try {
        if (config.tamp?.disabling === true) {
          this.#columns.push(yield* beingDisabled(config))
          continue
        }
        const column = yield* this.#budget.patiently(() => compressedColumn(config))
        if (dryRun) this.#columns.push(yield* planColumn(column, this.#budget))
        else yield* this.#column(column)
      } catch (error) {
        if (isInterruption(error)) this.#stopped = 'interrupted'
        else if (endsRun(error) && this.#columns.every(({ rows }) => rows === 0)) throw asTampError(error)
        else yield* this.#skip(lane, reasonOf(error))
        if (isLocked(error)) this.#locked = true
        if (endsRun(error)) break
      }
    }
    this.#stopped ??= this.#locked ? yield* this.#budget.stopped() : undefined
    if (again && !dryRun && this.#stopped === undefined) this.#collected = yield* collectUnused(this.#budget)
    const worked = this.#columns.some(({ rows, recompressed }) => rows > 0 || recompressed.rows > 0)
    if (worked) yield* checkpoint()
    const saved = this.#columns.map(
      ({ bytesBefore, bytesAfter, recompressed: anew }) =>
        bytesBefore - bytesAfter + anew.bytesBefore - anew.bytesAfter,
    )
    const savedBytes = saved.reduce((sum, bytes) => sum + bytes, 0)
    const space = yield* giveBack(this.#budget, !dryRun && this.#stopped !== 'interrupted', savedBytes)
    return {
      complete: this.#stopped === undefined && !this.#locked && !this.#more,
      ...(this.#stopped === undefined ? {} : { stopped: this.#stopped }),
      columns: this.#columns,
      skipped: this.#skipped,
      collected: this.#collected,
      space,
      seconds: (yield* now()) - start,
      throttledSeconds: this.#budget.throttledSeconds,
    }
  }

  /** The columns asked for. @throws TampError where there is none of that name */
  *#configs(): Policy<readonly ColumnConfig[]> {
    const { table, column } = this.#options
    const all = (yield* this.#budget.patiently(configuredColumns)).map(({ config }) => config)
    const wanted = all.filter(
      (config) =>
        (table === undefined || sameName(config.table, table)) &&
        (column === undefined || sameName(config.column, column)),
    )
    if (wanted.length > 0 || (table === undefined && column === undefined)) return wanted
    const lane = [table, column].filter((part) => part !== undefined).join('.')
    const there = all.map((config) => `${config.table}.${config.column}`).join(', ')
    throw new TampError('usage', `No column ${lane} is compressed in this database.`, {
      hint: there === '' ? 'Enable one first.' : `Compressed are: ${there}.`,
    })
  }

  /** What was done counts even where an error ends the column. */
  *#column(column: CompressedColumn): Policy<void> {
    const { retrain = false, recompress: again = false } = this.#options
    const run = new ColumnRun(column, this.#budget)
    let redone: Recompressed = { complete: true, rows: 0, bytesBefore: 0, bytesAfter: 0 }
    const notes: string[] = []
    let failed = true
    try {
      if (retrain && column.config.tamp === undefined) {
        notes.push(
          `${column.lane}: dictionaries of columns that sqlite-zstd enabled are not retrained; enabling takes one over`,
        )
        yield* log('info', notes[0]!)
      } else if (retrain) yield* retrainColumn(column, this.#budget, run.encodings)
      this.#stopped = yield* run.run()
      this.#more ||= this.#stopped === undefined && !run.complete
      if (column.config.tamp === undefined && this.#stopped === undefined) yield* settleNulls(column, this.#budget)
      if (again && this.#stopped === undefined) {
        redone = yield* recompress(column, this.#budget)
        if (!redone.complete) this.#stopped = (yield* this.#budget.stopped()) ?? 'limit'
      }
      failed = false
    } finally {
      const { rows, bytesBefore, bytesAfter, chunks, left, encodings } = run
      this.#columns.push({
        table: column.config.table,
        column: column.config.column,
        lane: column.lane,
        complete: run.complete && redone.complete && !failed,
        rows,
        bytesBefore,
        bytesAfter,
        chunks,
        pendingRows: run.pendingRows,
        left: left.all,
        notes,
        dictionaries: encodings.trained,
        drifted: encodings.drifted,
        recompressed: { rows: redone.rows, bytesBefore: redone.bytesBefore, bytesAfter: redone.bytesAfter },
      })
    }
  }

  *#skip(subject: string, reason: string): Policy<void> {
    this.#skipped.push({ subject, reason })
    yield* tell({ type: 'left', lane: subject, subject, reason })
  }
}
