// What the survey of a database says: every table and column, what compression would save, and how the compressed columns are doing.
// Bytes are those of cells unless said otherwise; what was not counted but reckoned from a sample is an estimate and says so.

import type { Left } from '../../core/unit.ts'
import type { Remark } from './differences.ts'
import type { FileSpace } from './space.ts'
import type { Trainer } from './train.ts'

export interface Inspected {
  readonly complete: boolean
  readonly stopped?: 'limit' | 'interrupted'
  readonly file: FileSpace & { readonly bytes: number; readonly journalMode: string }
  /** Largest first. */
  readonly tables: readonly InspectedTable[]
  /** Of all tables: what is worth compressing first, by the gain, then what is compressed, then the rest by its size. */
  readonly columns: readonly InspectedColumn[]
  /** Tables that could not be read, and why. */
  readonly skipped: readonly Left[]
  readonly seconds: number
}

export interface InspectedTable {
  readonly table: string
  readonly rows: number
  /** `rows`, and everything reckoned from it, is an estimate from a sample. */
  readonly sampled: boolean
  /** Bytes of all cells as they are stored. */
  readonly bytesEstimate: number
}

/** Cells by type, as shares of the rows. */
export interface TypeShares {
  readonly text: number
  readonly blob: number
  readonly integer: number
  readonly real: number
  readonly null: number
}

/** `worth`: compress it. `compressed`: done. All others: leave it, and `reason` says why. */
export type Verdict = 'worth' | 'not-worth-it' | 'too-small' | 'refused' | 'compressed' | 'not-measured'

export interface InspectedColumn {
  readonly table: string
  readonly column: string
  readonly lane: string
  /** As declared. */
  readonly type: string
  readonly rows: number
  readonly shares: TypeShares
  /** Bytes of its cells as they are stored now. */
  readonly bytesEstimate: number
  readonly verdict: Verdict
  readonly reason: string
  /** Bytes by which the file would get smaller after VACUUM. */
  readonly gainBytesEstimate: number
  /** What was measured on a sample; the best one first. */
  readonly trials: readonly InspectedTrial[]
  /** Why `enable` would refuse. */
  readonly obstacles: readonly Remark[]
  /** What would work differently, with the other way to do it. */
  readonly remarks: readonly Remark[]
  /** Of a column that is compressed. */
  readonly compressed: CompressedState | null
}

/** How a column compressed on a sample. */
export interface InspectedTrial {
  readonly level: number
  /** Null for compression without a dictionary. */
  readonly trainer: Trainer | null
  readonly dictionaryBytes: number
  readonly bytesPerCell: number
  /** Bytes of the column's cells afterwards, with the dictionary. */
  readonly bytesEstimate: number
  /** Bytes of the file afterwards, after VACUUM. */
  readonly fileBytesEstimate: number
  /** CPU time to compress a cell, and to read one. */
  readonly encodeMicroseconds: number
  readonly decodeMicroseconds: number
}

export interface CompressedState {
  /** Which layout its cells and objects have. */
  readonly layout: 1 | 'sqlite-zstd'
  readonly level: number | 'auto'
  readonly dictChooser: string
  readonly disabling: boolean
  /** Rows that maintenance would look at. */
  readonly pendingRows: number
  /** Cells that stay plain: short ones, NULL, numbers. */
  readonly plainRowsEstimate: number
  /** Compressed bytes per plain byte of the compressed cells; null where there are none. */
  readonly ratio: number | null
  readonly dictionaries: readonly DictionaryState[]
}

export interface DictionaryState {
  /** -1 and -2 stand for no dictionary. */
  readonly id: number
  /** The chooser's key it is for; null for one that has been replaced. */
  readonly key: string | null
  readonly rowsEstimate: number
  /** Of the dictionary. */
  readonly bytes: number
  readonly level: number | null
  readonly trainedRatio: number | null
  /** How much worse it does lately than when it was new: 0.3 is 30 % more bytes; null where too little is known. */
  readonly drift: number | null
}
