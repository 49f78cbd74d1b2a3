// A run over a compactor of numbers: what it is asked to do is done, told and summed up; nothing that goes wrong stops the rest.
import { describe, expect, test } from 'vitest'
import type { Compactor, Planned, Scope } from '../../src/core/compactor.ts'
import { TampError } from '../../src/core/errors.ts'
import type { TampEvent } from '../../src/core/events.ts'
import type { LanePlan, Measure } from '../../src/core/report.ts'
import { run } from '../../src/core/run.ts'
import type { Outcome, Unit } from '../../src/core/unit.ts'

interface Subtraction extends Unit {
  readonly by: number
  readonly weight: number
  readonly items: number
}

/** Lanes are numbers of rows; a unit takes ten rows off its lane, down to the last digit. */
class Numbers implements Compactor<string, Subtraction> {
  readonly command = 'numbers compact'
  readonly lanes: Map<string, number>
  readonly log: string[] = []
  /** Called at the start of each step; may throw. */
  before: (step: string, lane: string) => void | Promise<void> = () => {}
  outcome: (unit: Subtraction) => Outcome = () => ({ status: 'done', left: [], checked: 1 })
  plannedMismatches = 0
  mismatches = 0
  busy: string | null = null

  constructor(lanes: Readonly<Record<string, number>>) {
    this.lanes = new Map(Object.entries(lanes))
  }

  async *survey(): AsyncIterable<Scope> {
    await this.before('survey', '')
    for (const [lane, rowsEstimate] of this.lanes) yield { lane, rowsEstimate }
  }

  async read(lane: string): Promise<string> {
    await this.before('read', lane)
    return lane
  }

  plan(lane: string): Planned<Subtraction> {
    const rows = this.lanes.get(lane)!
    const measure = (count: number): Measure => ({ groups: rows, rows: count, maxDepth: count, meanDepth: 1 })
    const plan: LanePlan = {
      lane,
      before: measure(rows),
      after: measure(rows % 10),
      bound: { rows: rows % 5, exact: rows % 2 === 0 },
      onTheWay: { rows, maxDepth: rows },
      changes: Math.floor(rows / 10),
      proof: { checked: 3, mismatches: this.plannedMismatches },
      findings: [{ code: 'odd', subject: lane, detail: 'a number' }],
      notes: [],
    }
    const log = this.log
    return {
      plan,
      *units(weight) {
        for (let left = rows; left >= 10; left -= 10) {
          log.push(`unit of ${lane}`)
          yield { lane, by: 10, weight: weight(), items: 1 }
        }
      },
    }
  }

  async blocked(lane: string): Promise<string | null> {
    await this.before('blocked', lane)
    return this.busy
  }

  async apply(unit: Subtraction): Promise<Outcome> {
    await this.before('apply', unit.lane)
    const outcome = this.outcome(unit)
    if (outcome.status === 'done') this.lanes.set(unit.lane, this.lanes.get(unit.lane)! - unit.by)
    return outcome
  }

  async script(unit: Subtraction): Promise<{ text: string; left: [] }> {
    await this.before('script', unit.lane)
    return { text: `${unit.lane} -= ${unit.by}\n`, left: [] }
  }

  async verify(lane: string): Promise<{ after: Measure; checked: number; mismatches: number }> {
    await this.before('verify', lane)
    const rows = this.lanes.get(lane)!
    const after = { groups: 1, rows, maxDepth: rows, meanDepth: 1 }
    return { after, checked: 5, mismatches: this.mismatches }
  }
}

const throws = (error: unknown): never => {
  throw error
}

