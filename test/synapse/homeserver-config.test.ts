// homeserver.yaml is read as Synapse reads it, and never quoted in an error.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TampError } from '../../src/core/errors.ts'
import type { PostgresSettings } from '../../src/database/postgres.ts'
import { readHomeserverConfig } from '../../src/synapse/homeserver-config.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tamp-yaml-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

const env = { HOME: '/nowhere' }
let files = 0
async function written(yaml: string): Promise<string> {
  const file = join(directory, `homeserver-${++files}.yaml`)
  await writeFile(file, yaml)
  return file
}
const passwordOf = ({ config }: PostgresSettings) => (config.password as () => string)()

async function refusal(yaml: string): Promise<TampError> {
  const file = await written(yaml)
  try {
    readHomeserverConfig(file, env)
  } catch (error) {
    expect(error).toBeInstanceOf(TampError)
    expect(inspect(error, { depth: 9, showHidden: true }).replace(/^ +at .*$/gm, '')).not.toContain('SECRET')
    return error as TampError
  }
  throw new Error('it was accepted')
}

test('a database section with all that Synapse may say', async () => {
  const file = await written(`
server_name: example.org
listeners:
  - port: 8008
database:
  name: psycopg2
  txn_limit: 10000
  allow_unsafe_locale: true
  args:
    user: synapse_user
    password: s3cret
    dbname: synapse
    host: db.example.org
    port: 5433
    sslmode: require
    options: "-c search_path=synapse"
    application_name: tests
    cp_min: 5
    cp_max: 10
    cp_reconnect: true
    keepalives_idle: 10
    keepalives_interval: 10
    keepalives_count: 3
`)
  const { main, state, oneDatabase } = readHomeserverConfig(file, env)
  expect(oneDatabase).toBe(true)
  expect(state).toBe(main)
  expect(main.describe).toBe('postgresql://synapse_user@db.example.org:5433/synapse')
  expect(main.config).toMatchObject({
    options: '-c search_path=synapse',
    ssl: { rejectUnauthorized: false },
    application_name: 'tests',
  })
  expect(passwordOf(main)).toBe('s3cret')
  expect(inspect(main, { depth: 9, showHidden: true })).not.toContain('s3cret')
})

test('the file alone says which server it is; the password may come from outside', async () => {
  const file = await written('database: {name: psycopg2, args: {user: u, database: d, host: h}}')
  const elsewhere = {
    ...env,
    PGHOST: 'x',
    PGPORT: '1',
    PGDATABASE: 'x',
    DATABASE_URL: 'postgresql://x',
    PGPASSWORD: 'p',
  }
  const { main } = readHomeserverConfig(file, elsewhere)
  expect(main.describe).toBe('postgresql://u@h:5432/d')
  expect(passwordOf(main)).toBe('p')
})

test('values are what Python makes of them', async () => {
  const of = async (password: string) =>
    passwordOf(
      readHomeserverConfig(await written(`database: {name: psycopg2, args: {host: h, password: ${password}}}`), env)
        .main,
    )
  expect(await of('12345678901234567890123')).toBe('12345678901234567890123')
  expect(await of('0123')).toBe('83')
  expect(await of('yes')).toBe('True')
  expect(await of("'0123'")).toBe('0123')
})

test('dsn, and sockets by default', async () => {
  const { main } = readHomeserverConfig(
    await written('database: {name: psycopg2, args: {dsn: "host=/srv/pg user=a dbname=d", user: b, password: null}}'),
    env,
  )
  expect(main.describe).toBe('postgresql://b@/d?host=/srv/pg')
})

test('databases: two stores', async () => {
  const { main, state, oneDatabase } = readHomeserverConfig(
    await written(`
databases:
  basement:
    name: psycopg2
    data_stores: [main]
    args: {user: u, host: h, dbname: main_db, password: one}
  attic:
    name: psycopg2
    data_stores: [state]
    args: {user: u, host: h, dbname: state_db, password: two}
`),
    env,
  )
  expect(oneDatabase).toBe(false)
  expect([main.describe, state.describe]).toEqual(['postgresql://u@h:5432/main_db', 'postgresql://u@h:5432/state_db'])
  expect([passwordOf(main), passwordOf(state)]).toEqual(['one', 'two'])
})

test('databases: one entry that holds both stores', async () => {
  for (const stores of ['', 'data_stores: [main, state], ']) {
    const file = await written(`databases: {all: {name: psycopg2, ${stores}args: {user: u, host: h, dbname: d}}}`)
    const { main, state, oneDatabase } = readHomeserverConfig(file, env)
    expect([oneDatabase, state === main, main.describe]).toEqual([true, true, 'postgresql://u@h:5432/d'])
  }
})

test('keys that stand twice, several documents, anchors', async () => {
  const twice = await written(
    'database: {name: sqlite3}\ndatabase: {name: psycopg2, args: {user: u, host: a, host: b, dbname: d}}',
  )
  expect(readHomeserverConfig(twice, env).main.describe).toBe('postgresql://u@b:5432/d')
  const documents = await written(
    '---\nserver_name: x\n---\ndatabase: {name: psycopg2, args: {user: u, host: h, dbname: d}}\n',
  )
  expect(readHomeserverConfig(documents, env).main.describe).toBe('postgresql://u@h:5432/d')
  const merged = await written('x: &x {user: u, host: h}\ndatabase: {name: psycopg2, args: {<<: *x, dbname: d}}')
  expect(readHomeserverConfig(merged, env).main.describe).toBe('postgresql://u@h:5432/d')
})

test.each([
  [
    'database: {name: sqlite3, args: {database: /data/homeserver.db}}',
    'SQLite databases are not supported by this version',
  ],
  ['database: {name: mysql, args: {password: SECRET}}', 'neither psycopg2 nor sqlite3'],
  ['server_name: SECRET', 'no database section'],
  ['', 'no database section'],
  ['just text SECRET', 'no database section'],
  ['database: SECRET', 'no database section'],
  ['database: {name: psycopg2, args: [SECRET]}', 'args of database is not a mapping'],
  ['database: {name: psycopg2, args: {password: [SECRET]}}', 'password of database is not a plain value'],
  ['database:\n  name: psycopg2\n  args: {password: "SECRET', 'cannot be read as YAML (line '],
  ['database:\n  args:\n    password: SECRET\n   user: x\n', 'cannot be read as YAML (line 4)'],
  ['database: *SECRET', 'cannot be read as YAML'],
  ['database: {name: psycopg2}\ndatabases: {}', 'both a database and a databases section'],
  ['databases: {a: {name: psycopg2, data_stores: [main]}}', 'no database holds the state store'],
  [
    'databases: {a: {name: psycopg2}, b: {name: psycopg2, data_stores: [state]}}',
    'more than one database holds the state store',
  ],
  ['databases: {}', 'no database holds the main store'],
  ['databases: SECRET', 'databases is not a mapping'],
])('refused: %j', async (yaml, part) => {
  const error = await refusal(yaml)
  expect(error).toMatchObject({ code: 'usage', message: expect.stringContaining(part) })
})

test('a file that is not there, and a directory', () => {
  expect(() => readHomeserverConfig(join(directory, 'nowhere.yaml'), env)).toThrow(
    expect.objectContaining({ code: 'usage', message: expect.stringContaining('does not exist') }),
  )
  expect(() => readHomeserverConfig(directory, env)).toThrow(
    expect.objectContaining({ message: expect.stringContaining('is a directory') }),
  )
})
