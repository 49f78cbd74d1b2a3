// The same through the commands: one sentence for a person and what to do, the exit status that means it, and never a stack trace.
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runTamp } from '../../cli/run-tamp.ts'
import type { Ended } from '../../cli/run-tamp.ts'
import { copyDatabase } from '../../support/sqlite/database-files.ts'
import { fileOf, folder, rows } from '../../support/sqlite/event-stages.ts'
import type { Stage } from '../../support/sqlite/event-stages.ts'
import { dumpOf, integrity, wrongRows } from '../../support/sqlite/events-database.ts'
import { openJudge, testLibrary } from '../../support/sqlite/judge.ts'

const enableWords = ['--table', 'events', '--column', 'data', '--execute']
const commandsOf: Readonly<Record<string, (file: string) => string[]>> = {
  inspect: (file) => ['sqlite', 'inspect', file],
  enable: (file) => ['sqlite', 'enable', file, ...enableWords],
  maintain: (file) => ['sqlite', 'maintain', file, '--execute'],
  check: (file) => ['sqlite', 'check', file],
  index: (file) => ['sqlite', 'index', file, '--table', 'events', '--on', 'version', '--execute'],
  disable: (file) => ['sqlite', 'disable', file, ...enableWords],
}

async function run(words: readonly string[], shell?: string): Promise<Ended> {
  return runTamp(words, {
    env: { TAMP_SQLITE_EXTENSION: testLibrary },
    ...(shell === undefined ? {} : { shell }),
  })
}

/** One sentence for a person, perhaps one more that says what to do; nothing of the program's insides. */
function expectWords(ended: Ended, status: number, says: RegExp): void {
  expect(ended.err).toMatch(says)
  expect(ended.status, ended.err).toBe(status)
  expect(ended.err).toMatch(/^tamp: [^\n]+\.\n( {6}[^\n]+\n)*$/)
  expect(ended.err).not.toMatch(/\n\s+at |node:internal|\.ts:\d|SqlError|SqliteError|undefined/)
  expect(ended.out).toBe('')
}

