// fsck for compressed columns: the catalogue and the objects around the rows, every dictionary, every cell, and SQLite's own checks of the
// file. Never writes. Findings are told as they are found, and have stable codes (docs/findings.md).

import { TampError } from '../../core/errors.ts'
import { configuredColumns, hasTampCatalogue, sameName, tableExists } from './catalogue.ts'
import { checkCells } from './check-cells.ts'
import { checkDictionaries } from './check-dictionaries.ts'
import { checkSchema, checkUnlisted } from './check-schema.ts'
import { Findings } from './findings.ts'
import type { CheckFinding } from './findings.ts'
import { requireExtension } from './maintain.ts'
import { now, query } from './request.ts'
import type { Policy } from './request.ts'
import { asTampError, endsRun, isInterruption, reasonOf } from './sql-failures.ts'
import { startWork } from './work-budget.ts'
import type { Limits } from './work-budget.ts'

export interface CheckOptions extends Pick<Limits, 'maxSeconds' | 'load'> {
  /** Only columns of this table. */
  readonly table?: string
  /** Only this column. */
  readonly column?: string
}

export interface Checked {
  /** Everything was looked at. */
  readonly complete: boolean
  readonly stopped?: 'limit' | 'interrupted'
  /** The first hundred of each code. */
  readonly findings: readonly CheckFinding[]
  /** How many there are of each code. */
  readonly counts: Readonly<Record<string, number>>
  readonly faults: number
  readonly columns: number
  /** Compressed cells that were decoded. */
  readonly cells: number
  readonly dictionaries: number
  readonly seconds: number
  readonly throttledSeconds: number
}

/** @throws TampError where nothing can be checked at all */
export function* check(options: CheckOptions = {}): Policy<Checked> {
  const start = yield* now()
  const budget = yield* startWork(options)
  yield* requireExtension()
  const findings = new Findings()
  let stopped: 'limit' | 'interrupted' | undefined
  let columns = 0
  let cells = 0
  let dictionaries = 0
  try {
    yield* checkFile(findings)
    if (yield* tableExists('_zstd_configs')) {
      const configs = (yield* checkSchema(findings)).filter(
        ({ table, column }) =>
          (options.table === undefined || sameName(table, options.table)) &&
          (options.column === undefined || sameName(column, options.column)),
      )
      if (configs.length === 0 && options.table !== undefined) throw yield* notCompressed(options)
      const known = yield* checkDictionaries(findings)
      dictionaries = known.size
      for (const config of configs) {
        stopped = yield* budget.stopped()
        if (stopped !== undefined) break
        columns++
        const checked = yield* checkCells(config, known, findings, budget)
        cells += checked.cells
        stopped = checked.stopped
        if (stopped !== undefined) break
      }
    } else if (options.table !== undefined) throw yield* notCompressed(options)
    else yield* checkUnlisted([], findings)
  } catch (error) {
    if (isInterruption(error)) stopped = 'interrupted'
    else if (error instanceof TampError || endsRun(error)) throw asTampError(error)
    else yield* findings.add('check-failed', 'database', reasonOf(error))
  }
  return {
    complete: stopped === undefined,
    ...(stopped === undefined ? {} : { stopped }),
    ...findings.result,
    columns,
    cells,
    dictionaries,
    seconds: (yield* now()) - start,
    throttledSeconds: budget.throttledSeconds,
  }
}

/** SQLite's own checks. */
function* checkFile(findings: Findings): Policy<void> {
  for (const [line] of yield* query('PRAGMA main.integrity_check'))
    if (line !== 'ok') yield* findings.add('integrity', 'database', String(line))
  for (const [table, rowid, parent] of yield* query('PRAGMA main.foreign_key_check'))
    yield* findings.add(
      'foreign-key',
      String(table),
      rowid === null
        ? `a row has no parent in ${String(parent)}`
        : `row ${String(rowid)} has no parent in ${String(parent)}`,
    )
  if ((yield* tableExists('_zstd_configs')) && !(yield* hasTampCatalogue())) {
    const ours = (yield* configuredColumns()).find(({ config }) => config.tamp !== undefined)
    if (ours !== undefined)
      yield* findings.add('catalogue-missing', 'database', 'the table _tamp_scope is not there, which its views need')
  }
}

function* notCompressed({ table, column }: CheckOptions): Policy<TampError> {
  const there = (yield* configuredColumns()).map(({ config }) => `${config.table}.${config.column}`).join(', ')
  const lane = [table, column].filter((part) => part !== undefined).join('.')
  return new TampError('usage', `No column ${lane} is compressed in this database.`, {
    hint: there === '' ? 'None is.' : `Compressed are: ${there}.`,
  })
}
