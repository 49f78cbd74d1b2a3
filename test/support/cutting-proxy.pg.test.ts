// The proxy cuts where it says, and passes on everything else.
import { expect, inject, test } from 'vitest'
import { startProxy } from './cutting-proxy.ts'
import { freshDatabase } from './postgres.ts'
import { openSession } from './session.ts'

const target = () => {
  const { hostname: host, port } = new URL(inject('postgres').url)
  return { host, port: Number(port) }
}

/** A transaction of one Query, one parameterized statement and a COMMIT: 7 frontend messages. */
async function writeThrough(url: string): Promise<string> {
  await using session = await openSession(url)
  try {
    await session.query('SELECT 1')
    await session.client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
    await session.client.query('INSERT INTO marks SELECT $1::int', [1])
    await session.client.query('COMMIT')
    return 'committed'
  } catch {
    return 'lost'
  }
}

test('counts from the marker on, both ways, and tells the SQL but no password', async () => {
  await using database = await freshDatabase('blank')
  await database.query('CREATE TABLE marks (n int)')
  await using proxy = await startProxy({ target: target() })
  proxy.startCounting(/^BEGIN ISOLATION/)
  expect(await writeThrough(proxy.url(database.url))).toBe('committed')
  const sent = proxy.messages.filter(({ direction }) => direction === 'frontend')
  expect(sent.map(({ name }) => name)).toEqual([
    'Query',
    'Parse',
    'Bind',
    'Describe',
    'Execute',
    'Sync',
    'Query',
    'Terminate',
  ])
  expect(sent.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  expect(sent[1]!.text).toBe('INSERT INTO marks SELECT $1::int')
  const answers = proxy.messages.filter(({ direction }) => direction === 'backend')
  expect(answers.filter(({ name }) => name === 'CommandComplete').map(({ text }) => text)).toEqual([
    'BEGIN',
    'INSERT 0 1',
    'COMMIT',
  ])
  expect(JSON.stringify(proxy.messages)).not.toContain(new URL(database.url).password)
})

test('a cut at any message leaves exactly what the server was told', async () => {
  await using database = await freshDatabase('blank')
  await database.query('CREATE TABLE marks (n int)')
  const outcomes: string[] = []
  for (const [direction, last] of [
    ['frontend', 7],
    ['backend', 9],
  ] as const) {
    for (let message = 1; message <= last; message++) {
      for (const when of ['before', 'after'] as const) {
        await database.query('TRUNCATE marks')
        await using proxy = await startProxy({ target: target() })
        proxy.startCounting(/^BEGIN ISOLATION/)
        const cut = proxy.cut({ direction, message, when })
        const outcome = await writeThrough(proxy.url(database.url))
        const at = await cut.cut
        expect(at).toMatchObject({ direction, number: message })
        expect(proxy.messages.filter((counted) => counted.direction === direction)).toHaveLength(message)
        // The server works on after the cut: its session ends when it has read all.
        await expect
          .poll(async () =>
            database.query(
              `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
            ),
          )
          .toEqual([[0]])
        const [[rows]] = (await database.query<[number]>('SELECT count(*) FROM marks')) as [[number]]
        outcomes.push(`${direction} ${message} ${when}: ${outcome}, ${rows} rows`)
        // Only COMMIT writes: with it forwarded (frontend 7 after) or answered (its CommandComplete) the row is there.
        const told =
          (direction === 'frontend' && message === 7 && when === 'after') || (direction === 'backend' && message >= 8)
        expect(rows, outcomes.at(-1)!).toBe(told ? 1 : 0)
        // The client knows of it only once ReadyForQuery has come.
        expect(outcome, outcomes.at(-1)!).toBe(
          direction === 'backend' && message === 9 && when === 'after' ? 'committed' : 'lost',
        )
      }
    }
  }
  expect(outcomes).toHaveLength(32)
})

test('a swallowed COMMIT is done, but its client does not know', async () => {
  await using database = await freshDatabase('blank')
  await database.query('CREATE TABLE marks (n int)')
  await using proxy = await startProxy({ target: target() })
  proxy.startCounting(/^BEGIN ISOLATION/)
  const cut = proxy.cut({ direction: 'frontend', message: 7, when: 'answered' })
  expect(await writeThrough(proxy.url(database.url))).toBe('lost')
  expect(cut.done).toBe(true)
  expect((await cut.cut).text).toBe('COMMIT')
  // No waiting: the answer was there before the cut.
  expect(await database.query('SELECT n FROM marks')).toEqual([[1]])
  // One cut is one cut.
  expect(await writeThrough(proxy.url(database.url))).toBe('committed')
})

test('a stalled message holds the transaction open until it is let go', async () => {
  await using database = await freshDatabase('blank')
  await database.query('CREATE TABLE marks (n int)')
  await using proxy = await startProxy({ target: target() })
  proxy.startCounting(/^BEGIN ISOLATION/)
  const stall = proxy.stall({ direction: 'frontend', message: 7 })
  const writing = writeThrough(proxy.url(database.url))
  expect((await stall.reached).text).toBe('COMMIT')
  expect(await database.query('SELECT n FROM marks')).toEqual([])
  stall.resume()
  expect(await writing).toBe('committed')
  expect(await database.query('SELECT n FROM marks')).toEqual([[1]])
})

test('a proxy that refuses looks like a server that is gone', async () => {
  await using database = await freshDatabase('blank')
  await using proxy = await startProxy({ target: target() })
  proxy.refuse(true)
  await expect(openSession(proxy.url(database.url))).rejects.toThrow()
  proxy.refuse(false)
  await using session = await openSession(proxy.url(database.url))
  // Large answers pass through unharmed.
  const [[text]] = (await session.query<[string]>(`SELECT repeat('x', 3000000)`)) as [[string]]
  expect(text).toHaveLength(3_000_000)
})
