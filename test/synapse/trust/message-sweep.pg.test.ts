// P2: the connection is cut before and after every protocol message of a unit, and every answer to a statement is lost once.
// How often the unit was applied is counted in the database itself.
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { openSynapse } from '../../../src/synapse/index.ts'
import type { SynapseDatabase } from '../../../src/synapse/index.ts'
import { startProxy } from '../../support/cutting-proxy.ts'
import type { Cut, CuttingProxy, Direction, Message } from '../../support/cutting-proxy.ts'
import { execute, harm, pausable, scene, unharmed, unitStatements } from './scene.ts'
import type { Pausable, Scene } from './scene.ts'

const unitBegins = unitStatements[0]![1]

let room: Scene
let proxy: CuttingProxy
let through: SynapseDatabase
let wholeMessages: readonly Message[]
let wholeForms: ReadonlyMap<number, string>

beforeAll(async () => {
  // Its plan changes an edge, adds an edge, deletes rows and inserts rows: every statement a unit can have but one.
  room = await scene({
    seed: 2,
    groups: 30,
    keys: 6,
    shape: 'forked',
    snapshotEvery: 6,
    identical: 0.1,
    removals: 0.05,
    gaps: 0.1,
  })
  const { hostname: host, port } = new URL(inject('postgres').url)
  proxy = await startProxy({ target: { host, port: Number(port) } })
  through = await openSynapse({ connection: proxy.url(room.database.url), env: {} })
  // Every statement that writes leaves the number of its transaction behind, if that commits.
  await room.session.query(`
    CREATE TABLE writers (transaction xid8, what text);
    CREATE FUNCTION note_writer() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO writers VALUES (pg_current_xact_id(), TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END $$;
    CREATE TRIGGER note AFTER UPDATE ON state_groups FOR EACH STATEMENT EXECUTE FUNCTION note_writer();
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON state_group_edges FOR EACH STATEMENT EXECUTE FUNCTION note_writer();
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON state_groups_state FOR EACH STATEMENT EXECUTE FUNCTION note_writer()`)
  proxy.startCounting(unitBegins)
  await startOver()
  const report = await execute(through, { proof: 'full', rooms: [room.grown.room] })
  expect(report.units).toEqual({ planned: 1, done: 1, skipped: 0, failed: 0 })
  wholeMessages = proxy.messages.slice(0, proxy.messages.findIndex(({ text }) => text === 'COMMIT') + 3)
  wholeForms = await room.stored()
  expect(await writes()).toEqual(wholeWrites)
})

afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]()
  await room?.[Symbol.asyncDispose]()
})

/** What one whole unit writes, and that only one transaction did. */
const wholeWrites = [
  [
    1,
    [
      'DELETE state_groups_state',
      'INSERT state_group_edges',
      'INSERT state_groups_state',
      'UPDATE state_group_edges',
      'UPDATE state_groups',
    ],
  ],
]

async function writes(): Promise<unknown> {
  return room.session.query(`SELECT count(DISTINCT transaction), array_agg(what ORDER BY what) FROM writers`)
}

async function startOver(): Promise<void> {
  await room.restore()
  await room.session.query('TRUNCATE writers')
}

/** Runs with this cut, and checks that the unit was carried out, once, and wholly. */
async function runWithCut(cut: Cut): Promise<{ readonly at: Message; readonly run: Pausable }> {
  await startOver()
  const run = pausable(through)
  proxy.startCounting(unitBegins)
  const pending = proxy.cut(cut)
  const report = await execute(run.database, { proof: 'full', rooms: [room.grown.room] })
  const name = `${cut.when} ${cut.direction} message ${cut.message}`
  expect(pending.done, name).toBe(true)
  expect(report, name).toMatchObject({
    complete: true,
    units: { planned: 1, done: 1, skipped: 0, failed: 0 },
    proof: { mismatches: 0 },
    skipped: [],
  })
  expect(await writes(), name).toEqual(wholeWrites)
  expect(await room.stored(), name).toEqual(wholeForms)
  expect(await harm(room.session, room.states), name).toEqual(unharmed)
  return { at: await pending.cut, run }
}

/** All messages of one direction; of a row of data messages only the first and the last. */
function swept(direction: Direction): readonly Message[] {
  const sent = wholeMessages.filter((message) => message.direction === direction)
  return sent.filter(({ type }, i) => !'dD'.includes(type) || sent[i - 1]?.type !== type || sent[i + 1]?.type !== type)
}

test.each(['frontend', 'backend'] as const)(
  'P2: a cut before or after any %s message of a unit leaves it untouched or whole, and the run goes on to the same end',
  async (direction) => {
    let lookups = 0
    const messages = swept(direction)
    for (const { number, type } of messages)
      for (const when of ['before', 'after'] as const) {
        // After one message of an answer is before the next one; only after the last of them is something else.
        if (direction === 'backend' && when === 'after' && type !== 'Z') continue
        const { run } = await runWithCut({ direction, message: number, when })
        if (run.statements.some((statement) => statement.includes('pg_xact_status'))) lookups++
      }
    expect(messages.length).toBeGreaterThan(30)
    // Frontend: before and after COMMIT. Backend: before each of the two messages that answer it.
    expect(lookups).toBeGreaterThanOrEqual(2)
  },
)

test('P2: a statement that was carried out and whose answer is lost is done again from the start; a COMMIT is looked up', async () => {
  const ends = wholeMessages.filter(({ direction, type }) => direction === 'frontend' && 'QS'.includes(type))
  expect(ends.length).toBeGreaterThan(8)
  for (const { number, text } of ends) {
    const { run } = await runWithCut({ direction: 'frontend', message: number, when: 'answered' })
    const committing = text === 'COMMIT'
    expect(run.statements.filter((statement) => statement.includes('pg_xact_status'))).toHaveLength(committing ? 1 : 0)
    expect(run.statements.filter((statement) => unitBegins.test(`${statement};`))).toHaveLength(committing ? 1 : 2)
  }
})
