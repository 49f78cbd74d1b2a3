// What can be wrong with a database and the way to it: one sentence, the right exit status, no stack, and the password nowhere.
import { expect, inject, test } from 'vitest'
import { freshDatabase } from '../support/postgres.ts'
import { runTamp } from './run-tamp.ts'
import type { Ended } from './run-tamp.ts'

const commands = [
  ['synapse', 'inspect'],
  ['synapse', 'compact'],
  ['synapse', 'compact', '--execute'],
  ['synapse', 'check'],
]

function expectOneSentence({ status, out, err }: Ended, expected: number, message: RegExp, secrets: string[]): void {
  expect(err).toMatch(message)
  expect(status).toBe(expected)
  expect(out).toBe('')
  expect(err).toMatch(/^tamp: [^\n]+[.?]\n( {6}[^\n]+\n)?$/)
  for (const secret of secrets) expect(out + err).not.toContain(secret)
}

function changed(url: string, change: (url: URL) => void): string {
  const location = new URL(url)
  change(location)
  return location.href
}

test.each(commands)('P7: the way to the database, for %s %s', async (...words) => {
  const server = inject('postgres').url
  const wrong = 'wrong-secret-9'
  const right = new URL(server).password
  const ways: [string, RegExp, number][] = [
    [changed(server, (url) => (url.password = wrong)), /password authentication failed/, 1],
    [changed(server, (url) => (url.port = '1')), /no server listens on 127\.0\.0\.1:1/, 1],
    [changed(server, (url) => (url.pathname = '/nowhere')), /database "nowhere" does not exist/, 1],
    [changed(server, (url) => (url.pathname = '/postgres')), /does not look like a database of Synapse/, 10],
    [`host=127.0.0.1 password='${wrong} dbname=x`, /connection string/i, 2],
  ]
  for (const [connection, message, status] of ways)
    expectOneSentence(await runTamp([...words, '--connection', connection]), status, message, [wrong, right])

  const [connection, message] = ways[0]!
  const json = await runTamp([...words, '--json'], { env: { DATABASE_URL: connection } })
  expect(json.status).toBe(1)
  expect(json.lines()).toEqual([
    {
      v: 1,
      type: 'error',
      code: 'authentication-failed',
      message: expect.stringMatching(message),
      hint: expect.any(String),
    },
  ])
  expect(json.out + json.err).not.toContain(wrong)
})

test('10: a schema newer than is known', async () => {
  await using database = await freshDatabase('half-compressed')
  await database.query('UPDATE schema_compat_version SET compat_version = 200')
  for (const words of commands)
    expectOneSentence(await runTamp([...words, '--connection', database.url]), 10, /newer than this tamp knows/, [])
})

test('1: a room that does not exist', async () => {
  await using database = await freshDatabase('half-compressed')
  for (const words of commands)
    expectOneSentence(
      await runTamp([...words, '--connection', database.url, '--room', '!nowhere:example.org']),
      1,
      /room !nowhere:example\.org/,
      [],
    )
})

test('1: a role that may only read cannot execute, but everything else', async () => {
  await using database = await freshDatabase('half-compressed')
  const role = `reader_${database.name}`
  const password = 'reads-only-7'
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`)
  try {
    await database.query(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`)
    const url = changed(database.url, (location) => {
      location.username = role
      location.password = password
    })
    const refused = await runTamp(['synapse', 'compact', '--execute', '--connection', url])
    expectOneSentence(refused, 1, new RegExp(role), [password])
    for (const words of [['inspect'], ['compact'], ['check']])
      expect((await runTamp(['synapse', ...words, '--connection', url])).status, words.join()).toBe(0)
    await database.query(`REVOKE SELECT ON state_groups_state FROM ${role}`)
    expectOneSentence(await runTamp(['synapse', 'inspect', '--connection', url]), 1, /may not read/, [password])
  } finally {
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  }
})

test('0: a database of Synapse without any state groups', async () => {
  await using database = await freshDatabase('empty')
  for (const words of commands) {
    const { status, err, out } = await runTamp([...words, '--connection', database.url])
    expect(err).toBe('')
    expect(status).toBe(0)
    expect(out).toMatch(/no state groups|Nothing found/)
  }
  const json = await runTamp(['synapse', 'compact', '--json', '--connection', database.url])
  expect(json.lines().at(-1)).toMatchObject({
    before: { groups: 0, rows: 0, bytesEstimate: 0, maxDepth: 0, meanDepth: 0 },
  })
})
