// Makes an index over a table behind its view, which CREATE INDEX cannot, so that queries by the table's own name use it.

import { TampError } from '../../core/errors.ts'
import { sameName, scope } from './catalogue.ts'
import { compressedColumns } from './compressed-columns.ts'
import { readsColumns, rewrittenIndex } from './indexes.ts'
import { literal, quoted } from './names.ts'
import { log, query, queryRow, SqlError } from './request.ts'
import type { Policy } from './request.ts'
import { closing, isSign, isWord, tokensOf } from './sql-tokens.ts'
import { describeTable } from './table.ts'
import type { Table } from './table.ts'
import { startWork } from './work-budget.ts'

export interface AddIndexOptions {
  readonly table: string
  /** Default: made of the table's name and of what is indexed. */
  readonly name?: string
  /** Columns, or expressions over the table as its user sees it, each with ASC, DESC or COLLATE if wanted. */
  readonly on: readonly string[]
  /** A condition: only such rows are in the index, and only queries with it use it. */
  readonly where?: string
  readonly unique?: boolean
  readonly dryRun?: boolean
}

export interface AddedIndex {
  readonly name: string
  /** The statement that was run, or would be. */
  readonly statement: string
  /** Whether a query for the first of `on`, by the table's own name, uses it; false in a dry run. */
  readonly used: boolean
  /** How SQLite would run that query, a line a step. */
  readonly plan: readonly string[]
}

/** @throws TampError where the table, a column or the expression is not right, or rows are not unique */
export function* addIndex(options: AddIndexOptions): Policy<AddedIndex> {
  const table = yield* describeTable(options.table)
  if (table.madeBy === 'sqlite-zstd')
    throw new TampError('failed', `${table.name} is compressed by sqlite-zstd, whose view uses no index.`, {
      hint: `Take it over first: enable ${table.name}.${table.compressed[0]!.config.column}.`,
    })
  const items = options.on.map((item) => listItem(table, item))
  if (items.length === 0) throw new TampError('usage', 'An index needs at least one column or expression.')
  const name = options.name ?? (yield* freeName(table, items))
  yield* requireFree(name, options.name)
  const where = options.where === undefined ? '' : ` WHERE ${whole(options.where)}`
  const plain = `CREATE ${options.unique === true ? 'UNIQUE ' : ''}INDEX ${quoted(name)} ON ${quoted(table.name)}(${items.join(', ')})${where}`
  const columns = compressedColumns(table)
  const statement = table.madeBy === 'nobody' ? plain : rewrittenIndex(plain, { table, columns, scope: yield* scope() })
  if (options.dryRun === true) {
    yield* rehearse(table, statement, items, options)
    return { name, statement, used: false, plan: [] }
  }
  yield* (yield* startWork({})).transaction(function* () {
    try {
      yield* query(statement)
    } catch (error) {
      throw inWords(error, table)
    }
    if (columns.length > 0 && readsColumns(plain, columns))
      yield* query(
        `INSERT OR REPLACE INTO main._tamp_schema (table_name, type, name, sql) VALUES (?, 'index', ?, ?)`,
        table.name,
        name,
        plain,
      )
  })
  const plan = yield* planOf(table, items[0]!, options.where)
  const used = plan.some((line) => line.includes(`INDEX ${name} `) || line.endsWith(`INDEX ${name}`))
  if (!used)
    yield* log(
      'warn',
      `the index ${name} is there, but SQLite does not use it for ${items[0]!} = …: ${plan.join('; ')}`,
    )
  return { name, statement, used, plan }
}

/** An item of the list: a column by its name, whatever the name is made of, or an expression. */
function listItem(table: Table, given: string): string {
  const column = table.columns.find(({ name }) => sameName(name, given.trim()))
  return column === undefined ? whole(given) : quoted(column.name)
}

/** @throws TampError where a text is more than one expression */
function whole(expression: string): string {
  const tokens = tokensOf(expression)
  for (let i = 0; i < tokens.length; i++) {
    const open = isSign(tokens[i], '(')
    const end = open ? closing(tokens, i) : i
    const [token, closed] = [tokens[i], tokens[end]]
    if (closed === undefined || [',', ';', ')'].some((sign) => isSign(token, sign)))
      throw new TampError('usage', `${expression} is not one expression.`, {
        hint: 'Give each column or expression of the index by itself.',
      })
    i = end
  }
  if (tokens.length === 0) throw new TampError('usage', 'An expression of the index is empty.')
  // Without comments at its ends: one of `--` would take what follows with it.
  return expression.slice(tokens[0]!.start, tokens.at(-1)!.end)
}

