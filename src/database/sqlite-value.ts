// What SQLite gives and takes, and how it fails: the same for every driver. Pure types, so that code that runs inside SQLite may use them too.

/** A value as SQLite stores it. Integers beyond 2^53 are `bigint`, all others `number`; an integer and a real of equal value are alike. */
export type Value = null | number | bigint | string | Uint8Array

export type Row = readonly Value[]

/** An error of SQLite, the same for every driver. */
export class SqlError extends Error {
  override readonly name = 'SqlError'
  /** SQLite's extended result code, such as 5 (SQLITE_BUSY) or 2067 (SQLITE_CONSTRAINT_UNIQUE). */
  readonly code: number

  constructor(message: string, code: number, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }

  /** SQLite's primary result code: 5 busy, 6 locked, 8 read-only, 11 corrupt, 13 full, 19 constraint, 26 not a database. */
  get primaryCode(): number {
    return this.code & 0xff
  }
}
