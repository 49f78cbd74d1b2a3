// The survey of a database: every table and column, what compression would save, what would break, and how compressed columns are doing.
// Largest gain first; "not worth it" is an answer. Never writes.

import { TampError } from '../../core/errors.ts'
import type { Left } from '../../core/unit.ts'
import { configuredColumns, sameName } from './catalogue.ts'
import type { ColumnConfig } from './catalogue.ts'
import { compressedColumn } from './compressed-column.ts'
import { differences } from './differences.ts'
import type { Differences } from './differences.ts'
import { tryColumn } from './inspect-column.ts'
import { compressedState } from './inspect-compressed.ts'
import type { Inspected, InspectedColumn, InspectedTable, InspectedTrial, Verdict } from './inspected.ts'
import { requireExtension } from './maintain.ts'
import { dictColumn, quoted, rowsTable } from './names.ts'
import { now, query, queryValue, tell } from './request.ts'
import type { Policy } from './request.ts'
import { giveBack } from './space.ts'
import type { FileSpace } from './space.ts'
import { asTampError, endsRun, isInterruption, reasonOf } from './sql-failures.ts'
import { columnFigures, sampleTable } from './table-sample.ts'
import type { ColumnFigures, TableSample } from './table-sample.ts'
import { startWork } from './work-budget.ts'
import type { WorkBudget } from './work-budget.ts'

export type * from './inspected.ts'

export interface InspectOptions {
  /** Only this table, and only this column of it. */
  readonly table?: string
  readonly column?: string
  /** Rows of each table to look at, at most. Default 20,000. */
  readonly sampleRows?: number
  readonly maxSeconds?: number | null
}

/** A column that saves less than this share of the file is not worth it. */
const leastShare = 0.1
/** Columns with less than this much to compress are not measured. */
const leastBytes = 50_000
const leastShareMeasured = 0.02
const catalogueTables: ReadonlySet<string> = new Set([
  '_zstd_dicts',
  '_zstd_configs',
  '_tamp_dicts',
  '_tamp_schema',
  '_tamp_scope',
])
/** A VACUUM that gives back less than this is not worth a word. */
const leastVacuum = 1_000_000
const mostReadForSlack = 2_000_000_000
/** Columns that are measured, those with most bytes. */
const mostMeasured = 40

interface Surveyed {
  readonly table: string
  readonly column: string
  readonly type: string
  readonly sample: TableSample
  readonly figures: ColumnFigures
  readonly config: ColumnConfig | undefined
}

/** @throws TampError where there is nothing of the name asked for, or nothing can be read */
export function* inspect(options: InspectOptions = {}): Policy<Inspected> {
  const start = yield* now()
  const budget = yield* startWork(options.maxSeconds === undefined ? {} : { maxSeconds: options.maxSeconds })
  yield* requireExtension()
  try {
    return yield* new Survey(options, budget).run(start)
  } catch (error) {
    throw endsRun(error) ? asTampError(error) : error
  }
}

class Survey {
  readonly #options: InspectOptions
  readonly #budget: WorkBudget
  readonly #tables: InspectedTable[] = []
  readonly #surveyed: Surveyed[] = []
  readonly #columns: InspectedColumn[] = []
  readonly #skipped: Left[] = []
  #stopped: 'limit' | 'interrupted' | undefined

  constructor(options: InspectOptions, budget: WorkBudget) {
    this.#options = options
    this.#budget = budget
  }

