// What compressing a column would bring, measured on a sample: without a dictionary and with one, at several levels.

import type { InspectedTrial } from './inspected.ts'
import { quoted } from './names.ts'
import type { Policy } from './request.ts'
import { drawSamples, release, trial } from './samples.ts'
import type { TableSample } from './table-sample.ts'
import { cost, trained } from './train.ts'

/** Levels that are tried with a dictionary, and without one. */
const levels = [3, 12, 15, 19] as const
const plainLevels = [3, 19] as const
/** Bytes of samples to train on, and of cells to measure with, at most. */
const sampleBytes = 4_000_000
const largestDictionary = 112_640
const smallestDictionary = 2_000
/** A stored cell takes a byte or two more for the id of its dictionary. */
const idBytes = 1.5

/** What is known of the column before anything is measured. */
export interface ColumnSize {
  /** Cells that could be compressed, in the whole table. */
  readonly cells: number
  /** Their bytes. */
  readonly bytes: number
  readonly fileBytes: number
}

/** Trials of a column, the best first; none where the sample is too small to tell. */
export function* tryColumn(sample: TableSample, column: string, size: ColumnSize): Policy<readonly InspectedTrial[]> {
  const source = {
    sql: `SELECT ${quoted(column)} AS cell FROM (${sample.sql}) WHERE typeof(${quoted(column)}) IN ('text', 'blob') LIMIT -1`,
    params: [],
  }
  const samples = yield* drawSamples(source, sampleBytes, sampleBytes)
  if (samples === undefined) return []
  const trials: InspectedTrial[] = []
  const wanted = Math.floor(Math.min(largestDictionary, size.bytes * 0.01, sampleBytes / 30))
  const dictionary =
    wanted < smallestDictionary
      ? null
      : yield* trained(samples.training, { trainer: 'default', dictionaryBytes: wanted }, 12, sampleBytes)
  try {
    const handles = dictionary === null ? [null] : [null, dictionary]
    for (const handle of handles)
      for (const level of handle === null ? plainLevels : levels) {
        const { cells, plainBytes, bytes, encodeSeconds, decodeSeconds } = yield* trial(
          samples.measuring,
          handle,
          level,
        )
        if (cells === 0) return []
        const dictionaryBytes = handle === null ? 0 : wanted
        const bytesEstimate = Math.round((bytes / Math.max(plainBytes, 1)) * size.bytes) + dictionaryBytes
        trials.push({
          level,
          trainer: handle === null ? null : 'default',
          dictionaryBytes,
          bytesPerCell: bytes / cells,
          bytesEstimate,
          fileBytesEstimate: Math.round(size.fileBytes - size.bytes + bytesEstimate + size.cells * idBytes),
          encodeMicroseconds: (encodeSeconds / cells) * 1e6,
          decodeMicroseconds: (decodeSeconds / cells) * 1e6,
        })
      }
  } finally {
    yield* release(samples.training, samples.measuring, dictionary)
  }
  return trials.toSorted(
    (one, other) =>
      cost(one.bytesEstimate, one.encodeMicroseconds) - cost(other.bytesEstimate, other.encodeMicroseconds),
  )
}