describe('modes', () => {
  test('P5: a dry run changes nothing and sums the plans up', async () => {
    const numbers = new Numbers({ a: 34, b: 7, c: 20 })
    const report = await run(numbers, { mode: 'dry-run' })
    expect(report).toMatchObject({
      command: 'numbers compact',
      mode: 'dry-run',
      complete: true,
      before: { rows: 61, groups: 61, maxDepth: 34, meanDepth: 1 },
      after: { rows: 11, maxDepth: 7 },
      bound: { rows: 6, exact: false },
      units: { planned: 5, done: 0, skipped: 0, failed: 0 },
      proof: { checked: 9, mismatches: 0 },
      skipped: [],
    })
    expect(report.lanes.map(({ lane }) => lane)).toEqual(['a', 'b', 'c'])
    expect(report.findings.map(({ subject }) => subject)).toEqual(['a', 'b', 'c'])
    expect(report).not.toHaveProperty('stopped')
    expect([...numbers.lanes.values()]).toEqual([34, 7, 20])
  })

  test('executing reaches the figures of the dry run, and a second run has nothing to do', async () => {
    const numbers = new Numbers({ a: 34, b: 7, c: 20 })
    const dry = await run(numbers, { mode: 'dry-run' })
    const report = await run(numbers, { mode: 'execute' })
    expect([...numbers.lanes.values()]).toEqual([4, 7, 0])
    expect(report).toMatchObject({ complete: true, units: { planned: 5, done: 5 }, skipped: [] })
    expect(report.after.rows).toBe(dry.after.rows)
    // The plans, the units and the last look at the two lanes that changed.
    expect(report.proof).toEqual({ checked: 9 + 5 + 10, mismatches: 0 })
    const second = await run(numbers, { mode: 'execute' })
    expect(second.units).toEqual({ planned: 0, done: 0, skipped: 0, failed: 0 })
    expect(second.after).toEqual(second.before)
  })

  test('a script holds every unit in order, and is all that is written', async () => {
    const numbers = new Numbers({ a: 34, c: 20 })
    let text = ''
    await run(numbers, { mode: 'script', write: async (part) => void (text += part) })
    expect(text).toBe('a -= 10\na -= 10\na -= 10\nc -= 10\nc -= 10\n')
    expect([...numbers.lanes.values()]).toEqual([34, 20])
  })

  test('units are made one after the other, as they are needed', async () => {
    const numbers = new Numbers({ a: 30 })
    numbers.before = (step) => void numbers.log.push(step)
    await run(numbers, { mode: 'execute' })
    const unit = ['unit of a', 'apply']
    expect(numbers.log).toEqual(['survey', 'read', 'blocked', ...unit, ...unit, ...unit, 'verify'])
  })

  test('lanes run side by side, as many as are asked for', async () => {
    for (const jobs of [1, 3]) {
      const numbers = new Numbers({ a: 20, b: 20, c: 20, d: 20, e: 20 })
      let now = 0
      let most = 0
      const lanes = new Set<string>()
      numbers.before = async (step, lane) => {
        if (step !== 'apply') return
        expect(lanes.has(lane)).toBe(false)
        lanes.add(lane)
        most = Math.max(most, ++now)
        await new Promise((resolve) => setTimeout(resolve, 5))
        lanes.delete(lane)
        now--
      }
      const report = await run(numbers, { mode: 'execute', jobs })
      expect(most).toBe(jobs)
      expect(report.after.rows).toBe(0)
    }
  })
})

describe('P7: nothing hidden, and nothing stops the rest', () => {
  test('a lane that cannot be read, or has gone since the survey, is named', async () => {
    const numbers = new Numbers({ a: 20, b: 20, c: 20, d: 20 })
    numbers.before = (step, lane) => {
      if (step === 'read' && lane === 'b') throw new TypeError('b is odd')
      if (step === 'verify' && lane === 'c') throw new TampError('failed', 'c has gone')
    }
    const report = await run(numbers, { mode: 'execute' })
    expect(report.skipped).toEqual([
      { subject: 'b', reason: 'b is odd' },
      { subject: 'c', reason: 'c has gone' },
      { subject: 'c', reason: expect.stringMatching(/could not be read once more/) },
    ])
    expect(report.complete).toBe(true)
    expect([...numbers.lanes.values()]).toEqual([0, 20, 0, 0])
    expect(report.units.done).toBe(6)
  })

  test('units that were skipped or failed are counted and named, and the lane goes on', async () => {
    const numbers = new Numbers({ a: 40 })
    const outcomes: Outcome[] = [
      { status: 'skipped', reason: 'busy' },
      { status: 'failed', reason: 'broken', proof: false },
      { status: 'failed', reason: 'another answer', proof: true },
      { status: 'done', left: [{ subject: 'group 5', reason: 'has gone' }], checked: 2 },
    ]
    numbers.outcome = () => outcomes.shift()!
    const report = await run(numbers, { mode: 'execute' })
    expect(report.units).toEqual({ planned: 4, done: 1, skipped: 1, failed: 2 })
    expect(report.skipped.map(({ reason }) => reason)).toEqual(['busy', 'broken', 'another answer', 'has gone'])
    expect(report.proof.mismatches).toBe(1)
    expect(report.after.rows).toBe(30)
  })

  test('a plan whose proof fails is not carried out', async () => {
    const numbers = new Numbers({ a: 20 })
    numbers.plannedMismatches = 2
    const report = await run(numbers, { mode: 'execute' })
    expect(numbers.lanes.get('a')).toBe(20)
    expect(report.proof.mismatches).toBe(2)
    expect(report.skipped).toHaveLength(1)
  })

  test('a lane that looks different at its end is a mismatch, with its name', async () => {
    const numbers = new Numbers({ a: 20 })
    numbers.mismatches = 1
    const report = await run(numbers, { mode: 'execute' })
    expect(report.proof.mismatches).toBe(1)
    expect(report.skipped.map(({ subject }) => subject)).toEqual(['a'])
  })

  test('a lane that is blocked stays as it is', async () => {
    const numbers = new Numbers({ a: 20 })
    numbers.busy = 'somebody purges it'
    const report = await run(numbers, { mode: 'execute' })
    expect(numbers.lanes.get('a')).toBe(20)
    expect(report.after).toEqual(report.before)
    expect(report.skipped).toEqual([{ subject: 'a', reason: 'somebody purges it' }])
  })

  test.each(['survey', 'read', 'apply'])(
    'what makes the rest hopeless before anything is done is thrown from %s',
    async (where) => {
      const numbers = new Numbers({ a: 20, b: 20 })
      numbers.before = (step) => {
        if (step === where) throw new TampError('connection-failed', 'no server')
      }
      await expect(run(numbers, { mode: 'execute' })).rejects.toThrow('no server')
    },
  )

  test('after that it is in the report, with what was done', async () => {
    const numbers = new Numbers({ a: 20, b: 20 })
    numbers.before = (step) => {
      if (step === 'verify') throw new TampError('connection-failed', 'no server')
    }
    const report = await run(numbers, { mode: 'execute' })
    expect(report.failure).toMatchObject({ code: 'connection-failed' })
    expect(report.complete).toBe(false)
    expect(report.lanes.map(({ lane, before, after }) => [lane, before.rows - after.rows])).toEqual([['a', 0]])
    expect(report.units.done).toBe(2)
  })

  test('after such an error the other lanes stop at their next unit', async () => {
    const numbers = new Numbers({ a: 20, b: 1000 })
    let applied = 0
    numbers.before = async (step, lane) => {
      if (step !== 'apply') return
      await new Promise((resolve) => setTimeout(resolve, 2))
      if (lane === 'a') throws(new TampError('locked', 'the lock is gone'))
      applied++
    }
    const report = await run(numbers, { mode: 'execute', jobs: 2 })
    expect(report).toMatchObject({ complete: false, failure: { code: 'locked' }, units: { done: applied } })
    expect(applied).toBeLessThan(10)
  })
})

