// P5: nothing is written unasked, no table is made, execution reaches the dry run. P7: what is broken is named and stops nothing else;
// no secret in any output.
import { inspect } from 'node:util'
import { expect, inject, test } from 'vitest'
import { compact, openSynapse } from '../../../src/synapse/index.ts'
import type { TampEvent } from '../../../src/core/events.ts'
import { startProxy } from '../../support/cutting-proxy.ts'
import { freshDatabase } from '../../support/postgres.ts'
import type { Session } from '../../support/session.ts'
import { damageRoom, growRoom, type Damage } from '../../support/synapse/grow.ts'
import { compareStates, faults, measure, rememberStates } from '../../support/synapse/judge.ts'
import { execute, pausable, scene, storedForms, unitStatements } from './scene.ts'

/** All that the catalog says of a database: schemas, relations, columns, indexes, constraints, triggers, functions, extensions. */
async function schemaDump(session: Session): Promise<unknown[]> {
  return session.query(`
    SELECT 'schema', nspname, '' FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION ALL SELECT 'relation', oid::regclass::text, concat(relkind, relpersistence, relacl, reloptions) FROM pg_class
    UNION ALL SELECT 'column', attrelid::regclass || '.' || attname, concat(attnum, format_type(atttypid, atttypmod), attnotnull, attoptions, attstattarget)
      FROM pg_attribute
    UNION ALL SELECT 'index', indexrelid::regclass::text, concat(pg_get_indexdef(indexrelid), indisvalid) FROM pg_index
    UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
    UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger
    UNION ALL SELECT 'function', oid::regprocedure::text, prosrc FROM pg_proc
    UNION ALL SELECT 'extension', extname, extversion FROM pg_extension
    ORDER BY 1, 2, 3`)
}

test('P5: execution, dry run and script leave the schema as it is', async () => {
  await using room = await scene({ seed: 2, groups: 40, keys: 8, shape: 'forked', snapshotEvery: 6 })
  const before = await schemaDump(room.session)
  expect(before.length).toBeGreaterThan(1000)
  for (const mode of ['dry-run', 'script', 'execute'] as const)
    expect((await compact(room.synapse, { mode, write: () => {} })).complete).toBe(true)
  expect(await schemaDump(room.session)).toEqual(before)
})

