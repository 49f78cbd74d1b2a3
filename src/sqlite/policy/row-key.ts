// How the rows of a table are told apart, and how a walk over them remembers where it is: compared as the index of the key compares, and
// carried byte for byte. A text of SQLite need not be one of JavaScript, and a key that came back changed would never be passed.

import { TampError } from '../../core/errors.ts'
import { sameName } from './catalogue.ts'
import { quoted } from './names.ts'
import { query, queryRow, queryValue } from './request.ts'
import type { Policy, Row, Value } from './request.ts'

/** One column of the key. */
export interface KeyPart {
  /** Quoted, where need be. */
  readonly name: string
  /** The collation of the key's index, to follow the name; empty where the values are integers. */
  readonly collate: string
}

/** The key of a row: texts as their bytes. */
export type RowKey = readonly { readonly text: boolean; readonly value: Value }[]

/** Rows from the one after `after` up to `upto`, both keys of rows; undefined where the table begins or ends. */
export interface KeyRange {
  readonly after: RowKey | undefined
  readonly upto: RowKey | undefined
}

/** A piece of SQL with its parameters. */
export interface Piece {
  readonly sql: string
  readonly params: readonly Value[]
}

/** The key of a table of rows: its rowid where that can be named, else the primary key; empty where nothing can be named. */
export function* rowKey(rows: string): Policy<readonly KeyPart[]> {
  const columns = yield* query(`SELECT name, pk FROM pragma_table_xinfo(?, 'main')`, rows)
  const index = yield* queryValue(`SELECT name FROM pragma_index_list(?, 'main') WHERE origin = 'pk'`, rows)
  const withoutRowid = yield* queryValue(
    `SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE`,
    rows,
  )
  const free = ['rowid', '_rowid_', 'oid'].find((name) => !columns.some((column) => sameName(String(column[0]), name)))
  if (withoutRowid !== 1 && free !== undefined) return [{ name: free, collate: '' }]
  if (index === undefined)
    return columns
      .filter(([, place]) => Number(place) > 0)
      .map(([name]) => ({ name: quoted(String(name)), collate: '' }))
  return (yield* query(
    `SELECT name, coll FROM pragma_index_xinfo(?, 'main') WHERE key = 1 ORDER BY seqno`,
    String(index),
  )).map(([name, collation]) => ({ name: quoted(String(name)), collate: ` COLLATE ${quoted(String(collation))}` }))
}

/** The key is one integer. */
export function isInteger(key: readonly KeyPart[]): boolean {
  return key.length === 1 && key[0]!.collate === ''
}

/** The key as it is compared and ordered. */
export function keyTerms(key: readonly KeyPart[]): readonly string[] {
  return key.map(({ name, collate }) => `${name}${collate}`)
}

/** What to select of a row for `readKey`: two values for each column of the key. */
export function keyValues(key: readonly KeyPart[]): readonly string[] {
  return key.flatMap(({ name, collate }) =>
    collate === ''
      ? ['0', name]
      : [`typeof(${name}) = 'text'`, `iif(typeof(${name}) = 'text', CAST(${name} AS BLOB), ${name})`],
  )
}

/** The key from what was selected. */
export function readKey(values: Row): RowKey {
  return Array.from({ length: values.length / 2 }, (_, place) => ({
    text: values[2 * place] === 1,
    value: values[2 * place + 1]!,
  }))
}

/** The condition that the key of a row is `>`, `<=` … a key. */
export function keyIs(key: readonly KeyPart[], operator: '>' | '>=' | '<=', than: RowKey): Piece {
  const [terms, values] = [keyTerms(key), than.map(bound)]
  const list = (parts: readonly string[]): string => (parts.length === 1 ? parts[0]! : `(${parts.join(', ')})`)
  return {
    sql: `${list(terms)} ${operator} ${list(values.map(({ sql }) => sql))}`,
    params: values.flatMap(({ params }) => params),
  }
}

/** The condition that a row is of the range, to follow others. */
export function within({ key }: { readonly key: readonly KeyPart[] }, { after, upto }: KeyRange): Piece {
  const conditions = [
    ...(after === undefined ? [] : [keyIs(key, '>', after)]),
    ...(upto === undefined ? [] : [keyIs(key, '<=', upto)]),
  ]
  return {
    sql: conditions.map(({ sql }) => ` AND ${sql}`).join(''),
    params: conditions.flatMap(({ params }) => params),
  }
}

/**
 * The key of the row that is `rows` rows behind `after`; undefined where there are fewer.
 * @param from the table and a condition, without ORDER BY
 */
export function* endOfRows(
  { key }: { readonly key: readonly KeyPart[] },
  from: string,
  after: RowKey | undefined,
  rows: number,
): Policy<RowKey | undefined> {
  const { sql, params } = within({ key }, { after, upto: undefined })
  const found = yield* queryRow(
    `SELECT ${keyValues(key).join(', ')} FROM ${from}${sql} ORDER BY ${keyTerms(key).join(', ')} LIMIT 1 OFFSET ?`,
    ...params,
    rows - 1,
  )
  return found === undefined ? undefined : readKey(found)
}

/** The key for people. */
export function* spokenKey(key: RowKey): Policy<string> {
  const values = key.map(bound)
  const row = yield* queryRow(
    `SELECT ${values.map(({ sql }) => sql).join(', ')}`,
    ...values.flatMap(({ params }) => params),
  )
  return (row ?? []).map(String).join(', ')
}

/** @throws TampError where a walk did not get on, which would have no end */
export function requireProgress(after: RowKey | undefined, upto: RowKey | undefined): void {
  if (after === undefined || upto === undefined || nameOf(after) !== nameOf(upto)) return
  throw new TampError('failed', 'The walk over the rows does not get on: their key does not order them.', {
    hint: 'PRAGMA integrity_check and REINDEX see to the index of the key.',
  })
}

/** Empty blobs are not bound: some drivers make NULL of them. */
function bound({ text, value }: RowKey[number]): Piece {
  if (value instanceof Uint8Array && value.length === 0) return { sql: text ? `''` : `x''`, params: [] }
  return { sql: text ? 'CAST(? AS TEXT)' : '?', params: [value] }
}

function nameOf(key: RowKey): string {
  return key.map(({ text, value }) => `${text} ${typeof value} ${String(value)}`).join('\n')
}