function* freeName(table: Table, items: readonly string[]): Policy<string> {
  const words = items.flatMap((item) =>
    tokensOf(item).flatMap(({ kind, value }) =>
      kind === 'operator' ? [] : [value.replace(/[^\w$\u0080-\uffff]+/g, '')],
    ),
  )
  const base = [table.name, ...words.filter((word) => word !== '')].join('_')
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : `${base}_${n}`
    if (!(yield* isTaken(name))) return name
  }
}

function* requireFree(name: string, given: string | undefined): Policy<void> {
  if (given !== undefined && (yield* isTaken(name)))
    throw new TampError('usage', `There is something of the name ${name} already.`, {
      hint: 'Give the index another name.',
    })
}

function* isTaken(name: string): Policy<boolean> {
  return (
    (yield* queryRow(`SELECT 1 FROM sqlite_schema WHERE type <> 'trigger' AND name = ? COLLATE NOCASE`, name)) !==
    undefined
  )
}

/**
 * Finds out, by reading alone, what making the index would fail over: the connection may forbid writing, and a lock would be in others' way.
 * @throws TampError as making the index would
 */
function* rehearse(
  table: Table,
  statement: string,
  items: readonly string[],
  { where, unique = false }: AddIndexOptions,
): Policy<void> {
  const from = `FROM main.${quoted(table.name)}${where === undefined ? '' : ` WHERE (${where}\n)`}`
  const values = items.map(withoutOrder)
  try {
    yield* query(`EXPLAIN ${statement}`)
    if (unique) {
      // NULL is equal to nothing.
      const given = values.map((value) => `(${value}\n) IS NOT NULL`).join(' AND ')
      const twice = yield* queryRow(
        `SELECT 1 ${from} GROUP BY ${values.map((value) => `(${value}\n)`).join(', ')} HAVING count(*) > 1 AND ${given} LIMIT 1`,
      )
      if (twice !== undefined) throw notUnique(table, undefined)
    } else if (values.some((value) => tokensOf(value).length > 1))
      // An expression may fail over a row, such as one whose JSON is malformed.
      yield* query(`SELECT ${values.map((value) => `count(${value}\n)`).join(', ')} ${from}`)
  } catch (error) {
    throw inWords(error, table)
  }
}

/** An item of the list without ASC and DESC. */
function withoutOrder(item: string): string {
  const tokens = tokensOf(item)
  const last = tokens.at(-1)
  return isWord(last, 'ASC') || isWord(last, 'DESC') ? item.slice(0, tokens.at(-2)?.end ?? 0) : item
}

/** How SQLite would look for one value of the first item. */
function* planOf(table: Table, item: string, where: string | undefined): Policy<readonly string[]> {
  const condition = `${withoutOrder(item)} = ${literal('a')}${where === undefined ? '' : ` AND (${where}\n)`}`
  const rows = yield* query(`EXPLAIN QUERY PLAN SELECT * FROM main.${quoted(table.name)} WHERE ${condition}`)
  return rows.map((row) => String(row[3]))
}

function notUnique(table: Table, cause: SqlError | undefined): TampError {
  const found = cause === undefined ? '' : `: ${cause.message}`
  return new TampError('failed', `${table.name} has rows that are not unique in this${found}.`, {
    hint: 'Make them different first, or make an index that is not unique.',
    ...(cause === undefined ? {} : { cause }),
  })
}

function inWords(error: unknown, table: Table): unknown {
  if (!(error instanceof SqlError)) return error
  if (error.primaryCode === 19) return notUnique(table, error)
  if (error.primaryCode === 1)
    return new TampError('usage', `The index cannot be made: ${error.message}.`, {
      hint: `The columns are ${table.columns.map(({ name }) => name).join(', ')}; an expression must give the same for the same row.`,
      cause: error,
    })
  return error
}
