// Which dictionaries are tried for a group, and what a winner is.
import { describe, expect, test } from 'vitest'
import { candidates, cost, trainingSeconds } from '../../../src/sqlite/policy/train.ts'

describe('candidates', () => {
  test('for a large group are of several sizes by both trainers, the cheapest first', () => {
    const found = candidates(10_000_000)
    expect(found[0]).toEqual({ trainer: 'default', dictionaryBytes: 112_640 })
    expect(new Set(found.map(({ trainer }) => trainer))).toEqual(new Set(['default', 'cover']))
    expect(Math.max(...found.map(({ dictionaryBytes }) => dictionaryBytes))).toBe(524_288)
  })

  test('never exceed what the group may have, and none is tried twice', () => {
    for (const bytes of [1_500, 5_000, 40_000, 112_640, 200_000, 300_000]) {
      const found = candidates(bytes)
      for (const { dictionaryBytes } of found) expect(dictionaryBytes).toBeLessThanOrEqual(bytes)
      const names = found.map(({ trainer, dictionaryBytes }) => `${trainer} ${dictionaryBytes}`)
      expect(new Set(names).size).toBe(names.length)
      expect(found.length).toBeGreaterThan(1)
    }
  })
})

test('four times the CPU time must save 4 % of the bytes, no more and no less', () => {
  expect(cost(960, 4)).toBeCloseTo(cost(1000, 1))
  expect(cost(959, 4)).toBeLessThan(cost(1000, 1))
  expect(cost(961, 4)).toBeGreaterThan(cost(1000, 1))
})

test('training takes longer for larger groups, and never long', () => {
  expect(trainingSeconds(100_000)).toBe(1)
  expect(trainingSeconds(1e12)).toBe(10)
})
