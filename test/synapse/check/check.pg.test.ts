// P7: every kind of damage is found, by name, on exactly the subject that was damaged; sound databases are clean.
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import { checkStateGroups } from '../../../src/synapse/check/check.ts'
import type { CheckOptions, CheckSummary } from '../../../src/synapse/check/check.ts'
import { openSynapse } from '../../../src/synapse/database.ts'
import type { SynapseDatabase } from '../../../src/synapse/database.ts'
import { namedSubjects } from '../../../src/core/finding-tally.ts'
import { findingExplanations } from '../../../src/synapse/findings.ts'
import type { StateGroupFinding } from '../../../src/synapse/findings.ts'
import { freshDatabase } from '../../support/postgres.ts'

const forked = '!rMKFBGqLQdKklgjXbl:localhost:18801'
const deep = '!rAEAcNPMMvPvtuNKyz:localhost:18801'

async function check(
  database: SynapseDatabase,
  options?: CheckOptions,
): Promise<{ found: string[]; findings: StateGroupFinding[]; summary: CheckSummary }> {
  const findings: StateGroupFinding[] = []
  const run = checkStateGroups(database, options)
  for await (const finding of run) findings.push(finding)
  return { findings, found: findings.map(({ code, subject }) => `${code} ${subject}`).sort(), summary: run.summary }
}

/** A room of ten groups on one chain (ids 101 … 110, two keys), each named by an event, and a second room with group 201. */
const smallRooms = `
  INSERT INTO state_groups (id, room_id, event_id)
  SELECT id, '!a:x', '$' || id FROM generate_series(101, 110) AS id UNION ALL SELECT 201, '!b:x', '$201';
  INSERT INTO state_group_edges (state_group, prev_state_group) SELECT id, id - 1 FROM generate_series(102, 110) AS id;
  INSERT INTO state_groups_state (state_group, room_id, type, state_key, event_id)
  SELECT id, '!a:x', 'm.room.topic', '', '$' || id FROM generate_series(101, 110) AS id
   UNION ALL SELECT 101, '!a:x', 'm.room.create', '', '$create' UNION ALL SELECT 201, '!b:x', 'm.room.create', '', '$201';
  INSERT INTO event_to_state_groups (event_id, state_group) SELECT event_id, id FROM state_groups;`

async function damaged(damage: string, options?: CheckOptions, split = false): ReturnType<typeof check> {
  await using database = await freshDatabase('empty')
  await database.session.client.query(smallRooms)
  const synapse = await openSynapse({ connection: database.url })
  const used = split ? { ...synapse, oneDatabase: false } : synapse
  expect((await check(used, options)).found).toEqual([])
  await database.session.client.query(damage)
  return await check(used, options)
}

describe('sound databases', () => {
  test('homeserver: nothing but the chain of 3,006 groups', async () => {
    await using database = await freshDatabase('homeserver')
    const { findings, summary } = await check(await openSynapse({ connection: database.url }))
    expect(findings).toEqual([
      {
        code: 'over-deep-chain',
        subject: deep,
        detail: '2705 groups are deeper than 300 edges; the deepest is 3006, at 3005.',
      },
    ])
    expect(summary).toEqual({
      complete: true,
      groups: 9746,
      rows: 26_254,
      eventsCompared: true,
      counts: { 'over-deep-chain': 1 },
    })
  })

  test('half-compressed: clean', async () => {
    await using database = await freshDatabase('half-compressed')
    const { found, summary } = await check(await openSynapse({ connection: database.url }))
    expect(found).toEqual([])
    expect(summary).toMatchObject({ complete: true, groups: 1584, rows: 3350 })
  })

  test('an empty store', async () => {
    await using database = await freshDatabase('empty')
    const { found, summary } = await check(await openSynapse({ connection: database.url }))
    expect(found).toEqual([])
    expect(summary).toMatchObject({ complete: true, groups: 0, rows: 0 })
  })
})

