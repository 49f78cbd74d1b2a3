// The end of the catalogue, with the last compressed column. Dictionaries that somebody trained for cells of their own stay.

import { guardNames } from './catalogue.ts'
import { log, query, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import { usedDictionaryColumn } from './unused-dictionaries.ts'

/** To be called in a transaction, when no column is listed as compressed any more. Where cells still are, all of it stays. */
export function* dropCatalogue(): Policy<void> {
  const used = yield* usedDictionaryColumn()
  if (used !== undefined) {
    yield* log(
      'warn',
      `the dictionaries and the other tables of the catalogue stay: ${used.dict} of ${used.table} says that cells are compressed, though no column is listed`,
    )
    return
  }
  const foreign = Number(
    yield* queryValue(
      'SELECT count(*) FROM main._zstd_dicts WHERE id > 0 AND id NOT IN (SELECT id FROM main._tamp_dicts)',
    ),
  )
  if (foreign === 0) yield* query('DROP TABLE main._zstd_dicts')
  else {
    for (const guard of guardNames) yield* query(`DROP TRIGGER IF EXISTS main.${guard}`)
    yield* query('DELETE FROM main._zstd_dicts WHERE id IN (SELECT id FROM main._tamp_dicts)')
    yield* log('info', `_zstd_dicts stays: it has ${foreign} dictionaries that no compressed column used`)
  }
  for (const table of ['_zstd_configs', '_tamp_dicts', '_tamp_schema', '_tamp_scope'])
    yield* query(`DROP TABLE main.${table}`)
}
