// What a compressed column promises, line by line: a table, what is done to it, and whether that comes out the same as on the plain
// table, comes out differently and how, or is refused. Every difference names the remark that announces it.
import type { Typed } from './hosts.ts'

export type Promise =
  | 'the same'
  | {
      /** Code of the remark. */
      readonly remark: string
      /** What comes out of the last statement of `does` instead: its rows, or words of its error. */
      readonly differently: readonly (readonly Typed[])[] | RegExp
      /** What to do instead, on the compressed table, and what it leaves is what the plain table has after `does`. */
      readonly instead?: readonly Statement[]
    }
  /** Codes of the obstacles. */
  | { readonly refused: readonly string[] }

/** SQL, or a command of tamp's; one that is about the compressed table only is passed over on the plain one. */
export type Statement = string | { readonly tamp: string; readonly options: Readonly<Record<string, unknown>> }

export interface TruthLine {
  readonly feature: string
  /** Makes the table and what is around it, and fills it. */
  readonly given: readonly string[]
  /** Columns to compress, `table.column`. Default `t.data`. */
  readonly columns?: readonly (readonly [table: string, column: string])[]
  /** What is asked and done; every answer counts. */
  readonly does: readonly Statement[]
  /** Looked at last, on both tables. */
  readonly looks?: readonly string[]
  readonly promise: Promise
  /** Statements whose plan, on the compressed table, uses this index. */
  readonly plans?: readonly (readonly [sql: string, index: string])[]
  /** Commands after enabling, before maintenance. */
  readonly then?: readonly Statement[]
}

/** Rows of JSON, enough of them to train a dictionary. */
export function filled(table = 't', columns = 'id, data', values = 'i, {json}', rows = 60): string {
  return `INSERT INTO ${table} (${columns}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    SELECT ${values.replaceAll('{json}', json)} FROM n`
}

export const json = `printf('{"type":"movie","y":%d,"title":"Episode %d of the lost night","genres":["Drama","Short"]}', i % 13, i * 7919 % 300)`

export const usual: readonly string[] = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, k INT DEFAULT 7, data TEXT)',
  filled('t', 'id, k, data', 'i, i % 5, {json}'),
]
export const all = 'SELECT * FROM t ORDER BY id'
