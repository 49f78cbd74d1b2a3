// The dry run of maintenance: what is pending, by key, and what would become of it. Dictionaries are trained in memory and thrown away.

import { noDictionary } from './catalogue.ts'
import type { ColumnConfig } from './catalogue.ts'
import type { CompressedColumn } from './compressed-column.ts'
import { dictionaryOf } from './dictionaries.ts'
import type { StoredDictionary } from './dictionaries.ts'
import { tooSmall } from './encodings.ts'
import type { MaintainedColumn, PlannedGroup } from './maintained.ts'
import { allGroups, pendingRows } from './pending.ts'
import type { Group } from './pending.ts'
import { ratioWith } from './retrain.ts'
import { log } from './request.ts'
import type { Policy } from './request.ts'
import { pendingCells, release } from './samples.ts'
import { reasonOf } from './sql-failures.ts'
import { hopeless, train, trainingSeconds } from './train.ts'
import type { WorkBudget } from './work-budget.ts'

/** Groups that are looked into, the largest ones. */
const mostGroups = 100

export function* planColumn(column: CompressedColumn, budget: WorkBudget): Policy<MaintainedColumn> {
  const rows = yield* budget.patiently(() => pendingRows(column))
  const plan: PlannedGroup[] = []
  const found = rows === 0 ? [] : yield* budget.patiently(() => allGroups(column))
  for (const group of found.slice(0, mostGroups)) {
    if ((yield* budget.stopped()) !== undefined) break
    plan.push(yield* budget.patiently(() => planGroup(column, group)))
  }
  return { ...untouched(column.config), pendingRows: rows, plan }
}

/** What is said of a column that is on its way back to plain, which maintenance leaves alone. */
export function* beingDisabled(config: ColumnConfig): Policy<MaintainedColumn> {
  const column = untouched(config)
  const note = `${column.lane} is being disabled, and stays as it is: run \`tamp sqlite disable\` again`
  yield* log('info', note)
  return { ...column, notes: [note] }
}

function untouched({ table, column }: ColumnConfig): MaintainedColumn {
  return {
    table,
    column,
    lane: `${table}.${column}`,
    complete: true,
    rows: 0,
    bytesBefore: 0,
    bytesAfter: 0,
    chunks: 0,
    pendingRows: 0,
    left: [],
    notes: [],
    dictionaries: [],
    drifted: [],
    recompressed: { rows: 0, bytesBefore: 0, bytesAfter: 0 },
  }
}

function* planGroup(column: CompressedColumn, { key, usual, rows, bytes }: Group): Policy<PlannedGroup> {
  const group = { key: typeof key === 'string' ? key : null, rows, bytes, dictionaryBytes: 0, level: null } as const
  const leave = (reason: string): PlannedGroup => ({ ...group, action: 'leave', bytesAfterEstimate: bytes, reason })
  if (key === null) return leave('the chooser gives NULL: plain for now')
  if (typeof key !== 'string') return leave('the chooser gives something that is not text')
  const { config } = column
  const none: StoredDictionary = {
    id: noDictionary,
    level: null,
    trainedRatio: null,
    recentPlainBytes: 0,
    recentBytes: 0,
  }
  const stored = !usual || key === '[nodict]' ? none : yield* dictionaryOf(column, key)
  if (stored !== undefined) {
    const level = config.tamp?.auto === true ? (stored.level ?? config.compressionLevel) : config.compressionLevel
    const source = pendingCells(column, key, bytes)
    const ratio = usual ? yield* ratioWith(column, source, { rows, bytes }, stored.id, level) : 1
    return { ...group, action: 'compress', bytesAfterEstimate: Math.round(bytes * ratio), level, reason: null }
  }
  try {
    const reason = tooSmall(column, { rows, bytes }) ?? (yield* hopeless(column, key))?.reason
    if (reason !== undefined) return leave(reason)
    const training = yield* train(column, pendingCells(column, key, bytes), { rows, bytes }, trainingSeconds(bytes))
    if (!training.worth) return leave(training.reason)
    yield* release(training.handle)
    return {
      ...group,
      action: 'train',
      bytesAfterEstimate: training.bytesEstimate - training.dictionaryBytes,
      dictionaryBytes: training.dictionaryBytes,
      level: training.level,
      reason: null,
    }
  } catch (error) {
    return leave(reasonOf(error))
  }
}
