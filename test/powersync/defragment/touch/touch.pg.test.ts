// Touching at a real source: exactly the planned rows are written again, as they are, and everything that stands in the way is told.
import { describe, expect, test } from 'vitest'
import { compactBuckets } from '../../../../src/powersync/compact.ts'
import type { BucketStorage } from '../../../../src/powersync/database.ts'
import { planDefragmentation } from '../../../../src/powersync/defragment/plan.ts'
import type { DefragmentBudget, DefragmentPlan } from '../../../../src/powersync/defragment/plan.ts'
import { readDefragmentFacts } from '../../../../src/powersync/defragment/read-facts.ts'
import { touchRows } from '../../../../src/powersync/defragment/touch/touch.ts'
import type { TouchOptions, TouchReport } from '../../../../src/powersync/defragment/touch/touch.ts'
import { servedStream } from '../../../../src/powersync/streams.ts'
import type { BucketSelection } from '../../../../src/powersync/report.ts'
import { scratchServer } from '../../../support/postgres.ts'
import { openSession } from '../../../support/session.ts'
import { readBuckets } from '../../../support/powersync/operations.ts'
import { loadStorage, publish, storageOf } from '../../../support/powersync/storages.ts'
import type { LoadedStorage, StorageVersion } from '../../../support/powersync/storages.ts'

const everything: DefragmentBudget = { maxResyncRows: Infinity }

async function planOf(
  storage: BucketStorage,
  budget: DefragmentBudget = everything,
  selection: BucketSelection = {},
): Promise<DefragmentPlan> {
  await using connection = await storage.connect()
  const stream = await servedStream(connection)
  return planDefragmentation(await readDefragmentFacts(connection, stream, stream.lastCheckpoint, selection), budget)
}

/** A storage with its source, and a service that has replicated all there is. */
async function scene(version: StorageVersion = 2): Promise<
  AsyncDisposable & {
    readonly stored: LoadedStorage
    readonly source: LoadedStorage
    readonly storage: BucketStorage
    touch(options: Partial<TouchOptions>, plan?: DefragmentPlan): Promise<TouchReport>
  }
> {
  const stored = await loadStorage(version)
  const source = await loadStorage('source')
  await stored.query(`UPDATE sync_rules SET last_checkpoint_lsn = 'FFFFFFFF/00000000'`)
  const storage = await storageOf(stored)
  return {
    stored,
    source,
    storage,
    async touch(options, plan) {
      return await touchRows(storage, plan ?? (await planOf(storage)), {
        mode: 'execute',
        source: source.url,
        env: {},
        ...options,
      })
    },
    async [Symbol.asyncDispose]() {
      await stored[Symbol.asyncDispose]()
      await source[Symbol.asyncDispose]()
    },
  }
}

const tables = ['counters', 'documents', 'events', 'issues', 'lists', 'memberships', 'todos'] as const

/** A hash of all rows of each table. */
async function contentOf(source: LoadedStorage): Promise<string[]> {
  const hashes: string[] = []
  for (const table of tables) {
    const [row] = await source.query<[string]>(
      `SELECT md5(string_agg(t::text, '\n' ORDER BY t::text)) FROM public.${table} t`,
    )
    hashes.push(row![0])
  }
  return hashes
}

/** A moment of the source. */
async function moment(source: LoadedStorage): Promise<number> {
  const [row] = await source.query<[number]>('SELECT pg_current_xact_id()::text::int8')
  return row![0]
}

/** How many rows of each table have been written since. */
async function writtenSince(source: LoadedStorage, since: number): Promise<Record<string, number>> {
  const written: Record<string, number> = {}
  for (const table of tables) {
    const [row] = await source.query<[number]>(`SELECT count(*) FROM public.${table} WHERE xmin::text::int8 > $1`, [
      since,
    ])
    written[table] = row![0]
  }
  return written
}

const byTable = (report: TouchReport): Record<string, number> =>
  Object.fromEntries(tables.map((name) => [name, report.tables.find(({ table }) => table === name)?.touched ?? 0]))

