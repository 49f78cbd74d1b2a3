// How the rows of each key are to be compressed: with the dictionary it has, with one trained now, or not at all, and why. What has been
// found out is kept for the run.

import { TampError } from '../../core/errors.ts'
import { noDictionary, noDictionaryOtherType } from './catalogue.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { dictionaryOf, drift, saveDictionary } from './dictionaries.ts'
import type { StoredDictionary } from './dictionaries.ts'
import type { LeftCode, LeftRows, TrainedDictionary } from './maintained.ts'
import { allGroups } from './pending.ts'
import type { Encoding, Group } from './pending.ts'
import { now, tell } from './request.ts'
import type { Policy, Value } from './request.ts'
import { betterThan, driftedTooFar, leastGainAskedFor } from './retrain.ts'
import { pendingCells, release } from './samples.ts'
import type { CellSource } from './samples.ts'
import { hopeless, train, trainingSeconds } from './train.ts'
import type { GroupSize, Training } from './train.ts'
import type { WorkBudget } from './work-budget.ts'

/** What rows of a key are stored with, or why they are left. */
export type Destination =
  | { readonly left: undefined; readonly dictionary: number; readonly level: number }
  | { readonly left: LeftCode; readonly reason: string }

/** The level for cells without a dictionary where the level is free: higher ones save next to nothing on small cells. */
const levelWithoutDictionary = 9
/** Keys that get a quick look before the groups are counted. */
const mostGlances = 3

export class Encodings {
  readonly #column: CompressedColumn
  readonly #budget: WorkBudget
  readonly #known = new Map<string, Destination>()
  #sizes: ReadonlyMap<string, GroupSize> | undefined
  #glances = 0
  readonly trained: TrainedDictionary[] = []
  readonly drifted: { readonly key: string; readonly id: number; readonly worse: number }[] = []

  constructor(column: CompressedColumn, budget: WorkBudget) {
    this.#column = column
    this.#budget = budget
  }

  /** What is known about a key without asking the database. @throws TampError where the chooser gave no text */
  known(key: Value, usual: boolean): Destination | undefined {
    const { config } = this.#column
    const level = config.tamp?.auto === true ? levelWithoutDictionary : config.compressionLevel
    if (key === null) return { left: 'not-yet', reason: 'the chooser gives NULL: plain for now' }
    if (typeof key !== 'string') throw notText(config.dictChooser, key)
    if (!usual) return { left: undefined, dictionary: noDictionaryOtherType, level }
    if (key === '[nodict]') return { left: undefined, dictionary: noDictionary, level }
    return this.#known.get(key)
  }

  /** Finds out how a key's rows are to be compressed; trains a dictionary where there is none. Not to be called in a transaction. */
  *find(key: string): Policy<Destination> {
    let destination: Destination
    const stored = yield* this.#budget.patiently(() => dictionaryOf(this.#column, key))
    if (stored !== undefined) destination = yield* this.#storedOrBetter(key, stored)
    else {
      // What came to nothing in this run comes to nothing again.
      const before = this.#known.get(key)
      destination = before?.left === undefined ? yield* this.#trained(key) : before
    }
    this.#known.set(key, destination)
    return destination
  }

  /** Takes note that nothing could be found out about a key, and why. */
  fail(key: string, reason: string): void {
    this.#known.set(key, { left: 'not-trained', reason })
  }