  *run(start: number): Policy<Inspected> {
    const space = yield* giveBack(this.#budget, false, 0)
    const fileBytes = (space.pages - space.freePages) * space.pageSize
    const configs = (yield* this.#budget.patiently(configuredColumns)).map(({ config }) => config)
    for (const { name, withoutRowid } of yield* this.#tablesToRead())
      if (!(yield* this.#mustStop())) yield* this.#read(name, withoutRowid, configs)
    this.#surveyed.sort((one, other) => bytesOf(other) - bytesOf(one))
    let measured = 0
    for (const surveyed of this.#surveyed) {
      const large = contentOf(surveyed) >= Math.max(leastBytes, fileBytes * leastShareMeasured)
      const stop = yield* this.#mustStop()
      const measure = !stop && (large || this.#options.column !== undefined) && measured < mostMeasured
      if (measure && surveyed.config === undefined) measured++
      this.#columns.push(yield* this.#column(surveyed, fileBytes, measure, large))
      yield* tell({ type: 'read', lane: lane(surveyed), rows: surveyed.sample.sampledRows, rowsLeftEstimate: 0 })
    }
    this.#columns.sort(
      (one, other) =>
        rank(one) - rank(other) ||
        other.gainBytesEstimate - one.gainBytesEstimate ||
        other.bytesEstimate - one.bytesEstimate,
    )
    const stopped = this.#stopped
    return {
      complete: stopped === undefined,
      ...(stopped === undefined ? {} : { stopped }),
      file: yield* this.#file(space),
      tables: this.#tables.toSorted((one, other) => other.bytesEstimate - one.bytesEstimate),
      columns: this.#columns,
      skipped: this.#skipped,
      seconds: (yield* now()) - start,
    }
  }

  *#mustStop(): Policy<boolean> {
    this.#stopped ??= yield* this.#budget.stopped()
    return this.#stopped !== undefined
  }

  *#file(space: FileSpace): Policy<Inspected['file']> {
    const journalMode = String(yield* queryValue('PRAGMA main.journal_mode'))
    const slack = yield* this.#slackBytes(space)
    const gain = space.freePages * space.pageSize + slack
    const bytes = space.pages * space.pageSize
    return {
      ...space,
      vacuumSavesBytesEstimate: gain >= Math.max(bytes * leastShare, leastVacuum) ? gain : 0,
      bytes,
      journalMode,
    }
  }

  /** Bytes inside pages that nothing fills, where this SQLite can tell and the file is not huge: it reads all of it. */
  *#slackBytes({ pages, pageSize }: FileSpace): Policy<number> {
    if (pages * pageSize > mostReadForSlack || this.#stopped !== undefined) return 0
    try {
      const unused = Number(yield* queryValue(`SELECT sum(unused) FROM dbstat('main', 1)`))
      // SQLite leaves some of every page empty.
      return Math.max(0, Math.round(unused - pages * pageSize * 0.02))
    } catch {
      return 0
    }
  }

  /** Ordinary tables: the user's, and the rows of compressed ones. @throws TampError where there is none of the name asked for */
  *#tablesToRead(): Policy<readonly { readonly name: string; readonly withoutRowid: boolean }[]> {
    const { table } = this.#options
    const all = (yield* query(
      `SELECT name, wr FROM pragma_table_list
       WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`,
    )).map(([name, wr]) => ({ name: String(name), withoutRowid: wr === 1 }))
    const found = all.filter(
      ({ name }) =>
        !catalogueTables.has(name) &&
        (table === undefined || sameName(name, table) || sameName(name, rowsTable(table))),
    )
    if (found.length === 0 && table !== undefined)
      throw new TampError('usage', `There is no table ${table} in this database.`, {
        hint: 'Without a name all tables are inspected.',
      })
    return found
  }

  *#read(name: string, withoutRowid: boolean, configs: readonly ColumnConfig[]): Policy<void> {
    const own = configs.filter(({ table }) => sameName(rowsTable(table), name))
    const table = own[0]?.table ?? name
    try {
      const columns = yield* query('SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden <> 1', name)
      const names = columns.map(([column]) => String(column))
      const rowid = withoutRowid
        ? undefined
        : ['rowid', '_rowid_', 'oid'].find((free) => !names.some((column) => sameName(column, free)))
      const sql = `main.${quoted(name)}`
      const sample = yield* this.#budget.patiently(() => sampleTable(sql, rowid, this.#options.sampleRows ?? 20_000))
      const figures = yield* this.#budget.patiently(() => columnFigures(sample, names))
      const share = sample.sampledRows === 0 ? 0 : sample.rows / sample.sampledRows
      const bytes = figures.reduce((sum, one) => sum + one.bytes, 0) * share
      this.#tables.push({ table, rows: sample.rows, sampled: sample.sampled, bytesEstimate: Math.round(bytes) })
      for (const [place, [column, type]] of columns.entries()) {
        const config = own.find((one) => sameName(one.column, String(column)))
        const added = own.some((one) => sameName(dictColumn(one.column), String(column)))
        const asked = this.#options.column === undefined || sameName(this.#options.column, String(column))
        if (!added && asked)
          this.#surveyed.push({
            table,
            column: String(column),
            type: String(type),
            sample,
            figures: figures[place]!,
            config,
          })
      }
    } catch (error) {
      this.#fail(table, error)
    }
  }

  #fail(subject: string, error: unknown): void {
    if (isInterruption(error)) this.#stopped = 'interrupted'
    else if (endsRun(error)) throw error
    else this.#skipped.push({ subject, reason: reasonOf(error) })
  }

  *#column(surveyed: Surveyed, fileBytes: number, measure: boolean, large: boolean): Policy<InspectedColumn> {
    const { table, column, type, sample, figures, config } = surveyed
    const base = {
      table,
      column,
      lane: lane(surveyed),
      type,
      rows: sample.rows,
      shares: shares(figures, sample.sampledRows),
      bytesEstimate: bytesOf(surveyed),
      gainBytesEstimate: 0,
      trials: [],
      obstacles: [],
      remarks: [],
      compressed: null,
    }
    const left = (verdict: Verdict, reason: string): InspectedColumn => ({ ...base, verdict, reason })
    try {
      if (config !== undefined) {
        const compressed = yield* compressedState(yield* compressedColumn(config), sample)
        const reason = config.tamp?.disabling === true ? 'it is being disabled' : 'its cells are compressed'
        return { ...base, verdict: 'compressed', reason, compressed }
      }
      if (contentOf(surveyed) === 0) return left('too-small', 'it holds no text and no blob')
      if (!measure) {
        if (large)
          return left('not-measured', 'there was no time, or there are very many columns; name it to measure it')
        return left('too-small', `its texts and blobs are ${contentOf(surveyed)} bytes, too few to matter in this file`)
      }
      const cells = Math.round((figures.text + figures.blob) * shareOf(sample))
      const trials = yield* tryColumn(sample, column, { cells, bytes: contentOf(surveyed), fileBytes })
      const { obstacles, remarks } = yield* differences(table, column)
      return judged({ ...base, trials, obstacles, remarks }, fileBytes)
    } catch (error) {
      this.#fail(base.lane, error)
      return left('not-measured', reasonOf(error))
    }
  }
}

