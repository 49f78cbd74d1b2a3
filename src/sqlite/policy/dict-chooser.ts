// The expression that gives the key of a row's dictionary, tried on some rows before it is believed.

import { TampError } from '../../core/errors.ts'
import { quoted } from './names.ts'
import { query, SqlError } from './request.ts'
import type { Policy } from './request.ts'
import type { Table } from './table.ts'

const chooserRows = 10

/** @throws TampError where it cannot be computed, or gives something else than a text or NULL */
export function* requireTextChooser(table: Table, chooser: string | undefined): Policy<void> {
  if (chooser === undefined) return
  // In a WHERE, where no aggregate and no window may be: each row has a key of its own.
  const from = `FROM main.${quoted(table.name)} WHERE typeof((\n${chooser}\n)) <> '' LIMIT ${chooserRows}`
  let types: readonly string[]
  try {
    types = (yield* query(`SELECT typeof((\n${chooser}\n)) ${from}`)).map(([type]) => String(type))
  } catch (error) {
    if (!(error instanceof SqlError) || error.primaryCode !== 1) throw error
    throw new TampError('usage', `The dictionary chooser cannot be computed: ${error.message}.`, {
      hint: `It is an SQL expression over a row of ${table.name}; a text in quotes, such as 'all', is one.`,
      cause: error,
    })
  }
  const wrong = types.find((type) => type !== 'text' && type !== 'null')
  if (wrong !== undefined)
    throw new TampError(
      'usage',
      `The dictionary chooser gives ${wrong === 'integer' ? 'an' : 'a'} ${wrong}, and must give a text or NULL.`,
      {
        hint: wrong === 'blob' ? `Say CAST((${chooser}) AS TEXT).` : `Say 'x' || (${chooser}).`,
      },
    )
}
