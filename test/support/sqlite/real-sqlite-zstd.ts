// The real sqlite-zstd 0.3.5, built by cargo from its package once and kept in .tmp/ of the checkout. It wants SQLite 3.45.3 or newer and ends
// the process that loads it into an older one; so it is hosted by better-sqlite3, and in tests in a process of its own.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'

const version = '0.3.5'
const folder = fileURLToPath(new URL('../../../.tmp/sqlite-zstd', import.meta.url))
const [builtName, extension] =
  process.platform === 'win32'
    ? ['sqlite_zstd.dll', 'dll']
    : process.platform === 'darwin'
      ? ['libsqlite_zstd.dylib', 'dylib']
      : ['libsqlite_zstd.so', 'so']

const library = join(folder, `sqlite-zstd-${version}.${extension}`)

/** How long a cold build takes is minutes: the timeout of a hook that calls `realSqliteZstd`. */
export const buildTimeout = 900_000

/** Path of the library, building it first where it is not there. Null where there is no cargo or it cannot build, with the reason printed. */
export async function realSqliteZstd(): Promise<string | null> {
  if (existsSync(library)) return library
  try {
    await run('cargo', ['--version'])
  } catch {
    console.warn('sqlite-zstd itself is not compared with: there is no cargo to build it with')
    return null
  }
  await mkdir(folder, { recursive: true })
  // A lock that ends with its process: the write lock of a database.
  const lock = new Database(join(folder, 'lock.db'), { timeout: 0 })
  try {
    while (!locked(lock)) await setTimeout(500)
    if (!existsSync(library)) await build()
    return library
  } catch (error) {
    console.warn(`sqlite-zstd itself is not compared with: ${(error as Error).message}`)
    return null
  } finally {
    lock.close()
  }
}

const run = promisify(execFile)

function locked(lock: Database.Database): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if ((error as { code?: string }).code?.startsWith('SQLITE_BUSY') !== true) throw error
    return false
  }
}

/** Building in the package's own folder takes the versions that its authors locked; as a dependency it would get today's. */
async function build(): Promise<void> {
  console.warn(`building sqlite-zstd ${version} to compare with: once, a minute or two`)
  const asker = join(folder, 'asker')
  const target = join(folder, 'target')
  await rm(asker, { recursive: true, force: true })
  await mkdir(join(asker, 'src'), { recursive: true })
  await writeFile(join(asker, 'src', 'lib.rs'), '')
  await writeFile(
    join(asker, 'Cargo.toml'),
    `[package]\nname = "asker"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\nsqlite-zstd = "=${version}"\n\n[workspace]\n`,
  )
  const quiet = { maxBuffer: 1 << 26 }
  await run('cargo', ['vendor', '--quiet', 'vendor'], { ...quiet, cwd: asker })
  const source = join(folder, 'source')
  await rm(source, { recursive: true, force: true })
  await rename(join(asker, 'vendor', 'sqlite-zstd'), source)
  await rm(asker, { recursive: true, force: true })
  await run('cargo', ['build', '--release', '--locked', '--features', 'build_extension', '--target-dir', target], {
    ...quiet,
    cwd: source,
  })
  await copyFile(join(target, 'release', builtName!), `${library}.new`)
  await rename(`${library}.new`, library)
  await rm(target, { recursive: true, force: true })
  await rm(source, { recursive: true, force: true })
}
