// Puts a column behind its own name: from now on maintenance may compress its cells, and whoever uses the table sees what was there before.
// Whole or not at all, also inside the caller's transaction.

import { TampError } from '../../core/errors.ts'
import { configuredColumn, createCatalogue, defaults, hasTampCatalogue, saveConfig, scope } from './catalogue.ts'
import { compressedColumns, disablingColumns, isStoredAsText } from './compressed-columns.ts'
import { adviseOnConnection } from './connection-advice.ts'
import { requireTextChooser } from './dict-chooser.ts'
import { differencesOf } from './differences.ts'
import type { Remark } from './differences.ts'
import { checkedOptions } from './enable-options.ts'
import type { EnableOptions } from './enable-options.ts'
import { compressedAs } from './layout.ts'
import type { Compressed } from './layout.ts'
import { dictColumn, literal, quoted } from './names.ts'
import { provenRestructure } from './proven-restructure.ts'
import { query, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import { restructuringSteps } from './restructure.ts'
import { columnOf, describeTable } from './table.ts'
import type { Column, Table } from './table.ts'
import { requireNoTemporaryNamesake } from './temporary-namesakes.ts'
import { startWork } from './work-budget.ts'

export { parseEnableJson } from './enable-options.ts'
export type { EnableOptions } from './enable-options.ts'

export interface Enabled {
  readonly table: string
  readonly column: string
  /** The column was sqlite-zstd's before. */
  readonly takenOver: boolean
  /** The statements that were run, or, in a dry run, that would be. */
  readonly statements: readonly string[]
  /** What will be different from now on. */
  readonly remarks: readonly Remark[]
}

/** Level for dictionaries that do not say a better one. */
const usualLevel = 19
const typeRows = 1000

/**
 * Compresses a column from now on, or takes over one that sqlite-zstd compresses, with all others of its table. Where somebody dropped the
 * view, it comes back.
 * @throws TampError where that is not possible; nothing has been changed then
 */
export function* enable(given: EnableOptions): Policy<Enabled> {
  const options = checkedOptions(given)
  if (options.dryRun === true) return yield* enabling(options)
  return yield* (yield* startWork({})).transaction(function* () {
    const enabled = yield* enabling(options)
    yield* adviseOnConnection()
    return enabled
  })
}

function* enabling(options: EnableOptions): Policy<Enabled> {
  const table = yield* describeTable(options.table)
  const column = columnOf(table, options.column)
  const before = yield* configuredColumn(table.name, column.name)
  if (before?.config.tamp !== undefined && before.config.tamp.disabling !== true && !table.viewMissing)
    throw new TampError('usage', `${table.name}.${column.name} is compressed already.`, {
      hint: '`tamp sqlite maintain` compresses its new rows; `tamp sqlite disable` takes it back.',
    })
  if (before !== undefined) yield* requireNoTemporaryNamesake(table)
  const compressed = compressedColumns(table)
  const { obstacles, remarks } =
    before === undefined ? yield* differencesOf(table, column, compressed) : { obstacles: [], remarks: [] }
  if (obstacles.length > 0) throw obstacle(table, column, obstacles)
  const chooser = options.dictChooser ?? before?.config.dictChooser
  if (!table.viewMissing) yield* requireTextChooser(table, chooser)

  const text = before === undefined ? yield* isUsuallyText(table, column) : isStoredAsText(column, before.config)
  const added = compressedAs(table, column, text, options.minLength ?? before?.config.tamp?.minLength)
  const change = {
    table,
    from: compressed,
    to:
      before === undefined
        ? [...compressed, added]
        : compressed.map((old) => (old.column === added.column ? added : old)),
    withoutPending: disablingColumns(table).filter((name) => name !== column.name),
  }
  const takenOver = before !== undefined && before.config.tamp === undefined
  const result = { table: table.name, column: column.name, takenOver, remarks }
  if (options.dryRun === true) {
    const whose = (yield* hasTampCatalogue()) ? yield* scope() : 1
    const steps = yield* restructuringSteps({ ...change, scope: whose })
    return { ...result, statements: steps.map(({ sql }) => sql) }
  }
  yield* createCatalogue()
  if (table.madeBy === 'sqlite-zstd') yield* adoptDictionaries(compressed, table)
  const statements = yield* provenRestructure({ ...change, scope: yield* scope() })
  if (table.viewMissing) yield* requireTextChooser(table, chooser)
  for (const { column: name, text: isText, minLength } of change.to)
    yield* saveColumn(table, name, isText, minLength, name === column.name ? options : undefined)
  return { ...result, statements }
}

/** Notes which dictionaries the cells of sqlite-zstd's columns need, so that they are checked, and go with the last column. */
function* adoptDictionaries(columns: readonly Compressed[], table: Table): Policy<void> {
  // Decoding in JavaScript has only what decoding needs.
  if ((yield* queryValue(`SELECT 1 FROM pragma_function_list WHERE name = 'tamp_sha256'`)) === undefined) return
  for (const { column } of columns) {
    const dict = quoted(dictColumn(column))
    const used = yield* query(`SELECT DISTINCT ${dict} FROM main.${quoted(table.stored)} WHERE ${dict} > 0`)
    for (const [id] of used)
      yield* query(
        `INSERT OR IGNORE INTO main._tamp_dicts (id, sha256) SELECT id, tamp_sha256(dict) FROM main._zstd_dicts WHERE id = ?`,
        id!,
      )
  }
}

/** Takes over a column of sqlite-zstd's as it is. To be called in a transaction. */
export function* takeOver(table: Table, column: string): Policy<void> {
  yield* enabling({ table: table.name, column })
}

function* isUsuallyText(table: Table, column: Column): Policy<boolean> {
  if (column.affinity === 'TEXT') return true
  const cell = quoted(column.name)
  const [texts, blobs] = (yield* query(
    `SELECT sum(type = 'text'), sum(type = 'blob') FROM
      (SELECT typeof(${cell}) AS type FROM main.${quoted(table.stored)} WHERE ${cell} IS NOT NULL LIMIT ${typeRows})`,
  ))[0]!
  // Where nothing is known yet: JSON and the like are text, BLOB is what it says.
  if (Number(texts) + Number(blobs) === 0) return !/BLOB/i.test(column.type) && column.type !== ''
  return Number(texts) >= Number(blobs)
}

function* saveColumn(
  table: Table,
  column: string,
  text: boolean,
  minLength: number,
  options: EnableOptions | undefined,
): Policy<void> {
  const before = (yield* configuredColumn(table.name, column))?.config
  const level = options?.level ?? (before === undefined ? 'auto' : undefined)
  yield* saveConfig({
    table: table.name,
    column,
    compressionLevel: typeof level === 'number' ? level : (before?.compressionLevel ?? usualLevel),
    dictChooser: options?.dictChooser ?? before?.dictChooser ?? literal(`${table.name}.${column}`),
    minDictBytesForTraining:
      options?.minDictBytesForTraining ?? before?.minDictBytesForTraining ?? defaults.minDictBytesForTraining,
    dictSizeRatio: options?.dictSizeRatio ?? before?.dictSizeRatio ?? defaults.dictSizeRatio,
    trainDictSamplesRatio:
      options?.trainDictSamplesRatio ?? before?.trainDictSamplesRatio ?? defaults.trainDictSamplesRatio,
    incrementalCompressionStepBytes:
      options?.incrementalCompressionStepBytes ??
      before?.incrementalCompressionStepBytes ??
      defaults.incrementalCompressionStepBytes,
    tamp: {
      layout: 1,
      text,
      minLength,
      auto: level === undefined ? (before?.tamp?.auto ?? false) : level === 'auto',
      ...(options === undefined && before?.tamp?.disabling === true ? { disabling: true } : {}),
    },
  })
}

function obstacle(table: Table, column: Column, obstacles: readonly Remark[]): TampError {
  const [first, ...others] = obstacles
  return new TampError('failed', `${table.name}.${column.name} cannot be compressed: ${first!.detail}`, {
    hint: [first!.hint, ...others.map(({ detail }) => `And: ${detail}`)].filter((text) => text !== undefined).join(' '),
  })
}
