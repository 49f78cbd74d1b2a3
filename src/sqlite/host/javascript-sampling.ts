// Measuring without native code: samples of cells, and how they compress without a dictionary. No dictionary can be trained here.
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Value } from '../../database/sqlite-value.ts'

/** Cells of a sample, in an order drawn at random. */
interface Sample {
  readonly cells: readonly Drawn[]
  readonly seenCells: number
  readonly seenBytes: number
}

interface Drawn {
  readonly lot: number
  readonly bytes: Buffer
}

/** One of so many cells is measured with. */
const heldBack = 5

/** The state of one `tamp_sample`: every cell draws a lot, and those with the lowest lots stay as far as the bytes go. */
export class Sampling {
  #cells: Drawn[] = []
  #bytes = 0
  #highest = 1
  #seenCells = 0
  #seenBytes = 0

  take(value: Value, maxBytes: number): void {
    if (typeof value !== 'string' && !(value instanceof Uint8Array)) return
    const bytes = Buffer.from(value as string)
    if (bytes.length === 0) return
    this.#seenCells++
    this.#seenBytes += bytes.length
    const lot = Math.random()
    if (lot >= this.#highest) return
    this.#cells.push({ lot, bytes })
    this.#bytes += bytes.length
    if (this.#bytes > 2 * maxBytes) this.#drop(maxBytes)
  }

  #drop(maxBytes: number): void {
    this.#cells.sort((one, other) => one.lot - other.lot)
    let sum = 0
    const kept = this.#cells.findIndex(({ bytes }) => (sum += bytes.length) > maxBytes)
    if (kept < 0) return
    this.#highest = this.#cells[kept]!.lot
    this.#cells = this.#cells.slice(0, kept)
    this.#bytes = this.#cells.reduce((total, { bytes }) => total + bytes.length, 0)
  }

  finish(maxBytes: number): Sample | undefined {
    this.#drop(maxBytes)
    if (this.#cells.length === 0) return undefined
    return {
      cells: this.#cells.toSorted((one, other) => one.lot - other.lot),
      seenCells: this.#seenCells,
      seenBytes: this.#seenBytes,
    }
  }
}

/** The samples of a connection, by number. */
export class Samples {
  readonly #samples = new Map<number, Sample>()
  #last = 0

  keep(sample: Sample): number {
    this.#samples.set(++this.#last, sample)
    return this.#last
  }

  release(handle: Value | undefined): null {
    this.#samples.delete(Number(handle))
    return null
  }

  #find(handle: Value | undefined): Sample {
    const sample = this.#samples.get(Number(handle))
    if (sample === undefined) throw new Error(`there is no sample ${String(handle)}`)
    return sample
  }

  /** The JSON of `tamp_samples`. */
  size(handle: Value | undefined): string {
    const { cells, seenCells, seenBytes } = this.#find(handle)
    const held = cells.filter((_, i) => i % heldBack === 0)
    const sum = (some: readonly Drawn[]): number => some.reduce((total, { bytes }) => total + bytes.length, 0)
    return JSON.stringify({
      cells: cells.length,
      bytes: sum(cells),
      seenCells,
      seenBytes,
      heldBackCells: held.length,
      heldBackBytes: sum(held),
    })
  }

  /** The JSON of `tamp_trial`, without a dictionary. */
  trial(handle: Value | undefined, level: number): string {
    const held = this.#find(handle).cells.filter((_, i) => i % heldBack === 0)
    const params = {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_contentSizeFlag]: 0,
      [constants.ZSTD_c_checksumFlag]: 0,
    }
    const start = cpuSeconds()
    const frames = held.map(({ bytes }) => zstdCompressSync(bytes, { params }))
    const encoded = cpuSeconds()
    for (const frame of frames) zstdDecompressSync(frame)
    return JSON.stringify({
      cells: held.length,
      plainBytes: held.reduce((sum, { bytes }) => sum + bytes.length, 0),
      bytes: frames.reduce((sum, frame) => sum + frame.length - magicBytes, 0),
      encodeSeconds: encoded - start,
      decodeSeconds: cpuSeconds() - encoded,
    })
  }
}

/** Cells are stored without the bytes at the beginning that say what they are. */
const magicBytes = 4

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
