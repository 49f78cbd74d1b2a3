// P1 P3: beside a service that lives: its replicator writes and publishes with its real locks, clients of the real core stand everywhere, and the
// server remembers checksums. Nobody fails, everybody ends with the same rows, and the replicator never waits for long.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import { defragmentBuckets } from '../../../src/powersync/defragment/defragment.ts'
import type { Client } from '../../support/powersync/client-core.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { clientSeed as seed, generator } from '../../support/powersync/clients.ts'
import { interrupt, stateOf, sync } from '../../support/powersync/replay.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import type { SourceChange } from '../../support/powersync/replicator.ts'
import { readImage, rememberingChecksums } from '../../support/powersync/service-lines.ts'
import type { Image } from '../../support/powersync/service-lines.ts'
import { emptyStorage, storageOf } from '../../support/powersync/storages.ts'
import type { Session } from '../../support/session.ts'
import { transaction } from '../../support/session.ts'
import { execute, pausable, scene, slice, sound } from './scene.ts'

const buckets = ['1#a[]', '1#b["x,\\"y"]', '1#c[]', '1#d[]']
const seconds = Number(process.env['TAMP_SOAK_SECONDS'] ?? 5)

/** What is served at one moment. */
function snapshot(session: Session): Promise<Image> {
  return transaction(session, 'BEGIN ISOLATION LEVEL REPEATABLE READ', () => readImage(session))
}

/** How long the replicator waited for locks, and how long its transactions took, in milliseconds. */
interface Latency {
  lock: number
  transaction: number
}

