// What `zstd_enable_transparent` and `zstd_incremental_maintenance` answer and refuse, in sqlite-zstd itself and in tamp.
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../support/sqlite/database-files.ts'
import { testLibrary as tamp } from '../../support/sqlite/judge.ts'
import { buildTimeout, realSqliteZstd } from '../../support/sqlite/real-sqlite-zstd.ts'
import { outcomes, outcomesHere } from '../../support/sqlite/sqlite-process.ts'
import { enable, parting, told } from '../../support/sqlite/sqlite-zstd-differences.ts'

const sqliteZstd = await realSqliteZstd()
const folder = await temporaryFolder('tamp-enabling-')

test.skipIf(sqliteZstd === null)(
  'enabling and maintaining: what they answer and refuse',
  { timeout: buildTimeout },
  () => {
    const tables = [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT, i INTEGER)',
      `INSERT INTO t (c) VALUES ('some text of more than sixteen bytes')`,
      'CREATE TABLE keyless (c TEXT)',
      'CREATE TABLE other (id INTEGER PRIMARY KEY, d TEXT)',
      'CREATE TABLE third (id INTEGER PRIMARY KEY, e TEXT)',
    ]
    const calls = [
      'zstd_incremental_maintenance(0, 0.9)',
      'zstd_enable_transparent()',
      'zstd_enable_transparent(NULL)',
      'zstd_enable_transparent(1)',
      `zstd_enable_transparent('')`,
      `zstd_enable_transparent('{}')`,
      `zstd_enable_transparent('[]')`,
      enable({ table: 'absent' }),
      enable({ column: 'absent' }),
      enable({ column: 'id' }),
      enable({ table: 'keyless' }),
      enable({ dict_chooser: 'nonsense(' }),
      enable({ dict_chooser: '1' }),
      enable({ compression_level: 'high' }),
      enable({ table: 'other', column: 'd', compression_level: undefined }),
      enable({ table: 'third', column: 'e', dict_chooser: undefined }),
      enable({ dict_size_ratio: 'x' }),
      enable({}),
      enable({}),
      'zstd_incremental_maintenance()',
      'zstd_incremental_maintenance(1)',
      `zstd_incremental_maintenance('x', 1)`,
      `zstd_incremental_maintenance(1, 'x')`,
      'zstd_incremental_maintenance(1, NULL)',
      'zstd_incremental_maintenance(-1, 1)',
      'zstd_incremental_maintenance(1e101, 1)',
      'zstd_incremental_maintenance(1e100, 1)',
      'zstd_incremental_maintenance(1, 0.5)',
      'zstd_incremental_maintenance(NULL, 1)',
      'zstd_incremental_maintenance(0, 1)',
    ]
    const statements = [
      ...tables,
      ...calls.map((call) => `SELECT typeof(value), quote(value) FROM (SELECT ${call} AS value)`),
    ]
    const theirs = outcomes(sqliteZstd, join(folder, 'their.db'), statements)
    const ours = outcomesHere(tamp, join(folder, 'our.db'), statements)
    const answers = [theirs, ours].map((all) => all.slice(tables.length).map((outcome) => told(outcome)))
    const { found, listed } = parting(calls, answers[0]!, answers[1]!)
    expect(found.toSorted()).toEqual(listed.toSorted())
  },
)
