// P5: nothing is written unasked, execution reaches the dry run, roles that may do less get what they may. P7: no secret in any output.
import { inspect } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import type { TampEvent } from '../../../src/core/events.ts'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { openBucketStorage } from '../../../src/powersync/database.ts'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import type { Session } from '../../support/session.ts'
import { execute, pausable, scene, slice, sound } from './scene.ts'
import type { Scene } from './scene.ts'

let stage: Scene
let roles = 0
beforeAll(async () => {
  stage = await scene({ buckets: 5 })
})
beforeEach(() => stage.restore())
afterAll(() => stage?.[Symbol.asyncDispose]())

/** All that the catalog says of a database, but for what tamp is allowed to make: its own schema. */
async function schemaDump(session: Session): Promise<unknown[]> {
  return session.query(`
    SELECT 'schema', nspname, '' FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp' AND nspname <> 'tamp'
    UNION ALL SELECT 'relation', oid::regclass::text, concat(relkind, relpersistence, relacl, reloptions) FROM pg_class
     WHERE relnamespace <> ALL (ARRAY(SELECT oid FROM pg_namespace WHERE nspname ~ '^(tamp$|pg_(toast_)?temp|pg_toast$)'))
    UNION ALL SELECT 'column', attrelid::regclass || '.' || attname, concat(attnum, format_type(atttypid, atttypmod), attnotnull, attoptions)
      FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
     WHERE relnamespace <> ALL (ARRAY(SELECT oid FROM pg_namespace WHERE nspname ~ '^(tamp$|pg_(toast_)?temp|pg_toast$)'))
    UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger
    UNION ALL SELECT 'function', oid::regprocedure::text, prosrc FROM pg_proc
    UNION ALL SELECT 'extension', extname, extversion FROM pg_extension
    ORDER BY 1, 2, 3`)
}

/** Every row of the storage, and who wrote it last. */
async function dump(session: Session): Promise<unknown[]> {
  const tables = await session.query<[string]>(
    `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('powersync', 'tamp') ORDER BY 1`,
  )
  const rows: unknown[] = []
  for (const [table] of tables)
    rows.push(table, await session.query(`SELECT xmin::text, t.*::text FROM ${table} t ORDER BY ctid`))
  const sequence = await session.query('SELECT last_value, is_called FROM powersync.op_id_sequence')
  return [...rows, sequence]
}

