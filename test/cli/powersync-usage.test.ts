// Wrong use of `tamp powersync`: one sentence that says what, exit status 2, and never a value that could be a password.
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ownSpelling } from '../../src/cli/powersync-options.ts'
import { runTamp } from './run-tamp.ts'

const secret = 'hunter2secret'
const url = `postgresql://tamp:${secret}@127.0.0.1:1/storage`
const base64 = Buffer.from(`storage: {type: postgresql, uri: "${url}", sslmode: disable}`).toString('base64')
const compact = ['powersync', 'compact']
const defragment = ['powersync', 'defragment']

test.concurrent.each<[string, string[], RegExp]>([
  ['--execute with --sql', [...compact, '--execute', '--sql', 'x.sql'], /--execute and --sql contradict/],
  [
    '--connection with -c',
    [...compact, '--connection', url, '-c', 'powersync.yaml'],
    /--connection and --config contradict/,
  ],
  [
    '--connection with -c64',
    [...compact, '--connection', url, '-c64', base64],
    /--connection and --config-base64 contradict/,
  ],
  ['-c with --config-base64', [...compact, '-c', 'x.yaml', '--config-base64', base64], /contradict/],
  ['--full with --incremental-only', [...compact, '--full', '--incremental-only'], /contradict/],
  [
    'a definition as a bucket',
    [...compact, '-b', '1#by_user'],
    /--buckets cannot be used: it takes full names of buckets/,
  ],
  ['a bucket that is not closed', [...compact, '--buckets', 'a["x]'], /in a shell it belongs in single quotes/],
  ['a grace without unit', [...compact, '--grace', '10'], /did you mean 10s or 10m\?/],
  ['a misspelled option', [...compact, '--bukket', 'a[]'], /no option --bukket\.\s+Did you mean --bucket/],
  [
    'a way that is none',
    [...defragment, '--how', 'tuch'],
    /"tuch" is not a value of --how: it takes touch, reinsert, or relocate/,
  ],
  ['touch without a source', [...defragment, '--execute'], /--execute needs --source beside it/],
  [
    '--source with reinsert',
    [...defragment, '--how', 'reinsert', '--source', url],
    /--source has a meaning only with --how touch/,
  ],
  [
    '--checkpoints with reinsert',
    [...defragment, '--how', 'reinsert', '--checkpoints', '5'],
    /only with --how relocate/,
  ],
  [
    'checkpoints that are none',
    [...defragment, '--checkpoints', 'no-such-file'],
    /no list of op ids, and there is no such file/,
  ],
  ['a size that is none', [...defragment, '--max-resync-bytes', 'ten'], /"ten" is not a size/],
  ['a ratio below 1', ['powersync', 'inspect', '--target-ratio', '0.5'], /"0.5" is not a number of 1 or more/],
  ['--sql for reclaim', ['powersync', 'reclaim', '--sql', 'x'], /no option --sql/],
  [
    'a file that is not there',
    [...compact, '-c', '/nowhere/powersync.yaml'],
    /\/nowhere\/powersync\.yaml does not exist/,
  ],
  ['base64 that is none', [...compact, '-c64', `{${secret}}`], /is not base64/],
])('P7: %s', async (_what, words, message) => {
  const { status, out, err } = await runTamp(words)
  expect(err).toMatch(message)
  expect(status).toBe(2)
  expect(out).toBe('')
  expect(err.trim().split('\n').length).toBeLessThanOrEqual(2)
  expect(out + err).not.toContain(secret)
})

test('the configuration comes from the file, the option or the environment, and a server that is not there is named without a password', async () => {
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tamp-cli-'))
  const file = join(temporary.path, 'powersync.yaml')
  await writeFile(file, 'storage:\n  type: postgresql\n  uri: !env PS_STORAGE_URI\n  sslmode: disable\n')
  const env = { PS_STORAGE_URI: url }
  const ways: [string[], Record<string, string>][] = [
    [['-c', file], env],
    [['--config-path', file], env],
    [[`--config=${file}`], env],
    [['-c64', base64], {}],
    [[], { ...env, POWERSYNC_CONFIG_PATH: file }],
    [[], { POWERSYNC_CONFIG_B64: base64, DATABASE_URL: 'postgresql://elsewhere/x' }],
    [['--connection', url], { POWERSYNC_CONFIG_PATH: '/nowhere' }],
  ]
  const ended = await Promise.all(ways.map(([words, env]) => runTamp([...compact, ...words], { env })))
  for (const { status, out, err } of ended) {
    expect(err).toMatch(/Cannot connect to postgresql:\/\/tamp@127\.0\.0\.1:1\/storage: no server listens/)
    expect(status).toBe(1)
    expect(out + err).not.toContain(secret)
  }
  const unset = await runTamp([...compact, '-c', file])
  expect(unset.status).toBe(2)
  expect(unset.err).toMatch(/storage\.uri refers to the environment variable PS_STORAGE_URI, which is not set/)
})

test("the service's own spellings", () => {
  expect(ownSpelling(['powersync', 'compact', '-c64', 'x', '--config-path=f', '-sync64', 'y', '-b='])).toEqual([
    'powersync',
    'compact',
    '--config-base64',
    'x',
    '--config=f',
    '--sync-base64',
    'y',
    '-b',
    '',
  ])
  // What only looks like an option stays as it is.
  const words = ['powersync', 'compact', '--bucket', '1#a["-c64=x"]', '--json']
  expect(ownSpelling(words)).toEqual(words)
})
