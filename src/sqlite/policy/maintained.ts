// What a maintenance run did to each column, and what it left, with the reasons.

import type { Trainer } from './train.ts'

/** Why rows stay plain for now. */
export type LeftCode =
  /** The chooser gave NULL. */
  | 'not-yet'
  /** The group is smaller than a dictionary needs. */
  | 'too-small'
  /** Even the best dictionary saved too little. */
  | 'not-worth-it'
  /** The group came up after the groups had been counted; the next run takes it. */
  | 'came-later'
  /** A dictionary could not be trained. */
  | 'not-trained'
  /** SQLite or the extension refused the row. */
  | 'failed'

/** Rows that stayed plain for the same reason. */
export interface LeftRows {
  readonly code: LeftCode
  /** The chooser's key; null where it gave none, or where these are many keys. */
  readonly key: string | null
  /** How many keys these are. */
  readonly keys: number
  readonly rows: number
  /** Bytes of their cells. */
  readonly bytes: number
  readonly reason: string
}

/** A dictionary that the run trained and put into use. */
export interface TrainedDictionary {
  readonly id: number
  readonly key: string
  readonly trainer: Trainer
  readonly bytes: number
  readonly level: number
  /** Compressed bytes per plain byte, on cells held back from training. */
  readonly ratio: number
  /** Time that training and trials took. */
  readonly seconds: number
  /** The dictionary it took the place of. */
  readonly replaced: number | null
}

export interface MaintainedColumn {
  readonly table: string
  readonly column: string
  /** `table.column` */
  readonly lane: string
  /** All that could be done now was done. */
  readonly complete: boolean
  /** Rows compressed by this run, and bytes of their cells before and after. */
  readonly rows: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  readonly chunks: number
  /** Rows that are still plain at the end although they could be compressed; those of `left` are among them. */
  readonly pendingRows: number
  readonly left: readonly LeftRows[]
  /** What keeps the run from doing all that was asked, in sentences; nothing is lost by it. */
  readonly notes: readonly string[]
  readonly dictionaries: readonly TrainedDictionary[]
  /** Dictionaries that do worse than when they were new: a share, 0.3 is 30 % more bytes. */
  readonly drifted: readonly { readonly key: string; readonly id: number; readonly worse: number }[]
  /** Cells that were compressed anew with another dictionary. */
  readonly recompressed: { readonly rows: number; readonly bytesBefore: number; readonly bytesAfter: number }
  /** Dry run: what would be done with each key. */
  readonly plan?: readonly PlannedGroup[]
}

/** What a run would do with the pending rows of a key. Bytes of cells; those after are an estimate. */
export interface PlannedGroup {
  readonly key: string | null
  readonly rows: number
  readonly bytes: number
  readonly action: 'compress' | 'train' | 'leave'
  readonly bytesAfterEstimate: number
  /** Of the dictionary that would be trained; 0 where none would. */
  readonly dictionaryBytes: number
  readonly level: number | null
  /** Why the rows would stay plain. */
  readonly reason: string | null
}

/** Adds up rows that stay plain, with the keys by name while they are few. */
export class LeftTally {
  readonly #byKey = new Map<string, LeftRows>()
  readonly #rest = new Map<LeftCode, LeftRows>()
  readonly #told = new Set<string>()

  /** @returns true where rows of this key are left for this reason for the first time, and the key is told by name */
  add(left: Omit<LeftRows, 'keys'>): boolean {
    const name = JSON.stringify([left.code, left.key])
    const there = this.#byKey.get(name)
    const first = there === undefined && this.#byKey.size < namedKeys && !this.#told.has(name)
    if (first) this.#told.add(name)
    if (there !== undefined || this.#byKey.size < namedKeys) this.#byKey.set(name, sum(there, left, 0))
    else
      this.#rest.set(
        left.code,
        sum(this.#rest.get(left.code), { ...left, key: null, reason: `${left.reason}; others likewise` }, 1),
      )
    return first
  }

  /** For another walk over the same rows, of which nothing is told again. */
  clear(): void {
    this.#byKey.clear()
    this.#rest.clear()
  }

  get rows(): number {
    return this.all.reduce((total, { rows }) => total + rows, 0)
  }

  get all(): readonly LeftRows[] {
    return [...this.#byKey.values(), ...this.#rest.values()].toSorted((one, other) => other.bytes - one.bytes)
  }
}

const namedKeys = 100

function sum(there: LeftRows | undefined, more: Omit<LeftRows, 'keys'>, keys: number): LeftRows {
  if (there === undefined) return { ...more, keys: 1 }
  return { ...there, keys: there.keys + keys, rows: there.rows + more.rows, bytes: there.bytes + more.bytes }
}
