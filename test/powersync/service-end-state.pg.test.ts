// The service's own compactor, as it is re-enacted for tests, must end as the real one did on the same storages.
import { describe, expect, test } from 'vitest'
import { readBuckets } from '../support/powersync/operations.ts'
import { compacted, violations } from '../support/powersync/reference-compactor.ts'
import { compactAsTheServiceDoes } from '../support/powersync/service-compactor.ts'
import { loadStorage } from '../support/powersync/storages.ts'

const rules = { CLEAR: 10, MOVE: 10_805, PUT: 6915, REMOVE: 8812 }
const ends = [
  [1, rules],
  [2, rules],
  [3, { CLEAR: 17, MOVE: 10_743, PUT: 6876, REMOVE: 8785 }],
] as const

describe.each(ends)('storage version %i', (version, end) => {
  test('the service ends as it did, and as the reference compactor in memory', async () => {
    await using database = await loadStorage(version)
    const before = await readBuckets(database)
    expect(before.size).toBe(112)
    const checkpoint = database.checkpoints.at(-1)!
    expect(await database.query('SELECT last_checkpoint FROM sync_rules')).toEqual([[checkpoint]])

    await using session = await database.connect()
    expect(await compactAsTheServiceDoes(session)).toBeGreaterThan(10_000)
    const after = await readBuckets(database)
    const counts: Record<string, number> = {}
    for (const { op } of [...after.values()].flat()) counts[op] = (counts[op] ?? 0) + 1
    expect(counts).toEqual(end)
    for (const [bucket, operations] of before) {
      expect(after.get(bucket), bucket).toEqual(compacted(operations, checkpoint, false))
      if (operations.length < 300) expect(violations(operations, after.get(bucket)!, checkpoint), bucket).toEqual([])
    }
    expect(await compactAsTheServiceDoes(session)).toBe(0)
  })
})
