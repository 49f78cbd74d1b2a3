// Wrong use: one sentence that says what, exit status 2, and never a value that could be a password.
import { mkdtempDisposable, readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runTamp } from './run-tamp.ts'

const secret = 'hunter2secret'
const url = `postgresql://tamp:${secret}@127.0.0.1:1/synapse`
const compact = ['synapse', 'compact']

test.concurrent.each<[string, string[], RegExp]>([
  ['--execute with --sql', [...compact, '--execute', '--sql', 'x.sql'], /--execute and --sql contradict/],
  ['--quiet with --verbose', [...compact, '--quiet', '--verbose'], /--quiet and --verbose contradict/],
  ['--json with --sql -', [...compact, '--json', '--sql', '-'], /--json and --sql - contradict/],
  ['--levels without its plan', [...compact, '--levels', '100,50'], /--levels has a meaning only with --plan levels/],
  ['--plan levels with --max-depth', [...compact, '--plan', 'levels', '--max-depth', '50'], /contradict/],
  ['--connection with --homeserver', [...compact, '--connection', url, '--homeserver', 'h.yaml'], /contradict/],
  ['a misspelled option', [...compact, '--exectue'], /no option --exectue\.\s+Did you mean --execute\?/],
  ['a misspelled command', ['synapse', 'compct'], /no command "compct"\.\s+Did you mean compact\?/],
  ['a misspelled value', [...compact, '--plan', 'bset'], /"bset" is not a value of --plan: it takes best or levels/],
  ['a missing value', [...compact, '--room'], /--room needs a value/],
  ['a value that is an option', [...compact, '--room', '--json'], /--room needs a value, and --json follows it/],
  [
    'an option twice',
    ['synapse', 'check', '--max-depth', '5', '--max-depth', '6'],
    /--max-depth was given more than once/,
  ],
  ['a load above 1', [...compact, '--load', '2'], /--load cannot be used: "2" is not a number above 0/],
  ['a duration without unit', [...compact, '--max-duration', '30'], /did you mean 30s or 30m\?/],
  ['no jobs', [...compact, '--jobs', '0'], /--jobs cannot be used: "0" is not a whole number from 1 to 64/],
  ['a connection without its option', [...compact, url], /argument too many: the value given\.\s+A connection belongs/],
  ['a connection instead of a command', [url], /no command the value given/],
  ['a connection as a file', [...compact, '--sql', url], /a connection was given where a file belongs/],
  ['a connection behind a misspelled option', [...compact, `--conection=${url}`], /no option --conection\./],
  [
    'two connections',
    [...compact, `--connection=${url}`, `--connection=${url}`],
    /--connection was given more than once/,
  ],
  ['an unquoted key=value string', [...compact, '--connection', 'host=db', `password=${secret}`], /argument too many/],
])('P7: %s', async (_what, words, message) => {
  const { status, out, err } = await runTamp(words)
  expect(err).toMatch(message)
  expect(status).toBe(2)
  if (!words.includes('--json')) expect(out).toBe('')
  expect(err.trim().split('\n').length).toBeLessThanOrEqual(2)
  expect(err).not.toMatch(/^\s+at /m)
  expect(out + err).not.toContain(secret)
})

test('with --json the complaint is a line of JSON too', async () => {
  const ended = await runTamp([...compact, '--json', '--exectue'])
  expect(ended.status).toBe(2)
  expect(ended.lines()).toEqual([
    { v: 1, type: 'error', code: 'usage', message: 'There is no option --exectue.', hint: 'Did you mean --execute?' },
  ])
})

test('--version is the one of the package', async () => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(await runTamp(['--version'])).toMatchObject({ status: 0, out: `${version}\n`, err: '' })
})

test('P7: the process list does not show the command line, and Ctrl-C does not wait for a silent server', async () => {
  await using server = createServer().listen(0, '127.0.0.1')
  const connected = Promise.withResolvers<void>()
  server.on('connection', (socket) => {
    socket.on('error', () => {}).resume()
    connected.resolve()
  })
  await new Promise((done) => server.once('listening', done))
  const { port } = server.address() as AddressInfo
  let child: { pid: number; kill(signal: NodeJS.Signals): void } | undefined
  const started = performance.now()
  const ended = runTamp([...compact, '--connection', `postgresql://tamp:${secret}@127.0.0.1:${port}/synapse`], {
    shell: 'echo started >&2; exec "$@"',
    watch: (_printed, process) => (child = process),
  })
  await connected.promise
  const title = await readFile(`/proc/${child!.pid}/cmdline`, 'utf8').catch(() => 'tamp')
  child!.kill('SIGINT')
  const { status, err } = await ended
  expect(title).toMatch(/^tamp/)
  expect(title).not.toContain(secret)
  expect(status).toBe(130)
  expect(err).toMatch(/Interrupted/)
  expect(performance.now() - started).toBeLessThan(10_000)
})

test('a script whose directory is not there, or that cannot be opened, is refused before anything else', async () => {
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tamp-cli-'))
  const directory = temporary.path
  const missing = await runTamp([...compact, '--connection', url, '--sql', join(directory, 'no', 'x.sql')])
  expect(missing.status).toBe(1)
  expect(missing.err).toMatch(/x\.sql could not be written: the directory does not exist\./)
  const isDirectory = await runTamp([...compact, '--connection', url, '--sql', directory])
  expect(isDirectory.status).toBe(1)
  expect(isDirectory.err).toMatch(/could not be written: it is a directory\./)
  const noServer = await runTamp([...compact, '--connection', url, '--sql', join(directory, 'x.sql')])
  expect(noServer.status).toBe(1)
  expect(noServer.err).toMatch(/no server listens/)
  expect(await readdir(directory)).toEqual([])
})