describe('P7: the commands', () => {
  test.each(Object.entries(commandsOf))('tamp sqlite %s: no such file', async (_, words) => {
    const missing = join(folder, 'not-there.db')
    expectWords(await run(words(missing)), 1, /not-there\.db/)
    expect(existsSync(missing)).toBe(false)
  })

  test.each(['inspect', 'maintain'])('tamp sqlite %s: a directory, and what is no database', async (command) => {
    const directory = join(folder, 'a-directory')
    mkdirSync(directory, { recursive: true })
    const text = join(folder, 'a-text')
    writeFileSync(text, 'no database at all, '.repeat(100))
    expectWords(await run(commandsOf[command]!(directory)), 1, /a-directory/)
    expectWords(await run(commandsOf[command]!(text)), 10, /a-text is not a SQLite database/)
    expect(readFileSync(text, 'utf8')).toBe('no database at all, '.repeat(100))
  })

  const wrongWords: Readonly<Record<string, { words: string[]; stage?: Stage; status?: number; says: RegExp }>> = {
    'no such table': { words: ['enable', 'FILE', '--table', 'evnets', '--column', 'data'], says: /evnets/ },
    'no such column': { words: ['enable', 'FILE', '--table', 'events', '--column', 'dta'], says: /dta/ },
    'level 0': { words: ['enable', 'FILE', ...enableWords, '--level', '0'], says: /level/ },
    'level 23': { words: ['enable', 'FILE', ...enableWords, '--level', '23'], says: /level/ },
    'level abc': { words: ['enable', 'FILE', ...enableWords, '--level', 'abc'], says: /level|abc/ },
    'a chooser that is no SQL': {
      words: ['enable', 'FILE', ...enableWords, '--dict-chooser', 'iif('],
      says: /chooser|iif/,
    },
    'enabled already': { stage: 'enabled', words: ['enable', 'FILE', ...enableWords], says: /already/ },
    'a load of 2': { stage: 'enabled', words: ['maintain', 'FILE', '--execute', '--load', '2'], says: /load|2/ },
    'a time that is none': {
      stage: 'enabled',
      words: ['maintain', 'FILE', '--execute', '--max-duration', 'soon'],
      says: /soon/,
    },
    'disabling what is not enabled': { words: ['disable', 'FILE', ...enableWords], says: /events/ },
    'an option that is none': { words: ['maintain', 'FILE', '--exceute'], says: /exceute/ },
    'a command that is none': { words: ['maintian', 'FILE'], says: /maintian/ },
  }
  test.each(Object.entries(wrongWords))('%s', async (_, { words, stage = 'plain', status = 2, says }) => {
    const file = fileOf(stage)
    const bytes = readFileSync(file)
    const ended = await run(['sqlite', ...words.map((word) => (word === 'FILE' ? file : word))])
    expectWords(ended, status, says)
    expect(readFileSync(file).equals(bytes)).toBe(true)
  })

  test('--json tells the error as a line, with its code and hint', async () => {
    const ended = await run([...commandsOf['enable']!(join(folder, 'not-there.db')), '--json'])
    expect(ended.lines().at(-1)).toMatchObject({ type: 'error', code: 'no-such-database', hint: expect.any(String) })
    expect(ended.status).toBe(1)
  })

  test('a newer layout: exit status 10', async () => {
    const file = fileOf('maintained', `UPDATE _zstd_configs SET config = json_set(config, '$.tamp.layout', 2)`)
    for (const name of ['maintain', 'disable']) expectWords(await run(commandsOf[name]!(file)), 10, /layout|newer/)
  })

  test('a damaged cell: check finds it, exit status 4', async () => {
    const file = fileOf(
      'maintained',
      `DROP INDEX events_by_start; UPDATE _events_zstd SET data = substr(data, 1, length(data) / 2) WHERE id = 8`,
    )
    const ended = await run(commandsOf['check']!(file))
    expect(ended.status).toBe(4)
    expect(ended.out + ended.err).toMatch(/\b8\b/)
    expect(ended.out + ended.err).not.toMatch(/\n\s+at /)
    const disabled = await run(commandsOf['disable']!(file))
    expect([1, 3]).toContain(disabled.status)
    expect(disabled.out + disabled.err).toMatch(/\b8\b/)
  })

  test('a database that somebody has locked: exit status 11', { timeout: 60_000 }, async () => {
    const file = fileOf('enabled')
    const holder = openJudge(file)
    holder.exec('BEGIN EXCLUSIVE')
    const ended = await run(commandsOf['maintain']!(file).concat('--max-duration', '1s'))
    expect([11, 75]).toContain(ended.status)
    expect(ended.out + ended.err).toMatch(/lock/)
    expect(ended.out + ended.err).not.toMatch(/\n\s+at /)
    holder.exec('COMMIT')
    holder.close()
  })

  test('a file and a directory that cannot be written', async () => {
    const shut = join(folder, 'shut')
    mkdirSync(shut)
    const file = join(shut, 'shut.db')
    copyDatabase(fileOf('enabled'), file)
    chmodSync(folder, 0o755)
    chmodSync(file, 0o444)
    chmodSync(shut, 0o555)
    const bytes = readFileSync(file)
    // To root everything can be written.
    const asNobody =
      process.getuid?.() === 0 ? 'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"' : 'exec "$@"'
    expectWords(await run(commandsOf['maintain']!(file), asNobody), 1, /cannot be written|read-only/)
    expectWords(await run(commandsOf['disable']!(file), asNobody), 1, /cannot be written|read-only/)
    const looked = await run(commandsOf['inspect']!(file), asNobody)
    expect(looked.status, looked.err).toBe(0)
    chmodSync(shut, 0o755)
    chmodSync(file, 0o644)
    expect(readFileSync(file).equals(bytes)).toBe(true)
  })

  test('a disk that is full while it works', async () => {
    const file = fileOf('maintained', 'VACUUM')
    const blocks = Math.ceil(statSync(file).size / 512) + 8
    const ended = await run(commandsOf['disable']!(file), `trap '' XFSZ; ulimit -f ${blocks}; exec "$@"`)
    expectWords(ended, 1, /room|full|disk|cannot be read or written/)
    const db = openJudge(file)
    expect(integrity(db)).toEqual(['ok'])
    expect(wrongRows(db, { rows })).toEqual([])
    db.close()
    const again = await run(commandsOf['disable']!(file))
    expect(again.status, again.err).toBe(0)
    const original = openJudge(fileOf('plain'), { readonly: true })
    const restored = openJudge(file, { readonly: true })
    expect(dumpOf(restored)).toEqual(dumpOf(original))
    original.close()
    restored.close()
  })

  test('the extension is not there', async () => {
    const file = fileOf('plain')
    const ended = await runTamp(commandsOf['enable']!(file), { env: { TAMP_SQLITE_EXTENSION: '/nowhere/tamp.so' } })
    expectWords(ended, 1, /\/nowhere\/tamp\.so/)
  })
})
