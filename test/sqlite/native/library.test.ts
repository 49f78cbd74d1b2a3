// The library as a file: what it exports, where it looks in SQLite's table of routines, and what flags its functions have.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { testLibrary } from '../../support/sqlite/judge.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

/** Headers of the SQLite that better-sqlite3 is built from, and of the system's where it has them. */
const headers = [
  join(dirname(createRequire(import.meta.url).resolve('better-sqlite3/package.json')), 'deps/sqlite3/sqlite3ext.h'),
  '/usr/include/sqlite3ext.h',
].filter((file) => existsSync(file))

/** The names of SQLite's routines, in the order of the table. */
function routines(header: string): readonly string[] {
  const [, table] = /struct sqlite3_api_routines \{([^]*?)\n\};/.exec(readFileSync(header, 'utf8'))!
  return table!
    .replace(/\/\*[^]*?\*\//g, '')
    .split(';')
    .flatMap((declaration) => /\(\s*(?:SQLITE_CDECL\s*)?\*\s*(\w+)\s*\)/.exec(declaration)?.[1] ?? [])
}

describe('places in the table of routines', () => {
  const source = readFileSync(join(root, 'native/src/api.rs'), 'utf8')
  const places = [...source.matchAll(/^ {4}(\d+) (\w+)\(/gm)].map(([, slot, name]) => [Number(slot), name!] as const)
  /** Read apart from the others: a variadic routine, and one that is handed over. */
  const apart = [...source.matchAll(/self\.0\.add\((\d+)\)/g)].map(([, slot]) => Number(slot))

  test('are found in the source', () => {
    expect(places.length).toBeGreaterThan(50)
    expect(headers).not.toEqual([])
  })

  test.for(headers)('are those of %s', (header) => {
    const names = routines(header)
    const there = places.filter(([slot]) => slot < names.length)
    expect(there.map(([slot]) => names[slot])).toEqual(there.map(([, name]) => name))
    // Of an older SQLite, which has no such place, this one is not called.
    expect(places.filter(([slot]) => slot >= names.length).map(([, name]) => name)).toEqual(
      names.includes('is_interrupted') ? [] : ['is_interrupted'],
    )
    expect(apart.map((slot) => names[slot])).toEqual(['free', 'db_config'])
  })
})

test('only the entry points are exported', ({ skip }) => {
  if (process.platform !== 'linux') skip('nm of the GNU kind is wanted')
  const symbols = execFileSync('nm', ['-D', '--defined-only', testLibrary], { encoding: 'utf8' })
  expect(
    symbols
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[2]),
  ).toEqual(['sqlite3_extension_init', 'sqlite3_tamp_init', 'sqlite3_tampsqlite_init'])
})

describe('flags', () => {
  const [deterministic, directOnly, innocuous] = [0x800, 0x80000, 0x200000]
  const flagsOf = (library?: string) => {
    const db = new Database(':memory:')
    if (library !== undefined) db.loadExtension(library)
    const rows = db.prepare(`SELECT name || '/' || narg AS name, type, flags FROM pragma_function_list`).all()
    db.close()
    return new Map((rows as { name: string; type: string; flags: number }[]).map((row) => [row.name, row]))
  }
  const ours = [...flagsOf(testLibrary)].filter(([name]) => !flagsOf().has(name))
  const described = ours.map(([name, { type, flags }]) => {
    const words = [
      flags & deterministic && 'deterministic',
      flags & innocuous && 'innocuous',
      flags & directOnly && 'direct',
    ]
    return `${name} ${type === 'w' || type === 'a' ? 'aggregate' : 'scalar'} ${words.filter(Boolean).join(' ')}`
  })

  test('cells can be encoded and decoded in views, indexes and triggers of any database; all else is for the top of a statement', () => {
    expect(described.toSorted()).toEqual([
      'tamp/1 scalar direct',
      'tamp/2 scalar direct',
      'tamp_cell_error/4 scalar deterministic innocuous',
      'tamp_dictionary/1 scalar direct',
      'tamp_library/0 scalar direct',
      'tamp_release/1 scalar direct',
      'tamp_sample/2 aggregate direct',
      'tamp_samples/1 scalar direct',
      'tamp_sha256/1 scalar deterministic innocuous',
      'tamp_train/4 scalar direct',
      'tamp_train/5 scalar direct',
      'tamp_trial/3 scalar direct',
      'tamp_trial/4 scalar direct',
      'zstd_compress/1 scalar deterministic innocuous',
      'zstd_compress/2 scalar deterministic innocuous',
      'zstd_compress/3 scalar deterministic innocuous',
      'zstd_compress/4 scalar deterministic innocuous',
      'zstd_compress_col/4 scalar deterministic innocuous',
      'zstd_decompress/2 scalar deterministic innocuous',
      'zstd_decompress/3 scalar deterministic innocuous',
      'zstd_decompress/4 scalar deterministic innocuous',
      'zstd_decompress_col/4 scalar deterministic innocuous',
      'zstd_enable_transparent/1 scalar direct',
      'zstd_incremental_maintenance/2 scalar direct',
      'zstd_train_dict/3 aggregate direct',
      'zstd_train_dict_and_save/4 aggregate direct',
    ])
  })

  test('a view that writes or trains is refused, one that decodes is not, in an untrusted database', () => {
    const db = new Database(':memory:')
    db.loadExtension(testLibrary)
    db.exec(`PRAGMA trusted_schema = 0;
      CREATE VIEW decodes AS SELECT zstd_decompress(zstd_compress('a'), 1) AS v;
      CREATE VIEW maintains AS SELECT zstd_incremental_maintenance(1, 1) AS v;
      CREATE VIEW trains AS SELECT zstd_train_dict('a', 1, 1) AS v;`)
    expect(db.prepare('SELECT v FROM decodes').pluck().get()).toBe('a')
    expect(() => db.prepare('SELECT v FROM maintains').get()).toThrow(/unsafe use of zstd_incremental_maintenance/)
    expect(() => db.prepare('SELECT v FROM trains').get()).toThrow(/unsafe use of zstd_train_dict/)
    db.close()
  })
})
