// Which checkpoint a run works up to: one that is old enough beyond doubt, and no older than it has to be.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { safeCheckpoint } from '../../src/powersync/checkpoint.ts'
import { compactBuckets } from '../../src/powersync/compact.ts'
import type { CompactOptions } from '../../src/powersync/compact.ts'
import { Ledger } from '../../src/powersync/ledger.ts'
import type { BucketReport, SafeCheckpoint } from '../../src/powersync/report.ts'
import { servedStream } from '../../src/powersync/streams.ts'
import type { FreshDatabase } from '../support/postgres.ts'
import { put, readBuckets, writeBucket } from '../support/powersync/operations.ts'
import { serviceApplicationName } from '../support/powersync/service-compactor.ts'
import { emptyStorage, publish, storageOf } from '../support/powersync/storages.ts'

const older = 20
const newest = 40

describe('the time that the service stores is of its own clock', () => {
  /** What is known of a checkpoint that, by the clocks, was published and then followed by a sign of life so many seconds ago. */
  async function known(
    database: FreshDatabase,
    { published, alive }: { published: number; alive: number | null },
  ): Promise<SafeCheckpoint | null> {
    await publish(database, newest, published)
    await database.query(
      `UPDATE powersync.sync_rules SET last_keepalive_ts = now() - make_interval(secs => $1) WHERE id = 1`,
      [alive],
    )
    await using connection = await (await storageOf(database)).connect()
    const stream = await servedStream(connection)
    const ledger = await Ledger.open(connection, 'powersync', stream.id, false)
    return await safeCheckpoint(connection, stream, ledger, 600)
  }

  test('and while it is connected, only what it wrote later says how old a checkpoint is', async () => {
    await using database = await emptyStorage(2)
    await using service = await database.connect()
    await service.query(`SET application_name = '${serviceApplicationName}'`)
    // A clock that is 15 minutes late: this checkpoint is of a second ago.
    expect(await known(database, { published: 901, alive: 900 })).toBeNull()
    expect(await known(database, { published: 901, alive: null })).toBeNull()
    expect(await known(database, { published: 901, alive: 400 })).toBeNull()
    // Ten minutes have passed on that clock.
    const checkpoint = await known(database, { published: 1510, alive: 900 })
    expect(checkpoint).toMatchObject({ opId: newest, source: 'last_checkpoint_ts' })
    expect(checkpoint?.age).toBeCloseTo(610, 1)
    // A clock that is early says no more than ours.
    expect(await known(database, { published: 300, alive: -900 })).toBeNull()
  })

  test('and when it is not connected nobody is served: the clock of the database will do', async () => {
    await using database = await emptyStorage(2)
    expect(await known(database, { published: 901, alive: 900 })).toMatchObject({ opId: newest })
    expect(await known(database, { published: 901, alive: null })).toMatchObject({ opId: newest })
    expect(await known(database, { published: 500, alive: null })).toBeNull()
  })
})

