// Makes the dictionary of a group: trainers, sizes and levels are tried on samples that none of them was trained on, and the winner is
// taken, unless even the best saves too little. What a dictionary costs to store counts; so does the CPU time that a level takes.
//
// No trainer, size or level is best for all data, and with dictionaries a higher level can even be worse, so all of it is measured.

import type { ColumnConfig } from './catalogue.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { log, now, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import { drawSamples, glance, release, sampleSize, trial } from './samples.ts'
import type { CellSource, Samples } from './samples.ts'

/** Rows of a group and the bytes of their cells. */
export interface GroupSize {
  readonly rows: number
  readonly bytes: number
}

export type Trainer = 'default' | 'cover'

export interface Candidate {
  readonly trainer: Trainer
  /** Bytes of the dictionary, at most. */
  readonly dictionaryBytes: number
}

/** A dictionary that was found worth it, held by the extension. */
export interface Training {
  readonly worth: true
  /** The extension's number of it; to be released. */
  readonly handle: number
  readonly trainer: Trainer
  readonly dictionaryBytes: number
  readonly level: number
  /** Compressed bytes per plain byte, measured on cells held back from training. */
  readonly ratio: number
  /** Bytes of the group's cells afterwards, and of the dictionary; an estimate. */
  readonly bytesEstimate: number
  /** CPU seconds that compressing the group will take; an estimate. */
  readonly encodeSecondsEstimate: number
  /** Time that one cell takes to be read. */
  readonly decodeMicroseconds: number
}

export interface NoTraining {
  readonly worth: false
  readonly reason: string
}

/** Trained dictionaries that save less than this share are not worth reading the column through them. */
export const leastSaving = 0.08
/** A glance that finds less than this decides by itself. */
const hopelessSaving = 0.03
/** Levels tried where the level is free. Those left out never won anything; which of these wins changes with the size of the dictionary. */
const levels = [3, 9, 12, 13, 15, 17, 19] as const
/** Four times the CPU time must save at least 4 % of the bytes: bytes × seconds ^ this is what the winner has least of. */
const priceOfTime = Math.log(1 / 0.96) / Math.log(4)
/** Levels of a dictionary that are measured twice. */
const finalists = 3
const smallestDictionary = 1024
/** Bytes of samples per byte of dictionary, and at most: more make training slow, or large in memory, and the dictionary hardly better. */
const samplesRatio: Readonly<Record<Trainer, number>> = { default: 30, cover: 15 }
const mostSampleBytes: Readonly<Record<Trainer, number>> = { default: 6_400_000, cover: 1_200_000 }
/** Bytes of samples that a trainer goes through in a second, about. */
const trainingSpeed: Readonly<Record<Trainer, number>> = { default: 15_000_000, cover: 1_200_000 }

/**
 * The candidates for a group, those first that promise most.
 * @param bytes of dictionary that the group may have at most
 */
export function candidates(bytes: number): readonly Candidate[] {
  // Above 128 kB zstd searches in another way, so that larger dictionaries can be better and faster at once. Far larger ones would no
  // longer stay in the processor's cache beside the rows that are read. COVER takes much memory, and for large ones gains nothing.
  const small = Math.min(112_640, bytes)
  const wanted: readonly (readonly [Trainer, number])[] = [
    ['default', small],
    ['default', Math.min(524_288, bytes)],
    ['cover', small],
    ['default', Math.min(262_144, bytes)],
    ...(bytes < 112_640 ? ([['cover', bytes / 3]] as const) : []),
  ]
  const seen = new Set<string>()
  return wanted.flatMap(([trainer, size]) => {
    const dictionaryBytes = Math.max(smallestDictionary, Math.floor(size))
    const name = `${trainer} ${dictionaryBytes}`
    if (seen.has(name)) return []
    seen.add(name)
    return [{ trainer, dictionaryBytes }]
  })
}

/** What the winner has least of: bytes, and a little of the time they cost. */
export function cost(bytes: number, seconds: number): number {
  return bytes * Math.max(seconds, 1e-9) ** priceOfTime
}

/** CPU seconds that may go into finding the dictionary of a group of so many bytes. */
export function trainingSeconds(bytes: number): number {
  return Math.min(10, Math.max(1, bytes / 12_000_000))
}

/** Says at little cost whether a group has no hope of being worth it; undefined where it may have. */
export function* hopeless(column: CompressedColumn, key: string): Policy<NoTraining | undefined> {
  const set = yield* glance(column, key)
  if (set === undefined) return undefined
  const dictionary = yield* trained(set, { trainer: 'default', dictionaryBytes: 16_384 }, 3, 1_000_000)
  try {
    const size = yield* sampleSize(set)
    if (size.heldBackCells < 40) return undefined
    const { bytes, plainBytes } = yield* trial(set, dictionary, 3)
    return bytes > plainBytes * (1 - hopelessSaving) ? notWorth(1 - bytes / plainBytes) : undefined
  } finally {
    yield* release(set, dictionary)
  }
}

