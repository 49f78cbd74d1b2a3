// Checkpoints that the service tells of while a run is at work are what the next run knows their age from.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { CheckpointWatch } from '../../src/powersync/checkpoint-watch.ts'
import { Ledger } from '../../src/powersync/ledger.ts'
import { emptyStorage, publish, storageOf } from '../support/powersync/storages.ts'

test('notes a checkpoint when it is told of one, not every one of a busy service, and the last one at the end', async () => {
  await using database = await emptyStorage(2)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const ledger = await Ledger.open(connection, storage.schema, 1, true)
  const tell = async (opId: number): Promise<void> => {
    await publish(database, opId)
    await database.query(`SELECT pg_notify('powersynccheckpoints', $1)`, [
      JSON.stringify({ active_checkpoint: { id: 1, last_checkpoint: String(opId) } }),
    ])
  }
  {
    await using _ = await CheckpointWatch.start(await storage.connect(), ledger)
    await tell(23945)
    await expect.poll(() => ledger.seenCheckpoints(connection)).toEqual([23945])
    await tell(23950)
    await tell(23951)
    await sleep(200)
    expect(await ledger.seenCheckpoints(connection)).toEqual([23945])
  }
  expect(await ledger.seenCheckpoints(connection)).toEqual([23945, 23951])
  expect(await ledger.agedCheckpoint(connection, 60, 99_999)).toBeUndefined()
  await connection.execute(`UPDATE tamp.checkpoint SET seen_at = now() - interval '2 minutes' WHERE op_id = 23945`)
  expect(await ledger.agedCheckpoint(connection, 60, 99_999)).toMatchObject({ opId: 23945 })
  expect(await ledger.agedCheckpoint(connection, 60, 20_000)).toBeUndefined()
})

test('believes nothing that is said on the channel: another storage says it there too', async () => {
  await using database = await emptyStorage(2)
  await publish(database, 1000)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const ledger = await Ledger.open(connection, storage.schema, 1, true)
  {
    await using _ = await CheckpointWatch.start(await storage.connect(), ledger)
    for (const payload of ['{"active_checkpoint":{"id":1,"last_checkpoint":"5000"}}', 'no JSON', ''])
      await database.query(`SELECT pg_notify('powersynccheckpoints', $1)`, [payload])
    await expect.poll(() => ledger.seenCheckpoints(connection)).toEqual([1000])
  }
  expect(await ledger.seenCheckpoints(connection)).toEqual([1000])
})

test('ends in peace when its connection is lost', async () => {
  await using database = await emptyStorage(2)
  await publish(database, 1000)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const ledger = await Ledger.open(connection, storage.schema, 1, true)
  const watching = await storage.connect()
  {
    await using _ = await CheckpointWatch.start(watching, ledger)
    const [row] = await watching.query<[number]>('SELECT pg_backend_pid()')
    await database.query('SELECT pg_terminate_backend($1)', [row![0]])
  }
  expect(await ledger.seenCheckpoints(connection)).toEqual([])
})
