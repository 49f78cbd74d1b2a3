// Relocating one bucket, judged by the real client core at every position.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Connection } from '../../../src/database/postgres.ts'
import { gapsBetween } from '../../../src/powersync/defragment/relocate/gap.ts'
import type { Gap } from '../../../src/powersync/defragment/relocate/gap.ts'
import { firstOrderedRows } from '../../../src/powersync/defragment/relocate/ordered-rows.ts'
import { relocationScript } from '../../../src/powersync/defragment/relocate/relocate-bucket.ts'
import { previewRelocation, relocateBucket } from '../../../src/powersync/defragment/relocate/relocate-bucket.ts'
import type { Relocation } from '../../../src/powersync/defragment/relocate/relocation.ts'
import { put, readBuckets, remove, writeBucket } from '../../support/powersync/operations.ts'
import type { Operation } from '../../support/powersync/operations.ts'
import { fingerprint, reduced } from '../../support/powersync/reference-compactor.ts'
import { openClient } from '../../support/powersync/client-core.ts'
import { interrupt, replay, sync } from '../../support/powersync/replay.ts'
import { readImage } from '../../support/powersync/service-lines.ts'
import type { Image } from '../../support/powersync/service-lines.ts'
import { emptyStorage, publish, storageOf } from '../../support/powersync/storages.ts'
import type { FreshDatabase } from '../../support/postgres.ts'

const global = '1#global[]'
const row = (id: string | number) => ({ table: 'lists', id: String(id) })

/** One row, then so many inserted and deleted: the documented scenario. Published after each of the three. */
function documented(count: number): { operations: Operation[]; checkpoints: number[] } {
  const operations = [put(1, row('a'), 'kept')]
  for (let n = 0; n < count; n++) operations.push(put(2 + n, row(n), `row ${n}`))
  for (let n = 0; n < count; n++) operations.push(remove(2 + count + n, row(n)))
  return { operations, checkpoints: [1, 1 + count, 1 + 2 * count] }
}

async function relocate(
  database: FreshDatabase,
  bucket: string,
  gaps: readonly Gap[],
  { checkpoint, below = Infinity }: { checkpoint: number; below?: number },
): Promise<Relocation> {
  const storage = await storageOf(database)
  await using connection: Connection = await storage.connect()
  const scope = { group: 1, bucket, checkpoint, below }
  const preview = await previewRelocation(connection, scope, gaps)
  const done = await relocateBucket(connection, scope, gaps)
  if ('reason' in done) throw new Error(done.reason)
  expect(preview).toEqual(done.relocation)
  await connection.execute('COMMIT')
  return done.relocation
}

/** Where clients may stand that completed what they were sent, and where one was cut off. */
interface Judged {
  readonly completed: number[]
  readonly cutOff: number[]
}

/** The positions at which clients do not end as one that has seen nothing but the image before. */
function failuresOf(before: Image, after: Image, checkpoints: readonly number[]): Judged {
  const completed = replay({ before, after, positions: [0, ...checkpoints] }).failures
  const cutOff = replay({ before, after, positions: 'operations', interrupted: true }).failures
  return { completed: completed.map(({ position }) => position), cutOff: cutOff.map(({ position }) => position) }
}

