// P1 P3 for rows: other programs read and write the table by its name while it is enabled, maintained, retrained and disabled. Nothing of
// theirs is lost, every answer they get is right, in WAL mode no reader waits for anything, and nobody's lock is waited for for ever.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { disabling, enabling, freshFile, judgeOf, maintaining } from '../../support/sqlite/event-stages.ts'
import { eventKind, integrity, isRight, stateOf, wrongRows } from '../../support/sqlite/events-database.ts'
import type { Connection } from '../../support/sqlite/events-database.ts'
import { openHost, policyOf } from '../../support/sqlite/policy-host.ts'
import type { Deed } from '../../support/sqlite/policy-host.ts'
import type { Witness } from '../../support/sqlite/bystander.ts'
import { beside, readingChild, writingChild, policyChild } from '../../support/sqlite/processes.ts'
import type { PolicyChildEnd } from '../../support/sqlite/policy-child.ts'
import { impatient } from '../../support/sqlite/watched-policy.ts'
import { shellIsThere, startShell } from '../../support/sqlite/sqlite-shell.ts'
import type { Shell } from '../../support/sqlite/sqlite-shell.ts'
import { seeded } from '../../support/synapse/random.ts'

const seed = Number(process.env['TAMP_TEST_SEED'] ?? Date.now() % 1_000_000)

/** What the table must hold after writers said what they did. */
function compareWithWriters(db: Connection, witnesses: readonly Witness[]): void {
  const wanted = new Map<number, number>()
  for (const { versions } of witnesses)
    for (const [odd, version] of versions!)
      if (version !== null) {
        wanted.set(odd, version)
        wanted.set(odd + 1, version)
      }
  const got = db
    .prepare<[], [number, number, string, unknown]>('SELECT id, version, kind, data FROM events')
    .raw()
    .all()
  const off = got.filter(
    ([id, version, kind, data]) => wanted.get(id) !== version || kind !== eventKind(id) || !isRight(id, version, data),
  )
  expect(off.slice(0, 5)).toEqual([])
  expect(got.length).toBe(wanted.size)
}

/** Reads ranges of rows in the shell until told to stop, judging each; gives how many it read. */
async function readInShell(shell: Shell, rows: number, over: () => boolean): Promise<number> {
  const random = seeded(seed + 5)
  let read = 0
  while (!over()) {
    const from = 1 + random.below(rows)
    const answer = await shell.ask(
      `SELECT json_group_array(json_array(id, version, typeof(data), hex(data))) FROM events WHERE id BETWEEN ${from} AND ${from + 30};`,
    )
    for (const [id, version, type, hex] of JSON.parse(answer) as [number, number, string, string][]) {
      const bytes = Buffer.from(hex, 'hex')
      const data = type === 'null' ? null : type === 'text' ? bytes.toString() : bytes
      expect(isRight(id, version, data), `row ${id} of version ${version} in the shell: ${answer}`).toBe(true)
      read++
    }
  }
  return read
}

