// Which buckets a run looks at, compared with what is found by looking at each: whatever the ledger knows of, and whatever has become of it.
import { expect, test } from 'vitest'
import { changedBuckets } from '../../src/powersync/compact/changed-buckets.ts'
import { definitionOf } from '../../src/powersync/bucket-name.ts'
import { Ledger } from '../../src/powersync/ledger.ts'
import type { BucketSelection } from '../../src/powersync/report.ts'
import { generator } from '../support/powersync/clients.ts'
import { emptyStorage, storageOf } from '../support/powersync/storages.ts'
import type { FreshDatabase } from '../support/postgres.ts'

const bound = 1000
const nameOf = (n: number): string => `1#${['all', 'by_user', 'by "user"'][n % 3]}["u${n}"]`

async function fill(database: FreshDatabase, operations: readonly (readonly [string, number])[]): Promise<void> {
  await database.query('TRUNCATE powersync.bucket_data')
  await database.query(
    `INSERT INTO powersync.bucket_data (group_id, bucket_name, op_id, op, checksum)
     SELECT 1, name, op_id, 'CLEAR', 0 FROM unnest($1::text[], $2::int8[]) AS operation (name, op_id)`,
    [operations.map(([name]) => name), operations.map(([, opId]) => opId)],
  )
}

test('random storages: those with something new up to the bound, each counted; and those without', async () => {
  await using database = await emptyStorage(2)
  const storage = await storageOf(database)
  await using connection = await storage.connect()
  const ledger = await Ledger.open(connection, storage.schema, 1, true)
  const random = generator()
  const below = (limit: number): number => Math.floor(random() * limit)
  for (let round = 0; round < 60; round++) {
    const stored = new Map<string, number[]>()
    const known = new Map<string, number>()
    const shares = [0, 0.2, 0.8, 1]
    const [isStored, isKnown] = [shares[1 + below(3)]!, shares[below(4)]!]
    for (let n = 0; n < 25; n++) {
      if (random() < isStored)
        stored.set(nameOf(n), [...new Set(Array.from({ length: 1 + below(4) }, () => 1 + below(bound * 1.3)))])
      if (random() < isKnown) known.set(nameOf(n), below(bound + 1))
    }
    await fill(
      database,
      [...stored].flatMap(([name, ids]) => ids.map((opId) => [name, opId] as const)),
    )
    await database.query('TRUNCATE tamp.compacted_bucket')
    for (const [name, to] of known) await ledger.bucketsAreCompacted(connection, [name], to)
    const selections: BucketSelection[] = [
      {},
      { definitions: ['by_user'] },
      { buckets: [...stored.keys()].slice(0, 5) },
    ]
    for (const selection of selections) {
      const { definitions, buckets } = selection
      if (definitions !== undefined && ![...stored.keys()].some((name) => definitionOf(name) === '1#by_user')) continue
      const wanted = [...stored].filter(
        ([name]) =>
          (definitions === undefined || definitionOf(name) === '1#by_user') && (buckets?.includes(name) ?? true),
      )
      const isNew = ([name, ids]: readonly [string, number[]]): boolean =>
        ids.some((opId) => opId <= bound && opId > (known.get(name) ?? 0))
      const found = await changedBuckets(connection, 1, bound, selection, ledger)
      expect(new Map(found.buckets.map(({ bucket, operations }) => [bucket, operations]))).toEqual(
        new Map(wanted.filter(isNew).map(([name, ids]) => [name, ids.filter((opId) => opId <= bound).length])),
      )
      expect(found.buckets).toHaveLength(wanted.filter(isNew).length)
      expect(found.unchanged).toBe(wanted.filter((one) => known.has(one[0]) && !isNew(one)).length)
    }
  }
})

test.each(['has new operations in each of them', 'knows only every second one', 'knows them all', 'was never used'])(
  'a ledger that %s is asked of 20,000 buckets in a moment, also of tables that the server knows nothing about',
  async (what) => {
    await using database = await emptyStorage(2)
    for (const table of ['powersync.bucket_data'])
      await database.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`)
    await database.query(
      `INSERT INTO powersync.bucket_data (group_id, bucket_name, op_id, op, checksum)
       SELECT 1, '1#by_user["' || n % 20000 || '"]', n, 'CLEAR', 0 FROM generate_series(1, 100000) n`,
    )
    const storage = await storageOf(database)
    await using connection = await storage.connect()
    const ledger = await Ledger.open(connection, storage.schema, 1, true)
    await database.query('ALTER TABLE tamp.compacted_bucket SET (autovacuum_enabled = false)')
    const names = (await database.query<[string]>('SELECT DISTINCT bucket_name FROM powersync.bucket_data')).flat()
    const half = what.includes('second') ? names.slice(0, 10_000) : what.includes('never') ? [] : names
    await ledger.bucketsAreCompacted(connection, half, what.includes('new') ? 50_000 : 100_000)
    const started = performance.now()
    const { buckets, unchanged } = await changedBuckets(connection, 1, 100_000, {}, ledger)
    // Some 0.2 s; asked one by one it took half a minute.
    expect(performance.now() - started).toBeLessThan(5000)
    const expected = what.includes('all') ? 0 : what.includes('second') ? 10_000 : 20_000
    expect([buckets.length, unchanged]).toEqual([
      expected,
      what.includes('new') || what.includes('never') ? 0 : 20_000 - expected,
    ])
    expect(buckets.every(({ operations }) => operations === 5)).toBe(true)
  },
)