describe.each([1, 2, 3] as const)('storage version %i', (version) => {
  test('every planned row is found by its key and written again, unchanged; dry run and execution agree', async () => {
    await using at = await scene(version)
    const before = await contentOf(at.source)
    const since = await moment(at.source)
    const dry = await at.touch({ mode: 'dry-run' })
    expect(Object.values(await writtenSince(at.source, since)).every((rows) => rows === 0)).toBe(true)
    const report = await at.touch({})
    expect(await contentOf(at.source)).toEqual(before)
    expect(await writtenSince(at.source, since)).toEqual(byTable(report))
    expect(byTable(dry)).toEqual(byTable(report))
    expect(report).toMatchObject({ complete: true, left: [], published: true })
    expect(report.rows).toEqual({ ...dry.rows, missing: 0, locked: 0, left: 0 })
    // Rows of every table, text with quotes and backslashes, whole rows as keys, three columns, bigint and uuid.
    for (const table of tables)
      if (version < 3 || table !== 'memberships') expect(byTable(report)[table]).toBeGreaterThan(0)
    expect(byTable(report)).toMatchObject({ events: 53, lists: 1 })
    expect(byTable(report)['issues']).toBeGreaterThan(700)
  })

  test('the script does the same', async () => {
    await using at = await scene(version)
    const before = await contentOf(at.source)
    const since = await moment(at.source)
    let script = ''
    const report = await at.touch({ mode: 'script', source: undefined, write: (text) => void (script += text) })
    await at.source.session.client.query(script)
    expect(await contentOf(at.source)).toEqual(before)
    expect(await writtenSince(at.source, since)).toEqual(byTable(report))
    expect(report.published).toBeNull()
    expect(script).toContain("SET LOCAL lock_timeout = '300ms'")
  })
})

test('the rows of a budget are those that its cuts name: one row of the documented scenario', async () => {
  await using at = await scene()
  const plan = await planOf(at.storage, { maxResyncRows: 1 })
  const since = await moment(at.source)
  const report = await at.touch({}, plan)
  expect(report.rows).toMatchObject({ planned: 1, touched: 1 })
  expect(await writtenSince(at.source, since)).toMatchObject({ lists: 1, todos: 0, counters: 0 })
})

test('rows that are gone and rows that somebody has locked are counted, and nobody is waited for', async () => {
  await using at = await scene()
  const plan = await planOf(at.storage, everything, { definitions: ['archive'] })
  await at.source.query('DELETE FROM public.events WHERE id = (SELECT min(id) FROM public.events)')
  await using other = await at.source.connect()
  await other.query('BEGIN')
  await other.query('SELECT FROM public.events WHERE id = (SELECT max(id) FROM public.events) FOR UPDATE')
  const report = await at.touch({}, plan)
  expect(report.rows).toEqual({ planned: 53, touched: 51, missing: 1, locked: 1, left: 0 })
  expect(report.left).toEqual([{ subject: 'public.events', reason: expect.stringContaining('1 of 53 rows') }])
  expect(report.seconds).toBeLessThan(10)
})

