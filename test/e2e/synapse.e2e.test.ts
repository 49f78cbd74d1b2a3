// The end-to-end test: a real Synapse serves and purges rooms while tamp compacts them. Its own storage code is asked for the state
// of every group before and after; then it is restarted, because its caches would hide damage, and the rooms are used further.
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, inject, onTestFailed, test } from 'vitest'
import type { Report } from '../../src/core/report.ts'
import { checkStateGroups, compact, openSynapse } from '../../src/synapse/index.ts'
import type { CompactOptions } from '../../src/synapse/index.ts'
import { freshDatabase, type FreshDatabase } from '../support/postgres.ts'
import { compareStates, faults, measure, rememberStates, type Memory } from '../support/synapse/judge.ts'
import { deleteRoom, emptyQueue, eventsOf, purgeHistory } from './deletions.ts'
import { makeHomeserver, userId, type Homeserver } from './homeserver.ts'
import { Rooms } from './rooms.ts'

const synapse = inject('synapse')

const shallow: Partial<CompactOptions> = { maxDepth: 20, shorten: true }
const sound = { complete: true, units: { failed: 0 }, proof: { mismatches: 0 } }

test.skipIf(synapse.python === null)(
  'P1 P3 P4 P7: a real Synapse serves, purges and deletes rooms while they are compacted, and reads every state as before',
  { timeout: 20 * 60_000 },
  async () => {
    const began = performance.now()
    await using database = await freshDatabase('blank')
    await using server = await makeHomeserver(synapse.python!, await ownedByRole(database))
    onTestFailed(async () => console.error(`The end of Synapse's log:\n${(await server.log()).slice(-5000)}`))
    await server.start()

    const rooms = new Rooms(server, 1)
    const made = await makeRooms(rooms)
    const witness = new Witness(database)
    await witness.look()
    const plan = await compactOnce(server, { mode: 'dry-run' })
    expect(plan.after.rows).toBeLessThan(plan.before.rows)
    const before = await server.states()
    expect(new Set(before.keys())).toEqual(new Set(witness.states.keys()))
    const contexts = await contextsOf(database, rooms, made)
    const slowestAlone = rooms.slowest
    rooms.slowest = 0

    // Compact while rooms are written to, purged and deleted: to and fro between two depths, so that there is always work.
    const writing = new AbortController()
    const writers = write(rooms, made, writing.signal)
    let deleting = true
    const deletions = Promise.all([
      purgeHistory(server, database, made.purged),
      purgeHistory(server, database, made.purgedForks),
      deleteRoom(server, made.doomed),
    ])
      .then(() => emptyQueue(database))
      .finally(() => (deleting = false))
    const compacting = async () => {
      const runs: Report[] = []
      while (deleting || runs.length < 4) {
        runs.push(await compactOnce(server, { mode: 'execute', proof: 'full', ...(runs.length % 2 ? {} : shallow) }))
        await witness.look()
      }
      writing.abort()
      return runs
    }
    const [runs] = await Promise.all([compacting(), deletions, writers])
    for (const run of runs) expect(run).toMatchObject(sound)
    const units = runs.reduce((sum, run) => sum + run.units.done, 0)
    expect(units).toBeGreaterThan(runs.length)

    // Once more by the command, while nothing happens; then nothing is left to do.
    const summary = await compactByCommand(server)
    expect(summary).toMatchObject({ ...sound, units: { failed: 0, skipped: 0 } })
    expect(summary.after.rows).toBeLessThanOrEqual(summary.before.rows)
    expect(await compactOnce(server, { mode: 'dry-run' })).toMatchObject({ ...sound, units: { planned: 0 } })
    const after = await server.states()
    const first = compareStates(before, after)
    expect(first.changed).toEqual([])
    const { purged, purgedForks, doomed, ...kept } = made
    expect(first.gone.length).toBeGreaterThan(30)
    expect(new Set(witness.roomsOf(first.gone))).toEqual(new Set([purged, purgedForks, doomed]))
    expect((await measure(database.session)).has(doomed)).toBe(false)
    await expectNoFaults(server, database)

    // Use the rooms further, on a server that remembers nothing.
    await server.stop()
    await server.start()
    const nextDeletion = purgeHistory(server, database, kept.linear).then(() => emptyQueue(database))
    const goOn = async () => {
      const later = new Rooms(server, 2)
      for (const { room, event, state } of contexts)
        if (room !== kept.linear) expect(await later.stateAt(room, event), `state at ${event}`).toEqual(state)
      for (const room of [...Object.values(kept), purged, purgedForks]) await useFurther(later, room)
    }
    await Promise.all([nextDeletion, goOn()])
    await witness.look()
    const latest = await compactOnce(server, { mode: 'execute', proof: 'full', ...shallow })
    expect(latest).toMatchObject({ ...sound, skipped: [] })
    expect(latest.units.done).toBeGreaterThan(0)
    expect(await compactOnce(server, { mode: 'dry-run', ...shallow })).toMatchObject({
      ...sound,
      units: { planned: 0 },
    })
    await witness.look()
    const last = await server.states()
    const second = compareStates(after, last)
    expect(second.changed).toEqual([])
    expect(second.gone.length).toBeGreaterThan(20)
    expect(witness.roomsOf(second.gone)).toEqual([kept.linear])
    await expectNoFaults(server, database)
    await server.stop()
    expect((await server.log()).split('\n').filter((line) => / (ERROR|CRITICAL) /.test(line))).toEqual([])

    console.log(
      `Synapse ${synapse.python === null ? '' : synapse.version}: ${before.size} state groups in ${Object.keys(made).length} rooms` +
        ` and ${first.added.length + second.added.length} more while it served, ${first.gone.length + second.gone.length} purged;` +
        ` ${plan.before.rows} rows at first, of which a plan keeps ${plan.after.rows};` +
        ` ${runs.length} runs with ${units} units beside it;` +
        ` by its own storage ${before.size - first.gone.length} and ${after.size - second.gone.length} states compared,` +
        ` by its API ${contexts.length}: 0 changed; the slowest event took ${Math.round(rooms.slowest)} ms, ${Math.round(slowestAlone)} ms without tamp;` +
        ` ${Math.round((performance.now() - began) / 1000)} s in all`,
    )
  },
)

