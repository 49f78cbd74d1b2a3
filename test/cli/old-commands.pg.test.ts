// The drop-in commands as their users run them: flags, lines, files, exit status, on real rooms.
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { freshDatabase } from '../support/postgres.ts'
import type { FreshDatabase } from '../support/postgres.ts'
import { compareStates, faults, measure, rememberStates } from '../support/synapse/judge.ts'

const forked = '!rMKFBGqLQdKklgjXbl:localhost:18801'
const password = 'never-to-be-seen'

interface Ended {
  readonly status: number
  readonly out: string
  readonly err: string
}

type Command = 'synapse-compress-state' | 'synapse-auto-compressor'

function run(
  command: Command,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  const file = new URL(`../../src/cli/${command}.ts`, import.meta.url).pathname
  const env = { ...process.env, RUST_LOG: undefined, ...options.env }
  return new Promise((done) => {
    execFile(process.execPath, [file, ...args], { ...options, env }, (error, out, err) => {
      done({ status: error === null ? 0 : (error.code as number), out, err })
    })
  })
}

const manual = (args: readonly string[], options = {}) => run('synapse-compress-state', args, options)
const automatic = (args: readonly string[], options = {}) => run('synapse-auto-compressor', args, options)

/** The test server's own password, which nobody may see. */
function secretOf(database: FreshDatabase): string {
  const { password: secret } = new URL(database.url)
  expect(secret).not.toBe('')
  return decodeURIComponent(secret)
}