describe('what an UPDATE sets off', () => {
  test('triggers are named; one that drops such updates, and a rule instead of them, leave the table alone', async () => {
    await using at = await scene()
    await at.source.query(`
      CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
      CREATE TRIGGER audited AFTER UPDATE ON public.counters FOR EACH ROW EXECUTE FUNCTION public.audit();
      CREATE TRIGGER renamed AFTER UPDATE OF label ON public.counters FOR EACH ROW EXECUTE FUNCTION public.audit();
      CREATE TRIGGER deleted AFTER DELETE ON public.counters FOR EACH ROW EXECUTE FUNCTION public.audit();
      CREATE TRIGGER lazy BEFORE UPDATE ON public.documents FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
      CREATE RULE nothing AS ON UPDATE TO public.memberships DO INSTEAD NOTHING;
      ALTER TABLE public.lists REPLICA IDENTITY NOTHING`)
    const since = await moment(at.source)
    const report = await at.touch({})
    expect(report.notes).toContain('public.counters: The trigger audited (function audit) fires for each row.')
    expect(report.notes.join()).not.toMatch(/renamed|deleted/)
    expect(report.notes.join()).toContain('public.issues: REPLICA IDENTITY FULL')
    expect(report.left.map(({ subject, reason }) => `${subject}: ${reason}`).toSorted()).toEqual([
      'public.documents: its trigger lazy drops updates that change nothing, so it cannot be touched',
      'public.lists: its REPLICA IDENTITY is NOTHING: an UPDATE of it cannot be replicated',
      'public.memberships: its rule nothing does something else instead of an UPDATE',
    ])
    expect(await writtenSince(at.source, since)).toMatchObject({ documents: 0, lists: 0, memberships: 0 })
    expect(report.rows.planned).toBe(report.rows.touched + report.rows.left)
  })

  test('a trigger that fails leaves its batch; the others are touched', async () => {
    await using at = await scene()
    await at.source.query(`
      CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN IF NEW.id = 113 THEN RAISE ''no row 113''; END IF; RETURN NEW; END';
      CREATE TRIGGER refusing BEFORE UPDATE ON public.events FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
    const plan = await planOf(at.storage, everything, { definitions: ['archive'] })
    const report = await at.touch({ batchRows: 10 }, plan)
    expect(report.rows).toEqual({ planned: 53, touched: 43, missing: 0, locked: 0, left: 10 })
    expect(report.left[0]?.reason).toMatch(/^10 of 53 rows: .*no row 113/)
  })

  test('an identity that is always generated cannot be set: another column is', async () => {
    await using at = await scene()
    await at.source.query('ALTER TABLE public.events ALTER id ADD GENERATED ALWAYS AS IDENTITY')
    const plan = await planOf(at.storage, everything, { definitions: ['archive'] })
    expect((await at.touch({}, plan)).rows).toMatchObject({ planned: 53, touched: 53 })
  })

  test('rows that a policy hides are missing, and a note says why', async () => {
    await using at = await scene()
    await at.source.query(`
      DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tamp_clerk') THEN CREATE ROLE tamp_clerk LOGIN; END IF; END $$;
      GRANT USAGE ON SCHEMA public TO tamp_clerk;
      GRANT SELECT, UPDATE ON public.events, public.lists TO tamp_clerk;
      ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;
      CREATE POLICY half ON public.events USING (id % 2 = 0)`)
    const plan = await planOf(at.storage)
    const url = new URL(at.source.url)
    url.searchParams.set('options', '-crole=tamp_clerk')
    const report = await at.touch({ source: url.href }, plan)
    const events = report.tables.find(({ table }) => table === 'events')!
    expect(events.missing).toBeGreaterThan(10)
    expect(events.touched + events.missing).toBe(53)
    expect(report.notes.join()).toContain('public.events: Row-level security applies')
    expect(report.left).toContainEqual({ subject: 'public.todos', reason: 'the role may not read and update it' })
  })
})

test('a row that another source row shares its table and id with, as clients see them, is left alone', async () => {
  await using at = await scene()
  await at.stored.query(`
    INSERT INTO current_data SELECT group_id, source_table, '\\x00', buckets, data, lookups FROM current_data
      WHERE source_table = (SELECT id FROM source_tables WHERE table_name = 'events') LIMIT 1;
    INSERT INTO bucket_data SELECT b.group_id, '1#other[]', b.op_id, op, b.source_table, '\\x00', table_name, row_id, checksum, b.data, NULL
      FROM bucket_data b WHERE table_name = 'events' AND row_id = '113' AND op = 'PUT'`)
  const report = await at.touch({}, await planOf(at.storage, everything, { buckets: ['1#archive[]'] }))
  expect(report.rows).toMatchObject({ planned: 53, touched: 52, left: 1 })
  expect(report.left[0]?.reason).toMatch(
    /^1 of 53 rows: another source row comes to clients under the same table and id/,
  )
})

test('a row that is being deleted is left alone', async () => {
  await using at = await scene(3)
  await at.stored.query(
    `UPDATE v3_current_data SET pending_delete = 1, data = '\\x0500000000', buckets = '[]'
      WHERE source_key = (SELECT source_key FROM bucket_data WHERE table_name = 'events' AND row_id = '113' LIMIT 1)`,
  )
  const report = await at.touch({}, await planOf(at.storage, everything, { definitions: ['archive'] }))
  expect(report.rows).toMatchObject({ planned: 53, touched: 52, left: 1 })
  expect(report.left[0]?.reason).toBe('1 of 53 rows: it is being deleted')
})

describe('replication', () => {
  test('that does not come on ends the run after a batch, and compacting would gain nothing yet', async () => {
    await using at = await scene()
    await at.stored.query(`UPDATE sync_rules SET last_checkpoint_lsn = '00000000/00000001'`)
    const plan = await planOf(at.storage, everything, { definitions: ['archive'] })
    const report = await at.touch({ patience: 0.3, batchRows: 10 }, plan)
    expect(report).toMatchObject({ complete: false, stopped: 'replication', published: false })
    expect(report.rows.touched).toBe(10)
  })

  test('is waited for until the checkpoint covers what was touched', async () => {
    await using at = await scene()
    const [row] = await at.source.query<[string]>('SELECT pg_current_wal_lsn()::text')
    await at.stored.query('UPDATE sync_rules SET last_checkpoint_lsn = $1', [row![0]])
    const waits: string[] = []
    const report = await at.touch({
      onEvent: (event) => {
        if (event.type !== 'status' || event.waiting === null) return
        waits.push(event.waiting)
        void at.stored.query(`UPDATE sync_rules SET last_checkpoint_lsn = 'FFFFFFFF/00000000'`)
      },
    })
    expect(waits).toContain('the service has not published the touched rows yet')
    expect(report).toMatchObject({ complete: true, published: true })
  })

  test('that is far behind is waited for between batches, by its slot', async () => {
    await using server = await scratchServer({ wal_level: 'logical' })
    await using source = await openSession(server.url)
    await using at = await scene()
    await source.query('CREATE TABLE public.lists (id uuid PRIMARY KEY)')
    await source.query(
      `SELECT pg_create_logical_replication_slot((SELECT $1), 'pgoutput')`,
      (await at.stored.query<[string]>('SELECT slot_name FROM sync_rules'))[0],
    )
    await source.query(`SELECT pg_logical_emit_message(false, 'busy', repeat('x', 20 * 1024 * 1024))`)
    const waits: string[] = []
    const report = await at.touch(
      {
        source: server.url,
        onEvent: (event) => {
          if (event.type !== 'status' || event.waiting === null) return
          waits.push(event.waiting)
          void source.query(
            'SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM pg_replication_slots',
          )
        },
      },
      await planOf(at.storage, { maxResyncRows: 1 }),
    )
    expect(waits[0]).toMatch(/^replication is 2\d MB behind$/)
    expect(report).toMatchObject({ complete: true, rows: { planned: 1, touched: 0, missing: 1 } })
  })

  test('that cannot be watched is said', async () => {
    await using at = await scene()
    await at.stored.query('UPDATE sync_rules SET last_checkpoint_lsn = NULL')
    const report = await at.touch({ patience: 0.3 }, await planOf(at.storage, { maxResyncRows: 1 }))
    expect(report.notes.join()).toContain('cannot be seen from here')
    expect(report.published).toBe(false)
  })
})

test('an interruption and a time limit stop between batches; the rest is as it was', async () => {
  await using at = await scene()
  const stop = new AbortController()
  const plan = await planOf(at.storage, everything, { definitions: ['churn'] })
  const stopped = await at.touch(
    {
      batchRows: 50,
      signal: stop.signal,
      onEvent: (event) => void (event.type === 'unit' && stop.abort()),
    },
    plan,
  )
  expect(stopped).toMatchObject({ complete: false, stopped: 'interrupted' })
  expect(stopped.rows.touched).toBe(50)
  expect(await at.touch({ maxSeconds: 0 })).toMatchObject({ complete: false, stopped: 'limit', rows: { touched: 0 } })
})

test('wrong use is refused before anything is touched', async () => {
  await using at = await scene()
  await expect(at.touch({ source: undefined })).rejects.toMatchObject({ code: 'usage', message: /needs the source/ })
  await at.stored.query(
    `UPDATE sync_rules SET last_checkpoint_lsn = '0183d2a7-eed7-4b0e-9f0c-6f3b3f5b0d8c:1-5|binlog.000002:1234'`,
  )
  await expect(at.touch({})).rejects.toMatchObject({ code: 'usage', message: /not PostgreSQL/ })
  await at.stored.query('UPDATE sync_rules SET last_checkpoint_lsn = NULL')
  // The storage is not its own source.
  const report = await at.touch({ source: at.stored.url })
  expect(report.rows).toMatchObject({ touched: 0, left: report.rows.planned })
  expect(report.left[0]?.reason).toBe('the source database has no such table')
})

test('what the plan promises is what a bucket is, once the service has sent the rows again and it has been compacted', async () => {
  await using at = await scene()
  const plan = await planOf(at.storage, { maxResyncRows: 200 }, { definitions: ['global', 'churn', 'archive'] })
  expect(plan.buckets).toHaveLength(3)
  const report = await at.touch({}, plan)
  expect(report.rows).toMatchObject({ planned: plan.rows, touched: plan.rows })
  const since = at.stored.checkpoints.at(-1)!
  // As the service does: a PUT for each touched row, at the end of its bucket.
  for (const { bucket, moveBelow } of plan.buckets)
    await at.stored.query(
      `INSERT INTO bucket_data
       SELECT group_id, bucket_name, nextval('op_id_sequence'), op, source_table, source_key, table_name, row_id, checksum, data, NULL
         FROM (SELECT DISTINCT ON (source_key) * FROM bucket_data
                WHERE bucket_name = $1 AND op IN ('PUT', 'REMOVE') ORDER BY source_key, op_id DESC) last
        WHERE op = 'PUT' AND op_id < $2`,
      [bucket, moveBelow],
    )
  const [last] = await at.stored.query<[number]>('SELECT last_value FROM op_id_sequence')
  expect(last![0] - since).toBeGreaterThanOrEqual(plan.rows)
  await publish(at.stored, last![0])
  expect((await planOf(at.storage, { maxResyncRows: 0 })).resent.operations).toBe(0)
  await compactBuckets(at.storage, { mode: 'execute', grace: 0 })
  const buckets = await readBuckets(at.stored)
  for (const { bucket, after } of plan.buckets) expect(buckets.get(bucket)).toHaveLength(after.operations)
})