/** As it is on a real server: a role of Synapse's own, which is no superuser and owns the database. Answers its URL. */
async function ownedByRole(database: FreshDatabase): Promise<string> {
  await database.query(`CREATE ROLE ${database.name} LOGIN PASSWORD '${password}'`)
  await database.query(`ALTER DATABASE ${database.name} OWNER TO ${database.name}`)
  const url = new URL(database.url)
  url.username = database.name
  url.password = password
  return url.href
}

const password = 'known to the end-to-end test alone'

async function makeRooms(rooms: Rooms) {
  const kinds = ['linear', 'forked', 'churned', 'members', 'purged', 'purgedForks', 'doomed'] as const
  const made = { initial: await rooms.make(110) } as Record<(typeof kinds)[number] | 'initial', string>
  for (const kind of kinds) made[kind] = await rooms.make()
  await Promise.all([
    rooms.setStates(made.linear, 110, 30),
    rooms.members(made.members, 25),
    rooms.setStates(made.purged, 60, 20),
    rooms.setStates(made.doomed, 30, 10),
  ])
  await rooms.setStates(made.forked, 180, 40, 10)
  await rooms.setStates(made.purgedForks, 60, 20, 6)
  await rooms.churn(made.churned, 100, 20, 4)
  return made
}

type MadeRooms = Awaited<ReturnType<typeof makeRooms>>

