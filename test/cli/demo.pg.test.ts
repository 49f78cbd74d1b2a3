// The demo on a server that was named, and without an embedded one: it makes what it needs and leaves nothing behind.
import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, inject, test } from 'vitest'
import { openSession } from '../support/session.ts'
import { runTamp } from './run-tamp.ts'

async function demoDatabases(): Promise<unknown[]> {
  await using session = await openSession(inject('postgres').url)
  return await session.query(`SELECT datname FROM pg_database WHERE datname LIKE 'tamp\\_demo%'`)
}

test('shows every room before and after, and drops its databases', async () => {
  const { status, out, err } = await runTamp(['demo', '--connection', inject('postgres').url])
  expect(err).toBe('')
  expect(status).toBe(0)
  expect(out).toMatch(/Execute +[\d,]+ rows saved in \d+ transactions/)
  expect(out).toMatch(/Check +no damage found/)
  expect(out).toMatch(/Second run +finds nothing left to do/)
  expect(out).toMatch(/^ {4}!gen:x +2,001 +9,841 /m)
  expect(out).toMatch(/^ {2}10 rooms +11,330 +29,604 /m)
  expect(out).toMatch(/full states, before and after: no difference/)
  expect(out).not.toContain(new URL(inject('postgres').url).password)
  expect(await demoDatabases()).toEqual([])
})

test('P2: Ctrl-C cleans up', async () => {
  let sent = false
  const { status, err } = await runTamp(['demo', 'synapse', '--connection', inject('postgres').url], {
    watch({ out }, child) {
      if (sent || !out.includes('Load')) return
      sent = true
      child.kill('SIGINT')
    },
  })
  expect(status).toBe(130)
  expect(err).toMatch(/Interrupted; the databases of the demo are removed\./)
  expect(await demoDatabases()).toEqual([])
})

test('says so where there is no embedded PostgreSQL', async () => {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const installed = await mkdtemp(join(tmpdir(), 'tamp-installed-'))
  try {
    for (const name of ['src', 'fixtures', 'package.json'])
      await cp(join(root, name), join(installed, name), { recursive: true })
    await mkdir(join(installed, 'node_modules'))
    for (const name of ['@stricli', 'pg', 'pg-copy-streams', 'yaml'])
      await symlink(join(root, 'node_modules', name), join(installed, 'node_modules', name))
    const { status, err } = await runTamp(['demo'], { main: join(installed, 'src/cli/main.ts'), cwd: installed })
    expect(err).toMatch(/There is no embedded PostgreSQL here\.\n.*--connection/)
    expect(status).toBe(1)
  } finally {
    await rm(installed, { recursive: true, force: true })
  }
})