  /** Forgets which dictionaries are in use: another process changed that. */
  forget(): void {
    for (const [key, { left }] of this.#known) if (left === undefined) this.#known.delete(key)
  }

  /** The encoding of a group, and undefined for one whose rows are left. */
  of({ key, usual }: Group): Encoding | undefined {
    const destination = this.known(key, usual)
    if (destination === undefined || destination.left !== undefined) return undefined
    return { key: key as string, usual, dictionary: destination.dictionary, level: destination.level }
  }

  /** A group whose rows are left, for the tally. */
  leftOf({ key, usual, rows, bytes }: Group): Omit<LeftRows, 'keys'> | undefined {
    const destination = this.known(key, usual)
    if (destination?.left === undefined) return undefined
    return { code: destination.left, key: key as string | null, rows, bytes, reason: destination.reason }
  }

  /**
   * Tries for a better dictionary than a key has.
   * @param cells of the key, `size` of them, of which each stands for `share` in the table
   */
  *retrain(key: string, cells: CellSource, size: GroupSize, share: number): Policy<void> {
    const whole = { rows: size.rows * share, bytes: size.bytes * share }
    if (tooSmall(this.#column, whole) !== undefined) return
    const stored = yield* this.#budget.patiently(() => dictionaryOf(this.#column, key))
    if (stored === undefined) return
    const found = yield* this.#train(key, whole, cells, stored, leastGainAskedFor)
    if (found !== undefined && found.left === undefined) this.#known.set(key, found)
  }

  *#storedOrBetter(key: string, stored: StoredDictionary): Policy<Destination> {
    const { config } = this.#column
    const level = config.tamp?.auto === true ? (stored.level ?? config.compressionLevel) : config.compressionLevel
    const worse = drift(stored)
    if (worse !== undefined && worse > driftedTooFar && !this.drifted.some((one) => one.id === stored.id)) {
      this.drifted.push({ key, id: stored.id, worse })
      const size = (yield* this.#groupSizes()).get(key)
      if (size !== undefined && tooSmall(this.#column, size) === undefined) {
        const found = yield* this.#train(key, size, this.#pending(key, size), stored)
        if (found !== undefined && found.left === undefined) return found
      }
    }
    return { left: undefined, dictionary: stored.id, level }
  }

  *#trained(key: string): Policy<Destination> {
    // Counting the groups reads all pending rows, which a look at a few of them may spare.
    if (this.#sizes === undefined && this.#glances++ < mostGlances) {
      const lost = yield* this.#budget.patiently(() => hopeless(this.#column, key))
      if (lost !== undefined) return { left: 'not-worth-it', reason: lost.reason }
    }
    const size = (yield* this.#groupSizes()).get(key)
    if (size === undefined)
      return {
        left: 'came-later',
        reason: 'it is not among the groups that this run counted, or not among the largest of very many',
      }
    const reason = tooSmall(this.#column, size)
    if (reason !== undefined) return { left: 'too-small', reason }
    return (
      (yield* this.#train(key, size, this.#pending(key, size), undefined)) ?? {
        left: 'not-trained',
        reason: 'no dictionary was better',
      }
    )
  }

  /** @returns undefined where the dictionary there is stays */
  *#train(
    key: string,
    size: GroupSize,
    source: CellSource,
    old: StoredDictionary | undefined,
    gain?: number,
  ): Policy<Destination | undefined> {
    const column = this.#column
    const start = yield* now()
    yield* tell({ type: 'training', lane: column.lane, key, rows: size.rows })
    const seconds = Math.min(trainingSeconds(size.bytes), Math.max(0.1, (yield* this.#budget.secondsLeft()) / 2))
    const training = yield* this.#budget.patiently(() => train(column, source, size, seconds))
    if (!training.worth) {
      yield* this.#budget.rest((yield* now()) - start)
      return old === undefined ? { left: 'not-worth-it', reason: training.reason } : undefined
    }
    try {
      if (old !== undefined && !(yield* betterThan(column, source, size, training, old, gain))) return undefined
      return yield* this.#put(key, training, old, start)
    } finally {
      yield* release(training.handle)
      yield* this.#budget.rest((yield* now()) - start)
    }
  }

  #pending(key: string, { bytes }: GroupSize): CellSource {
    return pendingCells(this.#column, key, bytes)
  }

  *#put(key: string, training: Training, old: StoredDictionary | undefined, start: number): Policy<Destination> {
    const column = this.#column
    const { id, saved } = yield* saveDictionary(this.#budget, column, key, training, old?.id)
    const { trainer, dictionaryBytes: bytes, level, ratio } = training
    if (saved)
      this.trained.push({
        id,
        key,
        trainer,
        bytes,
        level,
        ratio,
        seconds: (yield* now()) - start,
        replaced: old?.id ?? null,
      })
    const theirs = saved ? undefined : yield* dictionaryOf(column, key)
    const best = theirs?.level ?? (saved ? level : column.config.compressionLevel)
    return {
      left: undefined,
      dictionary: id,
      level: column.config.tamp?.auto === true ? best : column.config.compressionLevel,
    }
  }

  /** Rows and bytes of the pending groups, the largest ones; counted once. */
  *#groupSizes(): Policy<ReadonlyMap<string, GroupSize>> {
    if (this.#sizes !== undefined) return this.#sizes
    const start = yield* now()
    const counted = yield* this.#budget.patiently(() => allGroups(this.#column))
    this.#sizes = new Map(
      counted.flatMap(({ key, usual, rows, bytes }) =>
        typeof key === 'string' && usual ? [[key, { rows, bytes }] as const] : [],
      ),
    )
    yield* this.#budget.rest((yield* now()) - start)
    return this.#sizes
  }
}

/** Why a group is too small for a dictionary; undefined where it is not. */
export function tooSmall({ config }: CompressedColumn, { rows, bytes }: GroupSize): string | undefined {
  const dictionary = Math.floor(config.dictSizeRatio * bytes)
  if (dictionary >= config.minDictBytesForTraining) return undefined
  return (
    `${rows} rows of ${bytes} bytes are worth a dictionary of ${dictionary} bytes (dict_size_ratio ${config.dictSizeRatio}), ` +
    `and none below ${config.minDictBytesForTraining} is trained (min_dict_size_bytes_for_training)`
  )
}

function notText(chooser: string, key: Value): TampError {
  const what = typeof key === 'number' || typeof key === 'bigint' ? `the number ${key}` : 'a blob'
  return new TampError('usage', `The dict_chooser ${chooser} gives ${what}, not text.`, {
    hint: `Make it text, for instance 'x' || (${chooser}).`,
  })
}
