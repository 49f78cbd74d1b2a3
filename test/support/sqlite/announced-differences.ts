// The one place where the random tests step around what is different on a compressed column and announced by `inspect`: each with
// the code of its remark. Whatever is not here must be the same.
import type { Column, Schema } from './built-schema.ts'
import type { Drawn, Kind } from './random-values.ts'

/** `update-of`: such a trigger also runs for a column that is given the value it has; on a compressed table it does not. */
export function triggerCondition(of: string | null): string {
  return of === null ? '' : ` WHEN new.${of} IS NOT old.${of}`
}

/** `null-for-default`: an explicit NULL for a column with a default becomes the default. */
export function mayInsertNull(column: Column): boolean {
  return column.default === null
}

/** `affinity`: a column behind a view has none, and a comparison converts nothing. Says whether one with such a value would have. */
export function comparesAsIs({ affinity }: Column, kind: Kind): boolean {
  return affinity === 'BLOB' || (affinity === 'TEXT' ? kind !== 'number' : kind !== 'text')
}

/** The same for what a value brings along: a CAST has an affinity too, and a number in a column without one would be converted. */
export function withoutAffinity({ sql }: Drawn): string {
  return sql.startsWith('CAST') ? `(${sql} || '')` : sql
}

/**
 * No remark, because SQLite itself leaves open in which order an UPDATE takes its rows: where rows can be in each other's way, or where it
 * stops half-way, the order decides what comes out.
 */
export function mayUpdateSeveral(schema: Schema, keyed: boolean, or: string): boolean {
  return !keyed && !schema.unique && (or === '' || or === ' OR IGNORE')
}

/**
 * `strict`: a value of the wrong type is refused before anything else is looked at; on a plain table OR IGNORE, FAIL or ROLLBACK may already
 * have been about another column.
 */
export function mayMisfit(schema: Schema, or: string): boolean {
  const goesOn = / (IGNORE|FAIL|ROLLBACK)/
  return !schema.strict || !(goesOn.test(or) || schema.columns.some(({ definition }) => goesOn.test(definition)))
}
