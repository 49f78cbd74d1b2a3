// Two compactors at once, and every order in which they hurt each other: a second tamp, and the service's own compactor, whose updates
// go by op ids alone.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readBuckets } from '../../support/powersync/operations.ts'
import type { Buckets } from '../../support/powersync/operations.ts'
import { compactAsTheServiceDoes, serviceApplicationName } from '../../support/powersync/service-compactor.ts'
import { execute, largeBucket, pausable, scene, slice, sound, stealLock, verifies } from './scene.ts'
import type { Scene } from './scene.ts'

let stage: Scene
beforeAll(async () => {
  stage = await scene({ buckets: 3 })
})
beforeEach(() => stage.restore())
afterAll(() => stage?.[Symbol.asyncDispose]())

/** All but where CLEARs and MOVEs point: the service may have put something else there, which no client ever sees. */
function withoutTargets(buckets: Buckets): unknown {
  return new Map(
    [...buckets].map(([bucket, operations]) => [
      bucket,
      operations.map((operation) => ({ ...operation, targetOp: operation.op === 'CLEAR' ? null : operation.targetOp })),
    ]),
  )
}

describe('two tamps at once', () => {
  test('P3: the second is told so, and writes nothing', async () => {
    const first = pausable(stage.storage)
    const pause = first.pauseBefore(slice('begin'))
    const running = execute(first.storage)
    await pause.reached
    await expect(execute(stage.storage)).rejects.toMatchObject({ code: 'locked', exitStatus: 11 })
    expect(await stage.now()).toEqual(stage.before)
    pause.resume()
    expect(await running).toMatchObject(sound)
    expect(await stage.now()).toEqual(stage.end)
    expect((await execute(stage.storage)).units.planned).toBe(0)
  })

  test('P2: a lock that is lost alone is taken again', async () => {
    const run = pausable(stage.storage)
    run.before(slice('begin'), () => stealLock(stage.session))
    const pause = run.pauseBefore(verifies)
    // The slice at hand does not notice; the next one asks.
    const running = execute(run.storage)
    await pause.reached
    pause.resume()
    expect(await running).toMatchObject(sound)
    await stage.restore()
    await using large = await scene({ buckets: 1, large: 10_800 })
    const longer = pausable(large.storage)
    longer.before(slice('begin'), () => stealLock(large.session))
    const commit = longer.pauseBefore(slice('move'))
    const longRun = execute(longer.storage)
    await commit.reached
    await expect(execute(large.storage)).rejects.toMatchObject({ code: 'locked' })
    commit.resume()
    expect(await longRun).toMatchObject(sound)
    expect(await large.now()).toEqual(large.end)
  })

  test.each(['begin', 'clear', 'move', 'commit'])(
    'P1: without the lock, a second that carries out the same slice while the first stands before its %s harms nothing',
    async (name) => {
      const first = pausable(stage.storage)
      const begun = first.pauseBefore(slice('begin'))
      const running = execute(first.storage)
      await begun.reached
      const pause = first.pauseBefore(slice(name))
      begun.resume()
      if (name !== 'begin') await pause.reached
      await stealLock(stage.session)
      const second = pausable(stage.storage)
      const meets = execute(second.storage)
      await sleep(200)
      pause.resume()
      const reports = await Promise.all([running, meets].map((one) => one.catch((error: unknown) => error)))
      for (const report of reports)
        if (!(report instanceof Error)) expect(report).toMatchObject({ units: { failed: 0 } })
      expect(await stage.harm()).toEqual([])
      await execute(stage.storage, { full: true })
      expect(await stage.now()).toEqual(stage.end)
    },
  )
})

