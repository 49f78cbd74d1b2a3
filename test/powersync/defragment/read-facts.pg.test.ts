// The facts that planning rests on, against counting by hand: what a cut promises is what moving those rows and compacting gives.
import { describe, expect, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import type { BucketFacts, Cut, DefragmentFacts } from '../../../src/powersync/defragment/plan.ts'
import { readDefragmentFacts, streamDefragmentFacts } from '../../../src/powersync/defragment/read-facts.ts'
import { servedStream } from '../../../src/powersync/streams.ts'
import { put, readBuckets, remove, writeBucket } from '../../support/powersync/operations.ts'
import type { Operation } from '../../support/powersync/operations.ts'
import { compacted } from '../../support/powersync/reference-compactor.ts'
import { emptyStorage, loadStorage, publish, storageOf } from '../../support/powersync/storages.ts'

async function factsOf(storage: BucketStorage, upTo: number, selection = {}): Promise<BucketFacts[]> {
  await using connection = await storage.connect()
  const facts: BucketFacts[] = []
  for await (const bucket of streamDefragmentFacts(connection, await servedStream(connection), upTo, selection))
    facts.push(bucket)
  return facts
}

async function collected(storage: BucketStorage, upTo: number): Promise<DefragmentFacts> {
  await using connection = await storage.connect()
  return await readDefragmentFacts(connection, await servedStream(connection), upTo)
}

const keyOf = ({ tableName, rowId, sourceTable, sourceKey }: Operation): string =>
  JSON.stringify([tableName, rowId, sourceTable, sourceKey])

/** Live rows that no operation at all supersedes, up to the checkpoint. */
function liveRows(operations: readonly Operation[], upTo: number): Operation[] {
  const last = new Map<string, Operation>()
  for (const operation of operations)
    if (operation.op === 'PUT' || operation.op === 'REMOVE') last.set(keyOf(operation), operation)
  return [...last.values()]
    .filter(({ op, opId }) => op === 'PUT' && opId <= upTo)
    .toSorted((one, other) => one.opId - other.opId)
}

/** What is left of a bucket when these rows come again at its end, and it is compacted. */
function movedAndCompacted(
  operations: readonly Operation[],
  { moveBelow }: Pick<Cut, 'moveBelow'>,
  upTo: number,
): number {
  const within = operations.filter(({ opId }) => opId <= upTo)
  const again = liveRows(operations, upTo)
    .filter(({ opId }) => opId < moveBelow)
    .map((operation, at) => ({ ...operation, opId: upTo + 1 + at }))
  return compacted([...within, ...again], Infinity).length
}

describe.each([1, 3] as const)('a storage of version %i', (version) => {
  test('compacted and cut: every figure is what doing it gives', async () => {
    await using database = await loadStorage(version)
    const upTo = database.checkpoints.at(-1)!
    const buckets = await readBuckets(database)
    const facts = await factsOf(await storageOf(database), upTo)
    expect(facts.map(({ bucket }) => bucket).toSorted()).toEqual([...buckets.keys()].toSorted())
    let cuts = 0
    for (const { bucket, now, compacted: atRest, cuts: offered } of facts) {
      const operations = buckets.get(bucket)!
      const live = liveRows(operations, upTo)
      expect(now).toMatchObject({ operations: operations.length, rows: live.length })
      expect(atRest.operations, bucket).toBe(movedAndCompacted(operations, { moveBelow: 0 }, upTo))
      // Every cut of a small bucket, some of a large one: moving and compacting in memory is slow.
      for (const cut of offered.filter(
        (_, at) => operations.length < 500 || at % 61 === 0 || at === offered.length - 1,
      )) {
        expect(cut.after.operations, `${bucket} ${cut.rows}`).toBe(movedAndCompacted(operations, cut, upTo))
        expect(live.filter(({ opId }) => opId < cut.moveBelow)).toHaveLength(cut.rows)
        cuts++
      }
      // None that would gain is missing among the first hundred.
      const gaining = live
        .slice(0, 100)
        .map((_, at) => at + 1)
        .filter((rows) => {
          const dead = (place: number): number => operations.findIndex(({ opId }) => opId === live[place]?.opId) - place
          return rows === live.length ? operations.at(-1)!.opId > live.at(-1)!.opId : dead(rows) > dead(rows - 1)
        })
      expect(offered.map(({ rows }) => rows).filter((rows) => rows <= 100)).toEqual(gaining)
    }
    expect(cuts).toBeGreaterThan(500)
  })

  test('what is sent again counts a row in two buckets twice', async () => {
    await using database = await loadStorage(version)
    const upTo = database.checkpoints.at(-1)!
    const buckets = await readBuckets(database)
    const keyOfRow = ({ sourceTable, sourceKey }: Operation): string => `${sourceTable} ${sourceKey}`
    const copies = new Map<string, number>()
    for (const operations of buckets.values())
      for (const row of liveRows(operations, upTo)) copies.set(keyOfRow(row), (copies.get(keyOfRow(row)) ?? 0) + 1)
    // Where two queries put a row into one bucket, the service writes it there twice each time.
    const twice = await database.query<[string, string, number]>(
      `SELECT source_table, encode(source_key, 'hex'), count(*)::int - count(DISTINCT b)::int
         FROM powersync.${version === 3 ? 'v3_current_data' : 'current_data'}, jsonb_array_elements(buckets) AS b
        GROUP BY 1, 2 HAVING count(*) > count(DISTINCT b)`,
    )
    expect(twice.length).toBeGreaterThan(0)
    for (const [table, key, more] of twice) copies.set(`${table} ${key}`, copies.get(`${table} ${key}`)! + more)
    let shared = 0
    for (const { bucket, cuts } of await factsOf(await storageOf(database), upTo)) {
      const live = liveRows(buckets.get(bucket)!, upTo)
      for (const { rows, resent } of cuts) {
        const sent = live.slice(0, rows).reduce((sum, row) => sum + copies.get(keyOfRow(row))!, 0)
        expect(resent.operations).toBe(sent)
        expect(resent.bytesEstimate).toBeGreaterThan(sent * 170)
        if (sent > rows) shared++
      }
    }
    expect(shared).toBeGreaterThan(100)
  })
})

const rowOf = (id: number) => ({ table: 'lists', id: `r${id}` })

test('operations above the checkpoint are not counted, and a row that has one there needs no moving', async () => {
  await using database = await emptyStorage(2)
  await writeBucket(database, '1#b[]', [
    put(10, rowOf(1), 1),
    put(20, rowOf(2), 1),
    put(30, rowOf(2), 2),
    put(40, rowOf(3), 1),
    remove(50, rowOf(3)),
    put(60, rowOf(4), 1),
    put(70, rowOf(1), 2),
  ])
  await publish(database, 60)
  const [facts] = await factsOf(await storageOf(database), 60)
  // Live up to 60, and not superseded above it: rows 2 (30) and 4 (60).
  expect(facts).toMatchObject({
    now: { operations: 6, rows: 2 },
    compacted: { operations: 5, rows: 2 },
    cuts: [{ rows: 1, moveBelow: 60, after: { operations: 3, rows: 2 }, resent: { operations: 1 } }],
  })
  const [later] = await factsOf(await storageOf(database), 70)
  expect(later).toMatchObject({ now: { operations: 7, rows: 3 }, compacted: { operations: 6, rows: 3 } })
})

test('a bucket without live rows, and one with nothing dead, offer no cut and only count', async () => {
  await using database = await emptyStorage(2)
  await writeBucket(database, '1#gone[]', [
    put(1, rowOf(1), 1),
    remove(2, rowOf(1)),
    put(3, rowOf(2), 1),
    remove(4, rowOf(2)),
  ])
  await writeBucket(database, '1#whole["a, \\"b\\""]', [put(5, rowOf(1), 1), put(6, rowOf(2), 1)])
  await writeBucket(database, '1#later[]', [put(11, rowOf(1), 1)])
  await publish(database, 10)
  const facts = await collected(await storageOf(database), 10)
  expect(facts).toMatchObject({
    upTo: 10,
    buckets: [],
    total: { buckets: 2, now: { operations: 6, rows: 2 }, compacted: { operations: 3, rows: 2 } },
  })
})

test('many cuts are thinned out: exact among the first hundred, then within one per cent', async () => {
  await using database = await emptyStorage(2)
  const operations: Operation[] = []
  for (let id = 0; id < 6000; id++)
    operations.push(put(3 * id + 1, rowOf(id), 1), put(3 * id + 2, { table: 'lists', id: 'hot' }, id))
  await writeBucket(database, '1#b[]', operations)
  await publish(database, 20_000)
  const [facts] = await factsOf(await storageOf(database), 20_000)
  const rows = facts!.cuts.map((cut) => cut.rows)
  expect(rows.slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, at) => at + 1))
  expect(rows.length).toBeLessThan(600)
  expect(rows.at(-1)).toBe(5999)
  for (let at = 100; at < rows.length; at++) expect(rows[at]! - rows[at - 1]!).toBeLessThan(rows[at - 1]! * 0.021 + 2)
  for (const cut of facts!.cuts) expect(cut.after.operations).toBe(6001 + 5999 - cut.rows + 1)
})

