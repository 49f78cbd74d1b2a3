// `tamp powersync compact` as a user runs it: the same figures from dry run, script and execution, and the exit status of every ending.
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadStorage, publish } from '../support/powersync/storages.ts'
import type { LoadedStorage } from '../support/powersync/storages.ts'
import { runTamp } from './run-tamp.ts'

const compact = (database: LoadedStorage, ...words: string[]): string[] => [
  'powersync',
  'compact',
  '--connection',
  database.url,
  ...words,
]
const operationsOf = async (database: LoadedStorage, bucket?: string): Promise<number> => {
  const [row] = await database.query<[number]>(
    'SELECT count(*) FROM bucket_data WHERE $1::text IS NULL OR bucket_name = $1',
    [bucket ?? null],
  )
  return row![0]
}
const passwordOf = (database: LoadedStorage): string => new URL(database.url).password

test('dry run, execution and second run, as JSON', async () => {
  await using database = await loadStorage(2)
  const dry = await runTamp(compact(database, '--json'))
  expect(dry).toMatchObject({ status: 0, err: '' })
  expect(await operationsOf(database)).toBe(46_560)
  const lines = dry.lines()
  const planned = lines.at(-1)
  expect(Object.keys(planned).slice(0, 12)).toEqual(
    'v type command mode complete before after bound units proof findings seconds'.split(' '),
  )
  expect(planned).toMatchObject({
    v: 1,
    type: 'summary',
    command: 'powersync compact',
    mode: 'dry-run',
    complete: true,
    before: { operations: 46_560, rows: 6915, bytesEstimate: expect.any(Number) },
    after: { operations: 26_542, rows: 6915, bytesEstimate: expect.any(Number) },
    bound: { rows: 6915, operations: 7027 },
    units: { done: 0, skipped: 0, failed: 0 },
    stream: { id: 1, state: 'ACTIVE', storageVersion: 2 },
    checkpoint: { opId: 46_628, source: 'last_checkpoint_ts' },
    unchangedBuckets: 0,
    space: { before: { tableBytes: expect.any(Number), indexBytes: expect.any(Number) } },
  })
  expect(planned.definitions).toHaveLength(6)
  const plans = lines.filter(({ type }) => type === 'plan')
  expect(plans.reduce((sum, { after }) => sum + after.operations, 0)).toBe(planned.after.operations)
  expect(plans[0]).toMatchObject({ v: 1, lane: expect.stringContaining('1#') })

  const executed = await runTamp(compact(database, '--execute', '--proof', 'full', '--json', '--verbose'))
  expect(executed.status).toBe(0)
  const done = executed.lines().at(-1)
  expect(done).toMatchObject({ mode: 'execute', before: planned.before, after: planned.after, skipped: [] })
  expect(done.proof).toMatchObject({ mismatches: 0 })
  expect(executed.lines().filter(({ type }) => type === 'unit')).toHaveLength(done.units.done)
  expect(await operationsOf(database)).toBe(planned.after.operations)

  const again = await runTamp(compact(database, '--execute', '--json'))
  expect(again.status).toBe(0)
  expect(again.lines().at(-1)).toMatchObject({ units: { planned: 0, done: 0 }, complete: true })
  const full = await runTamp(compact(database, '--execute', '--full', '--json'))
  expect(full.lines().at(-1)).toMatchObject({ units: { planned: 0 }, before: planned.after, after: planned.after })
})

