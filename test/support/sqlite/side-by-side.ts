// One story told twice: to a plain table, and to one with a compressed column. Every answer must be the same, errors too.
// A difference is thrown as text that holds the whole story up to it.
import { isDeepStrictEqual } from 'node:util'
import type { SqliteDriver } from '../../../src/database/sqlite-driver.ts'
import { TampError } from '../../../src/core/errors.ts'
import { drive } from '../../../src/sqlite/host/drive.ts'
import type { Maintained } from '../../../src/sqlite/policy/maintain.ts'
import type { Policy } from '../../../src/sqlite/policy/request.ts'
import type { Host, NodeHost, Outcome } from './hosts.ts'
import { normalSchema, schemaQuery } from './normal-schema.ts'
import { comparesAsIs } from './announced-differences.ts'
import type { Column, Schema } from './built-schema.ts'
import { typed } from './schema-words.ts'
import { keyOrder } from './row-values.ts'
import type { Line } from './story-lines.ts'

/** How the compressed table's commands are run. */
export interface Way {
  readonly name: string
  run(file: string, lines: readonly Line[]): readonly Outcome[]
}

/** As SQL, `SELECT tamp('maintain', …)`, in whatever host. */
export function asSql(host: Host, extension: string): Way {
  return {
    name: `${host.name}, by SQL`,
    run: (file, lines) =>
      host.run(
        file,
        lines.map((line) => (line.kind === 'tamp' ? tampSql(line.command, line.options) : line.sql)),
        extension,
      ),
  }
}

export function tampSql(command: string, options: object): string {
  return `SELECT tamp('${command}', '${JSON.stringify(options).replaceAll("'", "''")}')`
}

/** By the library, over the connection that the statements run on. */
export function byLibrary<Connection>(
  host: NodeHost<Connection>,
  driverOf: (connection: Connection) => SqliteDriver,
  policyOf: (command: string, options: object) => Policy<unknown>,
  extension: string,
): Way {
  return {
    name: `${host.name}, by the library`,
    run(file, lines) {
      const connection = host.open(file, extension)
      const session = host.session(connection)
      try {
        return lines.map((line) => {
          if (line.kind !== 'tamp') return session.run(line.sql)
          try {
            return { rows: [[JSON.stringify(drive(policyOf(line.command, line.options), driverOf(connection)))]] }
          } catch (error) {
            return { error: String(error), kind: error instanceof TampError ? refused : broken }
          }
        })
      } finally {
        session.close()
      }
    },
  }
}

/** Kinds of errors that are not SQLite's: what tamp says no to, and what it must never come to. */
export const refused = -1
export const broken = -2

export interface Told {
  /** False where the column was refused. */
  readonly enabled: boolean
  readonly compressedRows: number
  readonly dictionaries: number
}

/**
 * @param early what happens before the column is enabled; `enabling` is the command
 * @param late what happens after; nothing where the column is refused, because then the table is as it was
 * @throws Error at the first difference
 */
export function tellBoth(
  way: Way,
  plainHost: Host,
  schema: Schema,
  early: readonly Line[],
  enabling: Line | null,
  late: readonly Line[],
): Told {
  const disabling = schema.payloads.map(({ name }, i): Line => {
    return { kind: 'tamp', command: 'disable', options: { table: schema.table, column: name }, mayRefuse: i > 0 }
  })
  const lines = [
    ...schema.statements.map((sql): Line => ({ kind: 'change', sql })),
    ...early,
    ...(enabling === null ? [] : [enabling]),
    ...late,
    ...(enabling === null ? [] : disabling),
    { kind: 'ask', sql: schemaQuery, ordered: false } as const,
  ].flatMap((line): readonly Line[] => [line, ...followedBy(line, schema)])
  const asked = lines.flatMap((line): readonly Line[] =>
    line.kind === 'agree' ? [line.sql, line.other].map((sql) => ({ kind: 'ask', sql, ordered: true })) : [line],
  )
  const compressed = way.run(':memory:', asked)
  const enabledAt = enabling === null ? -1 : asked.indexOf(enabling)
  const isRefused = enabledAt >= 0 && 'error' in compressed[enabledAt]!
  if (isRefused && late.length > 0) return tellBoth(way, plainHost, schema, early, enabling, [])
  const plain = plainHost.run(':memory:', asked.map(forPlain))
  schema.statements.forEach((sql, i) => {
    const made = plain[asked.findIndex((line) => line.kind === 'change' && line.sql === sql)]!
    if ('error' in made) throw new Error(`${i + 1}: ${sql}: ${made.error}`)
  })
  asked.forEach((line, i) => {
    if (isRefused && disabling.includes(line)) return
    const difference = differs(line, plain[i]!, compressed[i]!)
    if (difference !== null) throw new Error(story(way, asked, i, schema, difference))
  })
  // An index and a scan agree, where they do on the plain table: conversions may come between them.
  for (let i = 0, n = 0; i < lines.length; i++, n++) {
    if (lines[i]!.kind !== 'agree') continue
    const [byIndex, byScan] = [compressed[n]!, compressed[n + 1]!]
    if (isDeepStrictEqual(plain[n], plain[n + 1]) && !isDeepStrictEqual(byIndex, byScan))
      throw new Error(story(way, asked, n, schema, `by index   ${show(byIndex)}\nby scan    ${show(byScan)}`))
    n++
  }
  const maintained = asked.flatMap((line, i) =>
    line.kind === 'tamp' && line.command === 'maintain' && 'rows' in compressed[i]!
      ? (JSON.parse(String(compressed[i]!.rows[0]![0])) as Maintained).columns
      : [],
  )
  return {
    enabled: enabledAt >= 0 && !isRefused,
    compressedRows: maintained.reduce((sum, { rows }) => sum + rows, 0),
    dictionaries: maintained.reduce((sum, { dictionaries }) => sum + dictionaries.length, 0),
  }
}

