// The dictionaries of the catalogue: which one a key has, how a new one is put in, how well each has been doing lately.

import { noDictionary } from './catalogue.ts'
import type { CompressedColumn } from './compressed-column.ts'
import type { Encoded } from './pending.ts'
import { query, queryRow, queryValue } from './request.ts'
import type { Policy } from './request.ts'
import type { Training } from './train.ts'
import type { WorkBudget } from './work-budget.ts'

export interface StoredDictionary {
  readonly id: number
  /** The level that did best with it; null where nobody measured. */
  readonly level: number | null
  /** Compressed bytes per plain byte when it was new; null where nobody measured. */
  readonly trainedRatio: number | null
  /** Of the cells compressed with it lately; older ones count less and less. */
  readonly recentPlainBytes: number
  readonly recentBytes: number
}

/** Recent bytes are halved at this many, so that they tell of the last few megabytes. */
const recentMost = 8_000_000
/** Fewer recent bytes than these say nothing. */
const recentLeast = 1_000_000

/** The dictionary that rows of a key are compressed with. */
export function* dictionaryOf({ catalogue }: CompressedColumn, key: string): Policy<StoredDictionary | undefined> {
  const found = yield* queryRow(
    catalogue
      ? `SELECT d.id, t.level, t.trained_ratio, t.recent_plain_bytes, t.recent_bytes
         FROM main._zstd_dicts d LEFT JOIN main._tamp_dicts t ON t.id = d.id WHERE d.chooser_key = ?`
      : `SELECT id, NULL, NULL, 0, 0 FROM main._zstd_dicts WHERE chooser_key = ?`,
    key,
  )
  if (found === undefined) return undefined
  const [id, level, ratio, plain, bytes] = found
  return {
    id: Number(id),
    level: typeof level === 'number' ? level : null,
    trainedRatio: typeof ratio === 'number' ? ratio : null,
    recentPlainBytes: Number(plain ?? 0),
    recentBytes: Number(bytes ?? 0),
  }
}

/** True while all of these still are the dictionaries of some key: another process may have retired one, and collected it. */
export function* stillInUse(ids: readonly number[]): Policy<boolean> {
  const real = [...new Set(ids.filter((id) => id > 0))]
  if (real.length === 0) return true
  const there = yield* queryValue(
    `SELECT count(*) FROM main._zstd_dicts WHERE chooser_key IS NOT NULL AND id IN (SELECT value FROM json_each(?))`,
    JSON.stringify(real),
  )
  return there === real.length
}

/**
 * Puts a trained dictionary into the catalogue as that of a key, in the place of `replaced` where that is given.
 * @returns its id, or that of the one that another process has put there meanwhile
 */
export function* saveDictionary(
  budget: WorkBudget,
  column: CompressedColumn,
  key: string,
  training: Training,
  replaced?: number,
): Policy<{ readonly id: number; readonly saved: boolean }> {
  return yield* budget.transaction(function* () {
    const there = yield* dictionaryOf(column, key)
    if (there !== undefined && there.id !== replaced) return { id: there.id, saved: false }
    if (there !== undefined) yield* retire(key)
    const id = Number(
      yield* queryValue(
        `INSERT INTO main._zstd_dicts (chooser_key, dict) VALUES (?, tamp_dictionary(?)) RETURNING id`,
        key,
        training.handle,
      ),
    )
    if (column.catalogue)
      yield* query(
        `INSERT INTO main._tamp_dicts (id, sha256, level, trained_ratio)
         SELECT id, tamp_sha256(dict), ?, ? FROM main._zstd_dicts WHERE id = ?`,
        training.level,
        training.ratio,
        id,
      )
    return { id, saved: true }
  })
}

/** Takes the key from its dictionary, which stays for the cells that need it. */
function* retire(key: string): Policy<void> {
  yield* query(
    `INSERT INTO main._tamp_dicts (id, sha256, retired_key)
     SELECT id, tamp_sha256(dict), chooser_key FROM main._zstd_dicts WHERE chooser_key = ?
     ON CONFLICT (id) DO UPDATE SET retired_key = excluded.retired_key`,
    key,
  )
  yield* query(`UPDATE main._zstd_dicts SET chooser_key = NULL WHERE chooser_key = ?`, key)
}

/** Takes note of how well dictionaries do. To be called in the transaction that compressed. */
export function* noteRecent(id: number, plainBytes: number, { bytes }: Pick<Encoded, 'bytes'>): Policy<void> {
  if (id <= noDictionary) return
  yield* query(
    `UPDATE main._tamp_dicts SET
       recent_plain_bytes = (recent_plain_bytes + fresh.plain) / fresh.share, recent_bytes = (recent_bytes + fresh.bytes) / fresh.share
     FROM (SELECT plain, bytes, iif(plain + ? > ${recentMost}, 2, 1) AS share FROM (SELECT ? AS plain, ? AS bytes)) AS fresh
     WHERE id = ?`,
    plainBytes,
    plainBytes,
    bytes,
    id,
  )
}

/** How much worse than when it was new a dictionary does lately: 0.25 is a quarter more bytes; undefined where too little is known. */
export function drift({ trainedRatio, recentPlainBytes, recentBytes }: StoredDictionary): number | undefined {
  if (trainedRatio === null || recentPlainBytes < recentLeast) return undefined
  return recentBytes / recentPlainBytes / trainedRatio - 1
}