describe('one kind of damage', () => {
  test('dangling-base', async () => {
    const { findings } = await damaged('UPDATE state_group_edges SET prev_state_group = 42 WHERE state_group = 105')
    expect(findings).toEqual([{ code: 'dangling-base', subject: '105', detail: 'Its base 42 does not exist.' }])
  })

  test('dangling-base: the base was deleted', async () => {
    const { found } = await damaged(`
      DELETE FROM state_groups WHERE id = 101; DELETE FROM state_groups_state WHERE state_group = 101;
      DELETE FROM event_to_state_groups WHERE state_group = 101`)
    expect(found).toEqual(['dangling-base 102'])
  })

  test('cycle, with the edge that closes it', async () => {
    const { findings } = await damaged('UPDATE state_group_edges SET prev_state_group = 106 WHERE state_group = 103')
    expect(findings).toEqual([
      { code: 'base-not-older', subject: '103', detail: 'Its base 106 does not have a lower id.' },
      { code: 'cycle', subject: '103', detail: 'The bases of 103, 104, 105, 106 go round in a circle.' },
    ])
  })

  test('cycle of one group', async () => {
    const { found } = await damaged('UPDATE state_group_edges SET prev_state_group = 104 WHERE state_group = 104')
    expect(found).toEqual(['base-not-older 104', 'cycle 104'])
  })

  test('cycle through the second of two bases', async () => {
    const { found } = await damaged('INSERT INTO state_group_edges VALUES (103, 107)')
    expect(found).toEqual(['base-not-older 103', 'cycle 103', 'several-bases 103'])
  })

  test('two cycles are two findings', async () => {
    const { found } = await damaged(`
      UPDATE state_group_edges SET prev_state_group = 103 WHERE state_group = 102;
      UPDATE state_group_edges SET prev_state_group = 109 WHERE state_group = 107`)
    expect(found).toEqual(['base-not-older 102', 'base-not-older 107', 'cycle 102', 'cycle 107'])
  })

  test('several-bases', async () => {
    const { findings } = await damaged('INSERT INTO state_group_edges VALUES (106, 103)')
    expect(findings).toEqual([{ code: 'several-bases', subject: '106', detail: 'It has 2 edges, to 103, 105.' }])
  })

  test('base-not-older without a cycle', async () => {
    const { found } = await damaged(`
      DELETE FROM state_group_edges WHERE state_group = 110;
      UPDATE state_group_edges SET prev_state_group = 110 WHERE state_group = 104`)
    expect(found).toEqual(['base-not-older 104'])
  })

  test('duplicate-key with the same event, and with another', async () => {
    const same = await damaged(`INSERT INTO state_groups_state VALUES (104, '!a:x', 'm.room.topic', '', '$104')`)
    expect(same.found).toEqual(['duplicate-key 104'])
    expect(same.findings[0]?.detail).toContain('always with the same event')
    const other = await damaged(`INSERT INTO state_groups_state VALUES (104, '!a:x', 'm.room.topic', '', '$other')`)
    expect(other.found).toEqual(['duplicate-key 104'])
    expect(other.findings[0]?.detail).toContain('1 of them with different events')
    expect(other.summary.rows).toBe(13)
  })

  test('rows-without-group', async () => {
    const { findings } = await damaged(`INSERT INTO state_groups_state VALUES (150, '!a:x', 'm.room.topic', '', '$e')`)
    expect(findings).toEqual([{ code: 'rows-without-group', subject: '150', detail: '1 state rows and no group.' }])
  })

  test('edge-without-group, with an id far beyond every group', async () => {
    const { found } = await damaged('INSERT INTO state_group_edges VALUES (9007199254740000, 105)')
    expect(found).toEqual(['edge-without-group 9007199254740000'])
  })

  test('room-mismatch: rows', async () => {
    const { findings } = await damaged(`UPDATE state_groups_state SET room_id = '!b:x' WHERE state_group = 107`)
    expect(findings).toEqual([
      { code: 'room-mismatch', subject: '107', detail: 'The group is of room !a:x, but has rows of room !b:x.' },
    ])
  })

  test('room-mismatch: base', async () => {
    const { findings } = await damaged('INSERT INTO state_group_edges VALUES (201, 110)')
    expect(findings).toEqual([
      { code: 'room-mismatch', subject: '201', detail: 'The group is of room !b:x, but its base 110 is of room !a:x.' },
    ])
  })

  const eventOfNothing = `INSERT INTO event_to_state_groups VALUES ('$lost', 160)`
  const lost = [
    { code: 'event-without-group', subject: '$lost', detail: 'It refers to group 160, which does not exist.' },
  ]

  test('event-without-group', async () => {
    const { findings, summary } = await damaged(eventOfNothing)
    expect(findings).toEqual(lost)
    expect(summary.eventsCompared).toBe(true)
  })

  test('event-without-group, with the stores in two databases', async () => {
    const { findings } = await damaged(eventOfNothing, {}, true)
    expect(findings).toEqual(lost)
  })

  test('over-deep-chain follows the depth asked for', async () => {
    const { findings } = await damaged('INSERT INTO state_group_edges VALUES (201, 200)', { maxDepth: 9 })
    expect(findings.map(({ code }) => code)).toEqual(['dangling-base'])
    await using database = await freshDatabase('empty')
    await database.session.client.query(smallRooms)
    const { findings: deeper } = await check(await openSynapse({ connection: database.url }), { maxDepth: 7 })
    expect(deeper).toEqual([
      {
        code: 'over-deep-chain',
        subject: '!a:x',
        detail: '2 groups are deeper than 7 edges; the deepest is 110, at 9.',
      },
    ])
  })
})

