// P5: nothing is written unasked, execution reaches the dry run. P7: what cannot be done is said in one sentence, and nothing is changed; what
// is broken is named and stops nothing else; no secret in any output.
import { inspect } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import type { TampEvent } from '../../../src/core/events.ts'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { openBucketStorage } from '../../../src/powersync/database.ts'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import { put, readBuckets, writeBucket } from '../../support/powersync/operations.ts'
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

describe('streams', () => {
  const states = (...list: readonly [id: number, state: string, lastCheckpoint?: number | null][]) =>
    stage.session.query(
      `UPDATE powersync.sync_rules SET state = 'STOP';
       ${list
         .map(
           ([id, state, checkpoint]) =>
             `INSERT INTO powersync.sync_rules SELECT (s).* FROM (SELECT jsonb_populate_record(s, jsonb_build_object('id', ${id}, 'state', '${state}',
                'slot_name', 'slot ${id}' ${checkpoint === undefined ? '' : `, 'last_checkpoint', ${checkpoint}`})) AS s FROM powersync.sync_rules s WHERE id = 1) x
              ON CONFLICT (id) DO UPDATE SET state = excluded.state, last_checkpoint = excluded.last_checkpoint`,
         )
         .join('; ')}`,
    )

  test.each([
    ['the only stream is being replicated for the first time', [[1, 'PROCESSING']], /for the first time/],
    ['the only stream has stopped', [[1, 'STOP']], /no replication stream/],
    ['nothing has been published', [[1, 'ACTIVE', null]], /not published a checkpoint yet/],
  ] as const)('P7: %s: one sentence, and nothing is changed', async (_, list, message) => {
    await states(...(list as unknown as [number, string][]))
    for (const mode of ['dry-run', 'script', 'execute'] as const) {
      const options = { mode, grace: 0, write: () => {} }
      const expected = { code: 'no-checkpoint', message: expect.stringMatching(message) }
      await expect(compactBuckets(stage.storage, options)).rejects.toMatchObject(expected)
      await expect(defragmentBuckets(stage.storage, { ...options, how: 'reinsert' })).rejects.toMatchObject(expected)
    }
    expect(await stage.now()).toEqual(stage.before)
  })

  test('P7: a storage version that is not known is refused', async () => {
    await stage.session.query('UPDATE powersync.sync_rules SET storage_version = 4')
    for (const mode of ['dry-run', 'execute'] as const)
      await expect(compactBuckets(stage.storage, { mode, grace: 0 })).rejects.toMatchObject({ code: 'unknown-schema' })
    expect(await stage.now()).toEqual(stage.before)
  })

  test('P1: a stream in state ERRORED still serves clients, and is compacted; groups of other streams are left alone', async () => {
    await states([1, 'ERRORED'], [2, 'PROCESSING'], [3, 'STOP'])
    const [bucket, operations] = [...stage.before][0]!
    for (const group of [2, 3]) await writeBucket(stage.session, bucket, operations, group)
    const others = [await readBuckets(stage.session, { group: 2 }), await readBuckets(stage.session, { group: 3 })]
    const report = await execute(stage.storage)
    expect(report).toMatchObject({ ...sound, stream: { id: 1, state: 'ERRORED' } })
    expect(await stage.now()).toEqual(stage.end)
    expect([await readBuckets(stage.session, { group: 2 }), await readBuckets(stage.session, { group: 3 })]).toEqual(
      others,
    )
  })

  test.each([
    ['is replaced by another', () => states([2, 'ACTIVE']), /no longer the one/],
    [
      'goes back behind the bound',
      () => stage.session.query('UPDATE powersync.sync_rules SET last_checkpoint = 5 WHERE id = 1'),
      /went back from \d+ to 5/,
    ],
  ])('P1 P7: a stream that %s in the middle of a run: nothing more is changed', async (_, change, reason) => {
    await using large = await scene({ buckets: 1, large: 10_800 })
    const own = stage
    stage = large
    try {
      const run = pausable(large.storage)
      let then: unknown
      run.before(slice('begin'), async () =>
        run.before(slice('begin'), async () => {
          await change()
          then = await large.now()
        }),
      )
      const report = await execute(run.storage)
      expect(await large.now()).toEqual(then)
      expect(report.units).toMatchObject({ done: 1 })
      expect(report.skipped.map((one) => one.reason)).toContainEqual(expect.stringMatching(reason))
      expect(await large.session.query('SELECT * FROM tamp.compacted_stream')).toEqual([])
    } finally {
      stage = own
    }
  })
})

