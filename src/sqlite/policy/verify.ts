// Proof, inside the transaction that changes a table's objects, that nobody who uses the table by its name sees a difference.

import { TampError } from '../../core/errors.ts'
import { quoted } from './names.ts'
import { query, queryRow } from './request.ts'
import type { Policy, Row, Value } from './request.ts'
import type { Table } from './table.ts'

/** Rows from each end and from between. */
const sampledRows = 100
/** Of longer cells the ends are compared, and the length. */
const comparedLength = 20_000

/** Rows of a table with their keys: values and types of all columns. */
export interface Sample {
  readonly keys: readonly Row[]
  readonly rows: readonly Row[]
}

/** Some rows of the table by its name: the first, the last and some from anywhere between. */
export function* sampleRows(table: Table): Policy<Sample> {
  const keyList = (direction: 'ASC' | 'DESC'): string =>
    table.key.map(({ name, collation }) => `${quoted(name)} COLLATE ${quoted(collation)} ${direction}`).join(', ')
  const names = table.key.map(({ name }) => quoted(name)).join(', ')
  const from = `FROM main.${quoted(table.name)}`
  const some = (direction: 'ASC' | 'DESC'): Policy<readonly Row[]> =>
    query(`SELECT ${names} ${from} ORDER BY ${keyList(direction)} LIMIT ${sampledRows}`)
  const keys = [...(yield* some('ASC'))]
  if (keys.length === sampledRows) keys.push(...(yield* some('DESC')))
  if (table.rowidAlias !== undefined && keys.length === 2 * sampledRows) {
    const id = quoted(table.rowidAlias)
    keys.push(
      ...(yield* query(
        `WITH RECURSIVE ends(low, high) AS (SELECT min(${id}), max(${id}) ${from}),
          wanted(n, id) AS (SELECT 1, low FROM ends UNION ALL
            SELECT n + 1, low + CAST((high * 1.0 - low) * (random() / 18446744073709551616.0 + 0.5) AS INTEGER) FROM wanted, ends WHERE n < ${sampledRows})
        SELECT (SELECT ${id} ${from} WHERE ${id} >= wanted.id ORDER BY ${id} LIMIT 1) FROM wanted`,
      )).filter(([key]) => key !== null),
    )
  }
  return { keys, rows: yield* rowsByKey(table, keys) }
}

function* rowsByKey(table: Table, keys: readonly Row[]): Policy<readonly Row[]> {
  const list = table.columns.map(({ name }) => {
    const cell = quoted(name)
    const ends = `substr(${cell}, 1, ${comparedLength / 2}) || substr(${cell}, -${comparedLength / 2})`
    return `typeof(${cell}), length(${cell}), iif(length(${cell}) > ${comparedLength}, ${ends}, ${cell})`
  })
  const where = table.key.map(({ name, collation }) => `${quoted(name)} = ? COLLATE ${quoted(collation)}`).join(' AND ')
  const rows: Row[] = []
  for (const key of keys) {
    const row = yield* queryRow(`SELECT ${list.join(', ')} FROM main.${quoted(table.name)} WHERE ${where}`, ...key)
    rows.push(row ?? [])
  }
  return rows
}

/** @throws TampError where the table, by its name, does not give the rows it gave before */
export function* requireSameRows(table: Table, before: Sample): Policy<void> {
  const after = yield* rowsByKey(table, before.keys)
  before.rows.forEach((row, i) => {
    const other = after[i]!
    const at = row.findIndex((value, j) => !isSameValue(value, other[j]))
    if (at >= 0 || row.length !== other.length)
      throw new TampError(
        'proof-failed',
        `${table.name}.${table.columns[Math.floor(Math.max(at, 0) / 3)]!.name} would not read as before in the row ${before.keys[i]!.map((value) => String(value)).join(', ')}; nothing was changed.`,
      )
  })
}

function isSameValue(one: Value, other: Value | undefined): boolean {
  if (!(one instanceof Uint8Array)) return one === other
  return other instanceof Uint8Array && one.length === other.length && one.every((byte, i) => byte === other[i])
}