function forPlain(line: Line): string {
  if (line.kind === 'tamp') return line.plain ?? 'SELECT NULL'
  return line.sql
}

/** What is looked at after a line. */
function followedBy(line: Line, schema: Schema): readonly Line[] {
  if (line.kind === 'ask' || line.kind === 'agree') return []
  if (line.kind === 'change' && line.sql.startsWith('CREATE')) return []
  const looks: Line[] = [
    {
      kind: 'ask',
      sql: `SELECT ${schema.columns.map(({ sql }) => typed(sql)).join(', ')} FROM ${schema.sql} ORDER BY ${keyOrder(schema)}`,
      ordered: true,
    },
    ...schema.payloads.slice(0, 2).flatMap((column) => comparisons(column, schema)),
    // The order of what one statement did is SQLite's affair.
    { kind: 'ask', sql: 'SELECT what, was, became FROM log', ordered: false },
    ...schema.besides.map((name): Line => ({ kind: 'ask', sql: `SELECT * FROM ${name} ORDER BY 1, 2`, ordered: true })),
  ]
  if (line.kind === 'tamp')
    looks.push(
      { kind: 'ask', sql: 'PRAGMA integrity_check', ordered: true },
      { kind: 'ask', sql: 'SELECT rowid, fkid FROM pragma_foreign_key_check', ordered: false },
    )
  return looks
}

/** Questions that a lost collation answers differently. */
function comparisons(column: Column, schema: Schema): readonly Line[] {
  const c = column.sql
  const folded = comparesAsIs(column, 'text') ? `, sum(${c} = upper(${c})), sum(${c} || ' ' = ${c})` : ''
  return [
    `SELECT ${keyOrder(schema).replaceAll(' COLLATE BINARY', '')} FROM ${schema.sql} ORDER BY ${c}, ${keyOrder(schema)}`,
    `SELECT count(DISTINCT ${c}), sum(${c} IN ('ABC', 'a ', 'Veto'))${folded} FROM ${schema.sql}`,
  ].map((sql): Line => ({ kind: 'ask', sql, ordered: true }))
}

function differs(line: Line, plain: Outcome, compressed: Outcome): string | null {
  if (line.kind === 'tamp') {
    if (line.plain !== undefined && 'error' in plain)
      return 'error' in compressed && compressed.kind !== broken ? null : both(plain, compressed)
    if (!('error' in compressed)) return null
    return line.mayRefuse === true && compressed.kind !== broken ? null : compressed.error
  }
  if ('error' in plain || 'error' in compressed)
    return 'error' in plain && 'error' in compressed && plain.kind === compressed.kind ? null : both(plain, compressed)
  if (line.kind === 'ask' && line.sql === schemaQuery) {
    const [one, other] = [normalSchema(plain), normalSchema(compressed)]
    return isDeepStrictEqual(one, other)
      ? null
      : `plain\n  ${one.filter((entry) => !other.includes(entry)).join('\n  ')}\ncompressed\n  ${other.filter((entry) => !one.includes(entry)).join('\n  ')}`
  }
  if (line.kind === 'ask' && !line.ordered) {
    const sorted = ({ rows }: { rows: readonly unknown[] }): readonly string[] => rows.map(text).sort()
    return isDeepStrictEqual(sorted(plain), sorted(compressed)) ? null : both(plain, compressed)
  }
  // Debian's SQLite finds fault with some sound tables WITHOUT ROWID.
  if (line.kind === 'ask' && line.sql === 'PRAGMA integrity_check' && isDeepStrictEqual(compressed.rows, [['ok']]))
    return null
  return isDeepStrictEqual(plain, compressed) ? null : both(plain, compressed)
}

function both(plain: Outcome, compressed: Outcome): string {
  if ('rows' in plain && 'rows' in compressed && plain.rows.length + compressed.rows.length > 6) {
    const [one, other] = [plain.rows.map(text), compressed.rows.map(text)]
    const at = one.findIndex((row, i) => row !== other[i])
    const n = at < 0 ? one.length : at
    return `row ${n + 1}\nplain      ${one[n] ?? '(none)'} (of ${one.length})\ncompressed ${other[n] ?? '(none)'} (of ${other.length})`
  }
  return `plain      ${show(plain)}\ncompressed ${show(compressed)}`
}

function text(value: unknown): string {
  const said = JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'bigint'
      ? `${part}`
      : typeof part === 'number'
        ? `${part} (real)`
        : part instanceof Uint8Array
          ? `x'${Buffer.from(part).toString('hex')}'`
          : part,
  )
  return said.length > 600 ? `${said.slice(0, 600)}…` : said
}

function show(outcome: Outcome): string {
  return 'error' in outcome ? `error ${outcome.kind}: ${outcome.error}` : text(outcome.rows)
}

function story(way: Way, lines: readonly Line[], at: number, schema: Schema, difference: string): string {
  const told = lines
    .slice(0, at)
    .filter(({ kind }) => kind === 'change' || kind === 'tamp')
    .concat(lines[at]!)
  return [
    `${way.name}: not the same answers for table ${schema.sql}`,
    ...told
      .map((line) => (line.kind === 'tamp' ? tampSql(line.command, line.options) : line.sql))
      .map((sql) => `  ${sql};`),
    difference,
  ].join('\n')
}
