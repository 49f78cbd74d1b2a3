// P1: compaction in a loop beside everything that writes to the same tables, in whatever order chance brings: new groups, purges of
// groups and of whole rooms, a second tamp that has stolen the lock. A reader asks all the while. Every state must stay what it was.
// TAMP_SOAK_SECONDS makes it longer, TAMP_TEST_SEED repeats the choices (though not the timing).
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openSynapse } from '../../../src/synapse/index.ts'
import { freshDatabase } from '../../support/postgres.ts'
import { transaction } from '../../support/session.ts'
import { fullState, stateKey, type State } from '../../support/synapse/full-state.ts'
import { growRoom } from '../../support/synapse/grow.ts'
import { faults, fingerprintOf, rememberStates } from '../../support/synapse/judge.ts'
import {
  lockRoom,
  markPending,
  pendingGroups,
  purgeRoom,
  purgeUnreferencedStateGroups,
} from '../../support/synapse/purger.ts'
import { seeded } from '../../support/synapse/random.ts'
import { storeStateGroup } from '../../support/synapse/store-state-group.ts'
import { execute } from './scene.ts'

const seed = Number(process.env['TAMP_TEST_SEED'] ?? Date.now() % 1_000_000)
const seconds = Number(process.env['TAMP_SOAK_SECONDS'] ?? 20)

interface Room {
  readonly name: string
  readonly groups: number[]
  /** Transactions of Synapse's that are in this room: it does not purge a room while there are. */
  busy: number
  closing: boolean
  /**
   * Bases on which a group is being stored, and groups that are being purged. Synapse's ten minutes keep its own two apart; here the
   * queue says 1970, so that tamp has nothing of them, and this does it.
   */
  readonly based: Set<number>
  readonly purged: Set<number>
}

