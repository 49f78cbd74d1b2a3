// P1 P7: what cannot be done is said in one sentence, and nothing is changed; what is broken is named and stops nothing else; streams that are not
// served are left alone, and what tamp remembers of another time is not believed.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import { put, readBuckets, writeBucket } from '../../support/powersync/operations.ts'
import { execute, pausable, scene, slice, sound } from './scene.ts'
import type { Scene } from './scene.ts'

let stage: Scene
beforeAll(async () => {
  stage = await scene({ buckets: 5 })
})
beforeEach(() => stage.restore())
afterAll(() => stage?.[Symbol.asyncDispose]())

describe('streams', () => {
  const states = (...list: readonly [id: number, state: string, lastCheckpoint?: number | null][]) =>
    stage.session.query(
      `UPDATE powersync.sync_rules SET state = 'STOP';
       ${list
         .map(
           ([id, state, checkpoint]) =>
             `INSERT INTO powersync.sync_rules SELECT (s).* FROM (SELECT jsonb_populate_record(s, jsonb_build_object('id', ${id}, 'state', '${state}',
                'slot_name', 'slot ${id}' ${checkpoint === undefined ? '' : `, 'last_checkpoint', ${checkpoint}`})) AS s FROM powersync.sync_rules s WHERE id = 1) x
              ON CONFLICT (id) DO UPDATE SET state = excluded.state, last_checkpoint = excluded.last_checkpoint`,
         )
         .join('; ')}`,
    )

  test.each([
    ['the only stream is being replicated for the first time', [[1, 'PROCESSING']], /for the first time/],
    ['the only stream has stopped', [[1, 'STOP']], /no replication stream/],
    ['nothing has been published', [[1, 'ACTIVE', null]], /not published a checkpoint yet/],
  ] as const)('P7: %s: one sentence, and nothing is changed', async (_, list, message) => {
    await states(...(list as unknown as [number, string][]))
    for (const mode of ['dry-run', 'script', 'execute'] as const) {
      const options = { mode, grace: 0, write: () => {} }
      const expected = { code: 'no-checkpoint', message: expect.stringMatching(message) }
      await expect(compactBuckets(stage.storage, options)).rejects.toMatchObject(expected)
      await expect(defragmentBuckets(stage.storage, { ...options, how: 'reinsert' })).rejects.toMatchObject(expected)
    }
    expect(await stage.now()).toEqual(stage.before)
  })

  test('P7: a storage version that is not known is refused', async () => {
    await stage.session.query('UPDATE powersync.sync_rules SET storage_version = 4')
    for (const mode of ['dry-run', 'execute'] as const)
      await expect(compactBuckets(stage.storage, { mode, grace: 0 })).rejects.toMatchObject({ code: 'unknown-schema' })
    expect(await stage.now()).toEqual(stage.before)
  })

  test('P1: a stream in state ERRORED still serves clients, and is compacted; groups of other streams are left alone', async () => {
    await states([1, 'ERRORED'], [2, 'PROCESSING'], [3, 'STOP'])
    const [bucket, operations] = [...stage.before][0]!
    for (const group of [2, 3]) await writeBucket(stage.session, bucket, operations, group)
    const others = [await readBuckets(stage.session, { group: 2 }), await readBuckets(stage.session, { group: 3 })]
    const report = await execute(stage.storage)
    expect(report).toMatchObject({ ...sound, stream: { id: 1, state: 'ERRORED' } })
    expect(await stage.now()).toEqual(stage.end)
    expect([await readBuckets(stage.session, { group: 2 }), await readBuckets(stage.session, { group: 3 })]).toEqual(
      others,
    )
  })

  test.each([
    ['is replaced by another', () => states([2, 'ACTIVE']), /no longer the one/],
    [
      'goes back behind the bound',
      () => stage.session.query('UPDATE powersync.sync_rules SET last_checkpoint = 5 WHERE id = 1'),
      /went back from \d+ to 5/,
    ],
  ])('P1 P7: a stream that %s in the middle of a run: nothing more is changed', async (_, change, reason) => {
    await using large = await scene({ buckets: 1, large: 10_800 })
    const own = stage
    stage = large
    try {
      const run = pausable(large.storage)
      let then: unknown
      run.before(slice('begin'), async () =>
        run.before(slice('begin'), async () => {
          await change()
          then = await large.now()
        }),
      )
      const report = await execute(run.storage)
      expect(await large.now()).toEqual(then)
      expect(report.units).toMatchObject({ done: 1 })
      expect(report.skipped.map((one) => one.reason)).toContainEqual(expect.stringMatching(reason))
      expect(await large.session.query('SELECT * FROM tamp.compacted_stream')).toEqual([])
    } finally {
      stage = own
    }
  })
})

