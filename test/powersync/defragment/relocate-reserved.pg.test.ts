// Op ids that are reserved for relocating: no checkpoint ever lies in them, and nobody believes in those of another storage.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { reserveGap, reservedGaps } from '../../../src/powersync/defragment/relocate/reserved-gap.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { emptyStorage, storageOf } from '../../support/powersync/storages.ts'

const row = (id: string) => ({ id, row: { id }, buckets: ['1#global[]'] })

test('whatever a replicator does meanwhile, it publishes nothing inside', async () => {
  await using database = await emptyStorage(2)
  const source = new Replicator(await database.connect(), { table: 'lists' })
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const published = [0]
  const gaps: { after: number; upTo: number }[] = []
  const deadline = performance.now() + 3000
  await source.flush([row('first')])
  published.push(await source.commit())
  const writing = (async () => {
    for (let n = 0; performance.now() < deadline; n++) {
      await source.flush([row(`row ${n % 7}`)], () => sleep(n % 5))
      if (n % 3 > 0) published.push(await source.commit())
    }
  })()
  while (performance.now() < deadline) {
    const gap = await reserveGap(connection, storage, 1, 20).catch(() => null)
    if (gap !== null && !('reason' in gap)) gaps.push(gap)
    await sleep(5)
  }
  await writing
  published.push(await source.commit())
  expect(gaps.length).toBeGreaterThan(10)
  expect(published.length).toBeGreaterThan(20)
  for (const { after, upTo } of gaps) {
    expect(upTo - after).toBeGreaterThanOrEqual(22)
    expect(published.filter((opId) => opId > after && opId < upTo)).toEqual([])
  }
  expect(await reservedGaps(connection, storage, { id: 1, lastCheckpoint: null })).toEqual(gaps)
})

test.each([
  ['restarted', 'ALTER SEQUENCE powersync.op_id_sequence RESTART WITH 1000000'],
  [
    'made anew',
    'DROP SEQUENCE powersync.op_id_sequence CASCADE; CREATE SEQUENCE powersync.op_id_sequence START 1000000',
  ],
  ['set back', `SELECT setval('powersync.op_id_sequence', 1)`],
])('a sequence that was %s has none', async (_, statement) => {
  await using database = await emptyStorage(2)
  const source = new Replicator(await database.connect(), { table: 'lists' })
  await source.flush([row('first')])
  await source.commit()
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  await reserveGap(connection, storage, 1, 20)
  expect(await reservedGaps(connection, storage, { id: 1, lastCheckpoint: null })).toHaveLength(1)
  expect(await reservedGaps(connection, storage, { id: 2, lastCheckpoint: null })).toEqual([])
  await database.query(statement)
  expect(await reservedGaps(connection, storage, { id: 1, lastCheckpoint: null })).toEqual([])
})
