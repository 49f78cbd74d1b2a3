// The rows of one source table on their way: gathered into batches, and counted by what became of them.
import type { Left } from '../../../core/unit.ts'
import type { SourceTable } from './moved-rows.ts'
import type { Approach } from './source-catalog.ts'
import type { SourceKey } from './source-key.ts'
import type { TouchedTable } from './touch.ts'
import type { TouchTarget } from './update-statement.ts'

/** What became of a batch. The keys of locked rows come back, to be tried again. */
export interface BatchOutcome {
  readonly touched: number
  readonly missing: number
  readonly locked: readonly SourceKey[]
  /** Why the whole batch was left, if it was. */
  readonly failed?: string
}

/** Takes a batch where the run's mode wants it. */
export type Sink = (target: TouchTarget, keys: readonly SourceKey[]) => Promise<BatchOutcome>

/** Locked rows that are remembered, to be tried once more at the end of their table. */
const remembered = 5000
/** Failed batches in a row after which the rest of a table is left alone. */
const hopeless = 3
const stillLocked = 'somebody else holds a lock on them'

export class TableTouch {
  readonly table: SourceTable
  readonly #target: TouchTarget | undefined
  readonly #sink: Sink
  readonly #batchRows: number
  readonly #left = new Map<string, number>()
  #batch: SourceKey[] = []
  #locked: SourceKey[] = []
  #failures = 0
  #refused: string | undefined
  #planned = 0
  #touched = 0
  #missing = 0
  #lockedRows = 0

  constructor(table: SourceTable, approach: Approach, sink: Sink, batchRows: number) {
    this.table = table
    this.#sink = sink
    this.#batchRows = batchRows
    if ('refused' in approach) this.#refused = approach.refused
    else this.#target = approach.target
  }

  get name(): string {
    return `${this.table.schema}.${this.table.name}`
  }

  /** A row that must be left alone. */
  leave(reason: string): void {
    this.#planned++
    this.#count(reason, 1)
  }

  /** A row to be touched. */
  async add(key: SourceKey): Promise<void> {
    this.#planned++
    this.#batch.push(key)
    if (this.#batch.length >= this.#batchRows) await this.#send(this.#batch.splice(0))
  }

  /** Sends what has gathered, and tries what was locked once more. */
  async finish(): Promise<void> {
    await this.#send(this.#batch.splice(0))
    const again = this.#locked.splice(0)
    for (let at = 0; at < again.length; at += this.#batchRows) await this.#send(again.slice(at, at + this.#batchRows))
    this.#lockedRows += this.#locked.splice(0).length
    if (this.#lockedRows > 0) this.#count(stillLocked, this.#lockedRows)
  }

  get result(): TouchedTable {
    const left = [...this.#left.values()].reduce((sum, rows) => sum + rows, 0) - this.#lockedRows
    return {
      schema: this.table.schema,
      table: this.table.name,
      planned: this.#planned,
      touched: this.#touched,
      missing: this.#missing,
      locked: this.#lockedRows,
      left,
    }
  }

  get left(): Left[] {
    return [...this.#left].map(([reason, rows]) => ({
      subject: this.name,
      reason: rows === this.#planned ? reason : `${rows} of ${this.#planned} rows: ${reason}`,
    }))
  }

  async #send(keys: readonly SourceKey[]): Promise<void> {
    if (keys.length === 0) return
    if (this.#target === undefined || this.#refused !== undefined) {
      this.#count(this.#refused!, keys.length)
      return
    }
    const { touched, missing, locked, failed } = await this.#sink(this.#target, keys)
    this.#touched += touched
    this.#missing += missing
    const kept = locked.slice(0, Math.max(0, remembered - this.#locked.length))
    this.#locked.push(...kept)
    this.#lockedRows += locked.length - kept.length
    if (failed === undefined) this.#failures = 0
    else {
      this.#count(failed, keys.length)
      if (++this.#failures >= hopeless) this.#refused = failed
    }
  }

  #count(reason: string, rows: number): void {
    this.#left.set(reason, (this.#left.get(reason) ?? 0) + rows)
  }
}
