// Where relocated rows are put: for any bucket and any checkpoints the window never holds a checkpoint, nor anything that stays.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  cutIn,
  gapsBetween,
  mayCross,
  placeAbove,
  windowAmong,
  windowAt,
} from '../../../src/powersync/defragment/relocate/gap.ts'

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 2, maxLength: 40 })
const sorted = (numbers: readonly number[]): number[] => numbers.toSorted((a, b) => a - b)

test('a window lies in its gap, and leaves room for nobody to stand in it unnoticed', () => {
  let fitted = 0
  let clean = 0
  fc.assert(
    fc.property(
      ids,
      ids,
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 8 }),
      fc.boolean(),
      (list, operations, below, rows, reserved) => {
        const checkpoints = sorted(list)
        const checkpoint = checkpoints.at(-1)!
        const bucket = sorted(operations).filter((opId) => opId <= checkpoint)
        for (const gap of gapsBetween(checkpoints)) {
          const cut = cutIn(gap, checkpoint, below)
          if (cut === undefined) continue
          const replaced = bucket.filter((opId) => opId <= cut)
          const next = bucket.find((opId) => opId > cut) ?? null
          if (replaced.length < rows) continue
          const last = replaced.at(-1)!
          const here = { ...gap, ...(reserved ? { reserved } : {}) }
          const place = { cut, rows, last, next }
          const moved = replaced.slice(-rows)
          const above = placeAbove(here, place)
          // Each third operation is one that nothing may be put in the place of.
          const harmful = new Set(replaced.filter((opId) => opId % 3 === 0))
          const top = Math.min(gap.upTo, (next ?? Infinity) - 1)
          const harmless = Array.from({ length: top - gap.after }, (_, n) => gap.after + 1 + n).filter(
            (opId) => !harmful.has(opId),
          )
          if (above === undefined && !mayCross(here, place)) continue
          const window = above === undefined ? windowAmong(moved, harmless) : windowAt(above, rows)
          if (window === undefined) continue
          fitted++
          const { clearAt, slots, crosses } = window
          const lastSlot = slots.at(-1)!
          expect([...slots]).toEqual(sorted([...new Set(slots)]))
          expect(slots).toHaveLength(rows)
          expect(clearAt).toBeLessThan(slots[0]!)
          expect([clearAt, ...slots].filter((opId) => harmful.has(opId))).toEqual([])
          expect(lastSlot).toBeLessThanOrEqual(gap.upTo)
          if (next !== null) expect(lastSlot).toBeLessThan(next)
          const end = Math.max(lastSlot, last)
          expect(checkpoints.filter((one) => one >= clearAt && one < end)).toEqual([])
          expect(checkpoint).toBeGreaterThanOrEqual(end)
          const inside = bucket.filter((opId) => opId >= clearAt && opId < end)
          if (!crosses) expect(inside).toEqual([])
          if (reserved) expect(crosses).toBe(false)
          if (!crosses) clean++
          // Rows keep their order and never go down, so that none comes to lie below an operation that it was above.
          expect(moved.every((opId, index) => opId <= slots[index]!)).toBe(true)
        }
      },
    ),
    { numRuns: 2000 },
  )
  expect(fitted).toBeGreaterThan(500)
  expect(clean).toBeGreaterThan(100)
})

test('gaps lie between each checkpoint and the next, where there is room for a CLEAR and a row', () => {
  expect(gapsBetween([10, 1, 4, 4, 6])).toEqual([
    { after: 1, upTo: 4 },
    { after: 4, upTo: 6 },
    { after: 6, upTo: 10 },
  ])
  expect(gapsBetween([])).toEqual([])
  expect(gapsBetween([7, 8])).toEqual([])
})