/**
 * Finds the dictionary of a group. The caller releases what is worth it.
 * @param seconds after which no further candidate is tried
 */
export function* train(
  { config }: CompressedColumn,
  source: CellSource,
  size: GroupSize,
  seconds: number,
): Policy<Training | NoTraining> {
  const mostBytes = config.dictSizeRatio * size.bytes
  const trainingBytes = Math.max(...candidates(mostBytes).map((candidate) => sampleBytes(candidate, config)))
  const samples = yield* drawSamples(source, size.bytes, trainingBytes)
  if (samples === undefined) return { worth: false, reason: 'it has no text or blob to learn from' }
  let best: Training | undefined
  try {
    const deadline = (yield* now()) + seconds
    for (const candidate of candidates(mostBytes)) {
      const wanted = Math.min(size.bytes, sampleBytes(candidate, config))
      const tooLate = (yield* now()) + wanted / trainingSpeed[candidate.trainer] > deadline
      if (best !== undefined && tooLate) continue
      const handle = yield* trained(samples.training, candidate, best?.level ?? 12, wanted)
      if (handle === null) continue
      const found = yield* bestLevel(config, samples, candidate, handle, size)
      if (best === undefined || value(found) < value(best)) {
        yield* release(best?.handle)
        best = found
      } else yield* release(handle)
    }
  } finally {
    yield* release(samples.training, samples.measuring)
  }
  if (best === undefined)
    return { worth: false, reason: 'its cells are too few or too much alike to train a dictionary' }
  const saving = 1 - best.bytesEstimate / size.bytes
  if (saving >= leastSaving) return best
  yield* release(best.handle)
  return notWorth(saving)
}

function sampleBytes({ trainer, dictionaryBytes }: Candidate, { trainDictSamplesRatio }: ColumnConfig): number {
  const ratio = Math.min(samplesRatio[trainer], trainDictSamplesRatio)
  return Math.ceil(Math.min(dictionaryBytes * ratio, mostSampleBytes[trainer]))
}

function value({ bytesEstimate, encodeSecondsEstimate }: Training): number {
  return cost(bytesEstimate, encodeSecondsEstimate)
}

/** The level that does best with a dictionary: the one asked for, or of all of them. */
function* bestLevel(
  config: ColumnConfig,
  samples: Samples,
  { trainer, dictionaryBytes }: Candidate,
  handle: number,
  size: GroupSize,
): Policy<Training> {
  const measure = function* (level: number, before?: Training): Policy<Training> {
    const { plainBytes, bytes, cells, ...took } = yield* trial(samples.measuring, handle, level)
    const ratio = bytes / Math.max(plainBytes, 1)
    const encodeSeconds = (took.encodeSeconds / Math.max(plainBytes, 1)) * size.bytes
    return {
      worth: true,
      handle,
      trainer,
      dictionaryBytes,
      level,
      ratio,
      bytesEstimate: Math.round(ratio * size.bytes) + dictionaryBytes,
      encodeSecondsEstimate: Math.min(encodeSeconds, before?.encodeSecondsEstimate ?? Infinity),
      decodeMicroseconds: (took.decodeSeconds / Math.max(cells, 1)) * 1e6,
    }
  }
  const found: Training[] = []
  for (const level of config.tamp?.auto === true ? levels : [config.compressionLevel]) found.push(yield* measure(level))
  found.sort((one, other) => value(one) - value(other))
  // Times of a moment are not to be trusted: the best ones are measured again.
  if (found.length > 1)
    for (let place = 0; place < finalists; place++) found[place] = yield* measure(found[place]!.level, found[place])
  const best = found.toSorted((one, other) => value(one) - value(other))[0]!
  const share = (best.ratio * 100).toFixed(2)
  yield* log('debug', `${trainer} dictionary of ${dictionaryBytes} bytes: level ${best.level}, ${share} % of the bytes`)
  return best
}

/** The extension's number of a trained dictionary; null where there are too few samples. */
export function* trained(
  set: number,
  { trainer, dictionaryBytes }: Candidate,
  level: number,
  sampleBytes: number,
): Policy<number | null> {
  const handle = yield* queryValue(
    'SELECT tamp_train(?, ?, ?, ?, ?)',
    set,
    trainer,
    dictionaryBytes,
    level,
    sampleBytes,
  )
  return typeof handle === 'number' ? handle : null
}

function notWorth(saving: number): NoTraining {
  const share = saving <= 0 ? 'nothing' : `${(saving * 100).toFixed(1)} %`
  return { worth: false, reason: `not worth it: the best dictionary would save ${share}` }
}
