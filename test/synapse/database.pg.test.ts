// Synapse's database is recognised, and everything else is refused before anything is read.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { TampError } from '../../src/core/errors.ts'
import { openSynapse, type SynapseLocation } from '../../src/synapse/database.ts'
import { freshDatabase, type FreshDatabase } from '../support/postgres.ts'

const env = { HOME: '/nowhere' }

async function refusal(location: SynapseLocation): Promise<TampError> {
  const error: unknown = await openSynapse({ env, ...location }).then(
    () => undefined,
    (caught: unknown) => caught,
  )
  expect(error).toBeInstanceOf(TampError)
  return error as TampError
}

const searching = (database: FreshDatabase, path: string) =>
  `${database.url}?options=-csearch_path%3D${encodeURIComponent(path)}`

test('a whole Synapse', async () => {
  await using database = await freshDatabase('homeserver')
  const synapse = await openSynapse({ connection: database.url, env })
  expect(synapse).toMatchObject({ oneDatabase: true, stateSchema: 'public' })
  expect(synapse.schema).toEqual({
    pendingDeletion: true,
    eventReferences: true,
    forwardExtremities: true,
    roomLocks: true,
  })
  await using state = await synapse.connectState()
  const [row] = await state.query<[number, number]>('SELECT count(*), max(id) FROM state_groups')
  expect(row).toEqual([expect.any(Number), expect.any(Number)])
  expect(row![0]).toBeGreaterThan(1000)
  await using main = await synapse.connectMain()
  expect(await main.query('SELECT count(*) > 0 FROM event_to_state_groups')).toEqual([[true]])
})

test('an older Synapse, and a state store alone', async () => {
  await using database = await freshDatabase('empty')
  await database.query('DROP TABLE state_groups_pending_deletion')
  expect((await openSynapse({ connection: database.url, env })).schema.pendingDeletion).toBe(false)
  await database.query('DROP TABLE event_to_state_groups')
  await database.query('DROP TABLE IF EXISTS event_forward_extremities')
  await database.query('DROP TABLE IF EXISTS worker_read_write_locks')
  await database.query('DROP TABLE IF EXISTS schema_compat_version')
  expect((await openSynapse({ connection: database.url, env })).schema).toEqual({
    pendingDeletion: false,
    eventReferences: false,
    forwardExtremities: false,
    roomLocks: false,
  })
})

test('DATABASE_URL', async () => {
  await using database = await freshDatabase('empty')
  const synapse = await openSynapse({ env: { ...env, DATABASE_URL: database.url } })
  expect(synapse.state.describe).toContain(database.name)
})

test('another schema, by search_path', async () => {
  await using database = await freshDatabase('empty')
  await database.query('ALTER SCHEMA public RENAME TO "Matrix"')
  await database.query('CREATE SCHEMA public')
  const error = await refusal({ connection: database.url })
  expect(error).toMatchObject({ code: 'unknown-schema', exitStatus: 10, hint: expect.stringContaining('search_path') })
  expect(error.message).toContain('table state_groups, table state_groups_state, and table state_group_edges')
  const synapse = await openSynapse({ connection: searching(database, '"Matrix"'), env })
  expect(synapse.stateSchema).toBe('Matrix')
  await using state = await synapse.connectState()
  expect(await state.query('SELECT count(*) FROM state_groups')).toEqual([[0]])
})

test('tables of one store in two schemas are not taken for one', async () => {
  await using database = await freshDatabase('empty')
  await database.query('CREATE SCHEMA other')
  await database.query('ALTER TABLE state_group_edges SET SCHEMA other')
  expect(await refusal({ connection: searching(database, 'public,other') })).toMatchObject({
    code: 'unknown-schema',
    message: expect.stringContaining('spread over'),
  })
})