describe('P2: stopping', () => {
  test('an interruption ends the run after the unit at hand, and the lane is still looked at', async () => {
    const numbers = new Numbers({ a: 50, b: 50 })
    const stop = new AbortController()
    let units = 0
    numbers.before = (step) => {
      if (step === 'apply' && ++units === 2) stop.abort()
    }
    const report = await run(numbers, { mode: 'execute', signal: stop.signal })
    expect(report).toMatchObject({ complete: false, stopped: 'interrupted', units: { done: 2 } })
    expect(report.lanes.map(({ lane, after }) => [lane, after.rows])).toEqual([['a', 30]])
    expect([...numbers.lanes.values()]).toEqual([30, 50])
  })

  test.each(['survey', 'read'])('an interruption within %s ends the run without an error', async (where) => {
    const numbers = new Numbers({ a: 50, b: 50 })
    numbers.before = (step) => {
      if (step === where) throw new TampError('interrupted', 'stopped')
    }
    const report = await run(numbers, { mode: 'execute' })
    expect(report).toMatchObject({ complete: false, stopped: 'interrupted', skipped: [] })
    expect([...numbers.lanes.values()]).toEqual([50, 50])
  })

  test('a limit of time ends the run between units', async () => {
    const numbers = new Numbers({ a: 1000, b: 50 })
    numbers.before = (step) => (step === 'apply' ? new Promise<void>((resolve) => setTimeout(resolve, 10)) : undefined)
    const report = await run(numbers, { mode: 'execute', maxSeconds: 0.1 })
    expect(report).toMatchObject({ complete: false, stopped: 'limit' })
    expect(report.units.done).toBeGreaterThan(0)
    expect(report.units.done).toBeLessThan(50)
    expect(numbers.lanes.get('a')).toBe(1000 - 10 * report.units.done)
    expect(numbers.lanes.get('b')).toBe(50)
  })

  test('a run whose last unit was finished as the time ran out is complete', async () => {
    const numbers = new Numbers({ a: 10 })
    numbers.before = (step) => (step === 'verify' ? new Promise<void>((resolve) => setTimeout(resolve, 80)) : undefined)
    const report = await run(numbers, { mode: 'execute', maxSeconds: 0.05 })
    expect(numbers.lanes.get('a')).toBe(0)
    expect(report).toMatchObject({ complete: true, units: { done: 1 } })
    expect(report).not.toHaveProperty('stopped')
  })

  test('no lane starts when there is no time at all', async () => {
    const numbers = new Numbers({ a: 10 })
    numbers.before = (step) => void numbers.log.push(step)
    const report = await run(numbers, { mode: 'execute', maxSeconds: 0 })
    expect(numbers.log).toEqual(['survey'])
    expect(report).toMatchObject({ complete: false, stopped: 'limit', lanes: [] })
  })
})

describe('events', () => {
  test('every lane and unit is told, and the share of work done only rises, to the end', async () => {
    const numbers = new Numbers({ a: 34, b: 0, c: 20 })
    const events: TampEvent[] = []
    await run(numbers, { mode: 'execute', load: 0.9, onEvent: (event) => events.push(event) })
    const named = events.flatMap((event) =>
      event.type === 'status' ? [] : [`${event.type} ${event.type === 'plan' ? event.plan.lane : event.lane}`],
    )
    const of = (lane: string, units: number): string[] => [
      `reading ${lane}`,
      `plan ${lane}`,
      ...Array.from({ length: units }, () => `unit ${lane}`),
    ]
    expect(named).toEqual([...of('a', 3), ...of('b', 0), ...of('c', 2)])
    const shares = events.flatMap((event) => (event.type === 'status' ? [event.percentDone] : []))
    expect(shares).toEqual(shares.toSorted((a, b) => a - b))
    expect(shares.at(-1)).toBe(100)
  })
})