describe('the documented scenario', () => {
  const count = 60

  test('ends with two operations; only who was cut off inside the window downloads the bucket again', async () => {
    await using database = await emptyStorage(2)
    const { operations, checkpoints } = documented(count)
    const last = checkpoints.at(-1)!
    await writeBucket(database, global, operations)
    await publish(database, last)
    const before = await readImage(database)
    const done = await relocate(database, global, gapsBetween(checkpoints), { checkpoint: last })
    expect(done.after).toMatchObject({ operations: 2, rows: 1 })
    const left = (await readBuckets(database)).get(global)!
    expect(left.map(({ op, opId }) => [op, opId])).toEqual([
      ['CLEAR', last - 1],
      ['PUT', last],
    ])
    expect(fingerprint(reduced(left))).toBe(fingerprint(reduced(operations)))
    const after = await readImage(database)
    expect(replay({ before, after, positions: [last] }).operations).toBe(0)
    // The bucket was busy right up to the checkpoint: the window is between its last two operations.
    expect(done.crosses).toBe(true)
    expect(failuresOf(before, after, checkpoints)).toEqual({ completed: [], cutOff: [last - 1] })
  })

  test('a client cut off inside the window downloads that bucket once more, and ends right', async () => {
    await using database = await emptyStorage(2)
    const { operations, checkpoints } = documented(count)
    const last = checkpoints.at(-1)!
    await writeBucket(database, global, operations)
    await publish(database, last)
    const before = await readImage(database)
    using client = openClient()
    interrupt(client, before, last - 1)
    await relocate(database, global, gapsBetween(checkpoints), { checkpoint: last })
    const after = await readImage(database)
    expect(sync(client, after).failure).toMatch(/Checksums didn't match/)
    expect(sync(client, after)).toMatchObject({ complete: true, operations: 2 })
    expect(client.rows()).toHaveLength(1)
  })

  test('with room after the last operation no client of any kind notices', async () => {
    await using database = await emptyStorage(2)
    const { operations, checkpoints } = documented(count)
    const last = checkpoints.at(-1)! + 10
    await writeBucket(database, global, operations)
    await publish(database, last)
    const before = await readImage(database)
    const done = await relocate(database, global, gapsBetween([...checkpoints, last]), { checkpoint: last })
    expect(done.crosses).toBe(false)
    expect(failuresOf(before, await readImage(database), [...checkpoints, last])).toEqual({ completed: [], cutOff: [] })
  })

  test('the script does the same, once', async () => {
    await using database = await emptyStorage(2)
    const { operations, checkpoints } = documented(count)
    const last = checkpoints.at(-1)!
    await writeBucket(database, global, operations)
    await publish(database, last)
    const storage = await storageOf(database)
    await using connection = await storage.connect()
    const plan = await previewRelocation(
      connection,
      { group: 1, bucket: global, checkpoint: last, below: Infinity },
      gapsBetween(checkpoints),
    )
    if ('reason' in plan) throw new Error(plan.reason)
    await connection.client.query(relocationScript(plan))
    const left = (await readBuckets(database)).get(global)!
    expect(left.map(({ op }) => op)).toEqual(['CLEAR', 'PUT'])
    expect(fingerprint(reduced(left))).toBe(fingerprint(reduced(operations)))
    await expect(connection.client.query(relocationScript(plan))).rejects.toThrow(/left as it is/)
    await connection.client.query('ROLLBACK')
    expect((await readBuckets(database)).get(global)).toEqual(left)
  })

  test.each([
    ['without any list', []],
    ['where each operation was published', Array.from({ length: 200 }, (_, n) => n + 1)],
    ['where the gap is above the checkpoint', [121, 400]],
  ])('is left alone %s', async (_, checkpoints) => {
    await using database = await emptyStorage(2)
    await writeBucket(database, global, documented(count).operations)
    await publish(database, 121)
    await expect(relocate(database, global, gapsBetween(checkpoints), { checkpoint: 121 })).rejects.toThrow(
      /no range of op ids is known/,
    )
  })
})

test('a window across a checkpoint would break clients: the gaps are what keeps them from it', async () => {
  await using database = await emptyStorage(2)
  const { operations, checkpoints } = documented(60)
  const last = checkpoints.at(-1)!
  await writeBucket(database, global, operations)
  await publish(database, last)
  const before = await readImage(database)
  // Somebody claims that nothing was published since the first row, and the window is put below a checkpoint.
  const done = await relocate(database, global, [{ after: 1, upTo: last }], { checkpoint: last })
  const inside = done.clearAt
  const after = await readImage(database)
  expect(failuresOf(before, after, [...checkpoints, inside]).completed).toEqual([inside])
})

test('a row in two buckets with other data in each keeps the value that clients see', async () => {
  await using database = await emptyStorage(2)
  const other = '1#other[]'
  // The client shows the one in `other`, which came later; the one in `global` must not pass it.
  await writeBucket(database, global, [
    put(1, row('x'), 'old'),
    put(2, row('x in global only'), 1),
    ...Array.from({ length: 20 }, (_, n) => remove(10 + n, row(`gone ${n}`))),
  ])
  await writeBucket(database, other, [
    put(5, row('x'), 'new'),
    ...Array.from({ length: 20 }, (_, n) => remove(30 + n, row(`gone ${n}`))),
  ])
  await publish(database, 60)
  const before = await readImage(database)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const ordered = await firstOrderedRows(connection, 1, 60)
  expect(ordered).toEqual(new Map([[global, 1]]))
  const gaps = gapsBetween([49, 60])
  await expect(relocate(database, global, gaps, { checkpoint: 60, below: ordered.get(global)! })).rejects.toThrow(
    /its first live row cannot be moved/,
  )
  await relocate(database, other, gaps, { checkpoint: 60, below: ordered.get(other) ?? Infinity })
  const kept = await readImage(database)
  expect(replay({ before, after: kept, positions: 'operations', interrupted: true }).failures).toEqual([])
  // And were it moved all the same, clients would see another value: what the rule is for.
  await relocate(database, global, [{ after: 55, upTo: 60 }], { checkpoint: 60 })
  expect(replay({ before, after: await readImage(database), positions: [0] }).failures).not.toEqual([])
})

test('any history: all clients end right at every checkpoint, and cut off anywhere outside the window', async () => {
  await using database = await emptyStorage(2)
  const names = Array.from({ length: 6 }, (_, n) => `row ${n}`)
  const change = fc.record({
    id: fc.constantFrom(...names),
    gone: fc.boolean(),
    skip: fc.integer({ min: 0, max: 3 }),
    publish: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  })
  let relocated = 0
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 4, maxLength: 40 }), fc.nat(), async (changes, seed) => {
      await database.query('TRUNCATE powersync.bucket_data')
      const operations: Operation[] = []
      const checkpoints: number[] = []
      let opId = 0
      for (const { id, gone, skip, publish: published } of changes) {
        opId += 1 + skip
        operations.push(gone ? remove(opId, row(id)) : put(opId, row(id), opId))
        if (published) checkpoints.push(opId + (seed % 2))
        opId += seed % 2
      }
      checkpoints.push(opId)
      const last = checkpoints.at(-1)!
      await writeBucket(database, global, operations)
      await publish(database, last)
      const before = await readImage(database)
      // Not always up to the newest: what is above must stay as it is.
      const checkpoint = checkpoints[seed % checkpoints.length]!
      let done: Relocation
      try {
        done = await relocate(database, global, gapsBetween(checkpoints), { checkpoint })
      } catch {
        expect((await readBuckets(database)).get(global)).toEqual(operations)
        return
      }
      relocated++
      const left = (await readBuckets(database)).get(global)!
      expect(left.filter((one) => one.opId > checkpoint)).toEqual(operations.filter((one) => one.opId > checkpoint))
      const after = await readImage(database)
      // Only checkpoints that are still served: those from the one on up to which was relocated.
      const { completed, cutOff } = failuresOf(before, after, checkpoints)
      expect(completed).toEqual([])
      const end = Math.max(done.slots.at(-1)!, ...operations.map((one) => one.opId).filter((one) => one <= done.cut))
      for (const position of cutOff) {
        // Who was cut off there stands at the last operation that came.
        const at = operations.findLast((one) => one.opId <= position)!.opId
        expect(at >= done.clearAt && at < end, `cut off at ${position}`).toBe(true)
      }
      if (!done.crosses) expect(cutOff).toEqual([])
    }),
    { numRuns: 60, seed: 5 },
  )
  expect(relocated).toBeGreaterThan(10)
})