test(
  `P1 P2: whatever runs beside compaction, no state changes (seed ${seed}, ${seconds} s)`,
  { timeout: (seconds + 100) * 1000 },
  async () => {
    console.log(`soak: TAMP_TEST_SEED=${seed}`)
    await using database = await freshDatabase('empty')
    const synapse = await openSynapse({ connection: database.url, env: {} })
    const states = new Map<number, State>()
    const rooms: Room[] = []
    let grownRooms = 0
    let growing = false
    const grow = async (): Promise<void> => {
      const n = ++grownRooms
      // A grown room sets the sequence: nobody may have taken a number from it and not committed yet.
      growing = true
      while (rooms.some(({ busy }) => busy > 0)) await sleep(5)
      const shape = (['forked', 'backfill', 'linear'] as const)[n % 3]!
      await using session = await database.connect()
      const { room, groups } = await growRoom(session, {
        seed: seed + n,
        room: `!soak${n}:example.org`,
        groups: 120,
        keys: 15,
        shape,
        snapshotEvery: 15,
        identical: 0.1,
        removals: 0.03,
        gaps: 0.05,
        referenced: 0.5,
        // A block of ids of its own: writers take theirs from the sequence meanwhile.
        firstId: n * 100_000,
      })
      for (const { id, state } of groups) states.set(id, state)
      rooms.push({
        name: room,
        groups: groups.map(({ id }) => id),
        busy: 0,
        closing: false,
        based: new Set(),
        purged: new Set(),
      })
      growing = false
    }
    for (let n = 0; n < 6; n++) await grow()
    await database.query(`SELECT setval('state_group_id_seq', 50000000)`)

    const deadline = performance.now() + seconds * 1000
    const done = {
      stored: 0,
      purged: 0,
      expanded: 0,
      retries: 0,
      rooms: 0,
      runs: 0,
      units: 0,
      left: 0,
      stolen: 0,
      read: 0,
    }
    const going = () => performance.now() < deadline
    const inRoom = async (room: Room | undefined, work: (room: Room) => Promise<void>): Promise<void> => {
      if (room === undefined || room.closing || growing) return sleep(5)
      room.busy++
      try {
        await work(room)
      } finally {
        room.busy--
      }
    }
    const open = (): Room[] => rooms.filter(({ closing }) => !closing)

    const writer = async (random = seeded(seed + 1000)): Promise<void> => {
      await using session = await database.connect()
      for (let n = 0; going(); n++) {
        await inRoom(random.pick(open()), async (room) => {
          const base = room.groups[Math.max(0, room.groups.length - 1 - random.below(40))]!
          if (room.purged.has(base)) return
          room.based.add(base)
          const key = random.below(18)
          const [type, name] = key % 3 === 0 ? ['example.key', `k${key}`] : ['m.room.member', `@u${key}:example.org`]
          const event = `$soak${n}-${Math.round(deadline)}`
          const storing = storeStateGroup(session, { room: room.name, event, base, delta: [[type!, name!, event]] })
          try {
            const { id } = await storing.run()
            states.set(id, new Map(states.get(base)!).set(stateKey(type!, name!), event))
            room.groups.push(id)
            done.stored++
          } catch (error) {
            // Its base has been purged.
            if (!/is not there/.test((error as Error).message)) throw error
          } finally {
            room.based.delete(base)
          }
        })
        await sleep(random.below(10))
      }
    }

    const purger = async (random = seeded(seed + 2000)): Promise<void> => {
      await using session = await database.connect()
      while (going()) {
        await inRoom(random.pick(open()), async (room) => {
          const from = random.below(Math.max(1, room.groups.length - 20))
          const groups = room.groups
            .slice(from, from + 1 + random.below(12))
            .filter((group) => random.chance(0.6) && !room.based.has(group))
          for (const group of groups) room.purged.add(group)
          await session.query('DELETE FROM event_to_state_groups WHERE state_group = ANY ($1)', [groups])
          await markPending(session, groups, 0)
          const purge = purgeUnreferencedStateGroups(session, await pendingGroups(session, groups))
          try {
            const { deleted, expanded } = await purge.run()
            done.purged += deleted.length
            done.expanded += expanded.length
          } catch (error) {
            // Five times in vain: Synapse tries again in a minute.
            if ((error as { code?: string }).code !== '40001' && (error as { code?: string }).code !== '40P01')
              throw error
          }
          done.retries += purge.retries
        })
        await sleep(random.below(30))
      }
    }

    const roomPurger = async (random = seeded(seed + 3000)): Promise<void> => {
      await using session = await database.connect()
      while (going()) {
        await sleep(500 + random.below(1500))
        const room = random.pick(open())
        if (open().length < 4 || room === undefined) {
          await grow()
          continue
        }
        room.closing = true
        while (room.busy > 0) await sleep(5)
        const unlock = random.chance(0.5) ? await lockRoom(session, room.name) : undefined
        await session.query(
          'DELETE FROM event_to_state_groups WHERE state_group IN (SELECT id FROM state_groups WHERE room_id = $1)',
          [room.name],
        )
        await session.query('DELETE FROM event_forward_extremities WHERE room_id = $1', [room.name])
        await purgeRoom(session, room.name).run()
        await session.query('DELETE FROM state_groups_pending_deletion WHERE state_group = ANY ($1)', [room.groups])
        await unlock?.()
        done.rooms++
        await grow()
      }
    }

    const compactor = async (thief: boolean, random = seeded(seed + 4000 + Number(thief))): Promise<void> => {
      while (going()) {
        if (thief) await sleep(random.below(1500))
        try {
          const report = await execute(synapse, {
            jobs: 2,
            proof: random.chance(0.5) ? 'full' : 'budget',
            ...(random.chance(0.3) ? { plan: { levels: [6, 4] } } : {}),
            ...(random.chance(0.5) ? { maxDepth: 20 } : {}),
          })
          expect(report).toMatchObject({ complete: true, proof: { mismatches: 0 }, units: { failed: 0 } })
          done.runs++
          done.units += report.units.done
          done.left += report.skipped.length
        } catch (error) {
          if ((error as { code?: string }).code !== 'locked') throw error
          if (thief) {
            const [row] = await database.query(
              `SELECT count(pg_terminate_backend(l.pid, 1000)) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                WHERE l.locktype = 'advisory' AND d.datname = current_database()`,
            )
            done.stolen += Number(row![0])
          } else await sleep(50)
        }
      }
    }

    const reader = async (random = seeded(seed + 5000)): Promise<void> => {
      await using session = await database.connect()
      while (going()) {
        const room = random.pick(rooms)
        const group = random.pick(room.groups)
        const found = await transaction(session, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', async () =>
          (await session.query('SELECT FROM state_groups WHERE id = $1', [group])).length === 0
            ? undefined
            : await fullState(session, group),
        )
        if (found !== undefined) expect(fingerprintOf(found), `group ${group}`).toBe(fingerprintOf(states.get(group)!))
        done.read++
      }
    }

    await Promise.all([writer(), purger(), roomPurger(), compactor(false), compactor(true), reader()])
    console.log(JSON.stringify(done))
    // Whether anything collided is chance; that everybody got to work is not.
    for (const what of ['stored', 'purged', 'expanded', 'rooms', 'runs', 'units', 'read'] as const)
      expect(done[what], what).toBeGreaterThan(0)

    const judge = async (): Promise<void> => {
      const now = await rememberStates(database.session)
      const wrong = [...now]
        .filter(([group, print]) => print !== fingerprintOf(states.get(group)!))
        .map(([group]) => group)
      expect({ wrong, faults: await faults(database.session) }).toEqual({ wrong: [], faults: [] })
    }
    await judge()
    // When everybody else is quiet, one run takes up what was left, and the next finds nothing.
    await database.query('TRUNCATE state_groups_pending_deletion')
    expect(await execute(synapse)).toMatchObject({ complete: true, skipped: [], units: { failed: 0 } })
    await judge()
    expect((await execute(synapse)).units).toEqual({ planned: 0, done: 0, skipped: 0, failed: 0 })
  },
)
