// The known races between a rewriter of state groups and Synapse's own deletions (R1 … R12), each as one fixed order of statements.
// Where a rewriter without protection corrupts the store, that is shown first: then we know that the test would see it.
// Synapse's queue says here that groups have waited since 1970: nothing may rest on its ten minutes.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Report } from '../../../src/core/report.ts'
import type { Session } from '../../support/session.ts'
import {
  findUnreferencedGroups,
  markPending,
  pendingGroups,
  purgeRoom,
  purgeUnreferencedStateGroups,
} from '../../support/synapse/purger.ts'
import { finish, stepTo, type Steps } from '../../support/synapse/steps.ts'
import { storeStateGroup } from '../../support/synapse/store-state-group.ts'
import {
  execute,
  harm,
  pausable,
  scene,
  someoneWaits,
  unharmed,
  unitStatements,
  type PlannedMove,
  type Scene,
} from './scene.ts'

let room: Scene
let purger: Session
/** The move that the races are about: from one base to another. */
let move: PlannedMove & { readonly oldBase: number; readonly newBase: number }

beforeAll(async () => {
  room = await scene({
    seed: 1,
    groups: 30,
    keys: 6,
    shape: 'forked',
    snapshotEvery: 6,
    identical: 0.1,
    removals: 0.05,
    gaps: 0.1,
  })
  purger = await room.database.connect()
  move = room.moves.find(({ oldBase, newBase }) => oldBase !== null && newBase !== null) as typeof move
  expect(move).toBeDefined()
})

afterAll(async () => {
  await purger?.[Symbol.asyncDispose]()
  await room?.[Symbol.asyncDispose]()
})

/** Somebody who rewrites state groups, stopped once on the way. */
interface Rewriter {
  readonly reached: Promise<void>
  resume(): void
  readonly done: Promise<Report | undefined>
  /** First lines of what was sent. */
  readonly statements?: readonly string[]
}

/** What the old compressor does with one group: no look again, no fence; with `lock`, the row locks that seem to be enough. */
function naive(pause: 'before begin' | 'before commit' | 'never', options: { readonly lock?: boolean } = {}): Rewriter {
  const reached = Promise.withResolvers<void>()
  const resumed = Promise.withResolvers<void>()
  const stop = async (here: typeof pause): Promise<void> => {
    if (here !== pause) return
    reached.resolve()
    await resumed.promise
  }
  const rewrite = async (): Promise<undefined> => {
    const { groups, room: name } = room.grown
    const target = groups.find(({ id }) => id === move.group)!
    const base = groups.find(({ id }) => id === move.newBase)!
    const delta = [...target.state].filter(([key, event]) => base.state.get(key) !== event)
    await using session = await room.database.connect()
    if (pause === 'never') reached.resolve()
    await stop('before begin')
    await session.query('BEGIN')
    if (options.lock)
      await session.query('SELECT id FROM state_groups WHERE id = ANY ($1) FOR KEY SHARE', [[target.id, base.id]])
    await session.query('DELETE FROM state_group_edges WHERE state_group = $1', [target.id])
    await session.query('INSERT INTO state_group_edges VALUES ($1, $2)', [target.id, base.id])
    await session.query('DELETE FROM state_groups_state WHERE state_group = $1', [target.id])
    for (const [key, event] of delta)
      await session.query('INSERT INTO state_groups_state VALUES ($1, $2, $3, $4, $5)', [
        target.id,
        name,
        ...key.split('\0'),
        event,
      ])
    await stop('before commit')
    await session.query('COMMIT')
  }
  return { reached: reached.promise, resume: resumed.resolve, done: rewrite() }
}

/** With `queue: false` as on a Synapse that has no queue of groups to delete: then the fence and the locks are all there is. */
function tamp(pauseBefore: RegExp, { queue = true } = {}): Rewriter {
  const { schema } = room.synapse
  const run = pausable({ ...room.synapse, schema: { ...schema, pendingDeletion: schema.pendingDeletion && queue } })
  const pause = run.pauseBefore(pauseBefore)
  const done = execute(run.database, { rooms: [room.grown.room], proof: 'full' })
  return { ...pause, done, statements: run.statements }
}

