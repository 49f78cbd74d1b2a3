// Databases to try the policy on: in memory, with the real extension, and twins that never hear of compression.
import Database from 'better-sqlite3'
import { BetterSqlite3Driver } from '../../../src/database/better-sqlite3.ts'
import type { SqliteDriver } from '../../../src/database/sqlite-driver.ts'
import { drive } from '../../../src/sqlite/host/drive.ts'
import { extensionLibrary } from '../../../src/sqlite/host/extension-library.ts'
import { dictColumn, quoted, rowsTable } from '../../../src/sqlite/policy/names.ts'
import type { Policy } from '../../../src/sqlite/policy/request.ts'
import { tokensOf } from '../../../src/sqlite/policy/sql-tokens.ts'

const library = await extensionLibrary({ tell: (sentence) => console.log(sentence) })

export interface PolicyDatabase {
  readonly db: Database.Database
  readonly driver: SqliteDriver
  readonly logs: readonly string[]
  run<Result>(policy: Policy<Result>): Result
}

export function policyDatabase(sql: string, path = ':memory:'): PolicyDatabase {
  const db = new Database(path)
  db.loadExtension(library)
  db.exec(sql)
  const driver = new BetterSqlite3Driver(db)
  const logs: string[] = []
  return { db, driver, logs, run: (policy) => drive(policy, driver, { onLog: (_, message) => logs.push(message) }) }
}

/** Compresses all cells of a column that are text or blob, as maintenance would, without a dictionary. */
export function compressCells(db: Database.Database, table: string, column: string): void {
  const config = JSON.parse(
    db
      .prepare(`SELECT config FROM _zstd_configs WHERE config ->> 'table' = ? AND config ->> 'column' = ?`)
      .pluck()
      .get(table, column) as string,
  ) as { tamp: { text: boolean } }
  const [rows, cell, dict] = [rowsTable(table), column, dictColumn(column)].map(quoted)
  const usual = config.tamp.text ? 'text' : 'blob'
  db.exec(
    `UPDATE ${rows} SET ${cell} = zstd_compress_col(${cell}, 3, -1, 1), ${dict} = iif(typeof(${cell}) = '${usual}', -1, -2)
      WHERE ${dict} IS NULL AND typeof(${cell}) IN ('text', 'blob')`,
  )
}

/** All rows of a table or query with the types of the values. */
export function typedRows(db: Database.Database, sql: string): readonly unknown[][] {
  const statement = db.prepare(sql).safeIntegers().raw()
  return (statement.all() as unknown[][]).map((row) =>
    row.map((value) => (Buffer.isBuffer(value) ? `x'${value.toString('hex')}'` : value)),
  )
}

/** The statements of the schema, without the quoting of names and the spaces, in no order. */
export function schemaOf(db: Database.Database): readonly string[] {
  const rows = db
    .prepare(`SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> 'sqlite_sequence'`)
    .raw()
    .all() as string[][]
  return rows
    .map(([type, name, table, sql]) =>
      [type, name, table, ...tokensOf(sql!).map(({ kind, value }) => (kind === 'string' ? `'${value}'` : value))].join(
        ' ',
      ),
    )
    .toSorted()
}