describe.each(['wal', 'delete'] as const)(
  `readers and writers of other processes, journal mode %s (seed ${seed})`,
  (journal) => {
    test('P1 P3: nothing is lost, nobody reads a wrong row', { timeout: 120_000 }, async () => {
      console.log(`beside (${journal}): TAMP_TEST_SEED=${seed}`)
      const rows = 3000
      const file = freshFile(rows, journal)
      // In WAL mode a reader asks for no lock that anybody else has. In the others the end of each transaction shuts it out for a moment.
      const timeout = journal === 'wal' ? 0 : 5000
      await using reader = await beside<Witness>(readingChild, { file, seed, timeout })
      await using otherReader = await beside<Witness>(readingChild, { file, seed: seed + 1, timeout })
      await using writer = await beside<Witness>(writingChild, {
        file,
        seed: seed + 2,
        share: 0,
        shares: 2,
        rows,
      })
      await using otherWriter = await beside<Witness>(writingChild, {
        file,
        seed: seed + 3,
        share: 1,
        shares: 2,
        rows,
      })
      const shell = shellIsThere ? startShell(file, [`.timeout ${timeout}`]) : undefined
      let over = false
      const inShell = shell === undefined ? Promise.resolve(Infinity) : readInShell(shell, rows, () => over)
      inShell.catch(() => {})

      await using compactor = await beside<PolicyChildEnd>(policyChild, {
        file,
        deeds: [
          enabling,
          maintaining,
          maintaining,
          { command: 'maintain', options: { retrain: true } },
          { command: 'index', options: { table: 'events', name: 'events_by_length', on: ['length(data)'] } },
          { command: 'maintain', options: { recompress: true } },
          disabling,
          enabling,
          maintaining,
        ],
      })
      const compacted = await compactor.last
      expect(compacted!.failure).toBeUndefined()
      await sleep(200)
      over = true
      expect(await inShell).toBeGreaterThan(100)
      await shell?.end()
      const written = await Promise.all([writer.end(), otherWriter.end()])
      for (const witness of [...written, await reader.end(), await otherReader.end()]) {
        expect(witness.wrong).toEqual([])
        expect(witness.refused).toEqual({})
        expect(witness.acts).toBeGreaterThan(50)
        // No benchmark: what would show is somebody who waits for a lock until somebody else's timeout.
        expect(witness.longestSeconds).toBeLessThan(4)
      }
      const db = judgeOf(file)
      expect(stateOf(db)).toBe('compressed')
      expect(integrity(db)).toEqual(['ok'])
      compareWithWriters(db, written)
    })
  },
)

test('P1: two who maintain at once do no harm', { timeout: 60_000 }, async () => {
  const file = freshFile(4000, 'wal')
  {
    using host = openHost(file)
    host.run(policyOf(enabling))
  }
  const deeds = [maintaining, { command: 'maintain', options: { retrain: true } } as const]
  await using one = await beside<PolicyChildEnd>(policyChild, { file, deeds })
  await using other = await beside<PolicyChildEnd>(policyChild, { file, driver: 'node:sqlite', deeds })
  const ends = await Promise.all([one.last, other.last])
  // One of them may be told that the other is at it; nothing else may be in its way.
  for (const end of ends) expect([undefined, 'locked']).toContain(end!.failure?.code)
  expect(ends.filter((end) => end!.failure === undefined)).not.toEqual([])
  const db = judgeOf(file)
  expect(integrity(db)).toEqual(['ok'])
  expect(wrongRows(db, { rows: 4000 })).toEqual([])
  expect(waitingRows(db)).toBe(0)
})

const pairs: readonly (readonly [string, Deed[], Deed[], Deed[]])[] = [
  ['both enable', [], [enabling], [enabling]],
  ['both disable', [enabling, maintaining], [disabling], [disabling]],
  ['one maintains, the other disables', [enabling], [maintaining], [disabling]],
  [
    'one retrains, the other disables',
    [enabling, maintaining],
    [{ command: 'maintain', options: { retrain: true, recompress: true } }],
    [disabling],
  ],
  [
    'one adds an index, the other disables',
    [enabling, maintaining],
    [{ command: 'index', options: { table: 'events', on: ['length(data)'] } }],
    [disabling],
  ],
  ['one maintains, the other disables and enables', [enabling], [maintaining, maintaining], [disabling, enabling]],
]

test.each(pairs)('P1: two at once: %s', { timeout: 60_000 }, async (_, before, deeds, others) => {
  const rows = 1500
  for (const pauseMilliseconds of [0, 40]) {
    const file = freshFile(rows, 'wal')
    {
      using host = openHost(file)
      for (const deed of before) host.run(policyOf(deed))
    }
    await using one = await beside<PolicyChildEnd>(policyChild, { file, deeds })
    await sleep(pauseMilliseconds)
    await using other = await beside<PolicyChildEnd>(policyChild, { file, deeds: others })
    // The second to come may find it done, or gone; whatever it finds, it says so in words of its own.
    for (const end of await Promise.all([one.last, other.last]))
      expect(['none', 'usage', 'locked', 'failed', 'unknown-schema'], JSON.stringify(end!.failure)).toContain(
        end!.failure?.code ?? 'none',
      )
    const db = judgeOf(file)
    expect(integrity(db)).toEqual(['ok'])
    expect(wrongRows(db, { rows })).toEqual([])
    const state = stateOf(db)
    expect(['plain', 'compressed']).toContain(state)
    using host = openHost(file)
    host.run(policyOf(state === 'plain' ? enabling : maintaining))
    host.run(policyOf(disabling))
    expect(stateOf(db)).toBe('plain')
    expect(wrongRows(db, { rows })).toEqual([])
  }
})

