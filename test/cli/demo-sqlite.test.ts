// The demo of SQLite rows: the whole way, and nothing left behind.
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { testLibrary } from '../support/sqlite/judge.ts'
import { temporaryFolder } from '../support/sqlite/database-files.ts'
import { runTamp } from './run-tamp.ts'

test('compresses, asks again, restores and compares', { timeout: 120_000 }, async () => {
  const folder = await temporaryFolder('tamp-demo-test-')
  const env = { TAMP_SQLITE_EXTENSION: testLibrary, TMPDIR: folder }
  const { status, out, err } = await runTamp(['demo', 'sqlite'], { env })
  expect(err).toBe('')
  expect(out).toMatch(/Query +1,537 books of 1992 in .* SEARCH books USING INDEX books_by_year/)
  expect(out).toMatch(/Compress +100,000 cells, each compared/)
  expect(out).toMatch(/Same query +1,537 books of 1992 in .* SEARCH books USING INDEX books_by_year/)
  expect(out).toMatch(/Check +every cell can be read, nothing found/)
  expect(out).toMatch(/Compare +the same rows, the same schema/)
  expect(Number(/^ {2}compressed .* ([\d.]+) %$/m.exec(out)![1])).toBeLessThan(40)
  expect(out).toMatch(/✓ The query gives the same answer, by the same index; the table came back as it was\./)
  expect(status).toBe(0)
  expect(readdirSync(folder)).toEqual([])
})

test('P2: Ctrl-C cleans up', { timeout: 120_000 }, async () => {
  const folder = await temporaryFolder('tamp-demo-test-')
  let sent = false
  const { status, err } = await runTamp(['demo', 'sqlite'], {
    env: { TAMP_SQLITE_EXTENSION: testLibrary, TMPDIR: folder },
    watch({ out }, child) {
      if (sent || !out.includes('Enable')) return
      sent = true
      child.kill('SIGINT')
    },
  })
  expect(err).toMatch(/Interrupted; the file of the demo is removed\./)
  expect(status).toBe(130)
  expect(readdirSync(folder)).toEqual([])
})

test('says so where there is no extension', async () => {
  const { status, err } = await runTamp(['demo', 'sqlite'], { env: { TAMP_SQLITE_EXTENSION: '/nowhere/tamp.so' } })
  expect(err).toMatch(/^tamp: The file \/nowhere\/tamp\.so, .* does not exist\.\n {6}/)
  expect(status).toBe(1)
})
