// Finds or makes a Python that has Synapse, of one pinned version: a virtual environment in node_modules/.cache, filled from PyPI.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** The schema of the database moves with the version. */
const synapseVersion = '1.163.2'
const packages = [`matrix-synapse==${synapseVersion}`, 'psycopg2-binary==2.9.13']

export type SynapsePython =
  | { readonly python: string; readonly version: string }
  /** Why there is none, in one line. */
  | { readonly python: null; readonly reason: string }

/**
 * A Python of our own; makes it (about a minute, 250 MB) where it is not there yet. What is in the way is the reason.
 * Or the one that TAMP_TEST_SYNAPSE_PYTHON names: throws where that has no Synapse.
 */
export async function findSynapsePython(tell: (text: string) => void): Promise<SynapsePython> {
  const named = process.env['TAMP_TEST_SYNAPSE_PYTHON']
  if (named) return asked(named)
  try {
    return await asked(await ownPython(tell))
  } catch (error) {
    return { python: null, reason: (error as Error).message }
  }
}

async function asked(python: string): Promise<SynapsePython> {
  const script = 'from importlib.metadata import version; import psycopg2; print(version("matrix-synapse"))'
  return { python, version: (await output(python, ['-c', script])).trim() }
}

async function ownPython(tell: (text: string) => void): Promise<string> {
  const { system, version } = await systemPython()
  const cache = fileURLToPath(new URL('../../node_modules/.cache/', import.meta.url))
  const directory = join(cache, [`python-${version}`, ...packages].join('_').replaceAll('==', '-'))
  const python = join(directory, 'bin', 'python')
  // Written last: without it an earlier attempt was cut short.
  const complete = join(directory, 'complete')
  if (existsSync(complete)) return python
  await rm(directory, { recursive: true, force: true })
  await mkdir(cache, { recursive: true })
  tell(`installing ${packages.join(' and ')} from PyPI into ${directory}`)
  await output(system, ['-m', 'venv', directory])
  // Wheels only: a source package would want a Rust compiler and half an hour.
  const install = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check']
  await output(python, [...install, '--only-binary=:all:', ...packages])
  await writeFile(complete, '')
  return python
}

async function systemPython(): Promise<{ system: string; version: string }> {
  const script = 'import sys, ensurepip, venv; print("%d.%d" % sys.version_info[:2])'
  const seen: string[] = []
  for (const system of ['python3', ...[14, 13, 12, 11, 10].map((minor) => `python3.${minor}`)]) {
    const version = await output(system, ['-c', script]).then(
      (text) => text.trim(),
      (error: Error) => void seen.push(error.message),
    )
    if (version === undefined) continue
    if (Number(version.split('.')[1]) >= 10) return { system, version }
    seen.push(`${system} is ${version}`)
  }
  throw new Error(`no Python 3.10 or newer with venv (${seen[0]})`)
}

async function output(command: string, words: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, words, { timeout: 15 * 60_000, maxBuffer: 64 << 20 })
    return stdout
  } catch (error) {
    const { code, stderr = '', killed } = error as { code?: string | number; stderr?: string; killed?: boolean }
    const lines = stderr.trim().split('\n')
    const said = lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1)
    const why = code === 'ENOENT' ? 'is not installed' : killed ? 'took longer than 15 minutes' : `failed: ${said}`
    throw new Error(`${command} ${words[0] === '-m' ? `${words[1]} ` : ''}${why}`, { cause: error })
  }
}