test('only the buckets that are asked for, by names with commas and quotes; others are refused', async () => {
  await using database = await loadStorage(2)
  const storage = await storageOf(database)
  const upTo = database.checkpoints.at(-1)!
  const named = ['1#by_project["acme, inc","x\\"y"]', '1#global[]']
  const facts = await factsOf(storage, upTo, { buckets: named })
  expect(facts.map(({ bucket }) => bucket).toSorted()).toEqual(named)
  // A row that is also in a bucket that was not asked for still counts for both.
  const all = await factsOf(storage, upTo)
  const user = '1#by_user["user-001"]'
  expect(await factsOf(storage, upTo, { buckets: [user] })).toEqual(all.filter(({ bucket }) => bucket === user))
  expect(await factsOf(storage, upTo, { definitions: ['churn', 'archive'] })).toHaveLength(2)
  await expect(factsOf(storage, upTo, { buckets: ['global[]'] })).rejects.toMatchObject({ code: 'no-such-bucket' })
})

test('reads one moment only, changes nothing, and stops when told to', async () => {
  await using database = await loadStorage(2)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const stop = new AbortController()
  const facts = streamDefragmentFacts(connection, await servedStream(connection), 1e9, {}, stop.signal)
  expect((await facts.next()).done).toBe(false)
  expect(
    await connection.query(`SELECT current_setting('transaction_read_only'), current_setting('transaction_isolation')`),
  ).toEqual([['on', 'repeatable read']])
  stop.abort()
  await expect(
    (async () => {
      for await (const _ of facts);
    })(),
  ).rejects.toThrow(TampError)
  expect(await connection.query(`SELECT current_setting('transaction_isolation')`)).toEqual([['read committed']])
})