/** A storage as a role of its own sees it. */
async function asRole(grants: string): Promise<{ storage: BucketStorage; drop: () => Promise<void> }> {
  const role = `trust_${process.pid}_${++roles}`
  await stage.session.query(`CREATE ROLE ${role} LOGIN PASSWORD 'its-own-secret'`)
  const drop = async (): Promise<void> => void (await stage.session.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`))
  try {
    await stage.session.query(grants.replaceAll('$role', role))
    const url = new URL(stage.url)
    url.username = role
    url.password = 'its-own-secret'
    return { storage: await openBucketStorage({ connection: url.href, env: {} }), drop }
  } catch (error) {
    await drop()
    throw error
  }
}

describe('P5: nothing unasked', () => {
  test('dry runs and scripts change no row, no sequence and nothing of the schema', async () => {
    const schema = await schemaDump(stage.session)
    const before = await dump(stage.session)
    expect(schema.length).toBeGreaterThan(1000)
    for (const mode of ['dry-run', 'script'] as const) {
      const options = { mode, grace: 0, write: () => {} }
      expect(await compactBuckets(stage.storage, options)).toMatchObject(sound)
      expect(await compactBuckets(stage.storage, { ...options, grace: 600 })).toMatchObject(sound)
      for (const how of ['reinsert', 'relocate'] as const)
        expect(await defragmentBuckets(stage.storage, { ...options, how })).toMatchObject({ complete: true })
    }
    expect(await dump(stage.session)).toEqual(before)
    expect(await schemaDump(stage.session)).toEqual(schema)
    expect(await stage.session.query(`SELECT FROM pg_namespace WHERE nspname = 'tamp'`)).toEqual([])
  })

  test('execution makes nothing but the schema tamp, and writes to nothing of the storage but bucket_data', async () => {
    const schema = await schemaDump(stage.session)
    const rest = async () =>
      (await dump(stage.session)).filter((_, at, all) => !/bucket_data|tamp/.test(String(all[at & ~1])))
    const before = await rest()
    expect(await execute(stage.storage)).toMatchObject(sound)
    expect(await schemaDump(stage.session)).toEqual(schema)
    expect(await rest()).toEqual(before)
  })

  test.each([1, 2])('execution with %i jobs reaches the figures of the dry run exactly', async (jobs) => {
    const dry = await compactBuckets(stage.storage, { mode: 'dry-run', grace: 0 })
    const done = await execute(stage.storage, { jobs })
    for (const key of ['before', 'after', 'bound', 'definitions', 'stream', 'checkpoint'] as const)
      expect({ ...done[key] }).toMatchObject(key === 'checkpoint' ? { opId: stage.bound } : { ...dry[key] })
    const now = [...(await stage.now()).values()].flat().filter(({ opId }) => opId <= stage.bound)
    expect(now).toHaveLength(dry.after.operations!)
    expect(dry.after.operations).toBeLessThan(dry.before.operations!)
  })
})

describe('roles', () => {
  test('P5: a role that may only read gets dry run and script; execution refuses at once', async () => {
    const { storage, drop } = await asRole(
      'GRANT USAGE ON SCHEMA powersync TO $role; GRANT SELECT ON ALL TABLES IN SCHEMA powersync TO $role',
    )
    try {
      const dry = await compactBuckets(storage, { mode: 'dry-run', grace: 0 })
      expect(dry).toMatchObject(sound)
      expect((await compactBuckets(storage, { mode: 'script', grace: 0, write: () => {} })).after).toEqual(dry.after)
      await expect(execute(storage)).rejects.toMatchObject({ code: 'no-permission' })
      await expect(defragmentBuckets(storage, { mode: 'execute', how: 'reinsert', grace: 0 })).rejects.toMatchObject({
        code: 'no-permission',
      })
      expect(await stage.now()).toEqual(stage.before)
    } finally {
      await drop()
    }
  })

  test('P7: a role that may not read the storage is told so', async () => {
    await expect(asRole('GRANT USAGE ON SCHEMA powersync TO $role')).rejects.toMatchObject({ code: 'no-permission' })
    await expect(asRole('SELECT')).rejects.toSatisfy((error: TampError) =>
      ['no-permission', 'unknown-schema'].includes(error.code),
    )
  })

  const mayPack = `GRANT USAGE ON SCHEMA powersync TO $role; GRANT SELECT ON ALL TABLES IN SCHEMA powersync TO $role;
    GRANT UPDATE, DELETE ON powersync.bucket_data TO $role;`

  test.each([
    ['may make no schema', mayPack],
    ['may not use the ledger that is there', `CREATE SCHEMA tamp; CREATE TABLE tamp.compacted_bucket (); ${mayPack}`],
    [
      'may only read the ledger',
      `CREATE SCHEMA tamp; GRANT USAGE ON SCHEMA tamp TO $role; CREATE TABLE tamp.compacted_bucket (storage text);
       CREATE TABLE tamp.compacted_stream (storage text); CREATE TABLE tamp.checkpoint (storage text);
       GRANT SELECT ON ALL TABLES IN SCHEMA tamp TO $role; ${mayPack}`,
    ],
  ])('P7: a role that %s goes on without, and that is said', async (_, grants) => {
    const { storage, drop } = await asRole(grants)
    try {
      const report = await execute(storage)
      expect(report).toMatchObject(sound)
      expect(report.notes).toContainEqual(expect.stringMatching(/may not keep a ledger/))
      expect(await stage.now()).toEqual(stage.end)
    } finally {
      await drop()
    }
  })
})

test('P7: the password is in no event, report or error', async () => {
  const { password } = new URL(stage.url)
  const said: unknown[] = []
  const onEvent = (event: TampEvent): void => void said.push(event)
  const run = pausable(stage.storage)
  run.before(slice('commit'), async () => {
    await stage.session.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tamp' AND datname = current_database()`,
    )
  })
  said.push(await execute(run.storage, { onEvent }).catch((error: unknown) => error))
  said.push(await defragmentBuckets(stage.storage, { mode: 'dry-run', how: 'reinsert', grace: 0, onEvent }))
  for (const wrong of [
    stage.url.replace(password, `${password}wrong`),
    `${stage.url}_nowhere`,
    stage.url.replace('postgresql:', 'postgresq:'),
  ])
    said.push(await openBucketStorage({ connection: wrong, env: {} }).catch((error: unknown) => error))
  expect(password.length).toBeGreaterThan(8)
  expect(said.filter((one) => one instanceof Error).length).toBeGreaterThan(2)
  for (const one of said)
    expect(inspect(one, { depth: 12, showHidden: true, maxStringLength: null })).not.toContain(password)
})
