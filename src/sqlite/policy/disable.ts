// Takes a column back to plain: its cells chunk by chunk, each chunk a transaction, and at the end the table itself in one more. Killed
// anywhere, the table reads as ever, and the next run goes on.

import { Pace } from '../../core/pace.ts'
import { TampError } from '../../core/errors.ts'
import type { Left } from '../../core/unit.ts'
import { configuredColumns, defaults, removeConfig, sameName, saveConfig, scope } from './catalogue.ts'
import type { ConfiguredColumn } from './catalogue.ts'
import { closestName } from './closest-name.ts'
import { decompressChunk, mayBeCompressed } from './decompress-chunk.ts'
import type { CellsToDecompress } from './decompress-chunk.ts'
import { dropCatalogue } from './drop-catalogue.ts'
import { compressedColumns, disablingColumns } from './compressed-columns.ts'
import { takeOver } from './enable.ts'
import { isGone, takeOffList } from './gone-table.ts'
import { provenRestructure } from './proven-restructure.ts'
import { dictColumn, pendingIndex, quoted, rowsTable } from './names.ts'
import { log, now, query, queryValue, tell } from './request.ts'
import type { Policy } from './request.ts'
import { isViewTrigger, restructuringSteps } from './restructure.ts'
import type { Restructuring } from './restructure.ts'
import { isReference, tokensOf } from './sql-tokens.ts'
import { columnOf, describeTable } from './table.ts'
import type { Table } from './table.ts'
import { requireNoTemporaryNamesake } from './temporary-namesakes.ts'
import { startWork } from './work-budget.ts'
import type { Limits, WorkBudget } from './work-budget.ts'

export interface DisableOptions extends Limits {
  readonly table: string
  readonly column: string
  readonly dryRun?: boolean
}

export interface Disabled {
  /** The column is plain again; else the next run goes on, once what was left has been seen to. */
  readonly complete: boolean
  readonly stopped?: 'limit' | 'interrupted'
  /** Rows decompressed; in a dry run, rows that would be. */
  readonly rows: number
  /** Damaged cells, which keep the column from being plain: the first hundred are named. */
  readonly left: readonly Left[]
  /** The statements that were run, or would be, beside those that decompress. */
  readonly statements: readonly string[]
  readonly throttledSeconds: number
}

/** Damaged cells that are named; of further ones it is said how many. */
const namedCells = 100

/** By the table's name such a row cannot be changed: the old value would have to be read. */
function givingUp(table: Table, column: string): string {
  const dict = quoted(dictColumn(column))
  return `a backup may have it; to give it up: UPDATE ${quoted(table.stored)} SET ${quoted(column)} = NULL, ${dict} = NULL WHERE …`
}

/** Bytes of compressed cells in a chunk, and what a row counts beside them. */
const chunkBytes = { first: 500_000, smallest: 20_000, largest: 16_000_000 } as const

/**
 * Makes a column plain again. When it was the last one of its table, the table gets back its name, indexes and triggers; when it was the
 * last one of the database, the catalogue goes too. Where somebody dropped the table by its parts, the column goes off the list.
 * @throws TampError where the column is not compressed, and where something that was made over its cells is in the way
 */
export function* disable(options: DisableOptions): Policy<Disabled> {
  const budget = yield* startWork(options)
  if (yield* isGone((yield* listedColumn(options)).config.table)) {
    const dryRun = options.dryRun === true
    const end = function* (): Policy<readonly string[]> {
      return yield* takeOffList(yield* listedColumn(options), dryRun)
    }
    const statements = yield* dryRun ? end() : budget.transaction(end)
    return { complete: true, rows: 0, left: [], statements, throttledSeconds: budget.throttledSeconds }
  }
  const found = yield* compressedOf(options)
  yield* requireNoTemporaryNamesake(found.table)
  yield* requireNothingInTheWay(found.table, found.column)
  if (options.dryRun === true) return yield* planned(found)
  const change = yield* budget.transaction(() => begun(options))
  let rows = 0
  for (;;) {
    const did = yield* decompressed(change, budget)
    rows += did.rows
    const { throttledSeconds } = budget
    if (did.stopped !== undefined)
      return { complete: false, stopped: did.stopped, rows, left: did.left, statements: [], throttledSeconds }
    if (did.left.length > 0) return { complete: false, rows, left: did.left, statements: [], throttledSeconds }
    yield* log(
      'info',
      `${options.table}.${options.column} is plain in every row; SQLite now writes the table anew, once, without ${quoted(dictColumn(options.column))}`,
    )
    const statements = yield* budget.transaction(() => ended(options))
    // Somebody else compressed meanwhile: a maintenance that had begun before.
    if (statements !== undefined) return { complete: true, rows, left: [], statements, throttledSeconds }
  }
}

