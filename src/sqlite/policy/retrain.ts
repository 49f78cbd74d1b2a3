// A new dictionary in the place of one that no longer does well, or because it was asked for: only where it is clearly better on cells
// that it was not trained on.

import { TampError } from '../../core/errors.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { bytesOf } from './compressed-column.ts'
import type { StoredDictionary } from './dictionaries.ts'
import { queryRow } from './request.ts'
import type { Policy } from './request.ts'
import type { CellSource } from './samples.ts'
import type { GroupSize, Training } from './train.ts'

/** A dictionary that does worse than when it was new by more than this share is replaced if that helps. */
export const driftedTooFar = 0.25
/** The new one must save at least this share of what the old one makes of the same rows. */
const leastGain = 0.1
/** The same where the user asked for it. */
export const leastGainAskedFor = 0.02
/** Cells that the old dictionary is measured on. */
const measuredCells = 2_000

/** Whether a new dictionary does better than the old one by enough on the cells of a source. */
export function* betterThan(
  column: CompressedColumn,
  source: CellSource,
  size: GroupSize,
  training: Training,
  old: StoredDictionary,
  gain: number = leastGain,
): Policy<boolean> {
  const ratio = yield* ratioWith(column, source, size, old.id, training.level)
  return training.ratio <= ratio * (1 - gain)
}

/** Compressed bytes per plain byte with a dictionary of the catalogue, on cells drawn at random. */
export function* ratioWith(
  { scope }: CompressedColumn,
  { sql, params }: CellSource,
  { rows }: GroupSize,
  dictionary: number,
  level: number,
): Policy<number> {
  const oneOf = Math.max(1, Math.floor(rows / measuredCells))
  const found = yield* queryRow(
    `SELECT sum(length(zstd_compress_col(cell, ?, ?, ${scope}))), sum(${bytesOf('cell')})
     FROM (SELECT cell FROM (${sql}) WHERE (random() & 0x7fffffff) % ? = 0 LIMIT -1)`,
    level,
    dictionary,
    ...params,
    oneOf,
  )
  const [bytes, plain] = (found ?? []).map(Number)
  if (bytes === undefined || plain === undefined || plain === 0)
    throw new TampError('failed', 'There is no row to measure a dictionary on.')
  return bytes / plain
}