test('as text: definitions, the total, the checkpoint, and what to do next', async () => {
  await using database = await loadStorage(3)
  const dry = await runTamp(compact(database))
  expect(dry.status).toBe(0)
  expect(dry.out).toMatch(/^Definition +Buckets +Operations +After +Fewer +Live rows +Per row +Download$/m)
  expect(dry.out).toMatch(/^1#churn\|0 +1 +20,2\d\d +\d{3} +98\.\d % +200 /m)
  expect(dry.out).toMatch(/^6 definitions +112 +46,\d{3} /m)
  expect(dry.out).toMatch(/^Stream 1 \(ACTIVE, storage version 3\), up to checkpoint \d+, published .+ ago: no client/m)
  expect(dry.out).toMatch(/operations would go \(\d+\.\d %\); a new client downloads about/)
  expect(dry.out).toMatch(/Nothing was changed\. The same command with --execute carries this out/)
  const executed = await runTamp(compact(database, '--execute', '--verbose'))
  expect(executed.status).toBe(0)
  expect(executed.err).toMatch(/operations done in /)
  expect(executed.out).toMatch(/operations are gone \(\d+\.\d %\)/)
  expect(executed.out).toMatch(/On disk: table [\d.]+ MB → [\d.]+ MB/)
  expect(executed.out).toMatch(/"tamp powersync reclaim" says what can be given back/)
  const again = await runTamp(compact(database, '--execute', '--quiet'))
  expect(again).toMatchObject({ status: 0, err: '', out: 'Nothing to do: no bucket has anything new.\n' })
  for (const { out, err } of [dry, executed, again]) expect(out + err).not.toContain(passwordOf(database))
})

test('--sql: the script reaches the figures, and is alone on standard output with -', async () => {
  await using database = await loadStorage(1)
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tamp-cli-'))
  const file = join(temporary.path, 'plan.sql')
  const written = await runTamp(compact(database, '--sql', file, '--json'))
  expect(written.status).toBe(0)
  const planned = written.lines().at(-1)
  expect(planned).toMatchObject({ mode: 'script', complete: true })
  const printed = await runTamp(compact(database, '--sql', '-'))
  expect(printed.status).toBe(0)
  expect(printed.out).toBe(await readFile(file, 'utf8'))
  expect(printed.err).toMatch(/46,560 operations go with the script/)
  expect(await operationsOf(database)).toBe(46_560)
})

test("buckets: by name, by definition, and as the service's own list, with commas and quotes in their names", async () => {
  await using database = await loadStorage(2)
  const summary = async (...words: string[]): Promise<any> =>
    (await runTamp(compact(database, '--json', ...words))).lines().at(-1)
  const odd = '1#by_project["acme, inc","x\\"y"]'
  const other = '1#by_project["acme","core"]'
  expect((await summary('--bucket', odd)).before.operations).toBe(202)
  expect((await summary('-b', `${odd},${other}`)).before.operations).toBe(404)
  expect((await summary('--bucket', odd, '--bucket', other)).before.operations).toBe(404)
  expect((await summary('--buckets', '')).before.operations).toBe(0)
  expect((await summary('--definition', 'churn')).before.operations).toBe(20_202)
  expect((await summary('--definition', 'by_project', '--definition', '1#global')).definitions).toHaveLength(2)

  const executed = await runTamp(compact(database, '--execute', '-b', `${odd},1#churn[]`, '-p', '--incremental-only'))
  expect(executed.status).toBe(0)
  expect(await operationsOf(database, '1#churn[]')).toBe(267)
  expect(await operationsOf(database, '1#documents[]')).toBe(654)
})

test("the service's configuration says where the storage is, and how long write checkpoints are kept", async () => {
  await using database = await loadStorage(2)
  await database.query(
    `INSERT INTO write_checkpoints (user_id, lsns, write_checkpoint, checkpoint_requested_at)
       VALUES ('old', '{}', 1, now() - interval '20 minutes'), ('new', '{}', 2, now() - interval '5 minutes')`,
  )
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tamp-cli-'))
  const file = join(temporary.path, 'powersync.yaml')
  await writeFile(
    file,
    `storage: {type: postgresql, uri: !env PS_URI, sslmode: disable}\napi: {parameters: {checkpoint_request_retention_minutes: 10}}\n`,
  )
  const env = { PS_URI: database.url }
  const { status, out } = await runTamp(['powersync', 'compact', '-c', file, '--execute'], { env })
  expect(status).toBe(0)
  expect(out).toMatch(/^1 write checkpoints? that clients asked for more than 10 minutes ago .*removed/m)
  expect(await database.query(`SELECT user_id FROM write_checkpoints WHERE user_id IN ('old', 'new')`)).toEqual([
    ['new'],
  ])
})

describe('exit statuses', () => {
  test('11: another tamp is at work', async () => {
    await using database = await loadStorage(2)
    await database.query('SELECT pg_advisory_lock($1, $2)', [0x74616d70, 2])
    const { status, err } = await runTamp(compact(database, '--execute'))
    expect(status).toBe(11)
    expect(err).toMatch(/^tamp: Another tamp is at work/)
    expect((await runTamp(compact(database))).status).toBe(0)
  })

  test('75: stopped by --max-duration, and 1 where no checkpoint was old enough by then', async () => {
    await using database = await loadStorage(2)
    const stopped = await runTamp(compact(database, '--execute', '--max-duration', '0.001s', '--json'))
    expect(stopped.status).toBe(75)
    expect(stopped.lines().at(-1)).toMatchObject({ complete: false, stopped: 'limit', units: { done: 0 } })
    expect(await operationsOf(database)).toBe(46_560)
    await publish(database, 46_628, 5)
    const dry = await runTamp(compact(database))
    expect(dry.status).toBe(0)
    expect(dry.out).toMatch(/no checkpoint that is known to be old enough yet/)
    const waited = await runTamp(compact(database, '--execute', '--max-duration', '2s'))
    expect(waited.status).toBe(1)
    expect(waited.err).toMatch(/No checkpoint is known to have been published 600 seconds ago\./)
    expect(await operationsOf(database)).toBe(46_560)
    expect((await runTamp(compact(database, '--execute', '--grace', '5s', '--quiet'))).status).toBe(0)
  })

  test('130: Ctrl-C finishes the unit at hand, and the next run goes on', async () => {
    await using database = await loadStorage(2)
    let sent = false
    const { status, lines, err } = await runTamp(
      compact(database, '--execute', '--definition', 'churn', '--load', '0.05', '--json', '--verbose'),
      {
        watch({ out }, child) {
          if (sent || !out.includes('"type":"unit"')) return
          sent = true
          child.kill('SIGINT')
        },
      },
    )
    expect(sent).toBe(true)
    expect(status).toBe(130)
    expect(err).toMatch(/the unit at hand is finished first/)
    const summary = lines().at(-1)
    expect(summary).toMatchObject({ type: 'summary', complete: false, stopped: 'interrupted' })
    expect(summary.units.done).toBeGreaterThan(0)
    const next = await runTamp(compact(database, '--execute', '--json'))
    expect(next.status).toBe(0)
    expect(await operationsOf(database)).toBe(26_542)
  })
})
