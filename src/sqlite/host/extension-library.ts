// Where the loadable extension is: named by the environment, in a package for this platform, or built from the sources of a checkout.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, stat, utimes } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { TampError } from '../../core/errors.ts'

export interface LibraryOptions {
  /** Told in one sentence when the library has to be built first, which takes minutes where it never was. */
  readonly tell?: ((sentence: string) => void) | undefined
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const fileName = `tamp.${process.platform === 'win32' ? 'dll' : process.platform === 'darwin' ? 'dylib' : 'so'}`

/** What the library is made of: a file or folder, all of which is taken. */
const sources = [
  'native/Cargo.toml',
  'native/Cargo.lock',
  'native/build.rs',
  'native/src',
  'src/sqlite/policy',
  'src/core/errors.ts',
  'src/core/pace.ts',
  'src/database/sqlite-value.ts',
]

/** What goes on without the library, for the hint of an error. */
const withoutIt = 'Without it tamp reads, checks and restores compressed columns, but compresses none.'

/**
 * Path of the library to load. In a checkout it is built with cargo where it is missing or older than its sources, once for all
 * processes that ask.
 * @throws TampError `no-library` where there is none and none can be built
 */
export async function extensionLibrary({ tell }: LibraryOptions = {}): Promise<string> {
  const named = process.env['TAMP_SQLITE_EXTENSION']
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return resolve(named)
    throw new TampError('no-library', `The file ${named}, which TAMP_SQLITE_EXTENSION names, does not exist.`, {
      hint: 'Name the file of the extension itself, such as /opt/tamp/tamp.so, or leave the variable away.',
    })
  }
  if (existsSync(join(root, 'native', 'Cargo.toml'))) return inCheckout(tell)
  const installed = inPlatformPackage()
  if (installed !== undefined) return installed
  throw new TampError('no-library', `There is no prebuilt SQLite extension of tamp for ${platform()}.`, {
    hint: `Build it in tamp's repository with "npm run build:native", and name its file in TAMP_SQLITE_EXTENSION. ${withoutIt}`,
  })
}

/** As in the names of the packages. A library for glibc does not load with musl. */
function platform(): string {
  return `${process.platform}${process.platform === 'linux' && isMusl() ? 'musl' : ''}-${process.arch}`
}

function isMusl(): boolean {
  const report = process.report as typeof process.report & { excludeNetwork?: boolean }
  const before = report.excludeNetwork ?? false
  // Otherwise it looks up the names of all peers.
  report.excludeNetwork = true
  const { header } = report.getReport() as { header: object }
  report.excludeNetwork = before
  return !('glibcVersionRuntime' in header)
}

function inPlatformPackage(): string | undefined {
  try {
    const description = createRequire(import.meta.url).resolve(`tamp-sqlite-${platform()}/package.json`)
    const file = join(dirname(description), fileName)
    return existsSync(file) ? file : undefined
  } catch {
    return undefined
  }
}

async function inCheckout(tell: LibraryOptions['tell']): Promise<string> {
  const library = join(root, 'native', 'target', 'release', fileName)
  if (await isCurrent(library)) return library
  await mkdir(dirname(library), { recursive: true })
  // A lock that ends with its process: the write lock of a database.
  const lock = new Database(join(root, 'native', 'target', 'build-lock.db'), { timeout: 0 })
  try {
    for (let told = false; !isLocked(lock); told = true) {
      if (!told) tell?.('The SQLite extension is being built by another process; waiting for it …')
      await setTimeout(300)
    }
    if (await isCurrent(library)) return library
    tell?.(
      existsSync(library)
        ? 'Building the SQLite extension anew: its sources have changed …'
        : 'Building the SQLite extension with cargo; the first time this takes a minute or two …',
    )
    await build(library)
    return library
  } finally {
    lock.close()
  }
}

function isLocked(lock: Database.Database): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if (error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY')) return false
    throw error
  }
}

async function isCurrent(library: string): Promise<boolean> {
  const built = await modified(library)
  const changed = await Promise.all(sources.map((source) => lastChange(join(root, source))))
  return built > 0 && changed.every((time) => time <= built)
}

/** When a file was last written, in milliseconds; 0 where it is not there. */
async function modified(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.mtimeMs ?? 0
}

/** The last change of a file, or of any file in a folder. */
async function lastChange(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => undefined)
  if (entries === undefined) return modified(path)
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Math.max(0, ...(await Promise.all(files.map(modified))))
}

async function build(library: string): Promise<void> {
  const started = new Date()
  const script = join(root, 'scripts', 'build-native.mjs')
  const { code, output } = await runToEnd('cargo', ['--version'])
  if (code === undefined)
    throw new TampError(
      'no-library',
      'The SQLite extension has to be built first, and there is no cargo to build it with.',
      {
        hint: `Install Rust (https://rustup.rs, or the package "cargo"), and run the command again. ${withoutIt}`,
      },
    )
  if (code !== 0) throw failed(output)
  const built = await runToEnd(process.execPath, [script])
  if (built.code !== 0 || !existsSync(library)) throw failed(built.output)
  // What cargo found unchanged it does not write again; and what changed while it worked is not in it.
  await utimes(library, started, started)
}

function failed(output: string): TampError {
  const lines = output.trim().split('\n')
  const reason = lines.find((line) => line.startsWith('error')) ?? lines.at(-1) ?? ''
  return new TampError(
    'no-library',
    `The SQLite extension could not be built: ${reason.trim().replace(/[.:]*$/, '')}.`,
    {
      hint: `"npm run build:native" shows everything that was said. ${withoutIt}`,
      cause: new Error(output),
    },
  )
}

/** The exit status of a program, undefined where there is no such program, and everything it printed. */
async function runToEnd(program: string, words: readonly string[]): Promise<{ code?: number; output: string }> {
  const { promise, resolve: end } = Promise.withResolvers<{ code?: number; output: string }>()
  const child = spawn(program, words, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.on('error', () => end({ output }))
  child.on('close', (code) => end({ code: code ?? 1, output }))
  return promise
}
