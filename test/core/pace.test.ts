// How large units get.
import { describe, expect, test } from 'vitest'
import { Pace } from '../../src/core/pace.ts'

describe('the pace', () => {
  /** The weight after units that took so many rows a second. */
  const after = (pace: Pace, rowsPerSecond: number, units: number): number => {
    for (let n = 0; n < units; n++) pace.took(pace.weight(), pace.weight() / rowsPerSecond)
    return pace.weight()
  }

  test('settles on units of half a second', () => {
    const pace = new Pace()
    expect(after(pace, 20_000, 20)).toBeCloseTo(10_000)
    expect(after(pace, 4_000, 20)).toBeCloseTo(2_000)
  })

  test('at most doubles or halves at once, however fast or slow one unit was', () => {
    const pace = new Pace()
    const first = pace.weight()
    pace.took(first, 0)
    expect(pace.weight()).toBe(2 * first)
    pace.took(2 * first, 1000)
    expect(pace.weight()).toBe(first)
  })

  test('stays within its bounds', () => {
    const pace = new Pace()
    expect(after(pace, 1e9, 40)).toBe(50_000)
    expect(after(pace, 1, 40)).toBe(200)
  })

  test('a small last unit of a room does not make the next one small', () => {
    const pace = new Pace()
    const settled = after(pace, 20_000, 20)
    pace.took(100, 100 / 20_000)
    expect(pace.weight()).toBeCloseTo(settled)
  })

  test('has the bounds and the first unit it was given', () => {
    expect(new Pace({ first: 7, smallest: 100 }).weight()).toBe(100)
    const pace = new Pace({ first: 1_000_000, smallest: 10_000, largest: 3_000_000 })
    expect(pace.weight()).toBe(1_000_000)
    expect(after(pace, 1e9, 40)).toBe(3_000_000)
    expect(after(pace, 1, 40)).toBe(10_000)
  })
})