const at = (name: string): RegExp => unitStatements.find(([statement]) => statement === name)![1]

/** A purge of these groups, queued long ago. */
async function purgeOf(...groups: number[]): Promise<Steps<unknown>> {
  await markPending(room.session, groups, 0)
  return purgeUnreferencedStateGroups(purger, await pendingGroups(room.session, groups))
}

/** Ends a purge as Synapse does: where it fails against another transaction it starts again. Returns how often it had to. */
async function retried(purge: Steps<unknown>, begun: AsyncGenerator<string, unknown, void>): Promise<number> {
  try {
    await finish(begun)
    return 0
  } catch (error) {
    expect((error as { code?: string }).code).toMatch(/^(40001|40P01)$/)
    await purge.run()
    return 1 + purge.retries
  }
}

/** The rewriter stops on its way, the purge goes to `step` and stops too, the rewriter goes on, and a little later the purge. */
async function collide(start: () => Rewriter, makePurge: () => Promise<Steps<unknown>>, step: string) {
  await room.restore()
  const rewriter = start()
  await Promise.race([
    rewriter.reached,
    rewriter.done.then(() => Promise.reject(new Error('the rewriter ended before it came to its pause'))),
  ])
  const purge = await makePurge()
  const steps = purge.steps()
  // It may have to wait for the rewriter: then it waits with its snapshot taken.
  const stepping = stepTo(steps, step).then(
    () => undefined,
    (error: unknown) => error,
  )
  await Promise.race([stepping, someoneWaits(room.session)])
  rewriter.resume()
  await Promise.race([rewriter.done, sleep(150)])
  const failed = await stepping
  let retries = 0
  if (failed === undefined) retries = await retried(purge, steps)
  else {
    expect((failed as { code?: string }).code).toMatch(/^(40001|40P01)$/)
    await purge.run()
    retries = 1 + purge.retries
  }
  const report = await rewriter.done
  return { report, retries, statements: rewriter.statements, harm: await harm(room.session, room.states) }
}

const theBase = () => purgeOf(move.newBase)
const theRoom = async () => purgeRoom(purger, room.grown.room)

describe('a rewriter without protection', () => {
  test.each([
    ['R1: the base goes between reading and writing', () => naive('before begin'), 'commit'],
    ['R2: the purge has looked for children already', () => naive('before begin'), 'children'],
    ['R2: the purge has deleted the base, but not committed', () => naive('before begin'), 'delete-groups'],
    [
      'R3: the purge waited for the lock, and goes on with its old snapshot',
      () => naive('before commit', { lock: true }),
      'lock',
    ],
  ])('%s: the state is lost', async (_, start, step) => {
    const { harm: found } = await collide(start, theBase, step)
    expect(found.faults).toContain(`dangling-base ${move.group}`)
    expect(found.changed).toContain(move.group)
  })

  test('R4: the room goes between reading and writing: rows and edges stay for ever', async () => {
    const { harm: found } = await collide(() => naive('before begin'), theRoom, 'commit')
    expect(found.faults).toEqual(
      expect.arrayContaining([`rows-without-group ${move.group}`, `edge-without-group ${move.group}`]),
    )
  })

  test('R6: the purge has rewritten the group itself: something is overwritten that was never read', async () => {
    await room.restore()
    const rewriter = naive('before begin')
    await rewriter.reached
    await (await purgeOf(move.oldBase)).run()
    const [[rows]] = (await room.session.query('SELECT count(*) FROM state_groups_state WHERE state_group = $1', [
      move.group,
    ])) as [[number]]
    const planned = room.grown.groups.find(({ id }) => id === move.group)!.delta.length
    expect(rows).toBeGreaterThan(planned)
    rewriter.resume()
    await rewriter.done
  })

  test('R10: two of them give a group two bases and one delta', async () => {
    await room.restore()
    const first = naive('before commit')
    await first.reached
    await using other = await room.database.connect()
    const { id, state } = room.grown.groups.find(({ id }) => id === move.group)!
    const another = room.grown.groups.findLast(
      (group) => group.id < id && group.id !== move.newBase && [...group.state.keys()].every((key) => state.has(key)),
    )!
    await other.query('BEGIN')
    const deleting = other.query('DELETE FROM state_group_edges WHERE state_group = $1', [id])
    await someoneWaits(room.session)
    first.resume()
    await first.done
    await deleting
    await other.query('INSERT INTO state_group_edges VALUES ($1, $2)', [id, another.id])
    await other.query('COMMIT')
    expect((await harm(room.session, room.states)).faults).toContain(`several-bases ${id}`)
  })
})