/** Rows that a finished maintenance should have compressed: not those whose chooser gives NULL. */
function waitingRows(db: Connection): unknown {
  return db
    .prepare(
      `SELECT count(*) FROM _events_zstd WHERE _data_dict IS NULL AND length(data) >= 200 AND NOT (id % 40 = 1 AND id % 50 <> 0)`,
    )
    .pluck()
    .get()
}

describe('P3: a lock that somebody holds for ever', () => {
  const lockers = { 'a writer': 'BEGIN IMMEDIATE', 'an exclusive one': 'BEGIN EXCLUSIVE' }
  test.each(Object.entries(lockers))('%s: enabling says so and changes nothing', (_, lock) => {
    const file = freshFile(300, 'wal')
    const holder = judgeOf(file)
    holder.exec(lock)
    using host = openHost(file, 'better-sqlite3', { busySeconds: 0.01 })
    expect(() => host.run(impatient(policyOf(enabling)))).toThrow(/lock/i)
    holder.exec('COMMIT')
    expect(stateOf(holder)).toBe('plain')
    host.run(policyOf(enabling))
    expect(stateOf(holder)).toBe('compressed')
  })

  test.each(['maintain', 'disable'] as const)('%s stops at its limit, with the reason', (command) => {
    const file = freshFile(2000, 'wal')
    const holder = judgeOf(file)
    using host = openHost(file, 'better-sqlite3', { busySeconds: 0.1 })
    host.run(policyOf(enabling))
    if (command === 'disable') host.run(policyOf(maintaining))
    holder.exec('BEGIN IMMEDIATE')
    const reasons: string[] = []
    const start = performance.now()
    let ended: unknown
    try {
      ended = host.run(
        policyOf({ command, options: { table: 'events', column: 'data', maxSeconds: 1 } }),
        (_, request) => {
          if (request.kind === 'sleep') reasons.push(request.reason)
        },
      )
    } catch (error) {
      ended = error
    }
    expect((performance.now() - start) / 1000).toBeLessThan(5)
    if (ended instanceof Error) {
      expect(ended).toMatchObject({ name: 'TampError', code: 'locked', message: expect.stringMatching(/lock/i) })
    } else {
      expect(ended).toMatchObject({ complete: false })
      expect(JSON.stringify([ended, reasons])).toMatch(/lock/i)
    }
    holder.exec('COMMIT')
    expect(integrity(holder)).toEqual(['ok'])
    expect(wrongRows(holder, { rows: 2000 })).toEqual([])
    expect(host.run(policyOf({ command, options: { table: 'events', column: 'data' } }))).toMatchObject({
      complete: true,
    })
    expect(wrongRows(holder, { rows: 2000 })).toEqual([])
  })

  test('in rollback mode a reader that never ends is named too', () => {
    const file = freshFile(300, 'delete')
    const holder = judgeOf(file)
    const reading = holder.prepare('SELECT id FROM events').iterate()
    reading.next()
    using host = openHost(file, 'better-sqlite3', { busySeconds: 0.01 })
    expect(() => host.run(impatient(policyOf(enabling)))).toThrow(/lock/i)
    expect(host.driver.autocommit).toBe(true)
    reading.return!()
    expect(stateOf(holder)).toBe('plain')
    host.run(policyOf(enabling))
    expect(stateOf(holder)).toBe('compressed')
  })
})
