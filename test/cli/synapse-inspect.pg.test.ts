// `tamp synapse inspect` and `check` as a user runs them.
import { expect, test } from 'vitest'
import { freshDatabase } from '../support/postgres.ts'
import { runTamp } from './run-tamp.ts'

test('inspect ranks the rooms by what could be saved, and says what is estimated', async () => {
  await using database = await freshDatabase('homeserver')
  const text = await runTamp(['synapse', 'inspect', '--connection', database.url, '--limit', '2'])
  expect(text).toMatchObject({ status: 0, err: '' })
  expect(text.out).toMatch(/^Room +Groups +Rows +Size +To save +Deepest +Mean depth +Unreferenced$/m)
  expect(text.out).toMatch(/^6 rooms +9,746 +26,254 +~/m)
  expect(text.out).toMatch(/^4 rooms with less to save not shown/m)

  const json = await runTamp(['synapse', 'inspect', '--connection', database.url, '--json'])
  const lines = json.lines()
  const rooms = lines.filter(({ type }) => type === 'room')
  expect(rooms).toHaveLength(6)
  const saved = rooms.map(({ expectedSavedRows }) => expectedSavedRows)
  expect(saved).toEqual(saved.toSorted((a: number, b: number) => b - a))
  expect(lines.at(-1)).toMatchObject({
    v: 1,
    type: 'summary',
    command: 'synapse inspect',
    rooms: 6,
    before: { groups: 9746, rows: 26_254, maxDepth: 3005 },
  })
  const one = await runTamp(['synapse', 'inspect', '--connection', database.url, '--json', '--room', rooms[2].room])
  expect(one.lines()).toHaveLength(2)
  expect(one.lines()[0]).toMatchObject({ room: rooms[2].room, rows: rooms[2].rows })
})

test('check ends with 0 where nothing is wrong, and with 4 and a name where something is', async () => {
  await using database = await freshDatabase('half-compressed')
  const check = ['synapse', 'check', '--connection', database.url]
  const clean = await runTamp(check)
  expect(clean).toMatchObject({ status: 0, err: '' })
  expect(clean.out).toMatch(/^Nothing found: 1,584 state groups with 3,350 rows looked at/)

  const [row] = await database.query<[number]>('SELECT max(prev_state_group) FROM state_group_edges')
  await database.query('DELETE FROM state_groups WHERE id = $1', [row![0]])
  const text = await runTamp(check)
  expect(text.status).toBe(4)
  expect(text.out).toMatch(/^dangling-base \(\d+ findings?\)$/m)
  const json = await runTamp([...check, '--json'])
  expect(json.status).toBe(4)
  const lines = json.lines()
  expect(lines[0]).toMatchObject({ v: 1, type: 'finding', code: expect.any(String), subject: expect.any(String) })
  expect(lines.at(-1)).toMatchObject({
    type: 'summary',
    command: 'synapse check',
    complete: true,
    counts: { 'dangling-base': expect.any(Number) },
    findings: lines.slice(0, -1).map(({ code, subject, detail }) => ({ code, subject, detail })),
  })
  const quiet = await runTamp([...check, '--quiet'])
  expect(quiet.out).toMatch(/dangling-base: \d+/)
})

test('check --max-depth decides what is too deep', async () => {
  await using database = await freshDatabase('half-compressed')
  const check = ['synapse', 'check', '--connection', database.url, '--json', '--max-depth']
  expect((await runTamp([...check, '155'])).status).toBe(0)
  const deep = await runTamp([...check, '150'])
  expect(deep.status).toBe(4)
  expect(deep.lines().at(-1).counts).toEqual({ 'over-deep-chain': 1 })
})

test('without --max-depth a deep chain is named, but no fault', async () => {
  await using database = await freshDatabase('homeserver')
  const check = await runTamp(['synapse', 'check', '--connection', database.url])
  expect(check.status).toBe(0)
  expect(check.out).toMatch(/over-deep-chain/)
  expect(check.out).toMatch(/No fault found, 1 remark/)
})
