// The replicator in small: what it writes validates with the real client core, and it waits where the real one waits.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { transaction } from '../session.ts'
import { openClient } from './client-core.ts'
import { readBuckets } from './operations.ts'
import { sync } from './replay.ts'
import { Replicator } from './replicator.ts'
import { readImage, rememberingChecksums } from './service-lines.ts'
import { emptyStorage } from './storages.ts'

describe.each([1, 2, 3] as const)('storage version %i', (storageVersion) => {
  test('edits, moves between buckets and deletes reach a client', async () => {
    await using database = await emptyStorage(storageVersion)
    await using session = await database.connect()
    const replicator = new Replicator(session, { table: 'lists', storageVersion })
    using client = openClient()
    const checksums = rememberingChecksums()
    const rows = async (): Promise<unknown[]> => {
      expect(sync(client, await readImage(database), { checksums })).toMatchObject({ complete: true, failure: null })
      return client.rows().map(({ id, data }) => [id, JSON.parse(data).name])
    }
    await replicator.flush([
      { id: 'a', row: { id: 'a', name: 'one' }, buckets: ['x[]', 'y[]'] },
      { id: 'b', row: { id: 'b', name: 'two' }, buckets: ['x[]'] },
    ])
    expect(await replicator.commit()).toBe(3)
    expect(await rows()).toEqual([
      ['a', 'one'],
      ['b', 'two'],
    ])
    await replicator.flush([
      { id: 'a', row: { id: 'a', name: 'three' }, buckets: ['y[]'] },
      { id: 'b', row: null, buckets: [] },
    ])
    // A soft delete takes an op id of its own.
    expect(await replicator.commit()).toBe(storageVersion === 3 ? 7 : 6)
    await replicator.forgetDeleted()
    expect(await rows()).toEqual([['a', 'three']])
    const ids = [...(await readBuckets(database)).values()].flat().map(({ op }) => op)
    expect(ids.sort()).toEqual(['PUT', 'PUT', 'PUT', 'PUT', 'REMOVE', 'REMOVE'])
    const table = storageVersion === 3 ? 'v3_current_data' : 'current_data'
    expect(await database.query(`SELECT buckets FROM ${table}`)).toEqual([
      [[{ bucket: 'y[]', table: 'lists', id: 'a' }]],
    ])
  })
})

test('a session that holds sync_rules delays the commit, not the flush of others', async () => {
  await using database = await emptyStorage(2)
  await using session = await database.connect()
  const replicator = new Replicator(session, { table: 'lists' })
  const steps: string[] = []
  let published: Promise<number> | undefined
  await transaction(database.session, 'BEGIN', async () => {
    await database.query('SELECT 1 FROM sync_rules FOR UPDATE')
    published = (async () => {
      await replicator.flush([{ id: 'a', row: { id: 'a' }, buckets: ['x[]'] }])
      return replicator.commit()
    })()
    void published.then(() => steps.push('published'))
    await sleep(300)
    expect(await database.query('SELECT count(*) FROM bucket_data')).toEqual([[1]])
    steps.push('released')
  })
  expect(await published).toBe(1)
  expect(steps).toEqual(['released', 'published'])
})
