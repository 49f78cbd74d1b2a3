// What maintenance, inspection and checks need to know of one compressed column: the names of its parts, quoted for SQL, how its rows are
// told apart, and which of them are still to be compressed. Read from the schema, never assumed: sqlite-zstd made some of these columns.

import { TampError } from '../../core/errors.ts'
import { configuredColumns, hasTampCatalogue, noDictionaryOtherType, sameName, scope } from './catalogue.ts'
import type { ColumnConfig } from './catalogue.ts'
import { dictColumn, pendingIndex, quoted, rowsTable } from './names.ts'
import { query, queryRow, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import { isInteger, rowKey } from './row-key.ts'
import type { KeyPart } from './row-key.ts'
import { tokensOf } from './sql-tokens.ts'

export interface CompressedColumn {
  readonly config: ColumnConfig
  /** `table.column`, for people. */
  readonly lane: string
  /** The table of the rows, for FROM and UPDATE, under the name that the user knows: a chooser may say it. */
  readonly rows: string
  /** That name, quoted. */
  readonly alias: string
  /** The column of the cells, quoted. */
  readonly cell: string
  /** The column that says how a cell is stored, quoted. */
  readonly dict: string
  /** What tells rows apart, in the order of the table. */
  readonly key: readonly KeyPart[]
  /** The key is one integer. */
  readonly integerKey: boolean
  /** Compressed cells are text unless their dictionary says otherwise. */
  readonly text: boolean
  /** Cells of the other type are compressed too. */
  readonly bothTypes: boolean
  /** The condition on rows that are still to be compressed. */
  readonly pending: string
  /** ` INDEXED BY …` where there is an index over them. */
  readonly indexedBy: string
  /** Last argument of the extension's functions: whose dictionaries. */
  readonly scope: number
  /** The chooser over rows with all their columns plain, in parentheses, its results compared byte by byte. */
  readonly chooser: string
  /** The same over pending rows as they are stored, where other columns may be compressed. */
  readonly storedChooser: string
  /** The one key that the chooser gives, where it is a plain string. */
  readonly onlyKey: string | undefined
  /** `_tamp_dicts` is there. */
  readonly catalogue: boolean
  /** The table's columns that can be named in SQL, generated ones too. */
  readonly columns: readonly string[]
}

interface TableColumn {
  readonly name: string
  readonly type: string
}

/** Shorter cells of columns that sqlite-zstd enabled stay plain, as they do in tamp's own. */
const shortest = 16

/** @throws TampError where the rows of the column are not what the catalogue says */
export function* compressedColumn(config: ColumnConfig): Policy<CompressedColumn> {
  const { table, column, tamp } = config
  const rows = rowsTable(table)
  const columns = (yield* query(`SELECT name, type FROM pragma_table_xinfo(?, 'main')`, rows)).map(
    ([name, type]): TableColumn => ({ name: String(name), type: String(type) }),
  )
  const own = columns.find(({ name }) => sameName(name, column))
  const broken = (detail: string): TampError =>
    new TampError('unknown-schema', `${table}.${column} is listed as compressed, but ${detail}.`, {
      hint: 'Run `tamp sqlite check`: it says what else of the column is missing.',
    })
  if (columns.length === 0) throw broken(`there is no table ${rows}`)
  if (own === undefined) throw broken(`${rows} has no column ${column}`)
  if (!columns.some(({ name }) => sameName(name, dictColumn(column))))
    throw broken(`${rows} has no column ${dictColumn(column)}`)
  const key = yield* rowKey(rows)
  if (key.length === 0) throw broken(`nothing in ${rows} tells its rows apart`)
  const catalogue = yield* hasTampCatalogue()
  const text = tamp?.text ?? (yield* textByView(table, own))
  const cell = quoted(own.name)
  const dict = quoted(dictColumn(column))
  const types = tamp === undefined ? ` = '${text ? 'text' : 'blob'}'` : ` IN ('text','blob')`
  const index = pendingIndex(table, column)
  const whose = catalogue ? yield* scope() : 1
  // On a line of its own: an expression may end with a comment.
  const chooser = `((\n${config.dictChooser}\n) COLLATE BINARY)`
  return {
    config,
    lane: `${table}.${column}`,
    rows: `main.${quoted(rows)} AS ${quoted(table)}`,
    alias: quoted(table),
    cell,
    dict,
    key,
    integerKey: isInteger(key),
    text,
    bothTypes: tamp !== undefined,
    // Term by term as in the index, or SQLite does not see that the index holds just these rows.
    pending: `${dict} IS NULL AND typeof(${cell})${types} AND length(${cell}) >= ${tamp?.minLength ?? shortest}`,
    indexedBy: tamp !== undefined && (yield* indexExists(index)) ? ` INDEXED BY ${quoted(index)}` : '',
    scope: whose,
    chooser,
    storedChooser: yield* storedChooser(config, chooser, columns, whose),
    onlyKey: constantKey(config.dictChooser),
    catalogue,
    columns: columns.map(({ name }) => name),
  }
}

/** The one key that a chooser gives where it is a plain string. */
export function constantKey(chooser: string): string | undefined {
  return /^\s*'((?:[^']|'')*)'\s*$/.exec(chooser)?.[1]?.replaceAll("''", "'")
}

