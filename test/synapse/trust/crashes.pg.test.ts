// P2: the process is killed, the server crashes, at moments taken from a seed: every unit is untouched or whole, the next run goes on.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { loadDump } from '../../../src/database/load-dump.ts'
import { compact, openSynapse } from '../../../src/synapse/index.ts'
import { freshDatabase, scratchServer } from '../../support/postgres.ts'
import { openSession, type Session } from '../../support/session.ts'
import { growRoom } from '../../support/synapse/grow.ts'
import { measure, rememberStates } from '../../support/synapse/judge.ts'
import { seeded } from '../../support/synapse/random.ts'
import { execute, harm, pausable, unharmed, unitStatements } from './scene.ts'

const seed = Number(process.env['TAMP_TEST_SEED'] ?? Date.now() % 1_000_000)

/** Most of a round is the start of a process. */
const rounds = Number(process.env['TAMP_TEST_ROUNDS'] ?? 15)

async function growRooms(session: Session, count: number, groups: number): Promise<void> {
  for (let n = 1; n <= count; n++)
    await growRoom(session, {
      seed: n,
      groups,
      keys: 12,
      shape: 'forked',
      snapshotEvery: 12,
      identical: 0.1,
      removals: 0.02,
    })
}

const rowsOf = async (session: Session): Promise<number> =>
  [...(await measure(session)).values()].reduce((sum, { rows }) => sum + rows, 0)

test(`P2: kill -9, again and again, then a run that ends (seed ${seed})`, async () => {
  console.log(`kill -9 rounds: TAMP_TEST_SEED=${seed}`)
  const random = seeded(seed)
  await using database = await freshDatabase('empty')
  const { session } = database
  await growRooms(session, 60, 60)
  const states = await rememberStates(session)
  const synapse = await openSynapse({ connection: database.url, env: {} })
  const dry = await compact(synapse, { mode: 'dry-run' })
  let killed = 0
  for (let round = 1; round <= rounds; round++) {
    const child = spawn(process.execPath, [new URL('compact-child.ts', import.meta.url).pathname], {
      env: { PATH: process.env['PATH'], DATABASE_URL: database.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text) => (said += text))
    const exit = once(child, 'exit')
    // So many lines, then so many milliseconds: somewhere in reading, writing, committing, looking again.
    let lines = random.below(6)
    const enough = new Promise<void>((resolve) =>
      child.stdout.on('data', (text: Buffer) => {
        lines -= text.toString().split('\n').length - 1
        if (lines <= 0) resolve()
      }),
    )
    await Promise.race([enough, exit])
    await Promise.race([sleep(random.below(40)), exit])
    if (child.exitCode === null) {
      child.kill('SIGKILL')
      killed++
    }
    await exit
    expect(said, `round ${round}`).toBe('')
    expect(await harm(session, states), `round ${round}`).toEqual(unharmed)
  }
  expect(killed).toBeGreaterThan(5)
  const rows = await rowsOf(session)
  expect(rows).toBeLessThan(dry.before.rows)
  // The server may not have noticed yet that the last one is gone; it does when that one's statement ends.
  await expect
    .poll(
      () =>
        database.query(
          `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tamp' AND datname = current_database()`,
        ),
      { timeout: 10_000 },
    )
    .toEqual([[0]])
  const last = await execute(synapse)
  expect(last).toMatchObject({ complete: true, skipped: [], proof: { mismatches: 0 } })
  expect(await rowsOf(session)).toBe(dry.after.rows)
  expect(await harm(session, states)).toEqual(unharmed)
})

test(`P2: the server crashes under a run, which waits for it and ends right (seed ${seed})`, async () => {
  console.log(`server crashes: TAMP_TEST_SEED=${seed}`)
  const random = seeded(seed + 1)
  await using server = await scratchServer()
  {
    await using session = await openSession(server.url)
    await loadDump(session.client, new URL('../../../fixtures/half-compressed.sql.br', import.meta.url))
    await session.query(
      `TRUNCATE state_groups, state_group_edges, state_groups_state, event_to_state_groups, event_forward_extremities`,
    )
    await session.query('SET search_path = public')
    await growRooms(session, 25, 60)
  }
  await using before = await openSession(server.url)
  const states = await rememberStates(before)
  const synapse = await openSynapse({ connection: server.url, env: {} })
  const dry = await compact(synapse, { mode: 'dry-run' })
  const running = execute(synapse, { jobs: 2 })
  let over = false
  const ended = running.finally(() => (over = true)).catch(() => {})
  let crashes = 0
  while (!over && crashes < 4) {
    await Promise.race([sleep(100 + random.below(400)), ended])
    if (over) break
    await server.stop('immediate')
    await sleep(random.below(300))
    await server.restart()
    crashes++
  }
  const report = await running
  expect(crashes).toBeGreaterThan(1)
  expect(report).toMatchObject({ complete: true, skipped: [], units: { failed: 0 }, proof: { mismatches: 0 } })
  await using after = await openSession(server.url)
  expect(await harm(after, states)).toEqual(unharmed)
  expect(await rowsOf(after)).toBe(dry.after.rows)
  expect(report.after.rows).toBe(dry.after.rows)
})

test('P2: a COMMIT that a crashed server has never heard of is not taken for done', async () => {
  // Nothing of the transaction is in the log when the server crashes: it will give the same number to somebody else.
  await using server = await scratchServer({ wal_writer_delay: '10000ms' })
  {
    await using session = await openSession(server.url)
    await loadDump(session.client, new URL('../../../fixtures/half-compressed.sql.br', import.meta.url))
    await session.query('CHECKPOINT')
  }
  const synapse = await openSynapse({ connection: server.url, env: {} })
  await using before = await openSession(server.url)
  const states = await rememberStates(before)
  const dry = await compact(synapse, { mode: 'dry-run' })
  const run = pausable(synapse)
  const pause = run.pauseBefore(unitStatements.at(-1)![1])
  const running = execute(run.database)
  await pause.reached
  await server.stop('immediate')
  await server.restart()
  pause.resume()
  const report = await running
  expect(report).toMatchObject({ complete: true, skipped: [], units: { failed: 0 }, after: { rows: dry.after.rows } })
  expect(run.statements.filter((statement) => statement.includes('pg_xact_status'))).not.toEqual([])
  await using after = await openSession(server.url)
  expect(await harm(after, states)).toEqual(unharmed)
})
