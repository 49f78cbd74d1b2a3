// Where relocated rows are put: for any bucket and any checkpoints the window never holds a checkpoint, nor anything that stays.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cutIn, fitWindow, gapsBetween } from '../../../src/powersync/defragment/relocate/gap.ts'

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
          const window = fitWindow({ ...gap, ...(reserved ? { reserved } : {}) }, { cut, rows, last, next })
          if (window === undefined) continue
          fitted++
          const { clearAt, firstSlot, crosses } = window
          const lastSlot = firstSlot + rows - 1
          expect(firstSlot).toBe(clearAt + 1)
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
          expect(replaced.slice(-rows).every((opId, index) => opId <= firstSlot + index)).toBe(true)
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
