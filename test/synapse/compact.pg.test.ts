// The whole way on real data: dry run, execution and script reach the same figures, and no reader gets another answer.
import { expect, test } from 'vitest'
import { compact, openSynapse } from '../../src/synapse/index.ts'
import type { CompactOptions } from '../../src/synapse/index.ts'
import { freshDatabase } from '../support/postgres.ts'
import type { FreshDatabase } from '../support/postgres.ts'
import { compareStates, faults, measure, rememberStates } from '../support/synapse/judge.ts'

const kinds = [
  ['homeserver', 26_254, 13_632],
  ['half-compressed', 3_350, 1_904],
] as const

async function compactAt(database: FreshDatabase, options: CompactOptions) {
  return compact(await openSynapse({ connection: database.url, env: {} }), options)
}

test.each(kinds)(
  'P1 P4 P5: executing on %s reaches the dry run, and every state stays',
  async (kind, before, prototype) => {
    await using database = await freshDatabase(kind)
    const states = await rememberStates(database.session)
    const dry = await compactAt(database, { mode: 'dry-run' })
    expect(dry.before.rows).toBe(before)
    expect(dry.after.rows).toBeLessThanOrEqual(prototype)
    expect(dry.proof).toEqual({ checked: states.size, mismatches: 0 })

    const executed = await compactAt(database, { mode: 'execute', proof: 'full' })
    expect(executed).toMatchObject({
      complete: true,
      skipped: [],
      after: { ...dry.after, bytesEstimate: expect.any(Number) },
    })
    expect(executed.units.done).toBeGreaterThan(0)
    expect(compareStates(states, await rememberStates(database.session))).toEqual({ changed: [], gone: [], added: [] })
    expect(await faults(database.session)).toEqual([])
    const rows = [...(await measure(database.session)).values()].reduce((sum, room) => sum + room.rows, 0)
    expect(rows).toBe(dry.after.rows)
    for (const { before: was, after: is, lane } of executed.lanes) {
      expect(is.rows, lane).toBeLessThanOrEqual(was.rows)
      expect(is.maxDepth, lane).toBeLessThanOrEqual(Math.max(100, was.maxDepth!))
    }

    const second = await compactAt(database, { mode: 'execute' })
    expect(second.units).toEqual({ planned: 0, done: 0, skipped: 0, failed: 0 })
    expect(second.after).toEqual(second.before)
  },
)

test.each(kinds)('the script for %s reaches the same figures, and does nothing the second time', async (kind) => {
  await using database = await freshDatabase(kind)
  const states = await rememberStates(database.session)
  let script = ''
  const dry = await compactAt(database, { mode: 'script', proof: 'full', write: (text) => void (script += text) })
  expect(compareStates(states, await rememberStates(database.session)).changed).toEqual([])
  // As psql does: one statement after the other, errors of one unit do not keep the next from running.
  const parts = script.split(/^(?=BEGIN ISOLATION)/m)
  const run = async (): Promise<void> => {
    for (const part of parts) await database.query(part)
  }
  await run()
  expect(compareStates(states, await rememberStates(database.session))).toEqual({ changed: [], gone: [], added: [] })
  const figures = await measure(database.session)
  expect([...figures.values()].reduce((sum, room) => sum + room.rows, 0)).toBe(dry.after.rows)
  await run()
  expect(await measure(database.session)).toEqual(figures)
})