async function beside(work: (storage: BucketStorage, round: number) => Promise<number>): Promise<{
  readonly latency: Latency
  readonly rounds: number
  readonly changed: number
  readonly commits: number
  readonly syncs: number
}> {
  const random = generator(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  await using database = await emptyStorage(2)
  const storage = await storageOf(database)
  await using writer = await database.connect()
  await writer.query(`SET application_name = 'powersync-storage/1.25.0'`)
  const replicator = new Replicator(writer, { table: 'lists' })
  const truth = new Map<string, number>()
  const changes = (count: number): SourceChange[] => {
    const ids = new Set(Array.from({ length: count }, () => `row ${below(40)}`))
    return [...ids].map((id) => {
      const value = below(1000)
      const gone = random() < 0.2
      if (gone) truth.delete(id)
      else truth.set(id, value)
      const own = Number(id.slice(4)) % buckets.length
      return {
        id,
        row: gone ? null : { id, value },
        buckets: [buckets[own]!, buckets[(own + below(2)) % buckets.length]!].filter(
          (one, at, all) => all.indexOf(one) === at,
        ),
      }
    })
  }
  for (let n = 0; n < 12; n++) await replicator.flush(changes(20))
  await replicator.commit()

  const latency: Latency = { lock: 0, transaction: 0 }
  const timed = async (what: Promise<unknown>): Promise<void> => {
    const started = performance.now()
    await what
    latency.transaction = Math.max(latency.transaction, performance.now() - started)
  }
  const deadline = performance.now() + seconds * 1000
  const over = (): boolean => performance.now() > deadline
  let commits = 0
  const writing = async (): Promise<void> => {
    while (!over()) {
      for (let flushes = 1 + below(3); flushes > 0; flushes--) await timed(replicator.flush(changes(1 + below(8))))
      await timed(replicator.commit())
      commits++
      await sleep(below(60))
    }
  }
  const watching = async (): Promise<void> => {
    await using watcher = await database.connect()
    while (!over()) {
      const [row] = await watcher.query<[number | null]>(
        `SELECT max(extract(epoch FROM clock_timestamp() - query_start) * 1000)::float8 FROM pg_stat_activity
          WHERE datname = current_database() AND application_name LIKE 'powersync-storage/%' AND wait_event_type = 'Lock'`,
      )
      latency.lock = Math.max(latency.lock, row![0] ?? 0)
      await sleep(20)
    }
  }
  let rounds = 0
  let changed = 0
  const working = async (): Promise<void> => {
    while (!over()) changed += await work(storage, rounds++)
  }
  // One server that remembers, one client that stays, others that left at some checkpoint or in the middle of a download.
  const checksums = rememberingChecksums()
  const standing: Client[] = []
  using steady = openClient()
  let syncs = 0
  const agree = (client: Client, image: Image): void => {
    expect(sync(client, image, { checksums })).toMatchObject({ complete: true, failure: null })
    syncs++
  }
  const syncing = async (): Promise<void> => {
    await using reader = await database.connect()
    while (!over()) {
      const image = await snapshot(reader)
      agree(steady, image)
      using fresh = openClient()
      agree(fresh, image)
      expect(fresh.rows()).toEqual(steady.rows())
      if (standing.length < 12) standing.push(steady.fork())
      if (standing.length < 12) {
        const cutOff = openClient()
        interrupt(cutOff, image, below(image.checkpoint), { checksums })
        standing.push(cutOff)
      } else if (random() < 0.5) agree(standing[below(standing.length)]!, image)
      await sleep(30)
    }
  }
  await Promise.all([writing(), watching(), working(), syncing()])
  await replicator.commit()
  expect(await execute(storage)).toMatchObject({ ...sound, units: {} })
  const image = await snapshot(database.session)
  for (const client of [steady, ...standing]) {
    agree(client, image)
    expect(new Map(client.rows().map(({ data }) => [JSON.parse(data).id, JSON.parse(data).value]))).toEqual(truth)
    if (client !== steady) client[Symbol.dispose]()
  }
  return { latency, rounds, changed, commits, syncs }
}

describe(`a service that lives (seed ${seed})`, () => {
  test('P1 P3: beside compacting', async () => {
    const seen = await beside(async (storage, round) => {
      const report = await execute(storage, { grace: round % 2, jobs: 2, proof: 'full' })
      expect(report).toMatchObject({ ...sound, units: { failed: 0 } })
      return report.itemsChanged
    })
    console.log(`beside compacting: TAMP_TEST_SEED=${seed}, ${JSON.stringify(seen)}`)
    expect(seen.rounds).toBeGreaterThan(1)
    expect(seen.changed).toBeGreaterThan(100)
    expect(seen.commits).toBeGreaterThan(5)
    expect(seen.syncs).toBeGreaterThan(20)
    // Compacting locks nothing that it wants.
    expect(seen.latency.lock).toBeLessThan(200)
  })

  test('P1 P3: beside reinserting and compacting', async () => {
    const seen = await beside(async (storage) => {
      const report = await defragmentBuckets(storage, { mode: 'execute', how: 'reinsert', grace: 1, maxSeconds: 3 })
      expect(report).toMatchObject({ proof: { mismatches: 0 } })
      const then = await execute(storage, { grace: 1 })
      expect(then).toMatchObject(sound)
      return report.itemsChanged
    })
    console.log(`beside reinserting: TAMP_TEST_SEED=${seed}, ${JSON.stringify(seen)}`)
    expect(seen.changed).toBeGreaterThan(10)
    expect(seen.commits).toBeGreaterThan(5)
    // A batch of ours is what it waits for at most; generously, for machines that do other things besides.
    expect(seen.latency.lock).toBeLessThan(1000)
  })
})

test('P1: clients that are served page by page while slices commit end as if nothing were', async () => {
  await using stage = await scene({ seed, buckets: 1, large: 10_300, unpublished: 30 })
  const images = [await snapshot(stage.session)]
  const run = pausable(stage.storage)
  // What is stored after each commit of a slice: each of them is seen when the next slice begins, the last one at the end.
  run.before(slice('begin'), async () => void images.push(await snapshot(stage.session)), true)
  const report = await execute(run.storage)
  expect(report).toMatchObject(sound)
  images.push(await snapshot(stage.session))
  expect(images.length).toBeGreaterThan(4)
  const random = generator(seed)
  console.log(`served page by page: TAMP_TEST_SEED=${seed}, ${images.length - 1} images`)

  const newest = Math.max(...[...stage.before.values()].flat().map(({ opId }) => opId))
  const before = images[0]!
  // Below the bound that does not hold, which is what the bound is for: this test could fail.
  using early = openClient()
  let reads = 0
  const swapped = (): Image => (reads++ === 0 ? before : images.at(-1)!)
  expect(sync(early, swapped, { checkpoint: 5000 }).failure).toMatch(/didn't match/)
  for (const checkpoint of [stage.bound, newest])
    for (const [position, completed] of [
      [0, true],
      [5000, true],
      [3000, false],
      [9000, false],
      [stage.bound, true],
    ] as const) {
      const options = { checkpoint, rowsPerRead: 700 }
      using start = openClient()
      if (completed && position > 0)
        expect(sync(start, before, { checkpoint: position })).toMatchObject({ complete: true })
      if (!completed) interrupt(start, before, position, options)
      using reference = start.fork()
      expect(sync(reference, before, options)).toMatchObject({ complete: true })
      for (let trial = 0; trial < 2; trial++) {
        using client = start.fork()
        let at = 0
        const next = (): Image => {
          // Some pages between two commits, or some commits between two pages.
          if (trial === 1) while (at < images.length - 1 && random() < 0.35) at++
          else if (random() < 0.6) at = Math.min(at + 1, images.length - 1)
          return images[at]!
        }
        const where = `a client at ${position}, served ${checkpoint}, trial ${trial}`
        expect({ where, ...sync(client, next, options) }).toMatchObject({ where, complete: true, failure: null })
        expect(stateOf(client), where).toBe(stateOf(reference))
      }
    }
})
