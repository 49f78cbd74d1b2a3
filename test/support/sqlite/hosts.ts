// The programs that SQLite lives in, behind one small face: a script of single statements in, the rows or the error of each out.
// Debian's shell runs the script in one process of its own; in Node the connection is opened for the script and closed after it.
import { spawnSync } from 'node:child_process'
import Database from 'better-sqlite3'
import { DatabaseSync } from 'node:sqlite'
import type { StatementSync } from 'node:sqlite'
import { resultCode } from '../../../src/database/sqlite-result-codes.ts'
import { shellErrors, shellRows } from './shell-output.ts'

/** A value with its type: integers are `bigint`, reals `number`. */
export type Typed = null | bigint | number | string | Uint8Array

/** What a statement came to. `kind` is SQLite's primary result code: 1 an error in the statement, 19 a constraint. */
export type Outcome =
  { readonly rows: readonly (readonly Typed[])[] } | { readonly error: string; readonly kind: number }

/** One connection, for the length of a script. */
export interface Session {
  run(sql: string): Outcome
  close(): void
}

export interface Host {
  readonly name: string
  /** SQLite's version; null where the host is not installed. */
  readonly version: string | null
  /** Runs the statements, one after the other, on one connection; those after an error too. */
  run(file: string, statements: readonly string[], extension?: string): readonly Outcome[]
}

/** A host that lives in this process: its connections can be held and given to the library. */
export interface NodeHost<Connection = unknown> extends Host {
  open(file: string, extension?: string): Connection
  session(connection: Connection): Session
}

function runInNode<Connection>(
  host: Pick<NodeHost<Connection>, 'open' | 'session'>,
  file: string,
  statements: readonly string[],
  extension?: string,
): readonly Outcome[] {
  const session = host.session(host.open(file, extension))
  try {
    return statements.map((sql) => session.run(sql))
  } finally {
    session.close()
  }
}

export const betterSqlite3: NodeHost<Database.Database> = {
  name: 'better-sqlite3',
  version: (() => {
    const database = new Database(':memory:')
    try {
      return String(database.prepare('SELECT sqlite_version()').pluck().get())
    } finally {
      database.close()
    }
  })(),
  open(file, extension) {
    const database = new Database(file)
    if (extension !== undefined) database.loadExtension(extension)
    return database
  },
  session: (database) => ({
    run(sql) {
      try {
        const statement = database.prepare(sql)
        if (statement.reader) return { rows: plainBytes(statement.raw().safeIntegers().all() as Typed[][]) }
        statement.run()
        return { rows: [] }
      } catch (error) {
        if (!(error instanceof Database.SqliteError)) throw error
        return { error: error.message, kind: resultCode(error.code) & 0xff }
      }
    },
    close: () => database.close(),
  }),
  run: (file, statements, extension) => runInNode(betterSqlite3, file, statements, extension),
}

export const nodeSqlite: NodeHost<DatabaseSync> = {
  name: 'node:sqlite',
  version: process.versions['sqlite'] ?? null,
  open(file, extension) {
    const database = new DatabaseSync(file, { allowExtension: true })
    if (extension !== undefined) database.loadExtension(extension)
    return database
  },
  session: (database) => ({
    run(sql) {
      try {
        const statement: StatementSync = database.prepare(sql)
        statement.setReturnArrays(true)
        statement.setReadBigInts(true)
        return { rows: plainBytes(statement.all() as unknown as Typed[][]) }
      } catch (error) {
        const { code, errcode, message } = error as Error & { code?: string; errcode?: number }
        if (code !== 'ERR_SQLITE_ERROR' || errcode === undefined) throw error
        return { error: message, kind: errcode & 0xff }
      }
    },
    close: () => database.close(),
  }),
  run: (file, statements, extension) => runInNode(nodeSqlite, file, statements, extension),
}

/** The shell's own marks between the statements. */
const mark = '--8<-- next statement --8<--'

export const shell: Host = {
  name: "Debian's sqlite3",
  version: shellVersion(),
  run(file, statements, extension) {
    // Foreign keys are on by default in both Node drivers, and off in the shell.
    const lines = [
      ...(extension === undefined ? [] : [`.load ${extension}`]),
      'PRAGMA foreign_keys = ON;',
      '.mode quote',
    ]
    let at = lines.length + 1
    const starts: number[] = []
    for (const sql of statements) {
      const text = `${sql}\n;`
      lines.push(`.print ${mark}`, text)
      starts.push(at + 1)
      at += 1 + text.split('\n').length
    }
    const { stdout, stderr, error, signal } = spawnSync('sqlite3', ['-init', '/dev/null', '-batch', file], {
      input: `${lines.join('\n')}\n`,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    })
    if (error !== undefined) throw error
    if (signal !== null) throw new Error(`the shell was ended by ${signal}: ${stderr}`)
    const [before, ...printed] = stdout.split(`${mark}\n`)
    if (printed.length !== statements.length || before !== '') throw new Error(`the shell said: ${stdout}${stderr}`)
    const errors = shellErrors(stderr)
    for (const line of errors.keys())
      if (!starts.includes(line)) throw new Error(`the shell said of line ${line}: ${stderr}`)
    return printed.map((text, i) => errors.get(starts[i]!) ?? { rows: shellRows(text) })
  },
}

function shellVersion(): string | null {
  const { stdout, error } = spawnSync('sqlite3', ['--version'], { encoding: 'utf8' })
  return error === undefined ? stdout.split(' ')[0]! : null
}

export const hosts: readonly Host[] = [shell, betterSqlite3, nodeSqlite]

/** Buffers as plain byte arrays, so that they compare with those of another driver. */
function plainBytes(rows: Typed[][]): Typed[][] {
  return rows.map((row) => row.map((value) => (value instanceof Uint8Array ? new Uint8Array(value) : value)))
}
