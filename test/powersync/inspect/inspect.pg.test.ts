// What the survey says of each bucket is what compacting it makes of it: compared with a compactor in memory, and with the real run.
import { describe, expect, test } from 'vitest'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { planDefragmentation } from '../../../src/powersync/defragment/plan.ts'
import { readDefragmentFacts } from '../../../src/powersync/defragment/read-facts.ts'
import { inspectBuckets } from '../../../src/powersync/inspect/inspect.ts'
import type { BucketSurvey, InspectOptions, InspectSummary } from '../../../src/powersync/inspect/inspect.ts'
import type { FreshDatabase } from '../../support/postgres.ts'
import { cleared, moved, put, readBuckets, remove, writeBucket } from '../../support/powersync/operations.ts'
import type { Operation } from '../../support/powersync/operations.ts'
import { compacted, reduced } from '../../support/powersync/reference-compactor.ts'
import { emptyStorage, loadStorage, publish, storageOf } from '../../support/powersync/storages.ts'
import { seeded } from '../../support/synapse/random.ts'

async function inspect(
  database: FreshDatabase,
  options?: InspectOptions,
): Promise<{ buckets: BucketSurvey[]; summary: InspectSummary }> {
  const buckets: BucketSurvey[] = []
  const inspection = inspectBuckets(await storageOf(database), options)
  for await (const bucket of inspection) {
    expect(inspection.summary).toBeUndefined()
    buckets.push(bucket)
  }
  return { buckets, summary: inspection.summary! }
}

/** What a new client downloads, as the survey estimates it. */
function downloaded(operations: readonly Operation[]): number {
  const length = (text: string): number => Buffer.byteLength(text)
  return operations.reduce((sum, { op, tableName, rowId, data }) => {
    if (op === 'MOVE' || op === 'CLEAR') return sum + 53
    return sum + 170 + length(tableName!) + length(rowId!) + (op === 'PUT' ? Math.floor((length(data!) * 11) / 10) : 0)
  }, 0)
}

/** Compares a survey with the buckets as they are stored. */
async function expectTrue(database: FreshDatabase, buckets: readonly BucketSurvey[], bound: number): Promise<void> {
  const stored = await readBuckets(database.session)
  expect(buckets.map(({ bucket }) => bucket).toSorted()).toEqual([...stored.keys()].toSorted())
  for (const { bucket, now, compacted: expected, bound: least, ...more } of buckets) {
    const before = stored.get(bucket)!
    const after = compacted(before, bound)
    const { puts } = reduced(before)
    const rows = puts.size
    const oldestRow = rows === 0 ? null : Math.min(...[...puts.values()].map(({ opId }) => opId))
    const rowBytes = downloaded(before.filter(({ opId }) => [...puts.values()].some((held) => held.opId === opId)))
    expect({ bucket, now, expected, least, ...more }).toMatchObject({
      bucket,
      now: { operations: before.length, rows, bytesEstimate: downloaded(before) },
      expected: { operations: after.length, rows, bytesEstimate: downloaded(after) },
      least: {
        operations: rows + (before.length > rows ? 1 : 0),
        rows,
        bytesEstimate: rowBytes + (before.length > rows ? 53 : 0),
      },
      operationsPerRow: rows === 0 ? null : Math.round((before.length / rows) * 100) / 100,
      oldestRow,
      newestOperation: before.at(-1)!.opId,
      aboveCheckpoint: before.filter(({ opId }) => opId > bound).length,
      compactable: JSON.stringify(before) !== JSON.stringify(after),
    })
  }
}