async function temporaryDirectory() {
  const path = await mkdtemp(join(tmpdir(), 'tamp-old-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

async function rowsOf(database: FreshDatabase, room?: string): Promise<number> {
  const measures = [...(await measure(database.session))].filter(([name]) => room === undefined || name === room)
  return measures.reduce((sum, [, { rows }]) => sum + rows, 0)
}

describe('synapse_compress_state', () => {
  test('P5: says what it would save in the lines that scripts read, and writes nothing', async () => {
    await using database = await freshDatabase('homeserver')
    const { status, err } = await manual(['-p', database.url, '-r', forked])
    expect(status).toBe(0)
    expect(err.split('\n')).toEqual([
      `Fetching state from DB for room '${forked}'...`,
      'Got initial state from database. Checking for any missing state groups...',
      'Fetched state groups up to 5438',
      'Number of state groups: 1426',
      'Number of rows in current table: 6352',
      'Compressing state...',
      'Number of rows after compression: 4011 (63.15%)',
      'Compression Statistics:',
      '  Number of forced resets due to lacking prev: 2',
      '  Number of compressed rows caused by the above: 144',
      '  Number of state groups changed: 1323',
      'Checking that state maps match...',
      'New state map matches old one',
      '',
    ])
    expect(await rowsOf(database, forked)).toBe(6352)
  })

  test("P1: -c carries it out: the old tool's rows, the same states; a second run finds nothing", async () => {
    await using database = await freshDatabase('homeserver')
    const states = await rememberStates(database.session)
    const first = await manual(['-p', database.url, '-r', forked, '-c', '-N'])
    expect(first.status).toBe(0)
    expect(first.err).toContain('Writing changes...')
    expect(first.err).not.toContain('state map')
    expect(await rowsOf(database, forked)).toBe(4011)
    expect(compareStates(states, await rememberStates(database.session))).toEqual({ changed: [], gone: [], added: [] })
    expect(await faults(database.session)).toEqual([])
    const second = await manual(['-p', database.url, '-r', forked, '-c'])
    expect(second.status).toBe(0)
    expect(second.err).toContain('Number of rows after compression: 4011 (100.00%)\n')
    expect(second.err).toContain('This compression would not remove any rows. Exiting.\n')
  })

  test('--plan best reaches fewer rows', async () => {
    await using database = await freshDatabase('homeserver')
    const { status } = await manual(['-p', database.url, '-r', forked, '--plan', 'best', '-c'])
    expect(status).toBe(0)
    expect(await rowsOf(database, forked)).toBeLessThanOrEqual(2200)
  })

  test('-o writes the old format, which psql can run: the same rows as -c, the same states', async () => {
    await using database = await freshDatabase('homeserver')
    await using directory = await temporaryDirectory()
    const states = await rememberStates(database.session)
    const file = join(directory.path, 'out.sql')
    expect((await manual(['-p', database.url, '-r', forked, '-o', file, '-t'])).status).toBe(0)
    const sql = await readFile(file, 'utf8')
    expect(sql).not.toContain(secretOf(database))
    expect(await readdir(directory.path)).toEqual(['out.sql'])
    expect(await rowsOf(database, forked)).toBe(6352)
    const group =
      /^BEGIN;\nDELETE FROM state_group_edges WHERE state_group = (\d+);\n(INSERT INTO state_group_edges \(state_group, prev_state_group\) VALUES \(\1, \d+\);\n)?DELETE FROM state_groups_state WHERE state_group = \1;\n(INSERT INTO state_groups_state \(state_group, room_id, type, state_key, event_id\) VALUES\n( {4}\(\1, .*\)[,;]\n)+)?COMMIT;\n/
    const groups = sql.split(/^(?=BEGIN;)/m)
    // Of the 1,323 groups put on another base some end where they were.
    expect(groups.length).toBeGreaterThan(1200)
    for (const text of groups) expect(text).toMatch(group)
    await database.query(sql)
    expect(await rowsOf(database, forked)).toBe(4011)
    expect(compareStates(states, await rememberStates(database.session)).changed).toEqual([])

    await manual(['-p', database.url, '-r', '!gen:x', '-o', file])
    const plain = await readFile(file, 'utf8')
    expect(plain).not.toMatch(/BEGIN|COMMIT/)
    await database.query(plain)
    expect(await rowsOf(database, '!gen:x')).toBe(3796)
    expect(compareStates(states, await rememberStates(database.session)).changed).toEqual([])
  })

  test('-o is whole or not at all: untouched where the run fails, empty where there is nothing to save', async () => {
    await using database = await freshDatabase('homeserver')
    await using directory = await temporaryDirectory()
    const file = join(directory.path, 'out.sql')
    await writeFile(file, 'precious')
    const failed = await manual(['-p', database.url, '-r', '!nowhere:x', '-o', file])
    expect(failed.status).toBe(1)
    expect(failed.err).toContain('!nowhere:x')
    expect(await readFile(file, 'utf8')).toBe('precious')
    expect(await readdir(directory.path)).toEqual(['out.sql'])

    const declined = await manual(['-p', database.url, '-r', '!genf:x', '-o', file])
    expect(declined.status).toBe(0)
    expect(declined.err).toContain('Number of rows after compression: 38229 (929.24%)\n')
    expect(declined.err).toMatch(/This compression would not remove any rows\. Exiting\.\n$/)
    expect((await stat(file)).size).toBe(0)

    const impossible = await manual(['-p', database.url, '-r', '!gen:x', '-o', join(directory.path, 'no/out.sql')])
    expect(impossible.status).toBe(1)
    expect(impossible.err).toContain('could not be written')
  })

  test('-m holds back what saves too little', async () => {
    await using database = await freshDatabase('homeserver')
    const few = await manual(['-p', database.url, '-r', forked, '-c', '-m', '2342'])
    expect(few.status).toBe(0)
    expect(few.err).toMatch(/Only 2341 rows would be saved by this compression\. Skipping output\.\n$/)
    expect(await rowsOf(database, forked)).toBe(6352)
    expect((await manual(['-p', database.url, '-r', forked, '-c', '-m2341'])).status).toBe(0)
    expect(await rowsOf(database, forked)).toBe(4011)
  })

  test('-g writes the graph before and after into the working directory', async () => {
    await using database = await freshDatabase('homeserver')
    await using directory = await temporaryDirectory()
    await manual(['-p', database.url, '-r', forked, '-g'], { cwd: directory.path })
    const read = async (name: string) => (await readFile(join(directory.path, name), 'utf8')).split('\n')
    expect((await readdir(directory.path)).sort()).toEqual(
      ['after_edges.csv', 'after_nodes.csv', 'before_edges.csv', 'before_nodes.csv'].sort(),
    )
    const stored = await database.query<[string]>(
      `SELECT state_group || ';' || prev_state_group FROM state_group_edges e JOIN state_groups g ON g.id = e.state_group
        WHERE g.room_id = $1 ORDER BY state_group`,
      [forked],
    )
    expect(await read('before_edges.csv')).toEqual(['Source;Target', ...stored.flat(), ''])
    const [header, ...nodes] = await read('after_nodes.csv')
    expect(header).toBe('Id;Rows;Root;Label')
    expect(nodes.pop()).toBe('')
    expect(nodes).toHaveLength(1426)
    for (const node of nodes) expect(node).toMatch(/^\d+;(\d+);(true|false);"\1"$/)
    expect(nodes.reduce((sum, node) => sum + Number(node.split(';')[1]), 0)).toBe(4011)
    const roots = nodes.filter((node) => node.includes(';true;')).length
    expect((await read('after_edges.csv')).length - 2).toBe(1426 - roots)
  })

  test('-b, -n and -s choose groups; -n works without -b; a later part stands on an earlier one', async () => {
    await using database = await freshDatabase('homeserver')
    const ids = (
      await database.query<[number]>('SELECT id FROM state_groups WHERE room_id = $1 ORDER BY id', [forked])
    ).flat()
    const states = await rememberStates(database.session)
    const edges = async () =>
      new Map(await database.query<[number, number]>('SELECT state_group, prev_state_group FROM state_group_edges'))
    const before = await edges()
    const first = await manual(['-p', database.url, '-r', forked, '-n', '500', '-c'])
    expect(first.err).toContain(`Fetched state groups up to ${ids[499]}\n`)
    expect(first.err).toContain('Number of state groups: 500\n')
    const between = await edges()
    for (const id of ids.slice(500)) expect(between.get(id)).toBe(before.get(id))
    const second = await manual(['-p', database.url, '-r', forked, '-b', `${ids[499]}`, '-s', `${ids[999]}`, '-c'])
    expect(second.err).toContain(`Fetched state groups up to ${ids[999]}\n`)
    const after = await edges()
    for (const id of [...ids.slice(0, 500), ...ids.slice(1000)]) expect(after.get(id)).toBe(between.get(id))
    expect(await rowsOf(database, forked)).toBeLessThan(6000)
    expect(compareStates(states, await rememberStates(database.session)).changed).toEqual([])

    const none = await manual(['-p', database.url, '-r', forked, '-b', '999999'])
    expect(none.status).toBe(0)
    expect(none.err).toContain('Number of rows after compression: 0 (NaN%)\n')
    const nothing = await manual(['-p', database.url, '-r', forked, '-s', '1'])
    expect(nothing.status).toBe(1)
    expect(nothing.err).toContain('synapse_compress_state: No state groups found within this range.\n')
  })

  test('RUST_LOG says how much is told', async () => {
    await using database = await freshDatabase('homeserver')
    const told = async (RUST_LOG: string) =>
      (await manual(['-p', database.url, '-r', '!genf:x'], { env: { RUST_LOG } })).err
    expect(await told('off')).toBe('')
    expect(await told('synapse_compress_state=warn')).toBe('This compression would not remove any rows. Exiting.\n')
    expect(await told('info')).not.toContain('Got initial state')
  })
})

describe('synapse_auto_compressor', () => {
  test.each([
    ['homeserver', 100, 17_543, 8_711, 55, 103],
    ['homeserver', 500, 17_523, 8_731, 12, 24],
    ['half-compressed', 100, 2_430, 920, 3, 17],
  ] as const)(
    "P1 P4: %s in chunks of %i ends with the old tool's %i rows",
    async (kind, size, rows, saved, skipped, chunks) => {
      await using database = await freshDatabase(kind)
      const states = await rememberStates(database.session)
      const { status, out, err } = await automatic(['-p', database.url, '-c', `${size}`, '-n', '1000'])
      expect(status).toBe(0)
      expect(await rowsOf(database)).toBe(rows)
      expect(compareStates(states, await rememberStates(database.session))).toEqual({
        changed: [],
        gone: [],
        added: [],
      })
      expect(await faults(database.session)).toEqual([])
      const lines = err.trimEnd().split('\n')
      for (const line of lines)
        expect(line).toMatch(/^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO |WARN ) synapse_auto_compressor\] /)
      expect(lines[0]).toContain('synapse_auto_compressor started')
      expect(lines.filter((line) => line.includes(`with chunk size ${size}`))).toHaveLength(chunks)
      expect(
        lines.filter((line) => line.includes('The compressor tried to increase the number of rows in')),
      ).toHaveLength(skipped)
      expect(lines.at(-2)).toContain(
        `Finished running compressor. Saved ${saved} rows. Skipped ${skipped}/${chunks} chunks`,
      )
      expect(lines.at(-1)).toContain('synapse_auto_compressor finished')
      expect(out + err).not.toContain(password)
    },
  )

  test('-n takes the chunks of the oldest groups, and -l other levels', async () => {
    await using database = await freshDatabase('homeserver')
    const [[oldest]] = (await database.query<[string]>('SELECT room_id FROM state_groups ORDER BY id LIMIT 1')) as [
      [string],
    ]
    const edges = () => database.query('SELECT * FROM state_group_edges ORDER BY state_group')
    const before = await edges()
    const none = await automatic(['-p', database.url, '-c', '100', '-n', '0'])
    expect(none.err).toContain('Finished running compressor. Saved 0 rows. Skipped 0/0 chunks')
    const { err } = await automatic(['-p', database.url, '-c', '400', '-n', '1', '-l', '200'])
    expect(err).toContain(`Running compressor on room ${oldest} with chunk size 400\n`)
    expect(err).toMatch(/Skipped [01]\/1 chunks/)
    const rooms = await database.query<[string, number]>(
      'SELECT room_id, id FROM state_groups WHERE room_id = $1 ORDER BY id LIMIT 400',
      [oldest],
    )
    const mayChange = new Set(rooms.map(([, id]) => id))
    const after = new Map((await edges()).map(([group, base]) => [group, base]))
    for (const [group, base] of before) if (!mayChange.has(group as number)) expect(after.get(group)).toBe(base)
  })

  test('a room whose groups are damaged does not stop the others', async () => {
    await using database = await freshDatabase('half-compressed')
    await database.query(
      `INSERT INTO state_group_edges SELECT max(id), 999999 FROM state_groups WHERE room_id LIKE '!nVMB%'`,
    )
    const states = await rememberStates(database.session)
    const { status, err } = await automatic(['-p', database.url, '-c', '500', '-n', '100', '--plan', 'best'])
    expect(err).toContain('synapse_auto_compressor finished')
    expect(status).toBe(0)
    expect(await rowsOf(database)).toBeLessThan(2000)
    expect(compareStates(states, await rememberStates(database.session)).changed).toEqual([])
  })
})

describe('both', () => {
  test.each([
    ['synapse-compress-state', ['-p', 'URL', '-r', forked, 'URL'], 'a flag'],
    ['synapse-auto-compressor', ['-c', '5', '-n', '1', '-pnonsense'], 'connection string'],
  ] as const)('P7: wrong use of %s %j is told in a sentence, with status 2', async (command, args, about) => {
    const url = `postgresql://someone:${password}@127.0.0.1:1/db`
    const { status, out, err } = await run(
      command,
      args.map((arg) => (arg === 'URL' ? url : arg)),
    )
    expect(status).toBe(2)
    expect(out).toBe('')
    const sentence = err.split('\n').find((line) => line.startsWith(`${command.replaceAll('-', '_')}: `))
    expect(sentence).toContain(about)
    expect(err).not.toContain(password)
    expect(err).not.toContain('    at ')
  })

  test.each(['synapse-compress-state', 'synapse-auto-compressor'] as const)(
    'P7: where there is no server, no database, or no room, %s says so with status 1 and without the password',
    async (command) => {
      await using database = await freshDatabase('blank')
      const rest = command === 'synapse-compress-state' ? ['-r', forked] : ['-c', '5', '-n', '1']
      const absent = new URL(database.url)
      absent.pathname = '/there_is_none'
      const refused = new URL(database.url)
      refused.password = password
      const closed = `host=127.0.0.1 port=1 user=someone dbname=db password='${password}'`
      for (const connection of [closed, absent.href, refused.href, database.url]) {
        const { status, out, err } = await run(command, ['-p', connection, ...rest])
        expect(status).toBe(1)
        expect(out + err).not.toContain(password)
        expect(out + err).not.toContain(secretOf(database))
        expect(err).not.toContain('    at ')
        expect(err).toContain(`${command.replaceAll('-', '_')}: `)
      }
    },
  )

  test.each(['synapse-compress-state', 'synapse-auto-compressor'] as const)(
    '%s has --help and --version',
    async (command) => {
      const help = await run(command, ['--help'])
      expect(help).toMatchObject({ status: 0, err: '' })
      const documented = await readFile(new URL('../../docs/old-commands.md', import.meta.url), 'utf8')
      for (const [flag] of help.out.matchAll(/(?<=^ {2})-\w/gm)) expect(documented).toContain(`\`${flag}`)
      expect(await run(command, ['-V'])).toMatchObject({
        status: 0,
        out: expect.stringMatching(/\(tamp \d+\.\d+\.\d+\)\n$/),
      })
    },
  )
})
