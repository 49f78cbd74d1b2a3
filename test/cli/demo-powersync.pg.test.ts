// The demo of PowerSync buckets: the documented case ends with two operations, and every client agrees.
import { expect, inject, test } from 'vitest'
import { openSession } from '../support/session.ts'
import { runTamp } from './run-tamp.ts'

async function demoDatabases(): Promise<unknown[]> {
  await using session = await openSession(inject('postgres').url)
  return await session.query(`SELECT datname FROM pg_database WHERE datname LIKE 'tamp\\_demo\\_buckets%'`)
}

test('compacts and defragments the documented case, with the real client core before and after', async () => {
  const { status, out, err } = await runTamp(['demo', 'powersync', '--connection', inject('postgres').url])
  expect(err).toBe('')
  expect(out).toMatch(/Plan +102,001 → 100,022 operations; nothing written yet/)
  expect(out).toMatch(/Relocate +0 rows sent again to existing clients; 23 operations left/)
  expect(out).toMatch(/Reinsert +.* 1 row sent again; 23 operations left/)
  expect(out).toMatch(/^ {2}as it was +100,001 +102,001 /m)
  expect(out).toMatch(/^ {2}compacted +100,001 +100,022 .* 0$/m)
  expect(out).toMatch(/^ {2}defragmented: relocate +2 +23 .* 0$/m)
  expect(out).toMatch(/^ {2}defragmented: reinsert +2 +23 .* 1$/m)
  expect(out).toMatch(/Check +every checksum right, nothing found/)
  expect(out).toMatch(/Second run +finds nothing left to do/)
  expect(out).toMatch(/✓ Every client validated every checksum, and all of them see the same rows\./)
  expect(out).not.toContain(new URL(inject('postgres').url).password)
  expect(status).toBe(0)
  expect(await demoDatabases()).toEqual([])
})

test('P2: Ctrl-C cleans up', async () => {
  let sent = false
  const { status, err } = await runTamp(['demo', 'powersync', '--connection', inject('postgres').url], {
    watch({ out }, child) {
      if (sent || !out.includes('Inspect')) return
      sent = true
      child.kill('SIGINT')
    },
  })
  expect(err).toMatch(/Interrupted; the databases of the demo are removed\./)
  expect(status).toBe(130)
  expect(await demoDatabases()).toEqual([])
})
