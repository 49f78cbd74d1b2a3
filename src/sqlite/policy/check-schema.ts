// The catalogue and the objects around the rows: every compressed column has its rows, its view, its triggers and its index, and they say
// what they said when they were made.

import { configuredColumns, hasTampCatalogue, sameName, scope, tableExists } from './catalogue.ts'
import type { ColumnConfig } from './catalogue.ts'
import { compressedColumn } from './compressed-column.ts'
import { compressedColumns } from './compressed-columns.ts'
import { missingText } from './findings.ts'
import type { Findings } from './findings.ts'
import { pendingStatement, viewStatement, viewTriggerStatements } from './layout.ts'
import { pendingIndex, quoted, viewTrigger } from './names.ts'
import { query, queryRow } from './request.ts'
import type { Policy } from './request.ts'
import { endsRun, reasonOf } from './sql-failures.ts'
import { tokensOf } from './sql-tokens.ts'
import { describeTable } from './table.ts'

/** The columns that the catalogue lists. */
export function* checkSchema(findings: Findings): Policy<readonly ColumnConfig[]> {
  const configs: ColumnConfig[] = []
  try {
    configs.push(...(yield* configuredColumns()).map(({ config }) => config))
  } catch (error) {
    if (endsRun(error)) throw error
    yield* findings.add('config-unreadable', '_zstd_configs', reasonOf(error))
  }
  const whole: ColumnConfig[] = []
  for (const config of configs) {
    const lane = `${config.table}.${config.column}`
    try {
      yield* compressedColumn(config)
      whole.push(config)
      if (config.tamp?.disabling === true)
        yield* findings.add('disabling', lane, 'it is on its way back to plain: run `tamp sqlite disable` again')
    } catch (error) {
      if (endsRun(error)) throw error
      yield* findings.add('config-without-rows', lane, reasonOf(error))
    }
  }
  const tables = new Set(whole.map(({ table }) => table.toLowerCase()))
  for (const table of tables)
    yield* checkTable(
      whole.filter((config) => sameName(config.table, table)),
      findings,
    )
  yield* checkUnlisted(configs, findings)
  return whole
}

function* checkTable(configs: readonly ColumnConfig[], findings: Findings): Policy<void> {
  const { table: name } = configs[0]!
  const view = yield* statement('view', name)
  if (view === undefined)
    yield* findings.add('view-missing', name, `there is no view ${name} that gives the rows plain`)
  try {
    if (configs.every(({ tamp }) => tamp === undefined)) {
      yield* checkTheirs(name, findings)
      return
    }
    const table = yield* describeTable(name)
    const layout = { table, columns: compressedColumns(table), scope: (yield* hasTampCatalogue()) ? yield* scope() : 1 }
    if (view !== undefined && !sameStatement(view, viewStatement(layout)))
      yield* findings.add(
        'view-differs',
        name,
        'the view is not as tamp made it; enabling another column makes it anew',
      )
    const triggers = viewTriggerStatements(layout)
    for (const [place, event] of (['insert', 'update', 'delete'] as const).entries()) {
      const trigger = viewTrigger(name, event)
      const there = yield* statement('trigger', trigger)
      if (there === undefined)
        yield* findings.add('trigger-missing', trigger, `${event.toUpperCase()} on ${name} does not work without it`)
      else if (!sameStatement(there, triggers[place]!))
        yield* findings.add('trigger-differs', trigger, `${event.toUpperCase()} on ${name} may not do what it should`)
    }
    for (const column of layout.columns) {
      const config = configs.find((one) => sameName(one.column, column.column))
      if (config?.tamp === undefined || config.tamp.disabling === true) continue
      const index = pendingIndex(table.name, column.column)
      const there = yield* statement('index', index)
      if (there === undefined)
        yield* findings.add('pending-index-missing', index, 'maintenance has to read all rows to find new ones')
      else if (!sameStatement(there, pendingStatement(table.name, column)))
        yield* findings.add('pending-index-differs', index, 'maintenance may fail, or read all rows to find new ones')
    }
  } catch (error) {
    if (endsRun(error)) throw error
    yield* findings.add('check-failed', name, reasonOf(error))
  }
}

/** The triggers that sqlite-zstd makes. */
function* checkTheirs(name: string, findings: Findings): Policy<void> {
  for (const event of ['insert', 'delete'])
    if ((yield* statement('trigger', `${name}_${event}_trigger`)) === undefined)
      yield* findings.add(
        'trigger-missing',
        `${name}_${event}_trigger`,
        `${event.toUpperCase()} on ${name} does not work`,
      )
  yield* findings.add('made-by-sqlite-zstd', name, 'tamp reads and maintains it as it is; enabling takes it over')
}

/** Tables of compressed rows that the catalogue does not list: maintenance passes them over, and nothing keeps their dictionaries. */
export function* checkUnlisted(configs: readonly ColumnConfig[], findings: Findings): Policy<void> {
  const found = yield* query(
    `SELECT rows.name, cell.name, dict.name FROM sqlite_schema AS rows, pragma_table_xinfo(rows.name, 'main') AS dict
     JOIN pragma_table_xinfo(rows.name, 'main') AS cell ON dict.name = '_' || cell.name || '_dict' COLLATE NOCASE
     WHERE rows.type = 'table' AND rows.name LIKE '\\_%\\_zstd' ESCAPE '\\'`,
  )
  const dictionaries = new Set(
    (yield* tableExists('_zstd_dicts'))
      ? (yield* query('SELECT id FROM main._zstd_dicts')).map(([id]) => Number(id))
      : [],
  )
  for (const [rows, column, dict] of found) {
    const table = String(rows).slice(1, -'_zstd'.length)
    const listed = configs.some((one) => sameName(one.table, table) && sameName(one.column, String(column)))
    if (listed) continue
    const lane = `${table}.${String(column)}`
    const used = yield* usedDictionaries(String(rows), String(dict))
    yield* findings.add(
      'column-unlisted',
      lane,
      used.length > 0
        ? 'its cells are compressed, but _zstd_configs does not list it: a backup has its line'
        : 'it has the columns of a compressed one, but _zstd_configs does not list it',
      used.length > 0,
    )
    for (const [id, cells] of used)
      if (!dictionaries.has(id))
        yield* findings.add('dictionary-missing', `${lane} dictionary ${id}`, missingText(cells))
  }
}

/** The dictionaries, those that stand for none apart, that cells of a column were compressed with, and how many cells. */
function* usedDictionaries(rows: string, dict: string): Policy<readonly (readonly [number, number])[]> {
  const found = yield* query(
    `SELECT ${quoted(dict)}, count(*) FROM main.${quoted(rows)} WHERE typeof(${quoted(dict)}) = 'integer' AND ${quoted(dict)} > 0 GROUP BY 1`,
  )
  return found.map(([id, cells]) => [Number(id), Number(cells)])
}

function* statement(type: string, name: string): Policy<string | undefined> {
  const found = yield* queryRow(`SELECT sql FROM sqlite_schema WHERE type = ? AND name = ? COLLATE NOCASE`, type, name)
  return found === undefined ? undefined : String(found[0])
}

/** Equal but for spaces and the way names are quoted, which ALTER TABLE changes. */
function sameStatement(one: string, other: string): boolean {
  const plain = (sql: string): string =>
    tokensOf(sql)
      .map(({ value }) => value)
      .join(' ')
  return plain(one) === plain(other)
}