describe('as the service wrote it', () => {
  test.each([1, 2, 3] as const)('version %i: every figure, and a run of compaction reaches it', async (version) => {
    await using database = await loadStorage(version)
    const bound = database.checkpoints.at(-1)!
    const { buckets, summary } = await inspect(database)
    await expectTrue(database, buckets, bound)
    expect(summary).toMatchObject({
      buckets: 112,
      compactableBuckets: 112,
      stream: { id: 1, state: 'ACTIVE', storageVersion: version, serves: true },
      checkpoint: { opId: bound, source: 'last_checkpoint_ts' },
      aboveCheckpoint: 0,
      parameters: { entries: expect.any(Number), superseded: expect.any(Number) },
      writeCheckpoints: { stored: 0, old: 0 },
    })

    const waste = buckets.map(({ now, bound: least }) => now.operations - least.operations)
    expect(waste).toEqual(waste.toSorted((a, b) => b - a))
    expect(summary.definitions.map(({ definition }) => definition.replace(/^1#|\|0$/g, ''))).toEqual(
      'churn global archive by_user by_project documents'.split(' '),
    )
    for (const when of ['now', 'compacted', 'defragmented', 'bound'] as const)
      for (const of of ['operations', 'rows', 'bytesEstimate'] as const) {
        const sum = buckets.reduce((whole, bucket) => whole + bucket[when][of], 0)
        expect(summary[when][of]).toBe(sum)
        expect(summary.definitions.reduce((whole, definition) => whole + definition[when][of], 0)).toBe(sum)
      }
    expect(
      buckets
        .flatMap(({ findings }) => findings)
        .map(({ code, subject }) => [code, subject.replace(/^1#/, '').replace(/\|0/, '')]),
    ).toEqual([
      ['held-back', 'global[]'],
      ['held-back', 'archive[]'],
    ])

    const report = await compactBuckets(await storageOf(database), { mode: 'execute', grace: 0 })
    const again = await inspect(database)
    expect(report.after).toMatchObject(summary.compacted)
    expect(again.summary.now).toEqual(summary.compacted)
    expect(again.summary).toMatchObject({ compacted: summary.compacted, bound: summary.bound, compactableBuckets: 0 })
  })

  test('a checkpoint in the midst, known by its age', async () => {
    await using database = await loadStorage(2)
    const bound = database.checkpoints[100]!
    await publish(database, bound, 601)
    const { buckets, summary } = await inspect(database)
    await expectTrue(database, buckets, bound)
    expect(summary.checkpoint).toMatchObject({ opId: bound, source: 'last_checkpoint_ts' })
    expect(summary.aboveCheckpoint).toBeGreaterThan(10_000)
    expect((await inspect(database, { grace: 3600 })).summary).toMatchObject({
      checkpoint: null,
      compacted: summary.compacted,
    })
    expect((await inspect(database, { grace: 0 })).summary.checkpoint).toMatchObject({ source: 'no-grace' })
  })

  test.each([{}, { maxResyncRows: 1 }, { maxResyncRows: 300 }, { maxResyncBytes: 20_000 }, { targetRatio: 1.2 }])(
    'after defragmenting within %j: what the plan says',
    async (budget) => {
      await using database = await loadStorage(3)
      const storage = await storageOf(database)
      await using connection = await storage.connect()
      const facts = await readDefragmentFacts(connection, { id: 1, storageVersion: 3 }, database.checkpoints.at(-1)!)
      const plan = planDefragmentation(facts, budget)
      const { buckets, summary } = await inspect(database, budget)
      expect(summary.defragmented).toEqual(plan.after)
      expect(summary.compacted).toEqual(facts.total.compacted)
      for (const { bucket, after } of plan.buckets)
        expect(buckets.find((each) => each.bucket === bucket)!.defragmented).toEqual(after)
      expect(plan.buckets.length).toBeGreaterThan(0)
    },
  )
})

test('random histories, and any bound', { timeout: 300_000 }, async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seeded(seed)
    await using database = await emptyStorage(2)
    const buckets = ['a[]', 'b["x"]', 'b["y,\\"z"]']
    const written = new Map<string, Operation[]>(buckets.map((bucket) => [bucket, []]))
    let opId = 0
    for (let i = random.below(60); i >= 0; i--) {
      opId += 1 + random.below(3)
      const row = { table: random.pick(['t', 'u']), id: `r${random.below(6)}`, sourceTable: random.pick(['s', 's2']) }
      const operations = written.get(random.pick(buckets))!
      operations.push(random.chance(0.7) ? put(opId, row, `${seed} ${i} "ü`) : remove(opId, row))
    }
    // What a former run has left.
    const former = random.chance(0.5) ? random.below(opId + 1) : 0
    for (const [bucket, operations] of written)
      await writeBucket(database.session, bucket, compacted(operations, former, random.chance(0.5)))
    const bound = random.below(opId + 2)
    if (bound === 0) continue
    await publish(database, bound, 1000)
    try {
      await expectTrue(database, (await inspect(database)).buckets, bound)
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
})

describe('what is odd', () => {
  const row = (id: string) => ({ table: 'lists', id })

  async function storage(): Promise<FreshDatabase> {
    const database = await emptyStorage(2)
    await writeBucket(database.session, 'a[]', [put(1, row('x'), 1), put(2, row('x'), 2), remove(3, row('y'))])
    await publish(database, 3, 1000)
    await database.query('UPDATE sync_rules SET last_keepalive_ts = now()')
    return database
  }

  const codes = (of: { readonly findings: readonly { code: string; subject: string }[] }): string[] =>
    of.findings.map(({ code, subject }) => `${code} ${subject}`)

  test('nothing', async () => {
    await using database = await storage()
    const { buckets, summary } = await inspect(database)
    expect(codes(summary)).toEqual([])
    expect(codes(buckets[0]!)).toEqual([])
    expect(buckets[0]).toMatchObject({
      definition: 'a',
      compacted: { operations: 3 },
    })
  })

  test.each([
    [`UPDATE sync_rules SET state = 'ERRORED'`, 'errored-stream stream 1'],
    [
      `UPDATE sync_rules SET last_checkpoint_ts = now() - interval '2 hours', last_keepalive_ts = NULL`,
      'old-checkpoint stream 1',
    ],
    [`UPDATE sync_rules SET last_checkpoint = NULL`, 'no-checkpoint stream 1'],
    [`UPDATE sync_rules SET state = 'PROCESSING'`, 'no-checkpoint stream 1'],
    [`DELETE FROM sync_rules`, 'no-checkpoint storage', 'unknown-group group 1'],
    [`UPDATE sync_rules SET state = 'STOP'`, 'no-checkpoint storage', 'stopped-stream stream 1'],
    [
      `INSERT INTO bucket_data SELECT 7, bucket_name, op_id, op, NULL, NULL, NULL, NULL, 0 FROM bucket_data`,
      'unknown-group group 7',
    ],
    [`INSERT INTO sync_rules (id, state, content) VALUES (0, 'TERMINATED', '')`],
    [
      `INSERT INTO sync_rules (id, state, content) VALUES (0, 'STOP', ''); INSERT INTO bucket_data SELECT 0, bucket_name, op_id, op, NULL, NULL, NULL, NULL, 0 FROM bucket_data`,
      'stopped-stream stream 0',
    ],
    [
      `INSERT INTO sync_rules (id, state, content) VALUES (2, 'PROCESSING', ''); INSERT INTO bucket_data SELECT 2, bucket_name, op_id, op, NULL, NULL, NULL, NULL, 0 FROM bucket_data`,
    ],
  ])('%s', async (change, ...found) => {
    await using database = await storage()
    await database.session.client.query(change)
    expect(codes((await inspect(database)).summary)).toEqual(found)
  })

  test.each([
    [`UPDATE bucket_data SET op = 'PATCH' WHERE op_id = 3`, 'unknown-operation a[]'],
    [`UPDATE bucket_data SET row_id = NULL WHERE op_id = 1`, 'operation-malformed a[]'],
    [`UPDATE bucket_data SET op = 'CLEAR' WHERE op_id = 3`, 'operation-malformed a[]', 'clear-not-first a[]'],
  ])('%s: the bucket is left alone', async (change, ...found) => {
    await using database = await storage()
    await database.query(change)
    const [bucket] = (await inspect(database)).buckets
    expect(codes(bucket!)).toEqual(found)
    expect(bucket).toMatchObject({ compactable: false })
    expect(bucket!.compacted).toEqual(bucket!.now)
    const report = await compactBuckets(await storageOf(database), { mode: 'dry-run', grace: 0 })
    expect(report.after).toMatchObject({ operations: 3 })
  })

  test('write checkpoints, and entries of the parameter indexes that were superseded', async () => {
    await using database = await storage()
    await database.session.client.query(
      `INSERT INTO write_checkpoints VALUES ('u', '{}', 1, NULL), ('v', '{}', 2, now()), ('w', '{}', 3, now() - interval '61 minutes');
       INSERT INTO custom_write_checkpoints VALUES ('u', 1, 1, now() - interval '1 day');
       INSERT INTO bucket_parameters VALUES (4, 1, 't', 'k', 'l', '[1]'), (5, 1, 't', 'k', 'l', '[2]'), (6, 1, 't', 'k', 'l2', '[]'), (7, 2, 't', 'k', 'l', '[]')`,
    )
    expect((await inspect(database)).summary).toMatchObject({
      writeCheckpoints: { stored: 4, old: 2 },
      parameters: { entries: 3, superseded: 1 },
    })
  })
})

test('rows that a CLEAR stands before, and an operation that is alone there', async () => {
  await using database = await emptyStorage(2)
  const row = (id: string) => ({ table: 'lists', id })
  const former = [put(1, row('x'), 1), remove(2, row('x'))]
  await writeBucket(database.session, 'cleared[]', [cleared(former), put(5, row('y'), 1)])
  await writeBucket(database.session, 'clear and move[]', [
    cleared(former),
    moved(put(3, row('y'), 1), 5),
    put(5, row('y'), 1),
  ])
  await writeBucket(database.session, 'one superseded[]', [put(3, row('y'), 1), put(5, row('y'), 1)])
  await writeBucket(database.session, 'one removed[]', [remove(3, row('z')), put(5, row('y'), 1)])
  await writeBucket(database.session, 'nothing live[]', [put(3, row('y'), 1), remove(5, row('y'))])
  await publish(database, 5, 1000)
  const { buckets } = await inspect(database)
  await expectTrue(database, buckets, 5)
  expect(
    Object.fromEntries(
      buckets.map(({ bucket, compactable, compacted: after }) => [bucket, [compactable, after.operations]]),
    ),
  ).toEqual({
    'cleared[]': [false, 2],
    'clear and move[]': [true, 2],
    'one superseded[]': [true, 2],
    'one removed[]': [false, 2],
    'nothing live[]': [true, 1],
  })
})

describe('only some buckets', () => {
  test('by name and by definition', async () => {
    await using database = await loadStorage(3)
    const named = '1#by_project|0["core","acme"]'
    const { buckets, summary } = await inspect(database, { buckets: [named] })
    expect(buckets.map(({ bucket }) => bucket)).toEqual([named])
    expect(summary.definitions.map(({ definition }) => definition)).toEqual(['1#by_project|0'])
    for (const definition of ['by_project', 'by_project|0', '1#by_project|0'])
      expect((await inspect(database, { definitions: [definition] })).buckets).toHaveLength(8)
    expect((await inspect(database, { definitions: ['by_project', 'churn'] })).buckets).toHaveLength(9)
    expect((await inspect(database, { buckets: [] })).summary.buckets).toBe(0)
  })

  test.each([
    [{ buckets: ['1#by_user|0["nobody"]'] }, 'no-such-bucket'],
    [{ buckets: ['1#by_user|0'] }, 'no-such-bucket'],
    [{ definitions: ['by_us'] }, 'no-such-bucket'],
    [{ grace: -1 }, 'usage'],
    [{ grace: Number.NaN }, 'usage'],
  ] as const)('%j: %s', async (options, code) => {
    await using database = await loadStorage(3)
    await expect((async () => inspect(database, options))()).rejects.toMatchObject({ code })
  })
})

describe('P3: in the way of nobody', () => {
  test('holds no lock but ACCESS SHARE; may be left in the midst', async () => {
    await using database = await loadStorage(1)
    for await (const _ of inspectBuckets(await storageOf(database))) {
      const modes = await database.query<[string]>(
        `SELECT DISTINCT mode FROM pg_locks JOIN pg_class c ON c.oid = relation WHERE c.relname = 'bucket_data' AND pid <> pg_backend_pid()`,
      )
      expect(modes).toEqual([['AccessShareLock']])
      break
    }
    const others = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
    await expect.poll(async () => (await database.query<[number]>(others))[0]?.[0]).toBe(0)
  })

  test('a statement that waits is cancelled', async () => {
    await using database = await loadStorage(1)
    const storage = await storageOf(database)
    await using other = await database.connect()
    await other.query('BEGIN')
    await other.query('LOCK TABLE powersync.bucket_parameters, powersync.bucket_data')
    const stop = new AbortController()
    const inspected = (async () => {
      for await (const _ of inspectBuckets(storage, { signal: stop.signal }));
    })()
    const refused = expect(inspected).rejects.toMatchObject({ code: 'interrupted' })
    const waiting = `SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
    await expect.poll(async () => (await database.query<[number]>(waiting))[0]?.[0]).toBeGreaterThan(0)
    stop.abort()
    await refused
    await expect.poll(async () => (await database.query<[number]>(waiting))[0]?.[0]).toBe(0)
  })

  test('writes nothing, not even a ledger', async () => {
    await using database = await loadStorage(1)
    await inspect(database)
    const [row] = await database.query<[boolean]>(`SELECT to_regnamespace('tamp') IS NULL`)
    expect(row![0]).toBe(true)
  })
})
