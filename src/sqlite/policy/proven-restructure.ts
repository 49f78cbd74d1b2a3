// A change of the objects around the rows, with the proof, inside the transaction, that nobody notices.

import { TampError } from '../../core/errors.ts'
import { sameName } from './catalogue.ts'
import { brokenDependents, inMain, viewsAndTriggers } from './dependents.ts'
import { viewStatement } from './layout.ts'
import { query, SqlError } from './request.ts'
import type { Policy } from './request.ts'
import { restructure } from './restructure.ts'
import type { Restructuring } from './restructure.ts'
import type { Table } from './table.ts'
import { requireNoTemporaryNamesake } from './temporary-namesakes.ts'
import { requireSameRows, sampleRows } from './verify.ts'

/** A change with the proof that the table reads, and that what depends on it compiles, as before. */
export function* provenRestructure(change: Restructuring): Policy<readonly string[]> {
  const { table } = change
  yield* requireNoTemporaryNamesake(table)
  // Somebody dropped it, and only its rows' own table is left: then this is what is proved to stay.
  if (table.viewMissing) yield* query(inMain(viewStatement({ table, columns: change.from, scope: change.scope })))
  const isOther = ({ name }: { readonly name: string }): boolean => !sameName(name, table.name)
  const objects = (yield* viewsAndTriggers()).filter(isOther)
  const written = [table.name, ...table.foreignKeys.map(({ parent }) => parent)].filter(
    (name, i, names) => names.indexOf(name) === i,
  )
  const brokenBefore = yield* brokenDependents(objects, written)
  const rows = yield* sampleRows(table)
  let statements: readonly string[]
  try {
    statements = yield* restructure({ ...change, broken: brokenBefore })
  } catch (error) {
    throw inWords(error, table)
  }
  yield* requireSameRows(table, rows)
  const brokenAfter = yield* brokenDependents(objects, written)
  for (const { what, why } of brokenAfter)
    if (!brokenBefore.some((before) => before.what === what))
      throw new TampError('failed', `${capitalised(what)} would not work any more: ${why}. Nothing was changed.`, {
        hint: 'Drop the view or trigger that does it, or rewrite it, and try again.',
      })
  return statements
}

function inWords(error: unknown, table: Table): unknown {
  if (!(error instanceof SqlError) || error.primaryCode !== 1) return error
  const found = /^error in (view|trigger|index) (.+?)(?: after \w+)?: (.*)$/s.exec(error.message)
  if (found !== null)
    return new TampError(
      'failed',
      `The ${found[1]} ${found[2]} does not work: ${found[3]}. SQLite renames no table while it is there.`,
      {
        hint: 'Drop it, or repair it, and try again.',
        cause: error,
      },
    )
  if (/sqlite_(schema|master) may not be modified/.test(error.message))
    return new TampError(
      'failed',
      `${table.name} needs an edit of its statement in the schema, which this connection forbids.`,
      {
        hint: 'Turn "defensive" off for the connection.',
        cause: error,
      },
    )
  return error
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
