// The plan against brute force: the budget is kept, more budget never gains less, and what it promises is what counting gives.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planDefragmentation } from '../../../src/powersync/defragment/plan.ts'
import type { BucketFacts, Cut, DefragmentFacts } from '../../../src/powersync/defragment/plan.ts'

/** An operation of a bucket after compaction of the rest: a live row that so many buckets hold, or a dead operation. */
type Slot = { readonly copies: number; readonly bytes: number } | 'dead'

const liveSlot = fc.record({ copies: fc.constantFrom(1, 1, 1, 2, 3), bytes: fc.integer({ min: 180, max: 900 }) })
const deadRun = fc.integer({ min: 0, max: 12 }).map((length) => Array.from<'dead'>({ length }).fill('dead'))
const slots = fc
  .array(fc.tuple(deadRun, liveSlot), { maxLength: 12 })
  .chain((runs) => deadRun.map((end): Slot[] => [...runs.flat(2), ...end]))
const storages = fc.array(slots, { minLength: 1, maxLength: 6 })
const deadBytes = 53

/** Op ids are 10, 20, … The operations after moving the first rows and compacting, by doing it. */
function afterMoving(bucket: readonly Slot[], rows: number) {
  const live = bucket.filter((slot) => slot !== 'dead')
  let seen = 0
  const moved = bucket.map((slot) => (slot !== 'dead' && seen++ < rows ? 'dead' : slot))
  const all = [...moved, ...live.slice(0, rows)]
  const first = all.findIndex((slot) => slot !== 'dead')
  const leading = first < 0 ? all.length : first
  const rest = all.slice(leading)
  return {
    operations: rest.length + Math.min(1, leading),
    rows: live.length,
    bytesEstimate:
      live.reduce((sum, { bytes }) => sum + bytes, 0) +
      deadBytes * (rest.filter((slot) => slot === 'dead').length + Math.min(1, leading)),
  }
}

function factsOf(name: string, bucket: readonly Slot[]): BucketFacts {
  const positions = bucket.flatMap((slot, at) => (slot === 'dead' ? [] : [at]))
  const live = bucket.filter((slot) => slot !== 'dead')
  const cuts: Cut[] = []
  for (let rows = 1; rows <= live.length; rows++) {
    const cut = {
      rows,
      moveBelow: (positions[rows] ?? bucket.length) * 10 + 10,
      after: afterMoving(bucket, rows),
      resent: {
        operations: live.slice(0, rows).reduce((sum, { copies }) => sum + copies, 0),
        bytesEstimate: live.slice(0, rows).reduce((sum, { copies, bytes }) => sum + copies * bytes, 0),
      },
    }
    if (cut.after.operations < (cuts.at(-1)?.after.operations ?? Infinity)) cuts.push(cut)
  }
  const now = { ...afterMoving(bucket, 0), operations: bucket.length }
  return { bucket: name, now, compacted: afterMoving(bucket, 0), cuts }
}

function storageOf(buckets: readonly (readonly Slot[])[]): DefragmentFacts {
  const facts = buckets.map((bucket, at) => factsOf(`b[${at}]`, bucket))
  const total = (of: (facts: BucketFacts) => BucketFacts['now']) =>
    facts.map(of).reduce((sum, measure) => ({
      operations: sum.operations + measure.operations,
      rows: sum.rows + measure.rows,
      bytesEstimate: sum.bytesEstimate + measure.bytesEstimate,
    }))
  return {
    upTo: 1_000_000,
    buckets: facts,
    total: { buckets: facts.length, now: total(({ now }) => now), compacted: total(({ compacted }) => compacted) },
  }
}

/** The best that any choice of cuts saves. */
function bestSaving(facts: DefragmentFacts, maxRows: number): number {
  let best = new Map([[0, 0]])
  for (const { compacted, cuts } of facts.buckets) {
    const next = new Map(best)
    for (const [spent, saved] of best)
      for (const cut of cuts) {
        const cost = spent + cut.resent.operations
        if (cost > maxRows) continue
        next.set(cost, Math.max(next.get(cost) ?? 0, saved + compacted.operations - cut.after.operations))
      }
    best = next
  }
  return Math.max(...best.values())
}

const saving = (facts: DefragmentFacts, budget: Parameters<typeof planDefragmentation>[1]): number =>
  planDefragmentation(facts, budget).saved.operations

