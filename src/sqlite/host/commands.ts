// What can be done with a database file, one function a command. Each works in a thread of its own with a connection of its own, and
// changes nothing when `dryRun` is true.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { rename, rm, stat, writeFile } from 'node:fs/promises'
import { TampError } from '../../core/errors.ts'
import type { AddedIndex, AddIndexOptions } from '../policy/add-index.ts'
import type { Checked, CheckOptions } from '../policy/check.ts'
import type { Disabled, DisableOptions } from '../policy/disable.ts'
import type { Enabled, EnableOptions } from '../policy/enable.ts'
import type { InspectOptions } from '../policy/inspect.ts'
import type { Inspected } from '../policy/inspected.ts'
import type { Maintained, MaintainOptions } from '../policy/maintain.ts'
import { runPolicy } from './run-policy.ts'
import type { RunControl } from './run-policy.ts'
import type { ColumnName } from './whole-file.ts'

/**
 * What there is in a database: every table and column with its bytes, what compressing it would save, measured on a sample, and what
 * would be different; for compressed columns how they do. Writes nothing.
 * @throws TampError `no-such-database`, `unknown-schema` where the file is no database, `usage` for a table that is not there
 */
export function inspectSqlite(
  path: string,
  options: InspectOptions = {},
  control: RunControl = {},
): Promise<Inspected> {
  return runPolicy(path, 'inspect', options, { ...control, writes: false })
}

/**
 * Puts a view in the place of a table, behind which the column can be compressed: `maintainSqlite` then does that. Takes no time to speak of.
 * @throws TampError `usage` where there is no such column, or it cannot be compressed, with the reason; `locked`
 */
export function enableColumn(path: string, options: EnableOptions, control: RunControl = {}): Promise<Enabled> {
  return runPolicy(path, 'enable', options, { ...control, writes: options.dryRun !== true })
}

/**
 * Compresses what is not compressed yet, in transactions of about half a second, until all is done, `maxSeconds` have passed or the
 * signal fires. What was done is whole and stays.
 * @throws TampError
 */
export function maintainSqlite(
  path: string,
  options: MaintainOptions = {},
  control: RunControl = {},
): Promise<Maintained> {
  return runPolicy(path, 'maintain', options, { ...control, writes: options.dryRun !== true })
}

/**
 * Decompresses a column, in transactions of about half a second, and puts the table back in its place when the last column is done.
 * Also works with `functions: 'javascript'`.
 * @throws TampError
 */
export function disableColumn(path: string, options: DisableOptions, control: RunControl = {}): Promise<Disabled> {
  return runPolicy(path, 'disable', options, { ...control, writes: options.dryRun !== true })
}

/**
 * Looks whether every cell can be read, dictionaries are what they were, and nothing is left over or missing. Writes nothing.
 * @throws TampError
 */
export function checkSqlite(path: string, options: CheckOptions = {}, control: RunControl = {}): Promise<Checked> {
  return runPolicy(path, 'check', options, { ...control, writes: false })
}

/**
 * Makes an index on columns or expressions of a compressed table, as it looks from outside, that queries by its own name use.
 * @throws TampError `usage` where the table is not compressed or an expression does not fit
 */
export function addIndex(path: string, options: AddIndexOptions, control: RunControl = {}): Promise<AddedIndex> {
  return runPolicy(path, 'index', options, { ...control, writes: options.dryRun !== true })
}

/** The columns of a database that are compressed, or being so, oldest first. @throws TampError */
export function compressedColumns(path: string, control: RunControl = {}): Promise<readonly ColumnName[]> {
  return runPolicy(path, 'columns', {}, { ...control, writes: false })
}

export interface ExportOptions {
  /** Only these columns become plain; default all. */
  readonly columns?: readonly ColumnName[]
}

export interface Exported {
  /** Each with its rows that were decompressed. */
  readonly columns: readonly (ColumnName & { readonly rows: number })[]
  /** Of the file that was made. */
  readonly fileBytes: number
}

/**
 * Writes a copy of a database, as it is in one moment, in which columns are plain again. The database itself is only read. The file is
 * there whole or not at all.
 * @throws TampError `output-failed` where the file exists already or cannot be made
 */
export async function exportPlain(
  path: string,
  target: string,
  options: ExportOptions = {},
  control: RunControl = {},
): Promise<Exported> {
  requireFree(target)
  const columns = options.columns ?? (await compressedColumns(path, control))
  const partial = `${target}.${randomUUID()}.partial`
  await makeEmpty(partial, target)
  try {
    // Not even this connection writes to the database itself, but SQLite counts a copy as writing.
    await runPolicy(path, 'copy', { target: partial }, { ...control, writes: true })
    const done: (ColumnName & { readonly rows: number })[] = []
    for (const column of columns) {
      const { complete, rows, left } = await disableColumn(partial, column, control)
      const [damaged] = left
      if (damaged !== undefined)
        throw new TampError('failed', `No copy was made: ${damaged.subject} cannot be read (${damaged.reason}).`, {
          hint: '`tamp sqlite check` names all cells that are damaged.',
        })
      if (!complete) throw new TampError('interrupted', 'Interrupted; no copy was made.')
      done.push({ ...column, rows })
    }
    await runPolicy(partial, 'vacuum', {}, { ...control, writes: true })
    const { size } = await stat(partial)
    requireFree(target)
    await rename(partial, target)
    return { columns: done, fileBytes: size }
  } finally {
    await rm(partial, { force: true })
    for (const suffix of ['-journal', '-wal', '-shm']) await rm(partial + suffix, { force: true })
  }
}

/** A log that an older file of this name left behind would be played into the new one. @throws TampError `output-failed` */
function requireFree(target: string): void {
  for (const file of [target, `${target}-wal`, `${target}-journal`])
    if (existsSync(file))
      throw new TampError('output-failed', `The file ${file} exists already.`, {
        hint:
          file === target
            ? 'Name one that does not.'
            : 'It belongs to an older database of that name: name another file, or move it away.',
      })
}

/** Tries whether a file can be made there at all. @throws TampError `output-failed` */
async function makeEmpty(file: string, target: string): Promise<void> {
  try {
    await writeFile(file, '', { flag: 'wx' })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason =
      code === 'ENOENT' || code === 'ENOTDIR'
        ? 'its directory does not exist'
        : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
          ? 'permission is denied'
          : message
    throw new TampError('output-failed', `The file ${target} cannot be made: ${reason}.`, {
      hint: 'Name a file in a directory that this user may write to.',
      cause: error,
    })
  }
}