function judged(
  column: Omit<InspectedColumn, 'verdict' | 'reason'> & Differences & { readonly trials: readonly InspectedTrial[] },
  fileBytes: number,
): InspectedColumn {
  const [best] = column.trials
  if (best === undefined) return { ...column, verdict: 'too-small', reason: 'its cells are too few to measure' }
  const gain = Math.max(0, fileBytes - best.fileBytesEstimate)
  const share = `${((gain / Math.max(fileBytes, 1)) * 100).toFixed(1)} % of the file`
  const found = { ...column, gainBytesEstimate: gain }
  if (column.obstacles.length > 0) return { ...found, verdict: 'refused', reason: column.obstacles[0]!.detail }
  if (gain < fileBytes * leastShare)
    return {
      ...found,
      verdict: 'not-worth-it',
      reason: gain === 0 ? 'nothing would be saved' : `it would save ${share}`,
    }
  return { ...found, verdict: 'worth', reason: `it would save ${share}` }
}

function rank({ verdict }: InspectedColumn): number {
  return verdict === 'worth' ? 0 : verdict === 'compressed' ? 1 : 2
}

function lane({ table, column }: Surveyed): string {
  return `${table}.${column}`
}

function shareOf({ rows, sampledRows }: TableSample): number {
  return sampledRows === 0 ? 0 : rows / sampledRows
}

/** Bytes of the column in the whole table. */
function bytesOf({ figures, sample }: Surveyed): number {
  return Math.round(figures.bytes * shareOf(sample))
}

/** The same of texts and blobs alone. */
function contentOf({ figures, sample }: Surveyed): number {
  return Math.round(figures.contentBytes * shareOf(sample))
}

function shares({ text, blob, integer, real, nulls }: ColumnFigures, rows: number): InspectedColumn['shares'] {
  const share = (count: number): number => (rows === 0 ? 0 : count / rows)
  return { text: share(text), blob: share(blob), integer: share(integer), real: share(real), null: share(nulls) }
}
