// The files that make up a database, copied and compared as they are, and a folder that goes with the test.
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

const parts = ['', '-journal', '-wal', '-shm']

/** Copies a database with what is beside it. SQLite's locks on it do not survive that in the process which holds them. */
export function copyDatabase(from: string, to: string): void {
  for (const part of parts)
    if (existsSync(from + part)) copyFileSync(from + part, to + part)
    else rmSync(to + part, { force: true })
}

/** A hash of the bytes of the database and its journals, and of whether they are there. */
export function databaseBytes(file: string): string {
  const hash = createHash('sha1')
  for (const part of parts.slice(0, 3)) {
    hash.update(part)
    if (existsSync(file + part)) hash.update(readFileSync(file + part))
  }
  return hash.digest('hex')
}

/** Which files there are and how long they are. */
export function databaseFiles(file: string): Readonly<Record<string, number>> {
  return Object.fromEntries(
    parts.filter((part) => existsSync(file + part)).map((part) => [part, statSync(file + part).size]),
  )
}

/** A folder that is removed after the tests of the file. */
export async function temporaryFolder(prefix: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), prefix))
  afterAll(() => rm(folder, { recursive: true, force: true }))
  return folder
}
