// The lock against a second tamp: held by one, taken again when its connection is lost alone.
import { expect, test } from 'vitest'
import { openSynapse } from '../../src/synapse/index.ts'
import { RunLock, stateGroupsLock } from '../../src/database/run-lock.ts'
import { freshDatabase } from '../support/postgres.ts'

test('P3: the lock is taken again when only its own connection was lost', async () => {
  await using database = await freshDatabase('empty')
  const synapse = await openSynapse({ connection: database.url, env: {} })
  const connect = () => synapse.connectState()
  await using lock = await RunLock.take(connect, stateGroupsLock)
  await lock.hold(connect)
  await expect(RunLock.take(connect, stateGroupsLock)).rejects.toMatchObject({ code: 'locked', exitStatus: 11 })
  const held = `SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE l.locktype = 'advisory' AND d.datname = current_database()`
  const [before] = await database.query(held)
  await database.query('SELECT pg_terminate_backend($1, 5000)', [before![0]])
  expect(await database.query(held)).toEqual([])
  await lock.hold(connect)
  const [after] = await database.query(held)
  expect(after![0]).not.toBe(before![0])
  await expect(RunLock.take(connect, stateGroupsLock)).rejects.toMatchObject({ code: 'locked' })
})
