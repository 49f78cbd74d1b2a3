// Dictionaries: their bytes are what they were when they came in, their guards are there, and somebody needs them.

import { guardNames, hasTampCatalogue, tableExists } from './catalogue.ts'
import type { Findings } from './findings.ts'
import { query, queryRow } from './request.ts'
import type { Policy } from './request.ts'

/** The ids there are. */
export function* checkDictionaries(findings: Findings): Policy<ReadonlySet<number>> {
  if (!(yield* tableExists('_zstd_dicts'))) {
    yield* findings.add('catalogue-missing', 'database', 'the table _zstd_dicts is not there')
    return new Set()
  }
  const ids = (yield* query('SELECT id FROM main._zstd_dicts WHERE id > 0 ORDER BY id')).map(([id]) => Number(id))
  if (!(yield* hasTampCatalogue())) return new Set(ids)
  for (const trigger of guardNames)
    if ((yield* queryRow(`SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = ?`, trigger)) === undefined)
      yield* findings.add(
        'guard-missing',
        trigger,
        'nothing keeps dictionaries from being changed or deleted; enabling a column makes the trigger again',
      )
  // One at a time: dictionaries can be large.
  for (const id of ids) {
    const known = yield* queryRow(
      `SELECT t.sha256 = tamp_sha256(d.dict), t.sha256 IS NULL, d.chooser_key IS NULL AND t.retired_key IS NULL
       FROM main._zstd_dicts d LEFT JOIN main._tamp_dicts t ON t.id = d.id WHERE d.id = ?`,
      id,
    )
    if (known?.[1] === 1)
      yield* findings.add('dictionary-unhashed', String(id), 'its hash was never noted: it came from elsewhere')
    else if (known?.[0] !== 1)
      yield* findings.add('dictionary-changed', String(id), 'its bytes are not those that cells were compressed with')
  }
  const missing = yield* query(
    `SELECT id FROM main._tamp_dicts WHERE id > 0 AND id NOT IN (SELECT id FROM main._zstd_dicts) ORDER BY id`,
  )
  for (const [id] of missing)
    yield* findings.add('dictionary-missing', String(id), 'it is listed in _tamp_dicts, but not there any more')
  return new Set(ids)
}
