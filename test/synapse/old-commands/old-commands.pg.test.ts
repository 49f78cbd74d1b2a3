// The text formats of the old commands where they could go wrong: literals in the SQL file, rows that are no longer there.
import { expect, test } from 'vitest'
import { openSynapse, planRoom, readRoom } from '../../../src/synapse/index.ts'
import { dollarQuoted, groupSql, oldSql } from '../../../src/synapse/old-commands/sql-file.ts'
import { freshDatabase } from '../../support/postgres.ts'

const nasty = [
  '',
  '$',
  '$$',
  'a$',
  '$a',
  '$q0$',
  '$$$q0$',
  "it's",
  'back\\slash',
  'new\nline',
  '$1',
  '鍵🔑',
  '$$; DROP TABLE x; $$',
]

test('a dollar-quoted text is that text', async () => {
  await using database = await freshDatabase('blank')
  for (const text of nasty) {
    const [[read]] = (await database.query<[string]>(`SELECT ${dollarQuoted(text)}`)) as [[string]]
    expect(read).toBe(text)
  }
})

test('a group is stored as it is written down, whatever its texts', async () => {
  await using database = await freshDatabase('empty')
  const rows = nasty.map((text, n) => ({ type: `t${text}`, stateKey: text, eventId: `$${n}${text}` }))
  await database.query('INSERT INTO state_group_edges VALUES (7, 3)')
  await database.query(groupSql('!room$', 7, 5, rows, true))
  const stored = await database.query(
    'SELECT room_id, type, state_key, event_id FROM state_groups_state WHERE state_group = 7',
  )
  const sort = (lines: unknown[][]) => lines.map((line) => JSON.stringify(line)).sort()
  expect(sort(stored)).toEqual(sort(rows.map((row) => ['!room$', row.type, row.stateKey, row.eventId])))
  expect(await database.query('SELECT * FROM state_group_edges')).toEqual([[7, 5]])
  await database.query(groupSql('!room$', 7, null, [], false))
  expect(await database.query('SELECT count(*) FROM state_group_edges')).toEqual([[0]])
  expect(await database.query('SELECT count(*) FROM state_groups_state')).toEqual([[0]])
})

test('a room that is purged while its file is written fails in a sentence', async () => {
  await using fresh = await freshDatabase('homeserver')
  const database = await openSynapse({ connection: fresh.url, env: {} })
  const plan = planRoom(await readRoom(database, '!gen:x'), { plan: { levels: [100, 50, 25] } })
  await fresh.query('DELETE FROM state_groups_state')
  await using connection = await database.connectState()
  await expect(Array.fromAsync(oldSql(connection, plan, true))).rejects.toThrow(/^State group \d+ was changed while/)
})