describe('beside a busy service', () => {
  const grace = 2
  const stale = 24 * 3600

  /** A checkpoint that an earlier run saw so long ago, and another that has just been published. */
  async function busyStorage(seen: number): Promise<FreshDatabase> {
    const database = await emptyStorage(2)
    await database.query(`SET application_name = '${serviceApplicationName}'`)
    const row = { table: 'lists', id: 'a' }
    await writeBucket(
      database,
      '1#global[]',
      Array.from({ length: newest }, (_, n) => put(n + 1, row, `${n}`)),
    )
    await publish(database, older)
    await using connection = await (await storageOf(database)).connect()
    const ledger = await Ledger.open(connection, 'powersync', 1, true)
    await ledger.seeCheckpoint(connection)
    await database.query(`UPDATE tamp.checkpoint SET seen_at = now() - make_interval(secs => $1)`, [seen])
    await publish(database, newest)
    return database
  }

  async function compact(
    database: FreshDatabase,
    options: Partial<CompactOptions> = {},
  ): Promise<{ report: BucketReport; waits: string[] }> {
    const waits: string[] = []
    const report = await compactBuckets(await storageOf(database), {
      mode: 'execute',
      grace,
      ...options,
      onEvent: (event) => {
        if (event.type === 'status' && event.waiting?.startsWith('waiting')) waits.push(event.waiting)
      },
    })
    return { report, waits }
  }

  test('a run a day waits for the newest checkpoint, and does not work up to that of the day before', async () => {
    await using database = await busyStorage(stale)
    const { report: dry } = await compact(database, { mode: 'dry-run' })
    expect(dry.notes.join()).toMatch(
      /is 20, seen 1440 minutes ago\. The figures assume the newest, 40: execution would wait/,
    )
    const { report, waits } = await compact(database)
    expect(report).toMatchObject({ complete: true, checkpoint: { opId: newest, source: 'waited' } })
    expect(waits).toHaveLength(1)
    expect(report.after).toEqual(dry.after)
    expect((await readBuckets(database)).get('1#global[]')).toHaveLength(2)
    // The next one has no better checkpoint to wait for, however old that one becomes.
    await database.query(`UPDATE tamp.checkpoint SET seen_at = seen_at - interval '2 days'`)
    const next = await compact(database)
    expect([next.waits, next.report.checkpoint]).toMatchObject([[], { opId: newest, source: 'ledger' }])
    expect(next.report.notes.join()).toMatch(/compacted up to checkpoint 40 already/)
  })

  test('a run of little time works up to the old one at once, as its dry run says', async () => {
    await using database = await busyStorage(stale)
    const { report: dry } = await compact(database, { mode: 'dry-run', grace: 600, maxSeconds: 60 })
    const { report, waits } = await compact(database, { grace: 600, maxSeconds: 60 })
    expect(waits).toEqual([])
    for (const one of [dry, report]) expect(one.checkpoint).toMatchObject({ opId: older, source: 'ledger' })
    expect(report.after).toEqual(dry.after)
    expect((await readBuckets(database)).get('1#global[]')).toHaveLength(newest - older + 2)
  })

  test('a run an hour works up to that of the hour before, and does not wait', async () => {
    await using database = await busyStorage(3600)
    const { report, waits } = await compact(database, { grace: 600 })
    expect([waits, report.checkpoint]).toMatchObject([[], { opId: older, source: 'ledger' }])
  })

  test('a script cannot wait: it is made for the old one', async () => {
    await using database = await busyStorage(stale)
    const written: string[] = []
    const { report } = await compact(database, { mode: 'script', write: async (text) => void written.push(text) })
    expect(report.checkpoint).toMatchObject({ opId: older })
    expect(written.join('')).toMatch(/up to checkpoint 20\./)
  })

  test('who stops a run while it waits stops it', async () => {
    await using database = await busyStorage(stale)
    const stop = new AbortController()
    const started = performance.now()
    setTimeout(() => stop.abort(), 500)
    const { report } = await compact(database, { grace: 600, signal: stop.signal })
    expect(performance.now() - started).toBeLessThan(10_000)
    expect(report).toMatchObject({ complete: false, stopped: 'interrupted' })
  })

  test('waiting holds no connection but that of the lock, and outlives the loss of it', async () => {
    await using database = await busyStorage(stale)
    const running = compact(database, { grace: 5 })
    const connections = (): Promise<[string][]> =>
      database.query<[string]>(
        `SELECT query FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tamp'`,
      )
    await sleep(2500)
    expect(await connections()).toEqual([[expect.stringContaining('pg_try_advisory_lock')]])
    await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tamp'`,
    )
    const { report } = await running
    expect(report).toMatchObject({ complete: true, checkpoint: { opId: newest } })
    expect((await readBuckets(database)).get('1#global[]')).toHaveLength(2)
  })

  test('what takes the place of the storage meanwhile is left alone', async () => {
    await using database = await busyStorage(stale)
    const running = compact(database, { grace: 3 })
    await sleep(1500)
    await database.query(`UPDATE powersync.sync_rules SET slot_name = 'powersync_1_beef'`)
    await expect(running).rejects.toMatchObject({ code: 'no-checkpoint' })
    expect((await readBuckets(database)).get('1#global[]')).toHaveLength(newest)
  })
})
