// Moving rows to the end of their buckets beside a replicator at work, judged by the real client core.
import { describe, expect, test } from 'vitest'
import { Sessions } from '../../../src/database/sessions.ts'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { reinsert } from '../../../src/powersync/defragment/reinsert/reinsert.ts'
import type { Reinserted } from '../../../src/powersync/defragment/reinsert/reinsert.ts'
import type { Move } from '../../../src/powersync/defragment/reinsert/queue.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { readBuckets } from '../../support/powersync/operations.ts'
import { sync } from '../../support/powersync/replay.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { readImage, rememberingChecksums } from '../../support/powersync/service-lines.ts'
import { emptyStorage, loadStorage, storageOf } from '../../support/powersync/storages.ts'
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

test('all rows of a storage that the service wrote are moved, in every version, and clients see the same', async () => {
  for (const version of [1, 2, 3] as const) {
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
    for (const position of database.checkpoints.filter((_, index) => index % 70 === 0)) {
      using client = openClient()
      sync(client, before, { checkpoint: position })
      expect(sync(client, after)).toMatchObject({ complete: true })
      expect(client.rows(), `from ${position}`).toEqual(old.rows())
    }
  }
})
