// P2 P3 P7: what takes tamp's patience to its end: others that do not let go, checkpoints that are too young. Side by side, as each of these
// waits for something.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { serviceApplicationName } from '../../support/powersync/service-compactor.ts'
import { execute, pausable, scene, slice, sound, stealLock } from './scene.ts'

describe.concurrent('waiting', () => {
  test('P2: where another tamp has taken the lock meanwhile, the first stops before its next slice', async () => {
    await using stage = await scene({ buckets: 1, large: 10_800 })
    const first = pausable(stage.storage)
    const begun = first.pauseBefore(slice('begin'))
    const running = execute(first.storage)
    await begun.reached
    const commit = first.pauseBefore(slice('commit'))
    begun.resume()
    await commit.reached
    await stealLock(stage.session)
    await using other = await stage.connect()
    await other.query('SELECT pg_advisory_lock($1, $2)', [0x74616d70, 2])
    commit.resume()
    const report = await running
    expect(report).toMatchObject({ complete: false, failure: { code: 'locked' }, units: { done: 1, failed: 0 } })
    expect(await stage.harm()).toEqual([])
    await other.query('SELECT pg_advisory_unlock_all()')
    expect(await execute(stage.storage)).toMatchObject(sound)
    expect(await stage.now()).toEqual(stage.end)
  })

  test("P3 P7: the service's own compactor stays at work: after twenty seconds the lanes are left, and named", async () => {
    await using stage = await scene({ buckets: 2 })
    await using service = await stage.connect()
    await service.query(`SET application_name = '${serviceApplicationName}'`)
    await service.query('BEGIN')
    await service.query(`UPDATE powersync.bucket_data SET op = 'MOVE' WHERE op_id < 0`)
    const report = await execute(stage.storage)
    expect(report).toMatchObject({ complete: true, units: { planned: 0 } })
    expect(report.skipped).toEqual([{ subject: expect.any(String), reason: expect.stringMatching(/own compactor/) }])
    expect(report.seconds).toBeLessThan(40)
    expect(await stage.now()).toEqual(stage.before)
  })

  test('P3 P7: operations that somebody has locked cost their lane, which is named; our waits are short', async () => {
    await using stage = await scene({ buckets: 2 })
    await using holder = await stage.connect()
    await holder.query('BEGIN')
    await holder.query('SELECT FROM powersync.bucket_data WHERE op_id <= $1 FOR UPDATE', [stage.bound])
    let over = false
    let longest = 0
    const watching = (async () => {
      await using watcher = await stage.connect()
      while (!over) {
        const [row] = await watcher.query<[number | null]>(
          `SELECT max(extract(epoch FROM clock_timestamp() - query_start) * 1000)::float8 FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'tamp' AND wait_event_type = 'Lock'`,
        )
        longest = Math.max(longest, row![0] ?? 0)
        await sleep(20)
      }
    })()
    const report = await execute(stage.storage).finally(() => (over = true))
    await watching
    expect(longest).toBeGreaterThan(50)
    // 300 ms, and what a busy machine adds.
    expect(longest).toBeLessThan(1000)
    expect(report).toMatchObject({ units: { done: 0 } })
    expect(report.skipped).toEqual([
      { subject: expect.any(String), reason: expect.stringMatching(/^others kept it busy: .*lock timeout/) },
    ])
    await holder.query('ROLLBACK')
    expect(await stage.now()).toEqual(stage.before)
    expect(await execute(stage.storage)).toMatchObject(sound)
  })

  test('P2: told to stop while it waits for the service, it stops', async () => {
    await using stage = await scene({ buckets: 2 })
    await using service = await stage.connect()
    await service.query(`SET application_name = '${serviceApplicationName}'`)
    await service.query('BEGIN')
    await service.query(`UPDATE powersync.bucket_data SET op = 'MOVE' WHERE op_id < 0`)
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 500)
    const started = performance.now()
    const report = await execute(stage.storage, { signal: stop.signal })
    expect(performance.now() - started).toBeLessThan(8000)
    expect(report).toMatchObject({ units: { done: 0 } })
    expect(report.complete && report.skipped.length === 0).toBe(false)
    expect(await stage.now()).toEqual(stage.before)
  })

  test('P3: a process that stands still in a transaction is thrown out after ten seconds, and goes on as if nothing were', async () => {
    await using stage = await scene({ buckets: 2 })
    const run = pausable(stage.storage)
    const begun = run.pauseBefore(slice('begin'))
    const running = execute(run.storage)
    await begun.reached
    const commit = run.pauseBefore(slice('commit'))
    begun.resume()
    await commit.reached
    await using other = await stage.connect()
    const started = performance.now()
    // Every operation that it holds.
    await other.query('SELECT FROM powersync.bucket_data FOR UPDATE')
    expect(performance.now() - started).toBeGreaterThan(5000)
    expect(performance.now() - started).toBeLessThan(15_000)
    commit.resume()
    expect(await running).toMatchObject(sound)
    expect(await stage.now()).toEqual(stage.end)
  })

  test('P1 P7: a checkpoint that is too young is waited for, and that is said', async () => {
    await using stage = await scene({ buckets: 2 })
    await stage.session.query(
      `UPDATE powersync.sync_rules SET last_checkpoint_ts = clock_timestamp() - interval '8 seconds'`,
    )
    const waits: string[] = []
    const report = await compactBuckets(stage.storage, {
      mode: 'execute',
      grace: 10,
      onEvent: (event) => {
        if (event.type === 'status' && event.waiting !== null) waits.push(event.waiting)
      },
    })
    expect(report).toMatchObject({ ...sound, checkpoint: { opId: stage.bound, source: 'last_checkpoint_ts' } })
    expect(waits[0]).toMatch(new RegExp(`^waiting [12] s until checkpoint ${stage.bound} `))
    expect(await stage.now()).toEqual(stage.end)
  })

  test('P1: a run that may not wait so long ends with no-checkpoint, changes nothing, and lets the next one go on', async () => {
    await using stage = await scene({ buckets: 2 })
    // Services before 1.21 store no time.
    await stage.session.query('UPDATE powersync.sync_rules SET last_checkpoint_ts = NULL')
    await expect(compactBuckets(stage.storage, { mode: 'execute', maxSeconds: 1 })).rejects.toMatchObject({
      code: 'no-checkpoint',
      hint: expect.stringMatching(/ has been noted: run the command again in 10 minutes/),
    })
    expect(await stage.now()).toEqual(stage.before)
    await stage.session.query(`UPDATE tamp.checkpoint SET seen_at = seen_at - interval '11 minutes'`)
    await stage.session.query('UPDATE powersync.sync_rules SET last_checkpoint = last_checkpoint + 5')
    const report = await compactBuckets(stage.storage, { mode: 'execute' })
    expect(report).toMatchObject({ ...sound, checkpoint: { opId: stage.bound, source: 'ledger' } })
    expect(await stage.now()).toEqual(stage.end)
  })
})
