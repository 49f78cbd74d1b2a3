// Compresses the pending rows of one column, a chunk a transaction, in the order of the table's key. What cannot be compressed is left
// plain with the reason, and the rest goes on.

import { TampError } from '../../core/errors.ts'
import { Pace } from '../../core/pace.ts'
import { configuredColumn } from './catalogue.ts'
import { bytesOf, usualType } from './compressed-column.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { noteRecent, stillInUse } from './dictionaries.ts'
import { Encodings } from './encodings.ts'
import { LeftTally } from './maintained.ts'
import { encode, endOfWindow, groups, pendingRows } from './pending.ts'
import type { Encoded, Encoding, Group } from './pending.ts'
import { now, queryValue, tell } from './request.ts'
import type { Policy } from './request.ts'
import { requireProgress, spokenKey } from './row-key.ts'
import type { KeyRange, RowKey } from './row-key.ts'
import { checkpoint } from './space.ts'
import { endsRun, isRowFault, reasonOf } from './sql-failures.ts'
import { isLocked } from './work-budget.ts'
import type { WorkBudget } from './work-budget.ts'

/** Bytes of cells in a chunk. A chunk is in the journal and in the page cache as a whole. */
const smallestChunk = 16_384
const largestChunk = 32_000_000
const mostRows = 50_000
/** Rows refused one after the other, after which the column is given up. */
const mostFaults = 20
/** Walks over the rows in a run, at most: others may make rows pending behind a walk. */
const mostWalks = 3
/** Chunks between two checkpoints of the write-ahead log. */
const checkpointEvery = 16

export class ColumnRun {
  #column: CompressedColumn
  readonly #budget: WorkBudget
  readonly #pace: Pace
  readonly encodings: Encodings
  readonly left: LeftTally = new LeftTally()
  rows = 0
  bytesBefore = 0
  bytesAfter = 0
  chunks = 0
  complete = false
  /** Rows that are pending, as counted last, without those that were compressed since. */
  #pending = 0
  /** Key of the last row that was walked. */
  #after: RowKey | undefined
  #rowsLeft = 0
  #mostRows = mostRows
  #faults = 0
  /** The last window was worth a transaction, so the next one begins with it. */
  #busy = false