/** Bytes of a cell, as SQL. */
export function bytesOf(cell: string): string {
  return `length(CAST(${cell} AS BLOB))`
}

/** What says how a cell is stored. */
type StoredCell = Pick<CompressedColumn, 'cell' | 'dict' | 'text' | 'scope' | 'bothTypes'>

/** The cell as it was before it was compressed, as SQL. */
export function decoded(stored: StoredCell): string {
  return `zstd_decompress_col(${decodingArguments(stored)})`
}

/** The same, with NULL for a cell that cannot be decoded. */
export function decodedOrNull(stored: StoredCell): string {
  return `iif(${cellError(stored)} IS NULL, ${decoded(stored)}, NULL)`
}

/** Why a cell cannot be decoded, or NULL, as SQL. */
export function cellError(stored: StoredCell): string {
  return `tamp_cell_error(${decodingArguments(stored)})`
}

function decodingArguments({ cell, dict, text, scope: whose, bothTypes }: StoredCell): string {
  const isText = bothTypes ? `${dict} IS ${text ? 'NOT ' : ''}${noDictionaryOtherType}` : text ? '1' : '0'
  return `${cell}, ${isText}, ${dict}, ${whose}`
}

/** `typeof` of the cells that are compressed with dictionaries. */
export function usualType({ text }: Pick<CompressedColumn, 'text'>): 'text' | 'blob' {
  return text ? 'text' : 'blob'
}

/** The chooser, where it names other compressed columns, in a scope of its own that gives them plain. */
function* storedChooser(
  { table, column, dictChooser }: ColumnConfig,
  chooser: string,
  columns: readonly TableColumn[],
  whose: number,
): Policy<string> {
  const named = new Set(tokensOf(dictChooser).map(({ value }) => value.toLowerCase()))
  const alias = quoted(table)
  const plain: string[] = []
  for (const { config } of yield* configuredColumns()) {
    const own = columns.find(({ name }) => sameName(name, config.column))
    if (!sameName(config.table, table) || sameName(config.column, column) || own === undefined) continue
    if (!named.has(own.name.toLowerCase())) continue
    const sibling = {
      cell: `${alias}.${quoted(own.name)}`,
      dict: `${alias}.${quoted(dictColumn(own.name))}`,
      text: config.tamp?.text ?? (yield* textByView(table, own)),
      scope: whose,
      bothTypes: config.tamp !== undefined,
    }
    plain.push(`${decoded(sibling)} AS ${quoted(own.name)}`)
  }
  return plain.length === 0
    ? chooser
    : `((SELECT ${chooser} FROM (SELECT ${plain.join(', ')}) AS ${alias}) COLLATE BINARY)`
}

/** Whether sqlite-zstd gives the column's cells as text: what its view says, else its rule, which goes by the declared type. */
function* textByView(table: string, { name, type }: TableColumn): Policy<boolean> {
  const view = yield* queryValue(`SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ? COLLATE NOCASE`, table)
  for (const [, backticked, doubleQuoted, bare, isText] of String(view ?? '').matchAll(
    /zstd_decompress_col\s*\(\s*(?:`([^`]*)`|"([^"]*)"|(\w+))\s*,\s*([01])\s*,/gi,
  ))
    if (sameName(backticked ?? doubleQuoted ?? bare ?? '', name)) return isText === '1'
  return !/INT/i.test(type) && /CHAR|CLOB|TEXT/i.test(type)
}

function* indexExists(name: string): Policy<boolean> {
  return (
    (yield* queryRow(`SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ? COLLATE NOCASE`, name)) !==
    undefined
  )
}
