// The options that `tamp sqlite` commands share, and the file they work on.
import { statSync } from 'node:fs'
import type { FlagParametersForType } from '@stricli/core'
import { TampError } from '../core/errors.ts'
import type { TampContext } from './command.ts'
import { toggle } from './command.ts'
import { nameOf } from './option-values.ts'
import { printable } from './figures.ts'

export const fileBrief = 'The database file. It has to be there: none is ever made.'

export interface ColumnFlags {
  readonly table?: string
  readonly column?: readonly string[]
}

/** @param table what the options mean to the command */
export function columnFlags(table: string, column: string): FlagParametersForType<ColumnFlags, TampContext> {
  return {
    table: { kind: 'parsed', parse: nameOf('a table'), optional: true, placeholder: 'NAME', brief: table },
    column: {
      kind: 'parsed',
      parse: nameOf('a column'),
      optional: true,
      variadic: true,
      placeholder: 'NAME',
      brief: column,
    },
  }
}

export interface ExecuteFlags {
  readonly execute: boolean
}

export const executeFlags: FlagParametersForType<ExecuteFlags, TampContext> = {
  execute: toggle('Write. Without it nothing is changed, and what is printed is what execution would do.'),
}

/** Without the table a column says nothing. @throws TampError `usage` */
export function checkColumnFlags({ table, column }: ColumnFlags): void {
  if (table === undefined && (column ?? []).length > 0)
    throw new TampError('usage', 'The option --column needs --table beside it.', {
      hint: 'A column is named by its table and its own name: --table events --column data.',
    })
}

/** The size of the file, its write-ahead log included. @throws TampError `no-such-database` */
export function fileSize(file: string): number {
  try {
    const status = statSync(file)
    if (!status.isFile())
      throw new TampError('no-such-database', `${printable(file)} is not a file.`, {
        hint: 'The database file comes right behind the command.',
      })
    return status.size + (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0)
  } catch (error) {
    if (error instanceof TampError) throw error
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new TampError('no-such-database', `There is no file ${printable(file)}.`, {
        hint: 'The database has to be there: tamp makes none.',
      })
    throw new TampError(
      'no-such-database',
      `The file ${printable(file)} cannot be looked at (${code ?? 'unknown error'}).`,
      {
        hint: 'Check who may read the directories above it.',
        cause: error,
      },
    )
  }
}

/** The table and the one column that are meant. @throws TampError `usage` for several */
export function oneColumn({ table, column = [] }: ColumnFlags): { readonly table?: string; readonly column?: string } {
  if (column.length > 1)
    throw new TampError('usage', 'The option --column was given more than once.', { hint: 'Without it all are meant.' })
  return { ...(table === undefined ? {} : { table }), ...(column[0] === undefined ? {} : { column: column[0] }) }
}
