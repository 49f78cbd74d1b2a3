// Moving rows to the end of their buckets beside a replicator at work, judged by the real client core.
import { describe, expect, test } from 'vitest'
import { Sessions } from '../../../src/database/sessions.ts'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { reinsert } from '../../../src/powersync/defragment/reinsert/reinsert.ts'
import type { Reinserted } from '../../../src/powersync/defragment/reinsert/reinsert.ts'
import type { Move } from '../../../src/powersync/defragment/reinsert/queue.ts'
import { reinsertScript } from '../../../src/powersync/defragment/reinsert/reinsert-script.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { put, readBuckets, writeBuckets } from '../../support/powersync/operations.ts'
import type { Operation, RowIdentity } from '../../support/powersync/operations.ts'
import { sync } from '../../support/powersync/replay.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { readImage, rememberingChecksums } from '../../support/powersync/service-lines.ts'
import { emptyStorage, loadStorage, publish, storageOf } from '../../support/powersync/storages.ts'
import type { StorageVersion } from '../../support/powersync/storages.ts'
import type { FreshDatabase } from '../../support/postgres.ts'

const global = '1#global[]'

async function move(
  database: FreshDatabase,
  moves: readonly Move[],
  { storageVersion = 2, mustStop = () => false }: { storageVersion?: number; mustStop?: () => boolean } = {},
): Promise<Reinserted> {
  const storage = await storageOf(database)
  await using sessions = new Sessions(() => storage.connect())
  return await reinsert({ sessions, stream: { id: 1, storageVersion }, moves, mustStop })
}

const compact = async (database: FreshDatabase) =>
  await compactBuckets(await storageOf(database), { mode: 'execute', grace: 0 })

async function replicator(
  database: FreshDatabase,
  table: string,
  storageVersion: StorageVersion = 2,
): Promise<Replicator> {
  return new Replicator(await database.connect(), { table, storageVersion })
}

const row = (id: string, value: unknown = id) => ({ id, row: { id, value }, buckets: [global] })

describe.each([1, 2, 3] as const)('storage version %i', (version) => {
  test('the documented scenario ends with two operations', async () => {
    await using database = await emptyStorage(version)
    const source = await replicator(database, 'lists', version)
    const many = Array.from({ length: 500 }, (_, n) => `row ${n}`)
    await source.flush([row('a')])
    const positions = [await source.commit()]
    await source.flush(many.map((id) => row(id)))
    positions.push(await source.commit())
    await source.flush(many.map((id) => ({ id, row: null, buckets: [] })))
    positions.push(await source.commit())
    await source.forgetDeleted()
    const before = await readImage(database)

    const done = await move(database, [{ bucket: global, moveBelow: 2 }], { storageVersion: version })
    expect(done).toMatchObject({ total: { operations: 1 }, left: [], complete: true })
    // Nothing is published before the replicator says so.
    expect((await readImage(database)).checkpoint).toBe(positions.at(-1))
    expect(await source.commit()).toBe(done.lastNew)
    await compact(database)
    const after = await readImage(database)
    expect((await readBuckets(database)).get(global)!.map(({ op }) => op)).toEqual(['CLEAR', 'PUT'])

    // Clients at every published checkpoint get on, and end as one that has seen nothing but the storage before.
    for (const position of [0, ...positions]) {
      using client = openClient()
      const checksums = rememberingChecksums()
      if (position > 0) expect(sync(client, before, { checkpoint: position, checksums }).complete).toBe(true)
      const synced = sync(client, after, { checksums })
      expect(synced).toMatchObject({ complete: true, failure: null })
      expect(client.rows()).toEqual([{ type: 'lists', id: 'a', data: '{"id":"a","value":"a"}' }])
    }
    // A second time there is nothing to move.
    expect((await move(database, [{ bucket: global, moveBelow: 2 }])).total.operations).toBe(0)
  })
})

