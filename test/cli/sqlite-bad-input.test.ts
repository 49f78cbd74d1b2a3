// What can be wrong with a SQLite file: every command says it in one sentence with the right exit status, makes nothing, changes nothing.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { beforeAll, describe, expect, test } from 'vitest'
import { databaseBytes, temporaryFolder } from '../support/sqlite/database-files.ts'
import { makeEvents, runSqlite } from '../support/sqlite/tamp-sqlite.ts'
import type { Ended } from './run-tamp.ts'

const folder = await temporaryFolder('tamp-bad-')
const plain = join(folder, 'plain.db')
const compressed = join(folder, 'compressed.db')
const target = ['--table', 'events', '--column', 'data']

/** Every command, with options that are right for the file it is tried on. */
const reading: [string, string[]][] = [
  ['inspect', []],
  ['enable', target],
  ['maintain', []],
  ['disable', []],
  ['check', []],
  ['index', ['--table', 'events', '--on', 'kind']],
]
const writing: [string, string[]][] = reading
  .filter(([command]) => command !== 'inspect' && command !== 'check')
  .map(([command, options]) => [command, [...options, '--execute']])
const commands = [...reading, ...writing]

beforeAll(async () => {
  makeEvents(plain, 4000)
  copyFileSync(plain, compressed)
  expect((await runSqlite(['enable', compressed, ...target, '--level', '3', '--execute'])).status).toBe(0)
}, 60_000)

/** The file that a command has work to do on. */
const fileFor = (command: string): string => (command === 'enable' || command === 'inspect' ? plain : compressed)

function expectOneSentence({ status, out, err }: Ended, expected: number, message: RegExp): void {
  expect(err).toMatch(message)
  expect(status).toBe(expected)
  expect(out).toBe('')
  expect(err).toMatch(/^tamp: [^\n]+[.?]\n( {6}[^\n]+\n)?$/)
}

describe.each(commands)('%s %j', (command, options) => {
  test.concurrent('P7: no such file, a directory, no database, damage', { timeout: 60_000 }, async () => {
    const missing = join(folder, 'missing.db')
    expectOneSentence(await runSqlite([command, missing, ...options]), 1, /There is no file .*missing\.db/)
    expect(readdirSync(folder)).not.toContain('missing.db')
    expectOneSentence(await runSqlite([command, folder, ...options]), 1, /is not a file/)
    expectOneSentence(await runSqlite([command, import.meta.filename, ...options]), 10, /is not a SQLite database/)
    expectOneSentence(await runSqlite([command, ...options]), 2, /The FILE is missing/)
    const json = await runSqlite([command, import.meta.filename, ...options, '--json'])
    expect(json.lines()).toEqual([
      {
        v: 1,
        type: 'error',
        code: 'unknown-schema',
        message: expect.stringMatching(/is not a SQLite database/),
        hint: expect.any(String),
      },
    ])
    expect(json.status).toBe(10)
  })

  test.concurrent('P7: an empty file', { timeout: 60_000 }, async () => {
    const name = `empty-${command}-${options.length}.db`
    const empty = join(folder, name)
    writeFileSync(empty, '')
    const before = databaseBytes(empty)
    const ended = await runSqlite([command, empty, ...options])
    if (command === 'enable' || command === 'index') expectOneSentence(ended, 2, /events/)
    else expect(ended).toMatchObject({ status: 0, err: '' })
    expect(databaseBytes(empty)).toBe(before)
  })

  test.concurrent('P7: a table that is not there', { timeout: 60_000 }, async () => {
    const words = options.includes('--table')
      ? options.map((word) => (word === 'events' ? 'evnts' : word))
      : [...options, '--table', 'evnts']
    expectOneSentence(await runSqlite([command, fileFor(command), ...words]), 2, /evnts/)
  })
})

describe.each(writing)('%s %j', (command, options) => {
  test.concurrent('11: a database that another program has locked', { timeout: 90_000 }, async () => {
    const file = join(folder, `locked-${command}.db`)
    copyFileSync(fileFor(command), file)
    const other = new Database(file)
    other.exec('BEGIN EXCLUSIVE')
    const ended = await runSqlite([command, file, ...options, '--quiet'])
    other.exec('ROLLBACK')
    other.close()
    expectOneSentence(ended, 11, /is locked by another program/)
  })

  test
    .skipIf(process.platform === 'win32')
    .concurrent('1: a file that may only be read', { timeout: 60_000 }, async () => {
      const directory = join(folder, `read-only-${command}`)
      mkdirSync(directory)
      const file = join(directory, 'a.db')
      copyFileSync(fileFor(command), file)
      chmodSync(file, 0o444)
      chmodSync(directory, 0o555)
      chmodSync(folder, 0o755)
      const before = databaseBytes(file)
      const shell = asNobody()
      if (shell === undefined) return
      const ended = await runSqlite([command, file, ...options], { shell })
      expectOneSentence(ended, 1, /read-only|cannot be written/)
      expect(databaseBytes(file)).toBe(before)
      chmodSync(directory, 0o755)
    })
})

/** Root may write everything: then the command runs as somebody else, where that is possible. */
function asNobody(): string | undefined {
  if (process.getuid?.() !== 0) return 'exec "$@"'
  const shell = 'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'
  try {
    execFileSync(
      '/bin/sh',
      ['-c', shell, 'sh', process.execPath, '-e', `require('fs').readFileSync('${import.meta.filename}')`],
      {
        stdio: 'ignore',
      },
    )
    return shell
  } catch {
    return undefined
  }
}

test.concurrent.each<[string, string[], RegExp]>([
  ['--execute with --export', ['disable', plain, '--execute', '--export', 'x.db'], /--execute and --export contradict/],
  ['--export over itself', ['disable', plain, '--export', plain], /cannot be written over the database itself/],
  ['--column without --table', ['maintain', plain, '--column', 'data'], /--column needs --table/],
  [
    'a level that is none',
    ['enable', plain, ...target, '--level', '23'],
    /"23" is not a whole number from 1 to 22, or auto/,
  ],
  [
    'a chooser that is no expression',
    ['enable', plain, ...target, '--dict-chooser', 'no such thing'],
    /dictionary chooser/,
  ],
  ['a chooser that gives a number', ['enable', plain, ...target, '--dict-chooser', 'id / 10'], /gives an integer/],
  ['a column that is not there', ['enable', plain, '--table', 'events', '--column', 'date'], /date/],
  ['a column of the key', ['enable', plain, '--table', 'events', '--column', 'id'], /PRIMARY KEY/],
  ['two columns to maintain', ['maintain', plain, ...target, '--column', 'kind'], /--column was given more than once/],
  ['an index on nothing', ['index', plain, '--table', 'events'], /--on/],
  ['a load of 0', ['maintain', plain, '--load', '0'], /--load cannot be used/],
  ['two files', ['inspect', plain, plain], /argument too many/],
  ['a program that is none', ['shell-init', '--for', 'ruby'], /"ruby" is not a value of --for/],
])('P7: %s', { timeout: 60_000 }, async (_what, words, message) => {
  const ended = await runSqlite(words)
  expect(ended.status).toBeGreaterThan(0)
  expectOneSentence(ended, ended.status!, message)
})
