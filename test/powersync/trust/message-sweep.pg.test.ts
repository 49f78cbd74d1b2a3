// P2: the connection is cut before and after every protocol message of a slice, before and after every statement of a whole run (also of
// the session that holds the lock), and every answer to a statement is lost once.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import { openBucketStorage } from '../../../src/powersync/database.ts'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import type { BucketReport } from '../../../src/powersync/report.ts'
import { startProxy } from '../../support/cutting-proxy.ts'
import type { Cut, CuttingProxy, Direction, Message } from '../../support/cutting-proxy.ts'
import { execute, pausable, scene, slice, sound } from './scene.ts'
import type { Pausable, Scene, Shape } from './scene.ts'

const { hostname: host, port } = new URL(inject('postgres').url)
const proxyOf = (): Promise<CuttingProxy> => startProxy({ target: { host, port: Number(port) } })

interface Ended {
  /** For messages of failed expectations. */
  readonly name: string
  readonly run: Pausable
  readonly ended: BucketReport | TampError
}

/** Runs with this cut. Whatever comes of it, no client is harmed, and the next run ends where the first should have. */
async function runWithCut(stage: Scene, through: BucketStorage, proxy: CuttingProxy, cut: Cut): Promise<Ended> {
  const run = pausable(through)
  const pending = proxy.cut(cut)
  const ended = await execute(run.storage, { proof: 'full' }).catch((error: unknown) => error)
  expect(pending.done, JSON.stringify(cut)).toBe(true)
  const { text, type } = await pending.cut
  const name = `${cut.when} ${cut.direction} message ${cut.message} (${type} ${text ?? ''})`
  expect(await stage.harm(), name).toEqual([])
  if (ended instanceof TampError) {
    expect({ name, code: ended.code }).toEqual({ name, code: 'connection-failed' })
    expect(await execute(stage.storage), name).toMatchObject(sound)
  } else expect(ended, name).toMatchObject(sound)
  expect(await stage.now(), name).toEqual(stage.end)
  return { name, run, ended: ended as BucketReport | TampError }
}

/** Statements: the message that ends each. */
function statementsOf(messages: readonly Message[]): readonly Message[] {
  return messages.filter(({ direction, type }) => direction === 'frontend' && 'QS'.includes(type))
}

describe.each([
  { name: 'one slice that clears and moves', shape: { buckets: 3 } as Shape, slices: 1 },
  { name: 'a large bucket, cleared in steps', shape: { buckets: 1, large: 10_800 }, slices: 3 },
])('$name', ({ shape, slices }) => {
  let stage: Scene
  let proxy: CuttingProxy
  let through: BucketStorage

  beforeAll(async () => {
    stage = await scene(shape)
    proxy = await proxyOf()
    through = await openBucketStorage({ connection: proxy.url(stage.url), env: {} })
  })
  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]()
    await stage?.[Symbol.asyncDispose]()
  })

  /** What goes to and fro on the connection of the slices, when nothing is cut. */
  async function wholeRun(): Promise<readonly Message[]> {
    await stage.restore()
    proxy.startCounting(slice('begin'))
    const report = await execute(through, { proof: 'full' })
    expect(report).toMatchObject(sound)
    expect(report.units.done).toBeGreaterThanOrEqual(slices)
    expect(await stage.now()).toEqual(stage.end)
    return [...proxy.messages]
  }

  async function cutSlice(cut: Cut): Promise<Ended> {
    await stage.restore()
    proxy.startCounting(slice('begin'))
    const ended = await runWithCut(stage, through, proxy, cut)
    expect(ended.ended, ended.name).toMatchObject(sound)
    return ended
  }

  const lookups = ({ run }: Ended): number =>
    run.statements.filter((statement) => statement.includes('pg_xact_status')).length

  if (slices === 1)
    test.each(['frontend', 'backend'] as const)(
      'P2: a cut at any %s message of a slice leaves it untouched or whole, and the run goes on to the same end',
      async (direction) => {
        const all = await wholeRun()
        const commit = all.findIndex(({ text, direction }) => direction === 'frontend' && text === 'COMMIT')
        const messages = swept(direction, all.slice(0, commit + 3))
        let looked = 0
        for (const { number, type } of messages)
          for (const when of ['before', 'after'] as const) {
            // After one message is before the next one; only after the last of a request, of which the server knows what to do, is something else.
            if (when === 'after' && !(direction === 'frontend' && 'QS'.includes(type))) continue
            looked += lookups(await cutSlice({ direction, message: number, when }))
          }
        expect(messages.length).toBeGreaterThan(10)
        // Frontend: before and after COMMIT. Backend: before each of the two messages that answer it.
        expect(looked).toBeGreaterThanOrEqual(2)
      },
    )

  test('P2: an answer that is lost in a slice: it is done again from the start; a COMMIT is looked up', async () => {
    const statements = statementsOf(await wholeRun())
    const commits = statements.filter(({ text }) => text === 'COMMIT')
    expect(commits.length).toBeGreaterThanOrEqual(slices)
    for (const { number, text } of statements.filter(({ number }) => number <= commits[slices - 1]!.number)) {
      const ended = await cutSlice({ direction: 'frontend', message: number, when: 'answered' })
      // How much a slice holds depends on how fast the machine is, so that its messages may stand elsewhere in another run.
      if (slices === 1) expect(lookups(ended), ended.name).toBe(text === 'COMMIT' ? 1 : 0)
    }
  })
})

test('P2: a cut at any statement of a whole run, on any of its connections: no client is harmed, and if not this run the next one ends right', async () => {
  await using stage = await scene({ buckets: 2 })
  /** Every run through a proxy of its own, which counts what comes over all connections. */
  const whole = async (cut?: Cut): Promise<readonly Message[] | Ended> => {
    await stage.restore()
    await using proxy = await proxyOf()
    const through = await openBucketStorage({ connection: proxy.url(stage.url), env: {} })
    const opened = proxy.messages.filter(({ direction }) => direction === 'frontend').length
    if (cut !== undefined) return await runWithCut(stage, through, proxy, { ...cut, message: cut.message + opened })
    expect(await execute(through, { proof: 'full' })).toMatchObject(sound)
    return statementsOf(proxy.messages)
      .filter(({ number }) => number > opened)
      .map((message) => ({ ...message, number: message.number - opened }))
  }
  const statements = (await whole()) as readonly Message[]
  expect(statements.length).toBeGreaterThan(40)
  let gaveUp = 0
  for (const { number } of statements) {
    // A lost answer is the harder case: what is lost before it was sent, every third time.
    for (const when of number % 3 === 0 ? (['answered', 'before'] as const) : (['answered'] as const))
      if (((await whole({ direction: 'frontend', message: number, when })) as Ended).ended instanceof TampError)
        gaveUp++
  }
  // Before it has planned anything a run may give up.
  expect(gaveUp).toBeLessThan(statements.length / 2)
})

/** All messages of one direction, but of an answer only its end. */
function swept(direction: Direction, messages: readonly Message[]): readonly Message[] {
  const sent = messages.filter((message) => message.direction === direction)
  return direction === 'frontend' ? sent : sent.filter(({ type }) => 'CZ'.includes(type))
}