test('damage that is everywhere names a hundred subjects and counts the rest', async () => {
  await using database = await freshDatabase('homeserver')
  await database.query(`UPDATE state_group_edges SET prev_state_group = prev_state_group + 1000000
                         WHERE state_group IN (SELECT state_group FROM state_group_edges ORDER BY 1 LIMIT 1234)`)
  const { findings, summary } = await check(await openSynapse({ connection: database.url }))
  const dangling = findings.filter(({ code }) => code === 'dangling-base')
  expect(dangling).toHaveLength(namedSubjects + 1)
  expect(dangling.at(-1)).toEqual({
    code: 'dangling-base',
    subject: '1134 more',
    detail: '1234 in all; the first 100 are named.',
  })
  expect(summary.counts['dangling-base']).toBe(1234)
})

test('with rooms, only theirs is looked at', async () => {
  await using database = await freshDatabase('homeserver')
  const [[own] = [0]] = await database.query<[number]>(
    `SELECT state_group FROM state_group_edges JOIN state_groups ON id = state_group WHERE room_id = '${forked}' LIMIT 1`,
  )
  await database.query(`UPDATE state_group_edges SET prev_state_group = 0 WHERE state_group IN (2000, ${own})`)
  const synapse = await openSynapse({ connection: database.url })
  const { found, summary } = await check(synapse, { rooms: [forked] })
  expect(found).toEqual([`dangling-base ${own}`])
  expect(summary).toMatchObject({ complete: true, groups: 1426, rows: 6352, eventsCompared: false })
  expect((await check(synapse)).found).toContain('dangling-base 2000')
})

test('a room that is not there is refused', async () => {
  await using database = await freshDatabase('half-compressed')
  const synapse = await openSynapse({ connection: database.url })
  await expect(check(synapse, { rooms: ['!nowhere:x'] })).rejects.toMatchObject({ code: 'no-such-room' })
  expect(() => checkStateGroups(synapse, { maxDepth: 0 })).toThrow(TampError)
})

describe('P2: stopping', () => {
  test('between statements', async () => {
    await using database = await freshDatabase('homeserver')
    const stop = new AbortController()
    const run = checkStateGroups(await openSynapse({ connection: database.url }), {
      signal: stop.signal,
      onEvent: () => stop.abort(),
    })
    const reading = Array.fromAsync(run)
    await expect(reading).rejects.toMatchObject({ code: 'interrupted' })
    expect(run.summary.complete).toBe(false)
    expect(run.summary.groups).toBeGreaterThan(0)
  })

  test('inside a statement, which the server stops too', async () => {
    await using database = await freshDatabase('homeserver')
    const synapse = await openSynapse({ connection: database.url })
    await using other = await database.connect()
    await other.query('BEGIN')
    await other.query('LOCK TABLE state_groups_state IN ACCESS EXCLUSIVE MODE')
    const stop = new AbortController()
    const reading = Array.fromAsync(checkStateGroups(synapse, { signal: stop.signal }))
    const refused = expect(reading).rejects.toMatchObject({ code: 'interrupted' })
    const waiting = `SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
    await expect.poll(async () => (await database.query<[number]>(waiting))[0]?.[0]).toBe(1)
    stop.abort()
    await refused
    await expect.poll(async () => (await database.query<[number]>(waiting))[0]?.[0]).toBe(0)
  })
})

test('P3: holds no lock but ACCESS SHARE', async () => {
  await using database = await freshDatabase('homeserver')
  const synapse = await openSynapse({ connection: database.url })
  const run = checkStateGroups(synapse, { maxDepth: 50 })[Symbol.asyncIterator]()
  expect((await run.next()).done).toBe(false)
  const modes = await database.query<[string]>(
    `SELECT DISTINCT mode FROM pg_locks JOIN pg_class c ON c.oid = relation
      WHERE c.relname LIKE 'state_group%' AND pid <> pg_backend_pid()`,
  )
  await run.return?.()
  expect(modes).toEqual([['AccessShareLock']])
})

test('docs/findings.md has every code with its sentence', async () => {
  const page = await readFile(new URL('../../../docs/findings.md', import.meta.url), 'utf8')
  const ofStateGroups = page.slice(page.indexOf('## State groups'), page.indexOf('## Compressed columns'))
  const documented = [...ofStateGroups.matchAll(/^\| `([a-z-]+)` +\| (.+?) +\|/gm)].map(([, code, sentence]) => [
    code,
    sentence,
  ])
  expect(documented).toEqual(Object.entries(findingExplanations))
})