test('all rows of a storage that the service wrote are moved, in two versions, and clients see the same', async () => {
  for (const version of [1, 3] as const) {
    await using database = await loadStorage(version)
    const before = await readImage(database)
    const names = [...before.buckets.keys()]
    const done = await move(
      database,
      names.map((bucket) => ({ bucket, moveBelow: 2 ** 50 })),
      { storageVersion: version },
    )
    expect(done.left, `version ${version}`).toEqual([])
    const source = await replicator(database, 'lists', version)
    const checkpoint = await source.commit()
    expect(checkpoint).toBe(done.lastNew)
    const report = await compact(database)
    expect(report.proof.mismatches).toBe(0)
    const after = await readImage(database)
    for (const [bucket, operations] of after.buckets)
      expect(operations.length, bucket).toBe(1 + operations.filter(({ op }) => op === 'PUT').length)
    using old = openClient()
    expect(sync(old, before).complete).toBe(true)
    using fresh = openClient()
    expect(sync(fresh, after).complete).toBe(true)
    expect(fresh.rows()).toEqual(old.rows())
    for (const position of database.checkpoints.filter((_, index) => index % 120 === 60)) {
      using client = openClient()
      sync(client, before, { checkpoint: position })
      expect(sync(client, after)).toMatchObject({ complete: true })
      expect(client.rows(), `from ${position}`).toEqual(old.rows())
    }
  }
})

/** Runs a script as psql would: statement by statement, outside of any transaction. */
async function runScript(database: FreshDatabase, script: string): Promise<void> {
  await using session = await database.connect()
  const [before, block, after] = script.replaceAll(/^\\.*$/gm, '').split(/^(DO \$tamp\$[^]*?^END \$tamp\$;)$/m)
  for (const part of [...before!.split(/;\n/), block!, after!]) if (part.trim() !== '') await session.query(part)
}

test('the script does the same, and a second time nothing', async () => {
  await using database = await loadStorage(3)
  const before = await readImage(database)
  const moves = [...before.buckets.keys()]
    .filter((bucket) => /archive|by_project|documents/.test(bucket))
    .map((bucket) => ({ bucket, moveBelow: 2 ** 50 }))
  const script = reinsertScript('powersync', { id: 1, storageVersion: 3 }, moves)
  await runScript(database, script)
  const written = await database.query<[number]>('SELECT max(op_id) FROM bucket_data')
  const source = await replicator(database, 'lists', 3)
  expect(await source.commit()).toBe(written[0]![0])
  await compact(database)
  const after = await readImage(database)
  for (const { bucket } of moves) {
    const operations = after.buckets.get(bucket)!
    expect(operations.length, bucket).toBe(1 + operations.filter(({ op }) => op === 'PUT').length)
  }
  using old = openClient()
  sync(old, before)
  using fresh = openClient()
  expect(sync(fresh, after).complete).toBe(true)
  expect(fresh.rows()).toEqual(old.rows())
  await source.flush([{ id: 'x', row: null, buckets: [] }])
  const now = await readBuckets(database)
  await runScript(
    database,
    reinsertScript('powersync', { id: 1, storageVersion: 3 }, [{ bucket: moves[0]!.bucket, moveBelow: 1 }]),
  )
  expect(await readBuckets(database)).toEqual(now)
})