describe('tamp', () => {
  test('R1: finds that the base is gone, names the group, and leaves it', async () => {
    const { report, harm: found } = await collide(() => tamp(at('begin')), theBase, 'commit')
    expect(found).toEqual(unharmed)
    expect(report!.skipped).toContainEqual({
      subject: `state group ${move.group}`,
      reason: `its new base ${move.newBase} is locked, gone or about to be deleted`,
    })
    expect(report!.units).toMatchObject({ done: 1, failed: 0 })
  })

  test('R2: leaves a base alone that a purge holds, without waiting for it', async () => {
    const start = () => tamp(at('begin'), { queue: false })
    const { report, statements, harm: found } = await collide(start, theBase, 'children')
    expect(found).toEqual(unharmed)
    expect(report!.skipped.map(({ subject }) => subject)).toContain(`state group ${move.group}`)
    expect(statements!.filter((statement) => at('begin').test(statement))).toHaveLength(1)
  })

  test('R3: a purge that waited with an old snapshot fails on the fence, starts again, and sees the new child', async () => {
    const { report, retries, harm: found } = await collide(() => tamp(at('commit')), theBase, 'lock')
    expect(found).toEqual(unharmed)
    expect(retries).toBe(1)
    expect(report).toMatchObject({ units: { done: 1 }, skipped: [] })
    expect(await room.session.query('SELECT FROM state_groups WHERE id = $1', [move.newBase])).toHaveLength(0)
  })

  test('R4: a room that goes away leaves nothing behind, and does not stop the others', async () => {
    for (const name of ['begin', 'lock', 'fence', 'commit']) {
      const { harm: found } = await collide(() => tamp(at(name)), theRoom, 'commit')
      expect(found, name).toEqual(unharmed)
      expect(await room.session.query('SELECT FROM state_groups_state'), name).toEqual([])
      expect(await room.session.query('SELECT FROM state_group_edges'), name).toEqual([])
    }
  })

  test('R5: a purge of the room in whose middle we commit starts again', async () => {
    const { retries, harm: found } = await collide(() => tamp(at('commit')), theRoom, 'timeout')
    expect(found).toEqual(unharmed)
    expect(retries).toBe(0) // Its snapshot is not taken yet.
    const second = await collide(() => tamp(at('commit')), theRoom, 'delete-edges')
    expect(second.harm).toEqual(unharmed)
    expect(second.retries).toBe(1)
  })

  test('R6: a group that the purge has rewritten itself is left alone', async () => {
    const { report, harm: found } = await collide(
      () => tamp(at('begin')),
      () => purgeOf(move.oldBase),
      'commit',
    )
    expect(found).toEqual(unharmed)
    expect(report!.skipped).toContainEqual({
      subject: `state group ${move.group}`,
      reason: 'it has been rewritten since it was read',
    })
  })

  test('R7: a group that is pending deletion never gets a child', async () => {
    const childrenOf = (base: number): Promise<unknown> =>
      room.session.query('SELECT state_group FROM state_group_edges WHERE prev_state_group = $1 ORDER BY 1', [base])
    for (const when of ['before reading', 'after reading']) {
      await room.restore()
      const before = await childrenOf(move.newBase)
      if (when === 'before reading') await markPending(room.session, [move.newBase], Date.now())
      const rewriter = tamp(at('begin'))
      await rewriter.reached
      if (when === 'after reading') await markPending(room.session, [move.newBase], Date.now())
      rewriter.resume()
      await rewriter.done
      expect(await childrenOf(move.newBase), when).toEqual(before)
      expect(await harm(room.session, room.states)).toEqual(unharmed)
    }
  })

  test('R8 P3: against a purge of the room it gives way first, and again and again, and ends', async () => {
    await room.restore()
    const rewriter = tamp(at('fence'))
    await rewriter.reached
    const purge = await theRoom()
    const steps = purge.steps()
    await stepTo(steps, 'delete-rows')
    rewriter.resume()
    const started = performance.now()
    await steps.next()
    expect(performance.now() - started).toBeLessThan(1000)
    await finish(steps)
    const report = await rewriter.done
    expect(report!.units.failed).toBe(0)
    expect(await harm(room.session, room.states)).toEqual(unharmed)
  })

  test('R9: bases that change while Synapse looks for unreferenced groups', async () => {
    await room.restore()
    const found = await findUnreferencedGroups(room.session, [room.grown.groups[0]!.id])
    await execute(room.synapse, { rooms: [room.grown.room] })
    const keep = new Set(room.grown.groups.slice(-3).map(({ id }) => id))
    await (await purgeOf(...found.filter((id) => id % 2 === 0 && !keep.has(id)))).run()
    expect(await harm(room.session, room.states)).toEqual(unharmed)
  })

  test('R11: a new group on a group that is just being moved', async () => {
    await room.restore()
    const rewriter = tamp(at('commit'))
    await rewriter.reached
    const started = performance.now()
    const { id } = await storeStateGroup(purger, {
      room: room.grown.room,
      event: '$new',
      base: move.group,
      delta: [['t', 'k', '$new']],
    }).run()
    expect(performance.now() - started).toBeLessThan(1000)
    rewriter.resume()
    expect(await rewriter.done).toMatchObject({ units: { done: 1 }, skipped: [], proof: { mismatches: 0 } })
    expect(await harm(room.session, room.states)).toEqual(unharmed)
    const [base] = await room.session.query('SELECT prev_state_group FROM state_group_edges WHERE state_group = $1', [
      id,
    ])
    expect(base).toEqual([move.group])
  })
})

const victims = {
  'its new base': () => theBase(),
  'its old base': () => purgeOf(move.oldBase),
  'the group itself': () => purgeOf(move.group),
  'a snapshot that gets a base': () =>
    purgeOf(room.moves.find(({ oldBase, newBase }) => oldBase === null && newBase !== null)!.group),
  'the room': theRoom,
}

const meetings = Object.entries(victims).map(([victim, makePurge]) => [victim, makePurge, true] as const)

test.each<readonly [string, () => Promise<Steps<unknown>>, boolean]>([
  ...meetings,
  ['its new base, on a Synapse without a queue,', theBase, false],
])(
  'P1 P2: whatever the two have done when they meet, a purge of %s and a unit do each other no harm',
  async (victim, makePurge, queue) => {
    const steps = victim === 'the room' ? ['delete-edges', 'delete-groups'] : ['lock', 'children', 'delete-groups']
    for (const name of ['begin', 'edges', 'fence', 'delete rows', 'commit'])
      for (const step of steps) {
        const { harm: found, report } = await collide(() => tamp(at(name), { queue }), makePurge, step)
        const where = `unit before ${name}, purge after ${step}`
        expect(found, where).toEqual(unharmed)
        expect(report!.units.failed, where).toBe(0)
      }
  },
)