interface Found {
  readonly table: Table
  readonly column: string
  readonly configured: ConfiguredColumn
}

function* listedColumn({ table: name, column }: DisableOptions): Policy<ConfiguredColumn> {
  const all = yield* configuredColumns()
  const configured = all.find(({ config }) => sameName(config.table, name) && sameName(config.column, column))
  if (configured === undefined) {
    const lanes = all.map(({ config }) => `${config.table}.${config.column}`)
    const closest = closestName(`${name}.${column}`, lanes)
    throw new TampError('usage', `${name}.${column} is not compressed.`, {
      hint:
        closest !== undefined
          ? `Did you mean ${closest}?`
          : lanes.length === 0
            ? 'No column of this database is.'
            : `Compressed are ${lanes.join(', ')}.`,
    })
  }
  return configured
}

function* compressedOf(options: DisableOptions): Policy<Found> {
  const configured = yield* listedColumn(options)
  const table = yield* describeTable(options.table)
  return { table, column: columnOf(table, options.column).name, configured }
}

/** What people made over the cells themselves, which would be left without them. */
function* requireNothingInTheWay(table: Table, column: string): Policy<void> {
  const dict = dictColumn(column)
  const known = [...table.indexes, ...table.triggers]
  const rows = yield* query(
    `SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL`,
  )
  for (const [type, name, on, sql] of rows) {
    const [kind, object] = [String(type), String(name)]
    if (kind === 'view' && sameName(object, table.name)) continue
    const isOnView = kind === 'trigger' && sameName(String(on), table.name)
    if (isOnView && !isViewTrigger(table, object))
      throw new TampError(
        'failed',
        `The trigger ${object} is an INSTEAD OF trigger on ${table.name}, which a table cannot have.`,
        {
          hint: `Drop it first: DROP TRIGGER ${quoted(object)}.`,
        },
      )
    const isOurs =
      isOnView ||
      known.some((other) => sameName(other.name, object)) ||
      (kind === 'index' &&
        [pendingIndex(table.name, column), `_${column}_dict_idx`].some((other) => sameName(other, object)))
    if (!isOurs && mentions(String(sql), dict) && mentions(String(sql), rowsTable(table.name)))
      throw new TampError(
        'failed',
        `The ${kind} ${object} reads ${quoted(dict)} of ${quoted(rowsTable(table.name))}, which goes.`,
        {
          hint: `Drop it first: DROP ${kind.toUpperCase()} ${quoted(object)}.`,
        },
      )
  }
}

function mentions(sql: string, name: string): boolean {
  return tokensOf(sql).some((token) => isReference(token, name))
}

function* planned({ table, column }: Found): Policy<Disabled> {
  const change = yield* changeOf(table, column)
  const steps = yield* restructuringSteps(change)
  const count = yield* queryValue(
    `SELECT count(*) FROM main.${quoted(table.stored)} WHERE ${quoted(dictColumn(column))} IS NOT NULL`,
  )
  return { complete: true, rows: Number(count), left: [], statements: steps.map(({ sql }) => sql), throttledSeconds: 0 }
}

function* changeOf(table: Table, column: string): Policy<Restructuring> {
  const from = compressedColumns(table)
  return {
    table,
    from,
    to: from.filter((other) => other.column !== column),
    withoutPending: disablingColumns(table),
    scope: table.madeBy === 'tamp' ? yield* scope() : 1,
  }
}

