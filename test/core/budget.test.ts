// How long a run may take and how much of the time it keeps the database busy.
import { describe, expect, test } from 'vitest'
import { Budget } from '../../src/core/budget.ts'

const quiet = new AbortController().signal
const silent = (): void => {}

describe('a budget', () => {
  test('is never spent without a limit, and spent once the limit is over', async () => {
    expect(new Budget().spent).toBe(false)
    const budget = new Budget({ maxSeconds: 0.05 })
    expect(budget.spent).toBe(false)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(budget.spent).toBe(true)
    expect(new Budget({ maxSeconds: 0 }).spent).toBe(true)
  })

  test('rests three times as long as it worked at a load of a quarter, and says why', async () => {
    const budget = new Budget({ load: 0.25 })
    const reasons: string[] = []
    const start = performance.now()
    await budget.rest(0.05, 1, quiet, (reason) => reasons.push(reason))
    const rested = (performance.now() - start) / 1000
    expect(rested).toBeGreaterThanOrEqual(0.14)
    expect(rested).toBeLessThan(1)
    expect(budget.throttledSeconds).toBeGreaterThanOrEqual(0.14)
    expect(budget.throttledSeconds).toBeLessThanOrEqual(rested)
    expect(reasons).toEqual(['keeping to a load of 0.25'])
  })

  test('does not rest at full load', async () => {
    const budget = new Budget()
    const reasons: string[] = []
    await budget.rest(100, 1, quiet, (reason) => reasons.push(reason))
    expect([budget.throttledSeconds, reasons.length]).toEqual([0, 0])
  })

  test('wakes up at the deadline', async () => {
    const budget = new Budget({ load: 0.01, maxSeconds: 0.1 })
    const start = performance.now()
    await budget.rest(10, 1, quiet, silent)
    expect(performance.now() - start).toBeLessThan(2000)
    expect(budget.throttledSeconds).toBeLessThan(2)
  })

  test('wakes up for the signal, counts what it slept, and throws nothing', async () => {
    const budget = new Budget({ load: 0.01 })
    const start = performance.now()
    await budget.rest(10, 1, AbortSignal.timeout(50), silent)
    const slept = (performance.now() - start) / 1000
    expect(slept).toBeLessThan(2)
    expect(budget.throttledSeconds).toBeLessThanOrEqual(slept)
    await budget.rest(10, 1, AbortSignal.abort(), silent)
    expect(performance.now() - start).toBeLessThan(2000)
  })
})
