// The demo on a server that was named, and without an embedded one: it makes what it needs and leaves nothing behind.
import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, inject, test } from 'vitest'
import { openSession } from '../support/session.ts'
import { testLibrary } from '../support/sqlite/judge.ts'
import { runTamp } from './run-tamp.ts'

async function demoDatabases(): Promise<unknown[]> {
  await using session = await openSession(inject('postgres').url)
  return await session.query(`SELECT datname FROM pg_database WHERE datname LIKE 'tamp\\_demo%'`)
}

/** The real client core takes its time to download 100,000 operations twice. */
const timeout = 300_000

test('shows everything, one after the other, and drops its databases', { timeout }, async () => {
  const { status, out, err } = await runTamp(['demo', '--connection', inject('postgres').url], {
    env: { TAMP_SQLITE_EXTENSION: testLibrary },
  })
  expect(err).toBe('')
  expect(status).toBe(0)
  expect(out).toMatch(/Execute +[\d,]+ rows saved in \d+ transactions/)
  expect(out).toMatch(/Check +no damage found/)
  expect(out).toMatch(/Second run +finds nothing left to do/)
  expect(out).toMatch(/^ {4}!gen:x +2,001 +9,841 /m)
  expect(out).toMatch(/^ {2}10 rooms +11,330 +29,604 /m)
  expect(out).toMatch(/full states, before and after: no difference/)
  expect(out).toMatch(/✓ The query gives the same answer, by the same index; the table came back as it was\./)
  expect(out).toMatch(/Plan +102,001 → 100,022 operations; nothing written yet/)
  expect(out).toMatch(/Relocate +0 rows sent again to existing clients; 23 operations left/)
  expect(out).toMatch(/Reinsert +.* 1 row sent again; 23 operations left/)
  expect(out).toMatch(/^ {2}as it was +100,001 +102,001 /m)
  expect(out).toMatch(/^ {2}compacted +100,001 +100,022 .* 0$/m)
  expect(out).toMatch(/^ {2}defragmented: relocate +2 +23 .* 0$/m)
  expect(out).toMatch(/^ {2}defragmented: reinsert +2 +23 .* 1$/m)
  expect(out).toMatch(/Check +every checksum right, nothing found/)
  expect(out).toMatch(/✓ Every client validated every checksum, and all of them see the same rows\./)
  expect(out).not.toContain(new URL(inject('postgres').url).password)
  expect(await demoDatabases()).toEqual([])
})

test.each([
  ['synapse', 'Load'],
  ['powersync', 'Make'],
])('P2: Ctrl-C cleans up after %s', { timeout }, async (part, stage) => {
  let sent = false
  const { status, err } = await runTamp(['demo', part, '--connection', inject('postgres').url], {
    watch({ out }, child) {
      if (sent || !out.includes(stage)) return
      sent = true
      child.kill('SIGINT')
    },
  })
  expect(status).toBe(130)
  expect(err).toMatch(/Interrupted; the databases of the demo are removed\./)
  expect(await demoDatabases()).toEqual([])
})

test(
  'says so where there is no embedded PostgreSQL, no extension and no client core, and goes on',
  { timeout },
  async () => {
    const root = fileURLToPath(new URL('../../', import.meta.url))
    const installed = await mkdtemp(join(tmpdir(), 'tamp-installed-'))
    try {
      for (const name of ['src', 'fixtures', 'package.json'])
        await cp(join(root, name), join(installed, name), { recursive: true })
      await mkdir(join(installed, 'node_modules'))
      for (const name of ['@stricli', 'better-sqlite3', 'bson', 'pg', 'pg-copy-streams', 'yaml'])
        await symlink(join(root, 'node_modules', name), join(installed, 'node_modules', name))
      const options = { main: join(installed, 'src/cli/main.ts'), cwd: installed }
      const all = await runTamp(['demo'], options)
      expect(all.out).toMatch(/Passed over: There is no embedded PostgreSQL here\. .*--connection/)
      expect(all.out).toMatch(/Passed over: There is no prebuilt SQLite extension/)
      expect(all.status).toBe(3)
      const synapse = await runTamp(['demo', 'synapse'], options)
      expect(synapse.err).toMatch(/There is no embedded PostgreSQL here\.\n.*--connection/)
      expect(synapse.status).toBe(1)
      const powersync = await runTamp(['demo', 'powersync', '--connection', inject('postgres').url], options)
      expect(powersync.out).toMatch(/Without clients: the real client core is in the npm package @powersync\/node/)
      expect(powersync.out).toMatch(/^ {2}defragmented: relocate +2$/m)
      expect(powersync.status).toBe(0)
    } finally {
      await rm(installed, { recursive: true, force: true })
    }
  },
)
