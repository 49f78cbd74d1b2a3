// What can be wrong with a bucket storage and the way to it: one sentence, the right exit status, nothing changed, and the password nowhere.
import { expect, inject, test } from 'vitest'
import { emptyStorage, loadStorage } from '../support/powersync/storages.ts'
import { freshDatabase } from '../support/postgres.ts'
import { runTamp } from './run-tamp.ts'
import type { Ended } from './run-tamp.ts'

const commands = [
  ['inspect'],
  ['compact'],
  ['compact', '--execute'],
  ['defragment'],
  ['defragment', '--how', 'reinsert', '--execute'],
  ['check'],
  ['reclaim', '--execute'],
]

function expectOneSentence(
  { status, out, err }: Ended,
  expected: number,
  message: RegExp,
  secrets: string[] = [],
): void {
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

const run = (words: readonly string[], connection: string): Promise<Ended> =>
  runTamp(['powersync', ...words, '--connection', connection])

test('P7: the way to the database', async () => {
  const server = inject('postgres').url
  const wrong = 'wrong-secret-9'
  const right = new URL(server).password
  const ways: [string, RegExp, number][] = [
    [changed(server, (url) => (url.password = wrong)), /password authentication failed/, 1],
    [changed(server, (url) => (url.port = '1')), /no server listens on 127\.0\.0\.1:1/, 1],
    [changed(server, (url) => (url.pathname = '/nowhere')), /database "nowhere" does not exist/, 1],
    [changed(server, (url) => (url.pathname = '/postgres')), /does not look like PowerSync's bucket storage/, 10],
    [`host=127.0.0.1 password='${wrong} dbname=x`, /connection string/i, 2],
  ]
  for (const [connection, message, status] of ways)
    expectOneSentence(await run(['compact'], connection), status, message, [wrong, right])
})

test('10: another database, another schema, another kind of relation, another storage version', async () => {
  await using synapse = await freshDatabase('empty')
  for (const words of commands)
    expectOneSentence(
      await run(words, synapse.url),
      10,
      /schema powersync\): there is no table bucket_data and table sync_rules\./,
    )
  await using database = await loadStorage(2)
  expectOneSentence(await run(['inspect', '--schema', 'publik'], database.url), 10, /schema publik\)/)
  await database.query('ALTER TABLE bucket_data RENAME COLUMN target_op TO target')
  expectOneSentence(
    await run(['compact', '--execute'], database.url),
    10,
    /there is no column bucket_data\.target_op of type bigint\./,
  )
  await database.query('ALTER TABLE bucket_data RENAME COLUMN target TO target_op')
  await database.query('UPDATE sync_rules SET storage_version = 4')
  for (const words of [['inspect'], ['compact', '--execute'], ['check']])
    expectOneSentence(
      await run(words, database.url),
      10,
      /storage is of version 4; this tamp knows 1, 2, 3\.\n +Update tamp/,
    )
})

test('--schema: a storage in another schema, with a name that has to be quoted', async () => {
  await using database = await loadStorage(2)
  await database.query('ALTER SCHEMA powersync RENAME TO "Sync ""1"""')
  for (const words of [['inspect'], ['compact', '--execute'], ['check'], ['reclaim', '--execute']]) {
    const { status, err } = await run([...words, '--quiet', '--schema', 'Sync "1"'], database.url)
    expect(err, words.join(' ')).toBe('')
    expect(status).toBe(0)
  }
})

test('1: a bucket or a definition that does not exist', async () => {
  await using database = await loadStorage(2)
  for (const words of [['inspect'], ['compact', '--execute'], ['defragment'], ['check']])
    expectOneSentence(
      await run([...words, '--bucket', '1#nowhere["x"]'], database.url),
      1,
      /no bucket 1#nowhere\["x"\]/,
    )
  for (const words of [['compact'], ['check']])
    expectOneSentence(
      await run([...words, '--definition', 'by_usr'], database.url),
      1,
      /definition .*by_usr.*\n.*1#by_user/,
    )
})

test('1: a role that may only read cannot execute, but everything else; one that may not even read is told so', async () => {
  await using database = await loadStorage(2)
  const role = `reader_${database.name}`
  const password = 'reads-only-7'
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`)
  try {
    const url = changed(database.url, (location) => {
      location.username = role
      location.password = password
    })
    await database.query(`GRANT USAGE ON SCHEMA powersync TO ${role}`)
    expectOneSentence(await run(['inspect'], url), 1, /may not read powersync\.bucket_data/, [password])
    await database.query(`GRANT SELECT ON ALL TABLES IN SCHEMA powersync TO ${role}`)
    for (const words of [
      ['compact', '--execute'],
      ['defragment', '--how', 'reinsert', '--execute'],
      ['reclaim', '--execute'],
    ])
      expectOneSentence(await run(words, url), 1, new RegExp(role), [password])
    for (const words of [['inspect'], ['compact'], ['defragment'], ['check'], ['reclaim']])
      expect((await run([...words, '--quiet'], url)).status, words.join()).toBe(0)
  } finally {
    await database.query(`DROP OWNED BY ${role}`)
    await database.query(`DROP ROLE ${role}`)
  }
})

test('1: nothing published yet, or still being replicated; inspect and check say so and end well', async () => {
  await using database = await emptyStorage(2)
  const working = [['compact', '--execute'], ['defragment']]
  for (const words of working)
    expectOneSentence(await run(words, database.url), 1, /has not published a checkpoint yet/)
  await database.query(`UPDATE sync_rules SET state = 'PROCESSING'`)
  for (const words of working)
    expectOneSentence(
      await run(words, database.url),
      1,
      /replicated for the first time: no client is served from it yet/,
    )
  await database.query('DELETE FROM sync_rules')
  for (const words of working)
    expectOneSentence(await run(words, database.url), 1, /no replication stream that clients are served from/)
  for (const words of [['inspect'], ['check']]) expect((await run(words, database.url)).status).toBe(0)
})
