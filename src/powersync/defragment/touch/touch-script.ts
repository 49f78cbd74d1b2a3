// The same touch as a script for psql. Pure text.
import { lockTimeout } from './touch-batch.ts'
import type { SourceKey } from './source-key.ts'
import { updateStatement } from './update-statement.ts'
import type { TouchTarget } from './update-statement.ts'

export function scriptHeader(notes: readonly string[]): string {
  return `-- Touches rows of the source database, so that PowerSync sends them again and old operations can be compacted away.
-- Run it with psql at the source (PostgreSQL). Each transaction stands alone: one that meets a lock can be run again later.
${notes.map(scriptComment).join('')}SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
`
}

export function batchScript(target: TouchTarget, keys: readonly SourceKey[]): string {
  return `
${scriptComment(`${target.schema}.${target.table}: ${keys.length} ${keys.length === 1 ? 'row' : 'rows'}`)}BEGIN;
SET LOCAL lock_timeout = '${lockTimeout}';
${updateStatement(target, keys)};
COMMIT;
`
}

/** A line of remarks. Names may hold anything, also the end of a line. */
export function scriptComment(text: string): string {
  return `-- ${text.replaceAll(/[\r\n]+/g, ' ')}\n`
}
