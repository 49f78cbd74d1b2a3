// The ways in which a compressed column is used: in Debian's shell all by SQL, in Node by the library over the very connection.
import type Database from 'better-sqlite3'
import type { DatabaseSync } from 'node:sqlite'
import { BetterSqlite3Driver } from '../../../src/database/better-sqlite3.ts'
import { NodeSqliteDriver } from '../../../src/database/node-sqlite.ts'
import { drive } from '../../../src/sqlite/host/drive.ts'
import { addIndex } from '../../../src/sqlite/policy/add-index.ts'
import { differences } from '../../../src/sqlite/policy/differences.ts'
import type { Remark } from '../../../src/sqlite/policy/differences.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { maintain } from '../../../src/sqlite/policy/maintain.ts'
import type { Policy } from '../../../src/sqlite/policy/request.ts'
import { betterSqlite3, nodeSqlite, shell } from './hosts.ts'
import type { Host } from './hosts.ts'
import { testLibrary } from './judge.ts'
import { asSql, byLibrary } from './side-by-side.ts'
import type { Way } from './side-by-side.ts'

const commands = { enable, maintain, disable, index: addIndex } as const

function policyOf(command: string, options: object): Policy<unknown> {
  return (commands[command as keyof typeof commands] as (options: object) => Policy<unknown>)(options)
}

export interface HostedWay {
  readonly host: Host
  readonly way: Way
}

const inBetterSqlite3 = byLibrary<Database.Database>(
  betterSqlite3,
  (database) => new BetterSqlite3Driver(database),
  policyOf,
  testLibrary,
)
const inNodeSqlite = byLibrary<DatabaseSync>(
  nodeSqlite,
  (database) => new NodeSqliteDriver(database),
  policyOf,
  testLibrary,
)

/** One for each host: `way` does everything, `host` tells the same to a plain table. */
export const ways: readonly HostedWay[] = [
  { host: betterSqlite3, way: inBetterSqlite3 },
  { host: nodeSqlite, way: inNodeSqlite },
  { host: shell, way: asSql(shell, testLibrary) },
]

/** What is said of a column before it is enabled. */
export function announced(
  given: readonly string[],
  table: string,
  column: string,
): { readonly obstacles: readonly Remark[]; readonly remarks: readonly Remark[] } {
  const database = betterSqlite3.open(':memory:', testLibrary) as Database.Database
  try {
    for (const sql of given) database.exec(sql)
    return drive(differences(table, column), new BetterSqlite3Driver(database))
  } finally {
    database.close()
  }
}