test('P5: a role that may only read gets dry run and script; execution refuses at once', async () => {
  await using database = await freshDatabase('half-compressed')
  const { session } = database
  const reader = `reader_${database.name}`
  await session.query(`CREATE ROLE ${reader} LOGIN PASSWORD 'reads-only'`)
  try {
    await session.query(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${reader}`)
    const url = new URL(database.url)
    url.username = reader
    url.password = 'reads-only'
    const synapse = await openSynapse({ connection: url.href, env: {} })
    const stored = await storedForms(session)
    const dry = await compact(synapse, { mode: 'dry-run' })
    expect(dry.after.rows).toBeLessThan(dry.before.rows)
    const script = await compact(synapse, { mode: 'script', write: () => {} })
    expect(script.after).toEqual(dry.after)
    await expect(execute(synapse)).rejects.toMatchObject({ code: 'no-permission' })
    expect(await storedForms(session)).toEqual(stored)
  } finally {
    await session.query(`DROP OWNED BY ${reader}; DROP ROLE ${reader}`)
  }
})

test('P5: execution reaches the dry run, room by room', async () => {
  await using database = await freshDatabase('empty')
  const shapes = ['forked', 'backfill', 'linear', 'initial'] as const
  for (const [n, shape] of shapes.entries())
    await growRoom(database.session, {
      seed: 40 + n,
      shape,
      groups: 120,
      keys: 15,
      snapshotEvery: 15,
      identical: 0.1,
      removals: 0.03,
      awkward: true,
    })
  const synapse = await openSynapse({ connection: database.url, env: {} })
  const dry = await compact(synapse, { mode: 'dry-run' })
  const done = await execute(synapse, { jobs: 2 })
  const measured = await measure(database.session)
  expect(dry.lanes).toHaveLength(shapes.length)
  for (const { lane, after } of dry.lanes) {
    const same = done.lanes.find((other) => other.lane === lane)!
    expect(same.after).toEqual(after)
    expect(measured.get(lane)).toMatchObject({ groups: after.groups, rows: after.rows, maxDepth: after.maxDepth })
  }
})

test('P5: a database that is not of a known schema is refused', async () => {
  await using blank = await freshDatabase('blank')
  await expect(openSynapse({ connection: blank.url, env: {} })).rejects.toMatchObject({ code: 'unknown-schema' })
  await using newer = await freshDatabase('empty')
  await newer.query('UPDATE schema_compat_version SET compat_version = 9999')
  await expect(openSynapse({ connection: newer.url, env: {} })).rejects.toMatchObject({ code: 'unknown-schema' })
})

const damages: Readonly<Record<Damage, string | null>> = {
  'dangling-base': 'dangling-base',
  'phantom-base': 'dangling-base',
  'base-not-older': 'base-not-older',
  // One edge of every cycle leads to a younger group, and that is what is seen of it in passing.
  cycle: 'base-not-older',
  'several-bases': 'several-bases',
  'duplicate-key': 'duplicate-key',
  // Not of any room, so only `check` sees them.
  'rows-without-group': null,
  'edge-without-group': null,
  'room-mismatch': null,
  'event-without-group': null,
}

test('P7: no kind of damage stops the other rooms, or the rest of its own; each is named', async () => {
  await using database = await freshDatabase('empty')
  const { session } = database
  const broken = new Map<string, { readonly damage: Damage; readonly groups: readonly number[] }>()
  for (const [n, damage] of (Object.keys(damages) as Damage[]).entries()) {
    const shape = { groups: 50, keys: 8, shape: 'forked', snapshotEvery: 6, referenced: 1 } as const
    const grown = await growRoom(session, { ...shape, seed: 100 + n })
    broken.set(grown.room, { damage, groups: await damageRoom(session, grown, damage) })
    await growRoom(session, { ...shape, seed: 200 + n })
  }
  const states = await rememberStates(session)
  const faultsBefore = await faults(session)
  const rowsBefore = await measure(session)
  const synapse = await openSynapse({ connection: database.url, env: {} })
  const report = await execute(synapse, { jobs: 2, proof: 'full' })
  expect(report).toMatchObject({ complete: true, skipped: [], units: { failed: 0 }, proof: { mismatches: 0 } })
  expect(compareStates(states, await rememberStates(session))).toEqual({ changed: [], gone: [], added: [] })
  expect((await faults(session)).sort()).toEqual(faultsBefore.sort())
  const rowsAfter = await measure(session)
  for (const [room, { rows }] of rowsBefore) {
    expect(rowsAfter.get(room)!.rows, room).toBeLessThan(rows)
    const { damage, groups } = broken.get(room) ?? {}
    if (damage === undefined || damages[damage] === null) continue
    const named = report.findings.filter(({ code }) => code === damages[damage]).map(({ subject }) => subject)
    expect(named, `${damage} in ${room}`).toContain(String(Math.min(...groups!)))
  }
})

test('P1 P7: a state that somebody else has changed meanwhile fails its proof; the unit is rolled back and said to be', async () => {
  await using room = await scene({ seed: 2, groups: 30, keys: 6, shape: 'forked', snapshotEvery: 6 })
  const { session } = room
  const good = await growRoom(session, { seed: 9, groups: 40, keys: 6, shape: 'forked', snapshotEvery: 6 })
  const run = pausable(room.synapse)
  let stored: ReadonlyMap<number, string> | undefined
  run.before(unitStatements[0]![1], async () => {
    // Not in the groups that move, so that they look as they did, but below them.
    await session.query(
      `UPDATE state_groups_state SET event_id = event_id || 'x' WHERE room_id = $1 AND state_group <> ALL ($2)`,
      [room.grown.room, room.moves.map(({ group }) => group)],
    )
    stored = await storedForms(session)
  })
  const report = await execute(run.database, { proof: 'full', rooms: [room.grown.room, good.room] })
  expect(report.units).toEqual({ planned: 2, done: 1, skipped: 0, failed: 1 })
  expect(report.proof.mismatches).toBeGreaterThan(0)
  expect(report.skipped[0]!.reason).toMatch(
    /^the state of state group \d+ (before|after) the change is not .*\(nothing of state groups \d+ to \d+ was changed\)$/,
  )
  const now = await storedForms(session)
  for (const { id } of room.grown.groups) expect(now.get(id)).toBe(stored!.get(id))
  expect((await measure(session)).get(good.room)!.rows).toBeLessThan(good.rows)
})

test('P7: the password is in no event, report or error', async () => {
  await using room = await scene({ seed: 2, groups: 30, keys: 6, shape: 'forked', snapshotEvery: 6 })
  const { hostname: host, port } = new URL(inject('postgres').url)
  await using proxy = await startProxy({ target: { host, port: Number(port) } })
  const url = proxy.url(room.database.url)
  const { password } = new URL(url)
  const said: unknown[] = []
  const onEvent = (event: TampEvent): void => void said.push(event)
  const synapse = await openSynapse({ connection: url, env: {} })
  // Cut in the middle of a unit, and again where the room is read.
  proxy.startCounting(unitStatements[0]![1])
  proxy.cut({ direction: 'frontend', message: 8, when: 'before' })
  said.push(await execute(synapse, { onEvent }))
  await room.restore()
  const stop = new AbortController()
  proxy.refuse(true)
  stop.abort()
  for (const attempt of [
    () => compact(synapse, { mode: 'dry-run', onEvent, signal: stop.signal }),
    () => execute(synapse, { onEvent }),
    () => openSynapse({ connection: url, env: {} }),
    () => openSynapse({ connection: url.replace(password, `${password}wrong`), env: {} }),
    () => openSynapse({ connection: `${url}_nowhere`, env: {} }),
  ])
    said.push(await attempt().catch((error: unknown) => error))
  proxy.refuse(false)
  for (const wrong of [
    url.replace(password, `${password}wrong`),
    `${url}_nowhere`,
    url.replace('postgresql:', 'postgresq:'),
  ])
    said.push(await openSynapse({ connection: wrong, env: {} }).catch((error: unknown) => error))
  expect(password.length).toBeGreaterThan(8)
  expect(said.filter((one) => one instanceof Error).length).toBeGreaterThan(4)
  for (const one of said)
    expect(inspect(one, { depth: 12, showHidden: true, maxStringLength: null })).not.toContain(password)
})
