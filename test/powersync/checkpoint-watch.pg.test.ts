// Checkpoints that the service tells of while a run is at work are what the next run knows their age from.
import { expect, test } from 'vitest'
import { CheckpointWatch, publishedBy } from '../../src/powersync/checkpoint-watch.ts'
import { Ledger } from '../../src/powersync/ledger.ts'
import { emptyStorage, storageOf } from '../support/powersync/storages.ts'

test('notes a checkpoint that is told of, and not every one of a busy service', async () => {
  await using database = await emptyStorage(2)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const ledger = await Ledger.open(connection, storage.schema, 1, true)
  {
    await using _ = await CheckpointWatch.start(await storage.connect(), ledger, 1)
    const tell = (payload: string): Promise<unknown> =>
      database.query(`SELECT pg_notify('powersynccheckpoints', $1)`, [payload])
    await tell('{"active_checkpoint":{"id":2,"last_checkpoint":"7"}}')
    await tell('no JSON')
    await tell('{"active_checkpoint":{"id":1,"last_checkpoint":"23945","last_checkpoint_lsn":"0/A"}}')
    await tell('{"active_checkpoint":{"id":1,"last_checkpoint":"23950"}}')
    await expect.poll(() => ledger.seenCheckpoints(connection)).toEqual([23945])
  }
  expect(await ledger.seenCheckpoints(connection)).toEqual([23945])
  expect(await ledger.agedCheckpoint(connection, 60, 99_999)).toBeUndefined()
  await connection.execute(`UPDATE tamp.checkpoint SET seen_at = now() - interval '2 minutes'`)
  expect(await ledger.agedCheckpoint(connection, 60, 99_999)).toMatchObject({ opId: 23945 })
  expect(await ledger.agedCheckpoint(connection, 60, 20_000)).toBeUndefined()
})

test('what is not a checkpoint of the stream is not taken for one', () => {
  for (const payload of [
    undefined,
    '',
    'null',
    '1',
    '{}',
    '{"active_checkpoint":null}',
    '{"active_checkpoint":{"id":1}}',
  ])
    expect(publishedBy(payload, 1)).toBeUndefined()
  expect(publishedBy('{"active_checkpoint":{"id":1,"last_checkpoint":"x"}}', 1)).toBeUndefined()
  expect(publishedBy('{"active_checkpoint":{"id":3,"last_checkpoint":"8"}}', 1)).toBeUndefined()
})