describe('what is remembered', () => {
  test('P1: a ledger from the future of a storage that was restored is not believed', async () => {
    expect(await execute(stage.storage)).toMatchObject(sound)
    await stage.session.query('UPDATE tamp.compacted_bucket SET compacted_to = compacted_to + 1000')
    await stage.session.query('UPDATE tamp.compacted_stream SET compacted_to = compacted_to + 1000')
    await stage.session.query(`UPDATE tamp.checkpoint SET op_id = op_id + 1000, seen_at = seen_at - interval '1 day'`)
    await stage.session.query('TRUNCATE powersync.bucket_data')
    await stage.session.query('INSERT INTO powersync.bucket_data TABLE public.saved_bucket_data')
    const dry = await compactBuckets(stage.storage, { mode: 'dry-run', grace: 0 })
    expect(dry.lanes).toHaveLength(1)
    expect(dry.after.operations).toBeLessThan(dry.before.operations!)
    const report = await execute(stage.storage)
    expect(report).toMatchObject(sound)
    expect(report.checkpoint?.opId).toBe(stage.bound)
    expect(report.after).toEqual(dry.after)
    expect(await stage.now()).toEqual(stage.end)
    // Nor is a checkpoint that it saw there ever taken for one that was published long ago.
    expect(await stage.session.query('SELECT op_id FROM tamp.checkpoint')).toEqual([[stage.bound]])
  })

  test('P6: a bucket that has something new is read again, and no other', async () => {
    expect(await execute(stage.storage)).toMatchObject(sound)
    const [bucket] = [...stage.before.keys()].sort()
    const next = stage.bound + 100
    await writeBucket(stage.session, bucket!, [put(next, { table: 'todos', id: '0' }, 'new')])
    await stage.session.query('UPDATE powersync.sync_rules SET last_checkpoint = $1', [next])
    const report = await execute(stage.storage)
    expect(report).toMatchObject(sound)
    // Those that have operations between the two bounds as well.
    const changed = [...stage.before].filter(([name, all]) => name === bucket || all.at(-1)!.opId > stage.bound).length
    expect(report.unchangedBuckets).toBe(stage.before.size - changed)
  })
})

describe('what is asked for', () => {
  test('P7: a bucket or a definition that is not there is named, and nothing is changed', async () => {
    const [bucket] = [...stage.before.keys()]
    for (const mode of ['dry-run', 'execute'] as const) {
      await expect(
        compactBuckets(stage.storage, { mode, grace: 0, buckets: [bucket!, '1#nowhere["x,y"]'] }),
      ).rejects.toMatchObject({ code: 'no-such-bucket', message: expect.stringContaining('1#nowhere["x,y"]') })
      await expect(compactBuckets(stage.storage, { mode, grace: 0, definitions: ['nowhere'] })).rejects.toMatchObject({
        code: 'no-such-bucket',
      })
    }
    expect(await stage.now()).toEqual(stage.before)
  })

  test('P5: no bucket at all, or one alone: no other is changed', async () => {
    expect(await execute(stage.storage, { buckets: [] })).toMatchObject({ ...sound, units: { planned: 0 } })
    expect(await stage.now()).toEqual(stage.before)
    const [bucket] = [...stage.before.keys()]
    expect(await execute(stage.storage, { buckets: [bucket!] })).toMatchObject(sound)
    expect(await stage.now()).toEqual(new Map([...stage.before, [bucket!, stage.end.get(bucket!)!]]))
    // The whole stream is not taken for compacted.
    expect(await execute(stage.storage)).toMatchObject(sound)
    expect(await stage.now()).toEqual(stage.end)
  })

  test('P7: buckets with operations of no known form are left alone and named; the others are compacted', async () => {
    const [first, second] = [...stage.before.keys()]
    await stage.session.query(
      `UPDATE powersync.bucket_data SET op = 'SPLIT' WHERE op_id = (SELECT min(op_id) FROM powersync.bucket_data WHERE bucket_name = $1)`,
      [first],
    )
    await stage.session.query(
      `UPDATE powersync.bucket_data SET op = 'CLEAR', source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL
        WHERE op_id = (SELECT op_id FROM powersync.bucket_data WHERE bucket_name = $1 ORDER BY op_id OFFSET 10 LIMIT 1)`,
      [second],
    )
    const broken = await stage.now()
    const dry = await compactBuckets(stage.storage, { mode: 'dry-run', grace: 0 })
    const report = await execute(stage.storage)
    expect(report).toMatchObject({ complete: true, units: { failed: 0 }, proof: { mismatches: 0 } })
    expect(report.skipped.map(({ subject }) => subject).sort()).toEqual([first, second].sort())
    expect(report.after).toEqual(dry.after)
    const now = await stage.now()
    for (const [bucket, operations] of stage.end)
      expect(now.get(bucket)).toEqual(bucket === first || bucket === second ? broken.get(bucket) : operations)
    // They are named again by the next run.
    expect((await execute(stage.storage)).skipped.map(({ subject }) => subject).sort()).toEqual([first, second].sort())
  })
})
