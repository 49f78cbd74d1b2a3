// P2: the process is killed, the server crashes, at moments taken from a seed: every slice is untouched or whole, the next run goes on,
// and the one after that has nothing to do.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { clientSeed as seed, generator } from '../../support/powersync/clients.ts'
import { scratchServer } from '../../support/postgres.ts'
import { execute, pausable, scene, sceneOn, slice, sound, verifies } from './scene.ts'
import type { Scene } from './scene.ts'

/** Most of a round is the start of a process. */
const rounds = Number(process.env['TAMP_TEST_ROUNDS'] ?? 10)

/** The run that follows what was broken off, and the one after it. */
async function endsRight(stage: Scene): Promise<void> {
  expect(await execute(stage.storage)).toMatchObject(sound)
  expect(await stage.now()).toEqual(stage.end)
  expect(await stage.harm()).toEqual([])
  const stored = await stage.session.query(stamps)
  expect((await execute(stage.storage)).units.planned).toBe(0)
  expect((await execute(stage.storage, { full: true })).units.planned).toBe(0)
  expect(await stage.session.query(stamps)).toEqual(stored)
}
/** Who wrote each row last. */
const stamps = 'SELECT bucket_name, op_id, xmin::text, ctid::text FROM powersync.bucket_data ORDER BY 1, 2'

test(`P2: kill -9, again and again, then a run that ends (seed ${seed})`, async () => {
  console.log(`kill -9 rounds: TAMP_TEST_SEED=${seed}`)
  const random = generator(seed)
  await using stage = await scene({ seed, buckets: 40, large: 21_000 })
  let killed = 0
  for (let round = 1; round <= rounds; round++) {
    const child = spawn(process.execPath, [new URL('compact-child.ts', import.meta.url).pathname], {
      env: { PATH: process.env['PATH'], DATABASE_URL: stage.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text) => (said += text))
    const exit = once(child, 'exit')
    // So many lines, then so many milliseconds: somewhere in reading, writing, committing, looking again.
    let lines = Math.floor(random() * 5)
    const enough = new Promise<void>((resolve) =>
      child.stdout.on('data', (text: Buffer) => {
        lines -= text.toString().split('\n').length - 1
        if (lines <= 0) resolve()
      }),
    )
    if (lines > 0) await Promise.race([enough, exit])
    else await Promise.race([once(child.stdout, 'data'), sleep(300 + random() * 500), exit])
    await Promise.race([sleep(random() * 60), exit])
    if (child.exitCode === null) {
      child.kill('SIGKILL')
      killed++
    }
    await exit
    expect(said, `round ${round}`).toBe('')
    await nobodyLeft(stage)
    expect(await stage.harm(), `round ${round}`).toEqual([])
    if (child.exitCode === 0 || round % 4 === 0) {
      await endsRight(stage)
      await stage.restore()
    }
  }
  expect(killed).toBeGreaterThan(rounds / 3)
  await endsRight(stage)
})

/** The server notices that a process is gone when that one's statement ends. */
async function nobodyLeft({ session }: Scene): Promise<void> {
  await expect
    .poll(
      () =>
        session.query(
          `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tamp' AND datname = current_database()`,
        ),
      { timeout: 10_000 },
    )
    .toEqual([[0]])
}

test(`P2: the server crashes under a run, which waits for it and ends right (seed ${seed})`, async () => {
  console.log(`server crashes: TAMP_TEST_SEED=${seed}`)
  const random = generator(seed + 1)
  await using server = await scratchServer()
  await using stage = await sceneOn(server.url, { seed, buckets: 40, large: 21_000 })
  const run = pausable(stage.storage)
  // In the middle of a slice, where its work tables are made anew, where it looks again; the other lane is wherever it is.
  const moments = [slice('commit'), /^CREATE TEMP TABLE/, slice('clear'), /^ANALYZE tamp_/, slice('guard'), verifies]
  let crashes = 0
  let crashing = Promise.resolve()
  const arm = (): void => {
    const moment = moments.shift()
    if (moment === undefined) return
    run.before(moment, async () => {
      crashing = (async () => {
        await sleep(random() * 20)
        await server.stop('immediate')
        await sleep(random() * 300)
        await server.restart()
        crashes++
        arm()
      })()
      // The statement is sent to a server that is about to crash, or to nobody.
      if (random() < 0.5) await crashing
    })
  }
  run.before(slice('guard'), async () => arm())
  const report = await execute(run.storage, { jobs: 2 })
  await crashing
  expect(crashes).toBeGreaterThan(2)
  expect(report).toMatchObject(sound)
  await stage.reconnect()
  expect(await stage.now()).toEqual(stage.end)
  expect(await stage.harm()).toEqual([])
  await endsRight(stage)
})

test('P2: a COMMIT that a crashed server has never heard of is not taken for done', async () => {
  // Nothing of the transaction is in the log when the server crashes: it will give the same number to somebody else.
  await using server = await scratchServer({ wal_writer_delay: '10000ms' })
  await using stage = await sceneOn(server.url)
  await stage.session.query('CHECKPOINT')
  const run = pausable(stage.storage)
  const begun = run.pauseBefore(slice('guard'))
  const running = execute(run.storage)
  await begun.reached
  const pause = run.pauseBefore(slice('commit'))
  begun.resume()
  await pause.reached
  await server.stop('immediate')
  await server.restart()
  pause.resume()
  expect(await running).toMatchObject(sound)
  expect(run.statements.filter((statement) => statement.includes('pg_xact_status'))).not.toEqual([])
  await stage.reconnect()
  expect(await stage.now()).toEqual(stage.end)
  await endsRight(stage)
})