test.each([
  ['ALTER TABLE state_groups_state RENAME COLUMN state_key TO k', 'column state_groups_state.state_key of type text'],
  [
    'ALTER TABLE state_group_edges ALTER COLUMN prev_state_group TYPE integer',
    'column state_group_edges.prev_state_group of type bigint',
  ],
  [
    'ALTER TABLE state_group_edges RENAME TO e; CREATE VIEW state_group_edges AS TABLE e',
    'state_group_edges as a table',
  ],
  ['DROP TABLE state_groups CASCADE', 'table state_groups'],
])('refused: %s', async (change, part) => {
  await using database = await freshDatabase('empty')
  await database.session.client.query(change)
  expect(await refusal({ connection: database.url })).toMatchObject({
    code: 'unknown-schema',
    message: expect.stringContaining(part),
  })
})

test('P5: a schema that is newer than known is refused', async () => {
  await using database = await freshDatabase('empty')
  await database.session.client.query(
    'DROP TABLE IF EXISTS schema_compat_version; CREATE TABLE schema_compat_version (compat_version integer NOT NULL); INSERT INTO schema_compat_version VALUES (94)',
  )
  expect((await openSynapse({ connection: database.url, env })).schema.eventReferences).toBe(true)
  await database.query('UPDATE schema_compat_version SET compat_version = 95')
  expect(await refusal({ connection: database.url })).toMatchObject({
    code: 'unknown-schema',
    message: expect.stringContaining('newer than this tamp knows'),
  })
})

test('a role that may not read a table', async () => {
  await using database = await freshDatabase('empty')
  const role = `${database.name}_role`
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`)
  try {
    await database.query(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`)
    const connection = Object.assign(new URL(database.url), { username: role, password: 'x' }).href
    expect((await openSynapse({ connection, env })).schema.pendingDeletion).toBe(true)
    await database.query(`REVOKE SELECT ON state_groups_state FROM ${role}`)
    expect(await refusal({ connection })).toMatchObject({
      code: 'no-permission',
      message: expect.stringContaining('state_groups_state'),
      hint: expect.stringContaining(`TO "${role}"`),
    })
  } finally {
    await database.query(`DROP OWNED BY ${role}`)
    await database.query(`DROP ROLE ${role}`)
  }
})

test('homeserver.yaml with two databases', async () => {
  await using main = await freshDatabase('empty')
  await using state = await freshDatabase('empty')
  await state.query('DROP TABLE event_to_state_groups')
  for (const table of ['state_groups', 'state_groups_state', 'state_group_edges'])
    await main.query(`DROP TABLE ${table} CASCADE`)
  const args = (url: string) => {
    const { hostname, port, username, password, pathname } = new URL(url)
    return JSON.stringify({ host: hostname, port: Number(port), user: username, password, dbname: pathname.slice(1) })
  }
  const directory = await mkdtemp(join(tmpdir(), 'tamp-yaml-'))
  try {
    const homeserver = join(directory, 'homeserver.yaml')
    const write = (mainUrl: string, stateUrl: string) =>
      writeFile(
        homeserver,
        `databases:
  one: {name: psycopg2, data_stores: [main], args: ${args(mainUrl)}}
  two: {name: psycopg2, data_stores: [state], args: ${args(stateUrl)}}`,
      )
    await write(main.url, state.url)
    const synapse = await openSynapse({ homeserver, env })
    expect(synapse).toMatchObject({ oneDatabase: false, schema: { eventReferences: true, pendingDeletion: true } })
    expect([synapse.main.describe, synapse.state.describe]).toEqual([
      expect.stringContaining(main.name),
      expect.stringContaining(state.name),
    ])
    await using connection = await synapse.connectMain()
    expect(await connection.query('SELECT current_database()')).toEqual([[main.name]])

    await write(state.url, main.url)
    expect(await refusal({ homeserver })).toMatchObject({
      code: 'unknown-schema',
      message: expect.stringContaining(main.name),
    })
    expect(await refusal({ homeserver, connection: main.url })).toMatchObject({ code: 'usage' })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('no server, and a hopeless connection string', async () => {
  expect(await refusal({ connection: 'host=/nowhere user=u' })).toMatchObject({ code: 'connection-failed' })
  expect(await refusal({ connection: 'nonsense' })).toMatchObject({ code: 'usage', exitStatus: 2 })
})
