// Python with its sqlite3 module, where it can load extensions: Debian's, or the first on the path.
import { spawnSync } from 'node:child_process'

const probe = `
import sqlite3, sys
connection = sqlite3.connect(':memory:')
connection.enable_load_extension(True)
print(sqlite3.sqlite_version)
`

/** The first Python that can load extensions, null (with the reason printed) where there is none. */
export const python: string | null = (() => {
  for (const candidate of ['/usr/bin/python3', 'python3'])
    if (spawnSync(candidate, ['-c', probe]).status === 0) return candidate
  console.warn('Python is not tested: there is none whose sqlite3 module can load extensions')
  return null
})()

/** Runs a script; gives what it printed. @throws where it fails, or does not survive */
export function runPython(script: string, ...words: readonly string[]): string {
  const { status, signal, stdout, stderr } = spawnSync(python!, ['-c', script, ...words], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  if (status !== 0) throw new Error(`Python ended with ${signal ?? status}: ${stderr}`)
  return stdout.trim()
}
