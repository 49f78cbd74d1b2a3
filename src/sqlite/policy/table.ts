// A table as SQLite's schema describes it, and as its user knows it: of a table that is compressed already, the plain table behind it,
// with the indexes and triggers it had before.

import { TampError } from '../../core/errors.ts'
import { configuredColumns, sameName } from './catalogue.ts'
import type { ConfiguredColumn } from './catalogue.ts'
import { closestName } from './closest-name.ts'
import { columnTexts, hasAutoincrement } from './create-table.ts'
import { foreignKeysFrom, foreignKeysTo } from './foreign-keys.ts'
import type { ForeignKey } from './foreign-keys.ts'
import { dictColumn, rowsTable } from './names.ts'
import { query, queryRow, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import { indexesOf, originals, triggersOf } from './schema-objects.ts'
import type { MadeBy, SchemaObject } from './schema-objects.ts'

export type Affinity = 'TEXT' | 'NUMERIC' | 'INTEGER' | 'REAL' | 'BLOB'

export interface Column {
  readonly name: string
  /** As declared on the plain table. */
  readonly type: string
  readonly affinity: Affinity
  readonly notNull: boolean
  /** The expression of its DEFAULT, as SQL. */
  readonly default: string | undefined
  readonly generated: 'virtual' | 'stored' | undefined
  readonly collation: string
}

export interface KeyColumn {
  readonly name: string
  /** In which the key tells values apart. */
  readonly collation: string
}

export interface Table {
  /** As the user calls it. */
  readonly name: string
  /** What holds the rows: the table itself, or the table behind the view. */
  readonly stored: string
  /** Without the columns that compression adds. */
  readonly columns: readonly Column[]
  readonly key: readonly KeyColumn[]
  /** The INTEGER PRIMARY KEY. */
  readonly rowidAlias: string | undefined
  /** A name under which SQL reaches the rowid, quoted where needed. */
  readonly rowid: string | undefined
  readonly withoutRowid: boolean
  readonly strict: boolean
  readonly autoincrement: boolean
  /** The statement of the stored table, as it is now. */
  readonly sql: string
  /** The statement of the plain table. */
  readonly plainSql: string
  /** Indexes of the plain table that a statement made. */
  readonly indexes: readonly SchemaObject[]
  /** Columns of PRIMARY KEY and UNIQUE constraints. */
  readonly constrained: readonly string[]
  /** The plain table's own triggers, oldest first. */
  readonly triggers: readonly SchemaObject[]
  readonly foreignKeys: readonly ForeignKey[]
  readonly referencedBy: readonly ForeignKey[]
  /** Its compressed columns, oldest first. */
  readonly compressed: readonly ConfiguredColumn[]
  /** Who made the objects around the rows: nobody where no column is compressed. */
  readonly madeBy: MadeBy
  /** Somebody dropped the view: the rows are there, and nothing has the name of the table. */
  readonly viewMissing: boolean
  /** Names of virtual tables that read the table's content, such as FTS5 ones. */
  readonly contentOf: readonly SchemaEntry[]
}

export interface SchemaEntry {
  readonly name: string
  readonly sql: string
}

const ofCatalogue = ['_zstd_configs', '_zstd_dicts', '_tamp_dicts', '_tamp_schema', '_tamp_scope']

/** @throws TampError for the tables of the catalogue, which must be readable without it, and for those that hold another table's rows */
function* requireNotOurs(name: string): Policy<void> {
  if (ofCatalogue.some((own) => sameName(own, name)))
    throw new TampError('usage', `${name} is a table of tamp itself, and stays as it is.`, {
      hint: 'Name a table of your own.',
    })
  const whose = (yield* configuredColumns()).find(({ config }) => sameName(rowsTable(config.table), name))
  if (whose !== undefined)
    throw new TampError('usage', `${name} holds the rows of ${whose.config.table}.`, {
      hint: `Name the table as it is used: ${whose.config.table}.`,
    })
}

/** @throws TampError where there is no such table, or it is none whose rows can be compressed */
export function* describeTable(name: string): Policy<Table> {
  const found = yield* queryRow(
    `SELECT name, type, sql FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE`,
    name,
  )
  const configured = (yield* configuredColumns()).filter(({ config }) => sameName(config.table, name))
  const [listed] = configured
  if (found === undefined && listed === undefined) throw yield* noSuchTable(name)
  const [exact, type] = found === undefined ? [listed!.config.table, 'view'] : [String(found[0]), found[1]]
  if (type === 'view' && configured.length === 0) {
    throw new TampError('usage', `${exact} is a view: only the rows of a table can be compressed.`, {
      hint: 'Name the table that it reads from.',
    })
  }
  yield* requireNotOurs(exact)
  const stored = type === 'view' ? rowsTable(exact) : exact
  const sql = yield* queryValue(
    `SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`,
    stored,
  )
  if (type === 'table' && listed !== undefined) {
    const rows = rowsTable(exact)
    const hasRows = (yield* queryRow(`SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE`, rows)) !== undefined
    throw new TampError(
      'unknown-schema',
      `${exact} is listed as compressed, but it is a table, not the view of ${rows}.`,
      {
        hint: hasRows
          ? `Give it another name: the compressed rows are in ${rows}.`
          : '`tamp sqlite disable` takes the old one off the list.',
      },
    )
  }
  if (typeof sql !== 'string') {
    throw new TampError('unknown-schema', `${exact} is listed as compressed, but there is no table ${stored}.`, {
      hint:
        found === undefined
          ? '`tamp sqlite disable` takes it off the list; a backup may have the table.'
          : 'Run `tamp sqlite check`: it says what else is missing.',
    })
  }
  const [kind, withoutRowid, strict] = (yield* queryRow(
    `SELECT type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE`,
    stored,
  ))!
  if (kind !== 'table' || /^sqlite_/i.test(exact)) {
    throw new TampError('usage', `${exact} is ${kindOf(String(kind))}: only an ordinary table can be compressed.`, {
      hint: '`tamp sqlite inspect` lists the tables that can be.',
    })
  }
  const plainSql = (yield* originals(exact, 'table'))[0]?.sql ?? sql
  const columns = yield* columnsOf(stored, [plainSql, sql], configured)
  const madeBy: MadeBy =
    configured.length === 0
      ? 'nobody'
      : configured.some(({ config }) => config.tamp !== undefined)
        ? 'tamp'
        : 'sqlite-zstd'
  const { key, constrained, pkIndex } = yield* constraints(stored, columns)
  const rowidAlias = withoutRowid !== 1 && key.length === 1 && !pkIndex ? key[0]!.name : undefined
  return {
    name: exact,
    stored,
    columns,
    key,
    rowidAlias,
    rowid:
      withoutRowid === 1
        ? undefined
        : ['rowid', '_rowid_', 'oid'].find((free) => !columns.some((column) => sameName(column.name, free))),
    withoutRowid: withoutRowid === 1,
    strict: strict === 1,
    autoincrement: hasAutoincrement(sql),
    sql,
    plainSql,
    indexes: yield* indexesOf(exact, stored, madeBy),
    constrained,
    triggers: yield* triggersOf(exact, stored, madeBy),
    foreignKeys: yield* foreignKeysFrom(stored),
    referencedBy: yield* foreignKeysTo(stored),
    compressed: configured,
    madeBy,
    viewMissing: found === undefined,
    // Not LIKE, which minds the case where the connection says so.
    contentOf: (yield* query(
      `SELECT name, sql FROM sqlite_schema WHERE upper(substr(sql, 1, 14)) = 'CREATE VIRTUAL' AND instr(upper(sql), 'CONTENT') > 0`,
    ))
      .map(([virtual, text]) => ({ name: String(virtual), sql: String(text) }))
      .filter(({ sql: text }) => contentTable(text) !== undefined && sameName(contentTable(text)!, exact)),
  }
}

/** The column of a table. @throws TampError where it has none of that name */
export function columnOf(table: Table, name: string): Column {
  const column = table.columns.find((candidate) => sameName(candidate.name, name))
  if (column !== undefined) return column
  const closest = closestName(
    name,
    table.columns.map((candidate) => candidate.name),
  )
  throw new TampError('usage', `${table.name} has no column ${name}.`, {
    hint:
      closest === undefined
        ? `It has ${table.columns.map((candidate) => candidate.name).join(', ')}.`
        : `Did you mean ${closest}?`,
  })
}

/** SQLite's rules on declared types (https://sqlite.org/datatype3.html, 3.1), for tables that are not STRICT too. */
export function affinityOf(type: string): Affinity {
  if (/INT/i.test(type)) return 'INTEGER'
  if (/CHAR|CLOB|TEXT/i.test(type)) return 'TEXT'
  if (type === '' || /BLOB/i.test(type) || /^ANY$/i.test(type)) return 'BLOB'
  return /REAL|FLOA|DOUB/i.test(type) ? 'REAL' : 'NUMERIC'
}

function* noSuchTable(name: string): Policy<TampError> {
  const configured = yield* configuredColumns()
  const names = (yield* query(
    `SELECT name FROM sqlite_schema WHERE type = 'table' AND lower(substr(name, 1, 7)) <> 'sqlite_'`,
  ))
    .map(([table]) => String(table))
    .filter((table) => !ofCatalogue.some((own) => sameName(own, table)))
    // Compressed tables by the name that their user knows.
    .map((table) => configured.find(({ config }) => sameName(rowsTable(config.table), table))?.config.table ?? table)
    .toSorted()
  const closest = closestName(name, names)
  return new TampError('usage', `There is no table ${name}.`, {
    hint:
      closest !== undefined
        ? `Did you mean ${closest}?`
        : names.length === 0
          ? 'The database has no tables.'
          : `There are ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}.`,
  })
}

function kindOf(kind: string): string {
  return kind === 'virtual' ? 'a virtual table' : kind === 'shadow' ? 'part of a virtual table' : "one of SQLite's own"
}

function* columnsOf(
  stored: string,
  statements: readonly string[],
  compressed: readonly ConfiguredColumn[],
): Policy<readonly Column[]> {
  // Columns may have been added to the rows since.
  const texts = statements.flatMap(columnTexts)
  const added = compressed.map(({ config }) => dictColumn(config.column))
  const rows = yield* query(
    `SELECT name, type, "notnull", dflt_value, hidden FROM pragma_table_xinfo(?, 'main')`,
    stored,
  )
  return rows
    .map(([name, type, notNull, value, hidden]) => {
      const text = texts.find((candidate) => sameName(candidate.name, String(name)))
      // The type of a compressed column of a STRICT table is ANY on the rows, so the plain statement knows better.
      const declared = compressed.some(({ config }) => sameName(config.column, String(name)))
        ? (text?.type ?? String(type))
        : String(type)
      return {
        name: String(name),
        type: declared,
        affinity: affinityOf(declared),
        notNull: notNull === 1,
        default: value === null ? undefined : String(value),
        generated: hidden === 2 ? ('virtual' as const) : hidden === 3 ? ('stored' as const) : undefined,
        collation: text?.collation ?? 'BINARY',
      }
    })
    .filter(({ name }) => !added.some((dict) => sameName(dict, name)))
}

function* constraints(
  stored: string,
  columns: readonly Column[],
): Policy<{ key: KeyColumn[]; constrained: string[]; pkIndex: boolean }> {
  const key: KeyColumn[] = (yield* query(
    `SELECT name FROM pragma_table_xinfo(?, 'main') WHERE pk > 0 ORDER BY pk`,
    stored,
  )).map(([name]) => ({
    name: String(name),
    collation: columns.find((column) => sameName(column.name, String(name)))?.collation ?? 'BINARY',
  }))
  const constrained = key.map(({ name }) => name)
  let pkIndex = false
  for (const [index, origin] of yield* query(`SELECT name, origin FROM pragma_index_list(?, 'main')`, stored)) {
    if (origin === 'c') continue
    pkIndex ||= origin === 'pk'
    for (const [name, collation] of yield* query(
      `SELECT name, coll FROM pragma_index_xinfo(?, 'main') WHERE key = 1`,
      String(index),
    )) {
      constrained.push(String(name))
      const at = origin === 'pk' ? key.findIndex((column) => sameName(column.name, String(name))) : -1
      if (at >= 0) key[at] = { name: key[at]!.name, collation: String(collation) }
    }
  }
  return { key, constrained, pkIndex }
}

/** The table that a virtual table takes its content from: `content='t'` among its arguments. */
function contentTable(sql: string): string | undefined {
  const found = /[(,]\s*content\s*=\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|([\w$]+))/i.exec(sql)
  if (found === null) return undefined
  return found[1]?.replaceAll("''", "'") ?? found[2]?.replaceAll('""', '"') ?? found[3]
}
