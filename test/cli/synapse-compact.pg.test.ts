// `tamp synapse compact` as a user runs it: the same figures from dry run, script and execution, and the exit status of every ending.
import { mkdtempDisposable, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { freshDatabase } from '../support/postgres.ts'
import type { FreshDatabase } from '../support/postgres.ts'
import { compareStates, measure, rememberStates } from '../support/synapse/judge.ts'
import { runTamp } from './run-tamp.ts'

const compact = (database: FreshDatabase, ...words: string[]): string[] => [
  'synapse',
  'compact',
  '--connection',
  database.url,
  ...words,
]
const rowsOf = async (database: FreshDatabase): Promise<number> =>
  [...(await measure(database.session)).values()].reduce((sum, { rows }) => sum + rows, 0)
const passwordOf = (database: FreshDatabase): string => new URL(database.url).password

test('P1 P4 P5: dry run, execution and second run, as JSON', async () => {
  await using database = await freshDatabase('half-compressed')
  const states = await rememberStates(database.session)
  const dry = await runTamp(compact(database, '--json'))
  expect(dry).toMatchObject({ status: 0, err: '' })
  expect(await rowsOf(database)).toBe(3350)
  const lines = dry.lines()
  const planned = lines.at(-1)
  expect(Object.keys(planned).slice(0, 12)).toEqual(
    'v type command mode complete before after bound units proof findings seconds'.split(' '),
  )
  expect(planned).toMatchObject({
    v: 1,
    type: 'summary',
    command: 'synapse compact',
    mode: 'dry-run',
    complete: true,
    before: { rows: 3350, bytesEstimate: expect.any(Number), maxDepth: 155, meanDepth: expect.any(Number) },
    units: { done: 0, skipped: 0, failed: 0 },
    proof: { checked: states.size, mismatches: 0 },
    throttledSeconds: 0,
  })
  const plans = lines.filter(({ type }) => type === 'plan')
  expect(plans).toHaveLength(4)
  expect(plans.reduce((sum, { after }) => sum + after.rows, 0)).toBe(planned.after.rows)
  expect(plans[0]).toMatchObject({ v: 1, room: expect.stringMatching(/^!/), onTheWay: { rows: expect.any(Number) } })

  const executed = await runTamp(compact(database, '--execute', '--proof', 'full', '--json', '--verbose'))
  expect(executed.status).toBe(0)
  const done = executed.lines().at(-1)
  expect(done).toMatchObject({ mode: 'execute', before: planned.before, after: planned.after, skipped: [] })
  expect(executed.lines().filter(({ type }) => type === 'unit')).toHaveLength(done.units.done)
  expect(await rowsOf(database)).toBe(planned.after.rows)
  expect(compareStates(states, await rememberStates(database.session)).changed).toEqual([])

  const again = await runTamp(compact(database, '--execute', '--json'))
  expect(again.status).toBe(0)
  const { bytesEstimate: _bytes, ...reached } = done.after
  expect(again.lines().at(-1)).toMatchObject({ units: { planned: 0, done: 0 }, before: reached, after: reached })
})

test('as text: a table of rooms, the total, and what to do next', async () => {
  await using database = await freshDatabase('half-compressed')
  const dry = await runTamp(compact(database))
  expect(dry.status).toBe(0)
  expect(dry.out).toMatch(/^Room +Groups +Rows +After +Saved +At least +Deepest +Mean depth +On the way$/m)
  expect(dry.out).toMatch(/^!nVMB\S+ +699 +2,158 +\d{3} /m)
  expect(dry.out).toMatch(/^4 rooms +1,584 +3,350 /m)
  expect(dry.out).toMatch(/Nothing was changed\. The same command with --execute carries this out/)
  const executed = await runTamp(compact(database, '--execute', '--verbose'))
  expect(executed.status).toBe(0)
  expect(executed.err).toMatch(/groups done in /)
  expect(executed.out).toMatch(/rows saved \(\d+\.\d %\)/)
  const again = await runTamp(compact(database, '--execute', '--quiet'))
  expect(again).toMatchObject({ status: 0, err: '' })
  expect(again.out).toMatch(/^Nothing to save/)
  for (const { out, err } of [dry, executed, again]) expect(out + err).not.toContain(passwordOf(database))
})

test('--sql: the file is whole, reaches the figures, and the script alone is on standard output with -', async () => {
  await using database = await freshDatabase('half-compressed')
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tamp-cli-'))
  const directory = temporary.path
  const file = join(directory, 'plan.sql')
  await writeFile(file, 'what was here before')
  const written = await runTamp(compact(database, '--sql', file, '--json'))
  expect(written.status).toBe(0)
  expect(await readdir(directory)).toEqual(['plan.sql'])
  const script = await readFile(file, 'utf8')
  const planned = written.lines().at(-1)
  expect(planned).toMatchObject({ mode: 'script', units: { planned: script.match(/^COMMIT;$/gm)!.length } })
  expect(await rowsOf(database)).toBe(3350)
  const printed = await runTamp(compact(database, '--sql', '-'))
  expect(printed.status).toBe(0)
  expect(printed.out).toBe(script)
  expect(printed.err).toMatch(/3,350/)
  for (const part of script.split(/^(?=BEGIN ISOLATION)/m)) await database.query(part)
  expect(await rowsOf(database)).toBe(planned.after.rows)
})

test('--room, --groups, --plan levels and --min-saved-rows reach the planner', async () => {
  await using database = await freshDatabase('half-compressed')
  const rooms = [...(await measure(database.session)).keys()]
  const room = rooms.find((id) => id.startsWith('!nVMB'))!
  const summary = async (...words: string[]): Promise<any> =>
    (await runTamp(compact(database, '--json', ...words))).lines().at(-1)
  expect((await summary('--room', room)).before).toMatchObject({ groups: 699, rows: 2158 })
  expect((await summary('--room', room, '--plan', 'levels')).after.rows).toBe(1277)
  expect((await summary('--room', room, '--min-saved-rows', '100000')).after.rows).toBe(2158)
  const shallow = await summary('--room', room, '--max-depth', '20')
  expect(shallow.after.maxDepth).toBeLessThanOrEqual(146)
  const [row] = await database.query<[number]>(
    'SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id) FROM state_groups WHERE room_id = $1',
    [room],
  )
  const half = (await summary('--room', room, '--groups', `..${row![0]}`)).after.rows
  expect(half).toBeLessThan(2158)
  expect(half).toBeGreaterThan((await summary('--room', room)).after.rows)
})

describe('exit statuses', () => {
  test('3: groups that somebody holds are left, named and counted', async () => {
    await using database = await freshDatabase('half-compressed')
    await using other = await database.connect()
    await other.query('BEGIN')
    await other.query('SELECT FROM state_groups WHERE id % 10 = 0 FOR UPDATE')
    const { status, out } = await runTamp(compact(database, '--execute'))
    expect(status).toBe(3)
    expect(out).toMatch(/^Left as they are \(\d+\):$/m)
    expect(out).toMatch(/ {2}state group \d+: it(s new base \d+)? is locked/)
    await other.query('ROLLBACK')
  })

  test('11: another tamp is at work', async () => {
    await using database = await freshDatabase('half-compressed')
    await database.query('SELECT pg_advisory_lock($1, $2)', [0x74616d70, 1])
    const { status, err } = await runTamp(compact(database, '--execute'))
    expect(status).toBe(11)
    expect(err).toMatch(/^tamp: Another tamp is at work/)
    expect((await runTamp(compact(database))).status).toBe(0)
  })

  test('75: stopped by --max-duration', async () => {
    await using database = await freshDatabase('half-compressed')
    const { status, lines } = await runTamp(compact(database, '--execute', '--max-duration', '0.001s', '--json'))
    expect(status).toBe(75)
    expect(lines().at(-1)).toMatchObject({ complete: false, stopped: 'limit', units: { done: 0 } })
    expect(await rowsOf(database)).toBe(3350)
  })

  test('P2 130: Ctrl-C finishes the unit at hand, and the next run goes on', async () => {
    await using database = await freshDatabase('half-compressed')
    const states = await rememberStates(database.session)
    let sent = false
    const { status, lines, err } = await runTamp(
      compact(database, '--execute', '--load', '0.02', '--json', '--verbose'),
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
    expect(compareStates(states, await rememberStates(database.session)).changed).toEqual([])
    const next = await runTamp(compact(database, '--execute', '--json'))
    expect(next.status).toBe(0)
    expect(next.lines().at(-1)).toMatchObject({ complete: true })
  })

  test('130: SIGTERM while a script is written leaves no file', async () => {
    await using database = await freshDatabase('homeserver')
    await using temporary = await mkdtempDisposable(join(tmpdir(), 'tamp-cli-'))
    const directory = temporary.path
    let sent = false
    const { status } = await runTamp(compact(database, '--sql', join(directory, 'plan.sql'), '--json'), {
      watch({ out }, child) {
        if (sent || !out.includes('"type":"plan"')) return
        sent = true
        child.kill('SIGTERM')
      },
    })
    expect(status).toBe(130)
    expect(await readdir(directory)).toEqual([])
  })
})

test('a full disk: one sentence, nothing left behind, and what was there before is untouched', async () => {
  await using database = await freshDatabase('half-compressed')
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tamp-cli-'))
  const directory = temporary.path
  const file = join(directory, 'plan.sql')
  await writeFile(file, 'what was here before')
  // The largest file the process may write: it ends in the middle of the script, as a full disk does.
  const limited = await runTamp(compact(database, '--sql', file), { shell: 'ulimit -f 8; exec "$@"' })
  expect(limited.status).toBe(1)
  expect(limited.err).toMatch(/^tamp: \S+plan\.sql could not be written: .+\.\n$/)
  expect(await readFile(file, 'utf8')).toBe('what was here before')
  expect(await readdir(directory)).toEqual(['plan.sql'])
  if (await stat('/dev/full').catch(() => false)) {
    const device = await runTamp(compact(database, '--sql', '/dev/full'))
    expect(device.status).toBe(1)
    expect(device.err).toBe('tamp: /dev/full could not be written: the disk is full.\n')
    const output = await runTamp(compact(database, '--sql', '-'), { shell: 'exec "$@" >/dev/full' })
    expect(output.status).toBe(1)
    expect(output.err).toMatch(/^tamp: Standard output could not be written: the disk is full\.$/m)
    const json = await runTamp(compact(database, '--json'), { shell: 'exec "$@" >/dev/full' })
    expect(json.status).toBe(1)
  }
})

test('a reader that has seen enough does not end the run', async () => {
  await using database = await freshDatabase('half-compressed')
  const ended = await runTamp(compact(database, '--execute', '--json'), { shell: '"$@" | head -n 1' })
  expect(ended.err).toBe('')
  expect(await rowsOf(database)).toBeLessThan(2000)
})