describe('rows in several buckets', () => {
  const [a, b, c] = ['1#a[]', '1#b[]', '1#c[]'] as const
  const x = { table: 'lists', id: 'x' }

  /** The rows that a client with these buckets sees. */
  async function seen(database: FreshDatabase, ...buckets: string[]): Promise<string[]> {
    using client = openClient()
    expect(sync(client, await readImage(database, { buckets })).complete).toBe(true)
    return client.rows().map(({ data }) => data)
  }

  async function storageWith(operations: Record<string, Operation[]>, identities: readonly RowIdentity[]) {
    const database = await emptyStorage(2)
    await writeBuckets(database, new Map(Object.entries(operations)))
    for (const identity of identities) {
      const { sourceTable, sourceKey } = put(1, identity, '')
      await database.query(
        `INSERT INTO current_data (group_id, source_table, source_key, buckets, data, lookups) VALUES (1, $1, decode($2, 'hex'), '[]', '', '{}')`,
        [sourceTable, sourceKey],
      )
    }
    await publish(database, 100)
    return database
  }

  const views = [[a], [b], [c], [a, b], [b, c], [a, c], [a, b, c]]
  const everyView = async (database: FreshDatabase): Promise<string[][]> => {
    const all: string[][] = []
    for (const view of views) all.push(await seen(database, ...view))
    return all
  }

  test('with other data in each: later ones come along, in their order', async () => {
    await using database = await storageWith(
      { [a]: [put(1, x, 'one')], [b]: [put(5, x, 'two')], [c]: [put(9, x, 'three')] },
      [x],
    )
    const before = await everyView(database)
    const done = await move(database, [{ bucket: b, moveBelow: 50 }])
    // `a` was below and stays; `c` was above and comes along.
    expect([...done.buckets.keys()].sort()).toEqual([b, c])
    await publish(database, done.lastNew!)
    expect(await everyView(database)).toEqual(before)
    await compact(database)
    expect(await everyView(database)).toEqual(before)
  })

  test('with the same data in each: only the one that is wanted is moved', async () => {
    await using database = await storageWith({ [a]: [put(1, x, 'same')], [b]: [put(5, x, 'same')] }, [x])
    const done = await move(database, [{ bucket: a, moveBelow: 50 }])
    expect([...done.buckets.keys()]).toEqual([a])
    await publish(database, done.lastNew!)
    expect(await seen(database, a, b)).toEqual(['same'])
  })

  test('one that is not published yet keeps all of them where they are', async () => {
    await using database = await storageWith({ [a]: [put(1, x, 'one')], [b]: [put(105, x, 'two')] }, [x])
    const done = await move(database, [{ bucket: a, moveBelow: 50 }])
    expect(done.total.operations).toBe(0)
    expect(done.left.map(({ reason }) => reason)[0]).toMatch(/not published yet/)
  })

  test('another row of the source with the same table and id is never passed', async () => {
    const y = { ...x, key: 'another key' }
    await using database = await storageWith({ [a]: [put(1, x, 'one')], [b]: [put(5, y, 'two')] }, [x, y])
    const done = await move(database, [{ bucket: a, moveBelow: 50 }])
    expect(done.total.operations).toBe(0)
    expect(done.left).toEqual([
      { subject: a, reason: '1 row stays where it is: another row of the source has the same table and id' },
    ])
  })

  test('moving one of them alone would change what clients see: what the rule is for', async () => {
    await using database = await storageWith({ [a]: [put(1, x, 'one')], [b]: [put(5, x, 'two')] }, [x])
    expect(await seen(database, a, b)).toEqual(['two'])
    await writeBuckets(database, new Map([[a, [put(101, x, 'one')]]]))
    await publish(database, 101)
    expect(await seen(database, a, b)).toEqual(['one'])
  })
})

test('a row without current_data, or one that is being deleted (version 3), is left', async () => {
  await using database = await emptyStorage(3)
  const source = await replicator(database, 'lists', 3)
  await source.flush([row('a'), row('b'), row('c')])
  await source.commit()
  await database.query(`UPDATE v3_current_data SET pending_delete = 3 WHERE buckets -> 0 ->> 'id' = 'a'`)
  await database.query(`DELETE FROM v3_current_data WHERE buckets -> 0 ->> 'id' = 'b'`)
  const done = await move(database, [{ bucket: global, moveBelow: 50 }], { storageVersion: 3 })
  expect(done.total.operations).toBe(1)
  expect(done.left).toEqual([
    { subject: global, reason: '2 rows stay where they are: being changed or deleted just now' },
  ])
})

test('told to stop, it stops between two batches, and the next run goes on', async () => {
  await using database = await emptyStorage(2)
  const source = await replicator(database, 'lists')
  await source.flush(Array.from({ length: 250 }, (_, n) => row(`row ${n}`)))
  await source.commit()
  let asked = 0
  const first = await move(database, [{ bucket: global, moveBelow: 1000 }], { mustStop: () => asked++ > 0 })
  expect(first).toMatchObject({ complete: false, total: { operations: 100 } })
  const second = await move(database, [{ bucket: global, moveBelow: 251 }])
  expect(second).toMatchObject({ complete: true, total: { operations: 150 } })
})

test('sessions that are ended under it are opened again: every row is moved once', async () => {
  await using database = await emptyStorage(2)
  const source = await replicator(database, 'lists')
  await source.flush(Array.from({ length: 350 }, (_, n) => row(`row ${n}`)))
  const checkpoint = await source.commit()
  const storage = await storageOf(database)
  await using sessions = new Sessions(() => storage.connect())
  let ended = 0
  const done = await reinsert({
    sessions,
    stream: { id: 1, storageVersion: 2 },
    moves: [{ bucket: global, moveBelow: checkpoint + 1 }],
    mustStop: () => false,
    onBatch: async () => {
      if (ended++ < 2)
        await database.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tamp'`,
        )
    },
  })
  expect(done).toMatchObject({ complete: true, total: { operations: 350 } })
  expect(await database.query('SELECT count(*) FROM bucket_data WHERE op_id > $1', [checkpoint])).toEqual([[350]])
  await source.commit()
  using client = openClient()
  expect(sync(client, await readImage(database)).complete).toBe(true)
})
