// A schema as text that two databases can be compared by: quoting of names, blanks, comments and the order of the entries aside.
import type { Outcome } from './hosts.ts'

export const schemaQuery = 'SELECT type, name, tbl_name, sql FROM sqlite_schema'

const token =
  /\s+|--[^\n]*|\/\*[^]*?\*\/|"((?:[^"]|"")*)"|\[([^\]]*)\]|`((?:[^`]|``)*)`|('(?:[^']|'')*'|\d[\w.]*|[^\W\d][\w$]*|[^\s])/guy

/** The tokens of a statement with one blank between them; names in lower case and without quotes. */
export function normalSql(sql: string): string {
  return [...sql.matchAll(token)]
    .map(([, double, bracket, tick, other]) => {
      const name = double?.replaceAll('""', '"') ?? bracket ?? tick?.replaceAll('``', '`')
      return name !== undefined ? name.toLowerCase() : other?.startsWith("'") === true ? other : other?.toLowerCase()
    })
    .filter((word) => word !== undefined)
    .join(' ')
}

/** What `schemaQuery` gave, without what belongs to the catalogue of compressed columns and to SQLite. */
export function normalSchema(outcome: Outcome): readonly string[] {
  if ('error' in outcome) throw new Error(outcome.error)
  return outcome.rows
    .filter(
      ([, name, table]) =>
        !/^_(zstd|tamp)_|^sqlite_(?!autoindex)/.test(String(table)) && !String(name).startsWith('_zstd_'),
    )
    .map(
      ([type, name, table, sql]) =>
        `${String(type)} ${String(name)} on ${String(table)}: ${sql === null ? '' : normalSql(String(sql))}`,
    )
    .sort()
}