describe('what is remembered', () => {
  test('P1: a ledger from the future of a storage that was restored is not believed', async () => {
    expect(await execute(stage.storage)).toMatchObject(sound)
    await stage.session.query('UPDATE tamp.compacted_bucket SET compacted_to = compacted_to + 1000')
    await stage.session.query('UPDATE tamp.compacted_stream SET compacted_to = compacted_to + 1000')
    await stage.session.query(`UPDATE tamp.checkpoint SET op_id = op_id + 1000, seen_at = seen_at - interval '1 day'`)
    await stage.session.query('TRUNCATE powersync.bucket_data')
    await stage.session.query('INSERT INTO powersync.bucket_data TABLE public.saved_bucket_data')
    const dry = await compactBuckets(stage.storage, { mode: 'dry-run', grace: 0 })
    expect(dry.lanes).toHaveLength(1)
    expect(dry.after.operations).toBeLessThan(dry.before.operations!)
    const report = await execute(stage.storage)
    expect(report).toMatchObject(sound)
    expect(report.checkpoint?.opId).toBe(stage.bound)
    expect(report.after).toEqual(dry.after)
    expect(await stage.now()).toEqual(stage.end)
    // Nor is a checkpoint that it saw there ever taken for one that was published long ago.
    expect(await stage.session.query('SELECT op_id FROM tamp.checkpoint')).toEqual([[stage.bound]])
  })

  test('P6: a bucket that has something new is read again, and no other', async () => {
    expect(await execute(stage.storage)).toMatchObject(sound)
    const [bucket] = [...stage.before.keys()].sort()
    const next = stage.bound + 100
    await writeBucket(stage.session, bucket!, [put(next, { table: 'todos', id: '0' }, 'new')])
    await stage.session.query('UPDATE powersync.sync_rules SET last_checkpoint = $1', [next])
    const report = await execute(stage.storage)
    expect(report).toMatchObject(sound)
    // Those that have operations between the two bounds as well.
    const changed = [...stage.before].filter(([name, all]) => name === bucket || all.at(-1)!.opId > stage.bound).length
    expect(report.unchangedBuckets).toBe(stage.before.size - changed)
  })
})

describe('what is asked for', () => {
  test('P7: a bucket or a definition that is not there is named, and nothing is changed', async () => {
    const [bucket] = [...stage.before.keys()]
    for (const mode of ['dry-run', 'execute'] as const) {
      await expect(
        compactBuckets(stage.storage, { mode, grace: 0, buckets: [bucket!, '1#nowhere["x,y"]'] }),
      ).rejects.toMatchObject({ code: 'no-such-bucket', message: expect.stringContaining('1#nowhere["x,y"]') })
      await expect(compactBuckets(stage.storage, { mode, grace: 0, definitions: ['nowhere'] })).rejects.toMatchObject({
        code: 'no-such-bucket',
      })
    }
    expect(await stage.now()).toEqual(stage.before)
  })

  test('P5: no bucket at all, or one alone: no other is changed', async () => {
    expect(await execute(stage.storage, { buckets: [] })).toMatchObject({ ...sound, units: { planned: 0 } })
    expect(await stage.now()).toEqual(stage.before)
    const [bucket] = [...stage.before.keys()]
    expect(await execute(stage.storage, { buckets: [bucket!] })).toMatchObject(sound)
    expect(await stage.now()).toEqual(new Map([...stage.before, [bucket!, stage.end.get(bucket!)!]]))
    // The whole stream is not taken for compacted.
    expect(await execute(stage.storage)).toMatchObject(sound)
    expect(await stage.now()).toEqual(stage.end)
  })

  test('P7: buckets with operations of no known form are left alone and named; the others are compacted', async () => {
    const [first, second] = [...stage.before.keys()]
    await stage.session.query(
      `UPDATE powersync.bucket_data SET op = 'SPLIT' WHERE op_id = (SELECT min(op_id) FROM powersync.bucket_data WHERE bucket_name = $1)`,
      [first],
    )
    await stage.session.query(
      `UPDATE powersync.bucket_data SET op = 'CLEAR', source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL
        WHERE op_id = (SELECT op_id FROM powersync.bucket_data WHERE bucket_name = $1 ORDER BY op_id OFFSET 10 LIMIT 1)`,
      [second],
    )
    const broken = await stage.now()
    const dry = await compactBuckets(stage.storage, { mode: 'dry-run', grace: 0 })
    const report = await execute(stage.storage)
    expect(report).toMatchObject({ complete: true, units: { failed: 0 }, proof: { mismatches: 0 } })
    expect(report.skipped.map(({ subject }) => subject).sort()).toEqual([first, second].sort())
    expect(report.after).toEqual(dry.after)
    const now = await stage.now()
    for (const [bucket, operations] of stage.end)
      expect(now.get(bucket)).toEqual(bucket === first || bucket === second ? broken.get(bucket) : operations)
    // They are named again by the next run.
    expect((await execute(stage.storage)).skipped.map(({ subject }) => subject).sort()).toEqual([first, second].sort())
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
})
