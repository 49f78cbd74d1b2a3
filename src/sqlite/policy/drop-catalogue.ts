// The end of the catalogue, with the last compressed column. Dictionaries that somebody trained for cells of their own stay.

import { guardNames } from './catalogue.ts'
import { log, query, queryValue } from './request.ts'
import type { Policy } from './request.ts'

/** To be called in a transaction, when no column is compressed any more. */
export function* dropCatalogue(): Policy<void> {
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