/** Marks the column, so that maintenance leaves it alone. What decompression writes need not be remembered as pending. */
function* begun(options: DisableOptions): Policy<Restructuring> {
  let { table, column, configured } = yield* compressedOf(options)
  if (configured.config.tamp === undefined) {
    // With sqlite-zstd's triggers, writers would lose updates while this goes on.
    yield* takeOver(table, column)
    ;({ table, column, configured } = yield* compressedOf(options))
  }
  const { config } = configured
  yield* saveConfig({
    ...config,
    tamp: {
      ...(config.tamp ?? { layout: 1, text: true, minLength: defaults.minLength, auto: false }),
      disabling: true,
    },
  })
  yield* query(`DROP INDEX IF EXISTS main.${quoted(pendingIndex(table.name, column))}`)
  return yield* changeOf(table, column)
}

function* decompressed(
  change: Restructuring,
  budget: WorkBudget,
): Policy<{ rows: number; left: readonly Left[]; stopped: 'limit' | 'interrupted' | undefined }> {
  const { table, from, to } = change
  const column = from.find((old) => !to.some((kept) => kept.column === old.column))!
  const cells: CellsToDecompress = { table, column, scope: change.scope }
  const pace = new Pace(chunkBytes)
  const lane = `${table.name}.${column.column}`
  const damaged: Left[] = []
  let unnamed = 0
  const named = (): readonly Left[] =>
    unnamed === 0 ? damaged : [...damaged, { subject: `${unnamed} more`, reason: 'damaged, too' }]
  let rowsLeft = Number(
    yield* queryValue(
      `SELECT count(*) FROM main.${quoted(table.stored)} WHERE ${quoted(dictColumn(column.column))} IS NOT NULL`,
    ),
  )
  let rows = 0
  for (let after: CellsToDecompress['after']; ;) {
    const stopped = yield* budget.stopped()
    if (stopped !== undefined) return { rows, left: named(), stopped }
    const start = yield* now()
    const chunk = yield* budget.transaction(() =>
      decompressChunk({ ...cells, ...(after === undefined ? {} : { after }) }, pace.weight()),
    )
    if (chunk === undefined) return { rows, left: named(), stopped: undefined }
    const seconds = (yield* now()) - start
    pace.took(chunk.weight, seconds)
    after = chunk.last
    rows += chunk.rows
    rowsLeft = Math.max(0, rowsLeft - chunk.rows)
    for (const { subject, reason } of chunk.left) {
      if (damaged.length === namedCells) unnamed++
      else damaged.push({ subject, reason: `${reason}; ${givingUp(table, column.column)}` })
    }
    const { bytesBefore, bytesAfter } = chunk
    yield* tell({ type: 'chunk', lane, rows: chunk.rows, bytesBefore, bytesAfter, seconds, rowsLeftEstimate: rowsLeft })
    yield* budget.didChunk(seconds)
  }
}

/** Puts the table back. @returns the statements, or undefined where a cell is compressed still */
function* ended(options: DisableOptions): Policy<readonly string[] | undefined> {
  const { table, column } = yield* compressedOf(options)
  if (yield* mayBeCompressed(table, column)) return undefined
  yield* requireNothingInTheWay(table, column)
  const change = yield* changeOf(table, column)
  const statements = yield* provenRestructure(change)
  yield* removeConfig(table.name, column)
  yield* requireSound(table, change.to.length === 0 ? table.name : rowsTable(table.name))
  if ((yield* configuredColumns()).length === 0) yield* dropCatalogue()
  return statements
}

/** What somebody stored with constraints turned off was there before, and is no damage. */
const oldSins = /^(CHECK constraint failed|NULL value in|\w+ value in|non-\w+ value in)/

function* requireSound(table: Table, stored: string): Policy<void> {
  const findings = (yield* query(`PRAGMA main.integrity_check(${quoted(stored)})`)).map(([text]) => String(text))
  const worst = findings.find((text) => text !== 'ok' && !oldSins.test(text))
  if (worst !== undefined)
    throw new TampError('proof-failed', `${table.name} would not be sound: ${worst}. Nothing was changed.`)
}