describe('a budget', () => {
  test('is never exceeded, and the figures add up', () => {
    fc.assert(
      fc.property(storages, fc.nat(60), fc.nat(20_000), (buckets, maxResyncRows, maxResyncBytes) => {
        const facts = storageOf(buckets)
        for (const budget of [{ maxResyncRows }, { maxResyncBytes }, { maxResyncRows, maxResyncBytes }]) {
          const plan = planDefragmentation(facts, budget)
          expect(plan.resent.operations).toBeLessThanOrEqual(budget.maxResyncRows ?? Infinity)
          expect(plan.resent.bytesEstimate).toBeLessThanOrEqual(budget.maxResyncBytes ?? Infinity)
          expect(plan.after.operations).toBe(
            facts.buckets
              .map(({ bucket, compacted }) => plan.buckets.find((move) => move.bucket === bucket)?.after ?? compacted)
              .reduce((sum, { operations }) => sum + operations, 0),
          )
          expect(plan.saved.operations).toBe(facts.total.compacted.operations - plan.after.operations)
          for (const move of plan.buckets) expect(move.saved.operations).toBeGreaterThan(0)
        }
      }),
    )
  })

  test('that is larger never gains less', () => {
    fc.assert(
      fc.property(storages, (buckets) => {
        const facts = storageOf(buckets)
        for (let rows = 0, before = 0; rows <= 40; rows++) {
          const now = saving(facts, { maxResyncRows: rows })
          expect(now).toBeGreaterThanOrEqual(before)
          before = now
        }
        for (let bytes = 0, before = 0; bytes <= 20_000; bytes += 500) {
          const now = saving(facts, { maxResyncBytes: bytes })
          expect(now).toBeGreaterThanOrEqual(before)
          before = now
        }
      }),
    )
  })

  test('of rows buys what the best choice would, but for less than one bucket', () => {
    fc.assert(
      fc.property(storages, fc.nat(40), (buckets, maxResyncRows) => {
        const facts = storageOf(buckets)
        const best = bestSaving(facts, maxResyncRows)
        const largest = Math.max(
          0,
          ...facts.buckets.map(({ compacted, cuts }) => compacted.operations - (cuts.at(-1)?.after.operations ?? 0)),
        )
        const got = saving(facts, { maxResyncRows })
        expect(got).toBeLessThanOrEqual(best)
        expect(got).toBeGreaterThanOrEqual(best - largest)
      }),
    )
  })

  test('without end leaves each bucket with its live rows and one CLEAR', () => {
    fc.assert(
      fc.property(storages, (buckets) => {
        const facts = storageOf(buckets)
        const plan = planDefragmentation(facts, { maxResyncRows: Infinity })
        for (const { bucket, compacted } of facts.buckets) {
          const after = plan.buckets.find((move) => move.bucket === bucket)?.after ?? compacted
          expect(after.operations).toBe(Math.min(compacted.operations, after.rows + 1))
        }
        expect(plan.limitedBy).toBeNull()
      }),
    )
  })
})

test('without a budget each row sent again spares a new client at least one operation', () => {
  fc.assert(
    fc.property(storages, (buckets) => {
      const facts = storageOf(buckets)
      const plan = planDefragmentation(facts)
      for (const move of plan.buckets) {
        expect(move.saved.operations).toBeGreaterThanOrEqual(move.resent.operations)
        // Going further would cost more than it spares.
        const { cuts } = facts.buckets.find(({ bucket }) => bucket === move.bucket)!
        for (const cut of cuts.filter(({ rows }) => rows > move.rows))
          expect(move.after.operations - cut.after.operations).toBeLessThan(
            cut.resent.operations - move.resent.operations,
          )
      }
    }),
  )
})

test('a ratio asked for is reached with the fewest rows, where it can be reached', () => {
  fc.assert(
    fc.property(storages, fc.double({ min: 1, max: 6, noNaN: true }), (buckets, targetRatio) => {
      const facts = storageOf(buckets)
      const plan = planDefragmentation(facts, { targetRatio })
      for (const { bucket, compacted, cuts } of facts.buckets) {
        const reaches = ({ operations, rows }: Cut['after']): boolean => operations <= targetRatio * rows
        const moved = plan.buckets.find((move) => move.bucket === bucket)?.rows ?? 0
        const fewest = reaches(compacted) ? 0 : cuts.find(({ after }) => reaches(after))?.rows
        if (fewest !== undefined) expect(moved).toBe(fewest)
      }
    }),
  )
})

test('one old row before ten thousand dead operations: one row is moved, for all of them', () => {
  const row = { copies: 1, bytes: 300 }
  const bucket: Slot[] = [row, ...Array.from<'dead'>({ length: 10_000 }).fill('dead')]
  const plan = planDefragmentation(storageOf([bucket, [row, row, row]]))
  expect(plan.buckets).toHaveLength(1)
  expect(plan.buckets[0]).toMatchObject({
    bucket: 'b[0]',
    rows: 1,
    after: { operations: 2, rows: 1 },
    resent: { operations: 1, bytesEstimate: 300 },
    saved: { operations: 9_999 },
  })
})

test('a cut too dear for the budget gives way to cheaper ones before it', () => {
  const row = { copies: 1, bytes: 300 }
  const dead = (length: number): 'dead'[] => Array.from<'dead'>({ length }).fill('dead')
  // Behind the third row lies much, behind the first a little.
  const facts = storageOf([[row, ...dead(4), row, row, ...dead(1000)]])
  expect(planDefragmentation(facts, { maxResyncRows: 2 })).toMatchObject({
    rows: 1,
    saved: { operations: 3 },
    limitedBy: 'rows',
  })
  expect(planDefragmentation(facts, { maxResyncRows: 3 })).toMatchObject({ rows: 3, limitedBy: null })
})