describe("the service's own compactor", () => {
  test('P3: tamp waits while it is at work, and goes on when it has ended', async () => {
    const service = await stage.connect()
    const released = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    const serving = compactAsTheServiceDoes(service, {
      afterBatch: async () => {
        reached.resolve()
        await released.promise
      },
    }).finally(() => service[Symbol.asyncDispose]())
    await reached.promise
    const run = pausable(stage.storage)
    const running = execute(run.storage)
    await sleep(800)
    expect(run.statements.filter((statement) => statement.startsWith('WITH slice AS'))).toEqual([])
    released.resolve()
    await serving
    const report = await running
    // What it had planned is no longer there: it says so, or has nothing left to do.
    expect(report).toMatchObject({ complete: true, units: { failed: 0 }, proof: { mismatches: 0 } })
    for (const { reason } of report.skipped) expect(reason).toMatch(/somebody else changed it meanwhile/)
    expect(await stage.harm()).toEqual([])
    expect(await execute(stage.storage)).toMatchObject(sound)
    expect(withoutTargets(await stage.now())).toEqual(withoutTargets(stage.end))
  })

  test('P3: a replicator of the service at work is not taken for it', async () => {
    await using service = await stage.connect()
    await service.query(`SET application_name = '${serviceApplicationName}'`)
    await service.query('BEGIN')
    await service.query('INSERT INTO powersync.bucket_data SELECT * FROM powersync.bucket_data WHERE op_id < 0')
    expect(await execute(stage.storage)).toMatchObject(sound)
    await service.query('ROLLBACK')
  })

  test.each(['begin', 'guard', 'clear', 'move', 'commit', 'verify'])(
    'P1: it begins while tamp stands before its %s: no client is harmed, and the next run ends right',
    async (name) => {
      const run = pausable(stage.storage)
      const begun = run.pauseBefore(slice('begin'))
      const running = execute(run.storage)
      await begun.reached
      const pause = name === 'begin' ? begun : run.pauseBefore(name === 'verify' ? verifies : slice(name))
      if (name !== 'begin') {
        begun.resume()
        await pause.reached
      }
      const service = await stage.connect()
      const serving = compactAsTheServiceDoes(service)
        // It may meet a change of ours, and fails then, as the real one does.
        .catch(({ code }: { code: string }) => expect(code).toBe('40001'))
        .finally(() => service[Symbol.asyncDispose]())
      await Promise.race([serving, sleep(300)])
      pause.resume()
      const [report] = await Promise.all([running, serving])
      expect(report).toMatchObject({ complete: true, units: { failed: 0 }, proof: { mismatches: 0 } })
      expect(await stage.harm()).toEqual([])
      await execute(stage.storage, { full: true })
      expect(withoutTargets(await stage.now())).toEqual(withoutTargets(stage.end))
    },
  )

  /** Its update of operations that it had chosen before; then it is stopped. */
  async function strayUpdate(of: Scene): Promise<[string, number][]> {
    await using service = await of.connect()
    await service.query(`SET application_name = '${serviceApplicationName}'`)
    return await service.query<[string, number]>(
      `UPDATE powersync.bucket_data SET op = 'MOVE', target_op = op_id + 1, table_name = NULL, row_id = NULL, data = NULL,
              source_table = NULL, source_key = NULL WHERE op = 'CLEAR' RETURNING bucket_name, op_id`,
    )
  }

  test('P1 P7: it turns CLEARs into MOVEs and is stopped: they are set back, and that is said', async () => {
    const run = pausable(stage.storage)
    let struck: [string, number][] = []
    let harm: string[] = []
    // Before anything is read once more.
    run.before(slice('commit'), async () => {
      run.before(slice('commit'), async () => {
        run.before(/^SELECT/, async () => {
          struck = await strayUpdate(stage)
          harm = await stage.harm()
        })
      })
    })
    const report = await execute(run.storage)
    expect(struck.length).toBeGreaterThan(1)
    expect(harm).not.toEqual([])
    expect(report).toMatchObject(sound)
    expect(report.notes).toContainEqual(expect.stringMatching(/^2 CLEARs|^3 CLEARs/))
    expect(await stage.harm()).toEqual([])
    expect(withoutTargets(await stage.now())).toEqual(withoutTargets(stage.end))
  })

  test('P1: the same between two steps of a large bucket', async () => {
    await using large = await scene({ buckets: 1, large: 10_800 })
    const run = pausable(large.storage)
    let struck: [string, number][] = []
    run.before(slice('begin'), async () =>
      run.before(slice('begin'), async () => {
        struck = await strayUpdate(large)
      }),
    )
    const report = await execute(run.storage)
    expect(struck.map(([bucket]) => bucket)).toContain(largeBucket)
    expect(report).toMatchObject({ units: { failed: 0 }, proof: { mismatches: 0 } })
    expect(await large.harm()).toEqual([])
    await execute(large.storage)
    expect(withoutTargets(await readBuckets(large.session))).toEqual(withoutTargets(large.end))
  })
})