/** Goes on until told to stop. */
async function write(rooms: Rooms, made: MadeRooms, signal: AbortSignal): Promise<void> {
  const repeat = async (work: () => Promise<void>): Promise<void> => {
    while (!signal.aborted) {
      await work()
      await sleep(500)
    }
  }
  await Promise.all([
    repeat(() => rooms.setStates(made.linear, 1, 30)),
    repeat(() => rooms.setStates(made.forked, 4, 40, 4)),
    repeat(() => rooms.churn(made.churned, 3, 20, 3)),
    repeat(() => rooms.setStates(made.purged, 1, 20)),
  ])
}

/** Sets state, joins and speaks: everything else is as it was, and the newcomer sees it. */
async function useFurther(rooms: Rooms, room: string): Promise<void> {
  const newcomer = 'newcomer'
  const before = await rooms.currentState(room)
  const set = await rooms.setState(room, 'key 1')
  await rooms.join(room, newcomer)
  await rooms.say(room, newcomer)
  const other = (lines: readonly string[]) =>
    lines.filter((line) => !line.startsWith('e2e.key\tkey 1\t') && !line.includes(`\t${userId(newcomer)}\t`))
  const now = await rooms.currentState(room, newcomer)
  expect(other(now)).toEqual(other(before))
  expect(now).toContain(`e2e.key\tkey 1\t${set}`)
  expect(now.length).toBe(other(now).length + 2)
}

interface Context {
  readonly room: string
  readonly event: string
  readonly state: readonly string[]
}

/** The state at some events of every room, of those that no purge will take. */
async function contextsOf(database: FreshDatabase, rooms: Rooms, made: MadeRooms): Promise<Context[]> {
  const contexts: Context[] = []
  for (const [kind, room] of Object.entries(made)) {
    if (kind === 'doomed') continue
    const events = await eventsOf(database, room)
    const oldest = kind.startsWith('purged') ? 0.6 : 0.1
    for (let share = oldest; share < 1; share += 0.1) {
      const event = events[Math.floor(events.length * share)]!
      contexts.push({ room, event, state: await rooms.stateAt(room, event) })
    }
  }
  return contexts
}

/** Remembers every group it has ever seen: a group that was made and purged between two looks at Synapse's storage, too. */
class Witness {
  readonly states = new Map<number, string>()
  /** Group → room, of those that an event names or once named. */
  readonly #named = new Map<number, string>()
  readonly #database: FreshDatabase

  constructor(database: FreshDatabase) {
    this.#database = database
  }

  /** Fails where a group has another state than when it was first seen. */
  async look(): Promise<void> {
    const named = await this.#database.query<[number, string]>(
      'SELECT id, room_id FROM state_groups WHERE id IN (SELECT state_group FROM event_to_state_groups)',
    )
    for (const [group, room] of named) this.#named.set(group, room)
    const now: Memory = await rememberStates(this.#database.session)
    expect(compareStates(this.states, now).changed).toEqual([])
    for (const [group, state] of now) this.states.set(group, state)
  }

  /** The rooms of those of the groups that events named. Groups that no event names Synapse may delete anywhere. */
  roomsOf(groups: readonly number[]): string[] {
    return [...new Set(groups.flatMap((group) => this.#named.get(group) ?? []))]
  }
}

async function compactOnce(server: Homeserver, options: CompactOptions): Promise<Report> {
  return compact(await openSynapse({ homeserver: server.config, env: {} }), options)
}

/** `tamp synapse compact --execute` as a process of its own. Answers its summary. */
async function compactByCommand(server: Homeserver): Promise<Report> {
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
  const words = ['synapse', 'compact', '--homeserver', server.config, '--execute', '--proof', 'full', '--json']
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [main, ...words], { maxBuffer: 64 << 20 })
  expect(stdout + stderr).not.toContain(password)
  return JSON.parse(stdout.trim().split('\n').at(-1)!)
}

async function expectNoFaults(server: Homeserver, database: FreshDatabase): Promise<void> {
  expect(await faults(database.session)).toEqual([])
  const check = checkStateGroups(await openSynapse({ homeserver: server.config, env: {} }))
  expect(await Array.fromAsync(check)).toEqual([])
  expect(check.summary).toMatchObject({ complete: true, eventsCompared: true, counts: {} })
}
