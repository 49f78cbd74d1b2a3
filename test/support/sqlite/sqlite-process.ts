// SQL in a process of its own, with an extension of which one cannot be sure that it leaves its host alive: one batch of statements, one
// connection, all outcomes. Run as a program, it is that process.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { readFileSync, writeSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import Database from 'better-sqlite3'
import type { Value } from '../../../src/sqlite/policy/request.ts'

/** A statement, alone or with its parameters. Integers are given and come back as `bigint`, reals as `number`. */
export type Statement = string | readonly [sql: string, ...params: readonly Value[]]

export type Rows = readonly (readonly Value[])[]

/** What a statement gives: its rows, or why there are none. */
export type Outcome = Rows | { readonly error: string }

interface Batch {
  readonly file: string
  readonly library: string | null
  readonly statements: readonly Statement[]
}

/** All outcomes, whatever became of the statements before. @throws where the process does not survive */
export function outcomes(library: string | null, file: string, statements: readonly Statement[]): readonly Outcome[] {
  const batch: Batch = { file, library, statements }
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), 'batch'], {
    input: serialize(batch),
    maxBuffer: 1 << 28,
  })
  if (status !== 0)
    throw new Error(`the process with ${library} ended with ${signal ?? status}: ${stderr.toString().slice(-2000)}`)
  return deserialize(stdout) as Outcome[]
}

/** The rows of each statement; all must succeed. */
export function rowsOf(library: string | null, file: string, statements: readonly Statement[]): readonly Rows[] {
  return allRows(statements, outcomes(library, file, statements))
}

/** The same in this process: for tamp's extension and for none. */
export function rowsHere(library: string | null, file: string, statements: readonly Statement[]): readonly Rows[] {
  return allRows(statements, outcomesHere(library, file, statements))
}

export function outcomesHere(
  library: string | null,
  file: string,
  statements: readonly Statement[],
): readonly Outcome[] {
  const db = new Database(file)
  try {
    db.defaultSafeIntegers()
    if (library !== null) db.loadExtension(library)
    return statements.map((statement) => outcome(db, statement))
  } finally {
    db.close()
  }
}

function outcome(db: Database.Database, statement: Statement): Outcome {
  const [sql, ...params] = typeof statement === 'string' ? [statement] : statement
  try {
    const prepared = db.prepare(sql)
    if (!prepared.reader) {
      prepared.run(...params)
      return []
    }
    const rows = prepared.raw().all(...params) as Value[][]
    return rows.map((row) => row.map((value) => (value instanceof Uint8Array ? new Uint8Array(value) : value)))
  } catch (error) {
    return { error: (error as Error).message }
  }
}

function allRows(statements: readonly Statement[], all: readonly Outcome[]): readonly Rows[] {
  return all.map((one, index) => {
    if ('error' in one) throw new Error(`${String(statements[index])}: ${one.error}`)
    return one
  })
}

if (process.argv[2] === 'batch' && process.argv[1] === fileURLToPath(import.meta.url)) {
  const { file, library, statements } = deserialize(readFileSync(0)) as Batch
  const answer = serialize(outcomesHere(library, file, statements))
  for (let written = 0; written < answer.length;) written += writeSync(1, answer, written)
}