  constructor(column: CompressedColumn, budget: WorkBudget) {
    this.#column = column
    this.#budget = budget
    this.encodings = new Encodings(column, budget)
    this.#pace = new Pace({
      first: column.config.incrementalCompressionStepBytes,
      smallest: smallestChunk,
      largest: largestChunk,
    })
  }

  /**
   * Compresses until all is done or the budget says stop.
   * @returns why it stopped before it was complete
   * @throws SqlError, TampError what makes the rest of the column impossible; what was compressed before stays so
   */
  *run(): Policy<'limit' | 'interrupted' | undefined> {
    const whole = this.#column
    this.#pending = yield* this.#budget.patiently(() => pendingRows(whole))
    for (let walks = 1; ; walks++) {
      const stopped = yield* this.#walk()
      if (stopped !== undefined) return stopped
      if (this.chunks > 0) this.#pending = yield* this.#budget.patiently(() => pendingRows(whole))
      this.complete = this.#pending <= this.left.rows
      if (this.complete || walks === mostWalks) return undefined
      const late = yield* this.#budget.stopped()
      if (late !== undefined) return late
      this.#column = whole
      this.#after = undefined
      this.left.clear()
    }
  }

  /** Rows that are still plain although they could be compressed. */
  get pendingRows(): number {
    return Math.max(0, this.#pending)
  }

  /** Goes over the pending rows once. */
  *#walk(): Policy<'limit' | 'interrupted' | undefined> {
    this.#rowsLeft = this.#pending
    yield* this.#leaveOnlyKey()
    while (this.#rowsLeft > 0 && (yield* this.#chunk())) {
      const stopped = yield* this.#budget.stopped()
      if (stopped !== undefined) return stopped
    }
    return undefined
  }

  /** Where the only key there is stays plain, its rows need not be walked. */
  *#leaveOnlyKey(): Policy<void> {
    const { onlyKey, rows, cell, indexedBy, pending, bothTypes } = this.#column
    if (onlyKey === undefined || this.#rowsLeft === 0) return
    if (this.encodings.known(onlyKey, true) === undefined) yield* this.#find(onlyKey)
    const destination = this.encodings.known(onlyKey, true)
    if (destination?.left === undefined) return
    const others = { ...this.#column, pending: `${pending} AND typeof(${cell}) <> '${usualType(this.#column)}'` }
    const left = this.#rowsLeft - (bothTypes ? yield* pendingRows(others) : 0)
    const mean = yield* queryValue(
      `SELECT avg(bytes) FROM (SELECT ${bytesOf(cell)} AS bytes FROM ${rows}${indexedBy} WHERE ${pending} LIMIT 1000)`,
    )
    yield* this.#leave([{ key: onlyKey, usual: true, rows: left, bytes: Math.round(left * Number(mean ?? 0)) }])
    this.#column = others
  }

  /** Walks one window and compresses it; false where there is no further one. */
  *#chunk(): Policy<boolean> {
    const start = yield* now()
    try {
      if (this.#busy) return yield* this.#write(start)
      const range = yield* this.#budget.patiently(() => this.#window())
      const found = yield* this.#budget.patiently(() => groups(this.#column, range))
      for (const key of this.#unknown(found)) yield* this.#find(key)
      // Training takes its time; the dictionary is there for the next run.
      if ((yield* this.#budget.stopped()) !== undefined) return true
      this.#busy = found.some((group) => this.encodings.of(group) !== undefined)
      if (this.#busy) return yield* this.#write(yield* now())
      yield* this.#leave(found)
      yield* this.#budget.rest((yield* now()) - start)
      return this.#advance(range)
    } catch (error) {
      if (!isRowFault(error)) throw error
      return yield* this.#narrow(error as Error)
    }
  }

  *#window(): Policy<KeyRange> {
    const upto = yield* endOfWindow(this.#column, this.#after, this.#pace.weight(), this.#mostRows)
    return { after: this.#after, upto }
  }

  /** One transaction. Keys that turn up in it for the first time are looked into before it is tried again. */
  *#write(start: number): Policy<boolean> {
    const budget = this.#budget
    const done = yield* budget.transaction(() => this.#encodeWindow())
    if ('unknown' in done) {
      for (const key of done.unknown) yield* this.#find(key)
      return true
    }
    yield* this.#leave(done.groups)
    this.#mostRows = Math.min(mostRows, this.#mostRows * 4)
    this.#faults = 0
    this.#busy = done.rows > 0
    if (done.rows > 0) {
      const seconds = (yield* now()) - start
      this.#pace.took(done.bytesBefore, seconds)
      this.rows += done.rows
      this.bytesBefore += done.bytesBefore
      this.bytesAfter += done.bytesAfter
      this.chunks++
      this.#rowsLeft -= done.rows
      this.#pending -= done.rows
      yield* tell({
        type: 'chunk',
        lane: this.#column.lane,
        rows: done.rows,
        bytesBefore: done.bytesBefore,
        bytesAfter: done.bytesAfter,
        seconds,
        rowsLeftEstimate: Math.max(0, this.#rowsLeft),
      })
      if (this.chunks % checkpointEvery === 0) yield* checkpoint()
      yield* budget.didChunk(seconds)
    }
    return this.#advance(done.range)
  }

  *#encodeWindow(): Policy<
    | { readonly unknown: readonly string[] }
    | { range: KeyRange; groups: readonly Group[]; rows: number; bytesBefore: number; bytesAfter: number }
  > {
    const column = this.#column
    yield* requireUnchanged(column)
    const range = yield* this.#window()
    const found = yield* groups(column, range)
    const unknown = this.#unknown(found)
    if (unknown.length > 0) return { unknown }
    const encodable = found.filter((group) => this.encodings.of(group) !== undefined)
    const encodings = encodable.map((group): Encoding => this.encodings.of(group)!)
    if (!(yield* stillInUse(encodings.map(({ dictionary }) => dictionary)))) {
      this.encodings.forget()
      return { unknown: this.#unknown(found) }
    }
    const whole = encodable.length === found.length
    const encoded = yield* encode(column, range, encodings, whole ? pendingOf(found) : undefined)
    const rows = sum([...encoded.values()].map((one) => one.rows))
    if (whole && encodings.length === 1 && rows !== encodable[0]!.rows)
      throw new TampError('proof-failed', `${rows} rows were compressed where there are ${encodable[0]!.rows}.`)
    if (column.catalogue) yield* this.#note(encodable, encodings, encoded)
    return {
      range,
      groups: found,
      rows,
      bytesBefore: sum(encodable.map(({ bytes }) => bytes)),
      bytesAfter: sum([...encoded.values()].map(({ bytes }) => bytes)),
    }
  }

  *#note(
    encodable: readonly Group[],
    encodings: readonly Encoding[],
    encoded: ReadonlyMap<number, Encoded>,
  ): Policy<void> {
    for (const [dictionary, after] of encoded)
      yield* noteRecent(
        dictionary,
        sum(encodable.filter((_, place) => encodings[place]!.dictionary === dictionary).map(({ bytes }) => bytes)),
        after,
      )
  }

  #unknown(found: readonly Group[]): readonly string[] {
    const keys = found.flatMap(({ key, usual }) =>
      this.encodings.known(key, usual) === undefined ? [key as string] : [],
    )
    return [...new Set(keys)]
  }

  *#find(key: string): Policy<void> {
    try {
      yield* this.encodings.find(key)
    } catch (error) {
      if (endsRun(error) || isLocked(error)) throw error
      this.encodings.fail(key, reasonOf(error))
    }
  }

  /** Adds groups that stay plain to the tally, and tells each key the first time. */
  *#leave(found: readonly Group[]): Policy<void> {
    for (const group of found) {
      const left = this.encodings.leftOf(group)
      if (left === undefined) continue
      this.#rowsLeft -= group.rows
      if (this.left.add(left))
        yield* tell({
          type: 'left',
          lane: this.#column.lane,
          subject: left.key ?? 'rows without a key',
          reason: left.reason,
        })
    }
  }

  #advance({ upto }: KeyRange): boolean {
    requireProgress(this.#after, upto)
    this.#after = upto
    return upto !== undefined
  }

  /** After an error that one row may have caused: smaller windows until it is the only one; then it is left, and the rest goes on. */
  *#narrow(error: Error): Policy<boolean> {
    if (this.#mostRows > 1) {
      this.#mostRows = Math.floor(Math.min(this.#mostRows, 4096) / 8) || 1
      return true
    }
    this.#faults++
    if (this.#faults >= mostFaults) throw error
    const row = yield* endOfWindow(this.#column, this.#after, Infinity, 1)
    if (row === undefined) return false
    const subject = `row ${yield* spokenKey(row)}`
    const reason = `${subject}: ${reasonOf(error)}`
    this.left.add({ code: 'failed', key: null, rows: 1, bytes: 0, reason })
    this.#rowsLeft--
    yield* tell({ type: 'left', lane: this.#column.lane, subject, reason })
    return this.#advance({ after: this.#after, upto: row })
  }
}

/** Another process may have begun to disable the column since. @throws TampError where its configuration is not as it was */
function* requireUnchanged({ config }: CompressedColumn): Policy<void> {
  const there = yield* configuredColumn(config.table, config.column)
  if (JSON.stringify(there?.config) !== JSON.stringify(config))
    throw new TampError('failed', 'Its configuration was changed while the run was under way.', { hint: 'Run again.' })
}

function pendingOf(found: readonly Group[]): number {
  return sum(found.map(({ rows }) => rows))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
