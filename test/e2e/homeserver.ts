// A real Synapse on a database of its own: started and stopped by the test, spoken to over HTTP. Nothing of it outlives the test.
import { spawn, type ChildProcess } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../src/database/embedded.ts'

const serverName = 'tamp.test'
const applicationService = 'Bearer e2e-application-service'
const sharedSecret = 'e2e-shared-secret'
/** A busy machine may be many times slower than a quiet one. */
const patienceSeconds = 180

/** Group → size and hash of its full state, as Synapse resolves it. */
type States = ReadonlyMap<number, string>

export interface Homeserver extends AsyncDisposable {
  /** Its homeserver.yaml. */
  readonly config: string
  start(): Promise<void>
  /** Orderly; does nothing where it does not run. */
  stop(): Promise<void>
  register(user: string): Promise<void>
  /** A call of the client API as this user (a localpart), who need not log in. */
  call(user: string, method: string, path: string, body?: object): Promise<any>
  /** A call of the admin API. */
  admin(method: string, path: string, body?: object): Promise<any>
  /** Asks Synapse's own storage code, with empty caches. The server should be idle or stopped. */
  states(): Promise<States>
  /** What it wrote to its log: warnings, errors, and what its deletion of state groups did. */
  log(): Promise<string>
}

export const userId = (name: string): string => `@${name}:${serverName}`

/** Writes the configuration; does not start it yet. `database` is a URL of an empty database with C collation. */
export async function makeHomeserver(python: string, database: string): Promise<Homeserver> {
  const directory = await mkdtemp(join(tmpdir(), 'tamp-synapse-'))
  const config = join(directory, 'homeserver.yaml')
  const log = join(directory, 'homeserver.log')
  let base = ''
  let server: ChildProcess | undefined
  let adminToken: Promise<string> | undefined
  // A failed test wants it when the directory is gone.
  let lastLog = ''
  const readLog = async () => (lastLog = await readFile(log, 'utf8').catch(() => lastLog))

  /** `serve` stays; the others end by themselves. */
  const run = (...words: string[]): ChildProcess & { output: string } => {
    const script = fileURLToPath(new URL('homeserver.py', import.meta.url))
    // Its standard input stays open as long as we live: the end of it is its sign to end, however we came to die.
    const child = spawn(python, [script, ...words], { cwd: directory, stdio: ['pipe', 'pipe', 'pipe'] })
    const told = Object.assign(child, { output: '' })
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (told.output = (told.output + text).slice(-10_000)))
    child.stdin.on('error', () => {})
    return told
  }
  const request = async (authorization: string | undefined, method: string, path: string, body?: object) => {
    const response = await fetch(base + path, {
      method,
      headers: { 'content-type': 'application/json', ...(authorization === undefined ? {} : { authorization }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(patienceSeconds * 1000),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 300)}`)
    return JSON.parse(text)
  }

  const homeserver: Homeserver = {
    config,
    async start() {
      for (let attempt = 1; ; attempt++) {
        const port = await freePort()
        base = `http://127.0.0.1:${port}`
        await configure(directory, port, database)
        const child = run('serve', config)
        server = child
        for (const deadline = Date.now() + patienceSeconds * 1000; Date.now() < deadline; await sleep(100)) {
          if (hasEnded(child)) break
          if (await request(undefined, 'GET', '/_matrix/client/versions').then(Boolean, () => false)) return
        }
        await homeserver.stop()
        // Somebody was faster with the port: it can only be known by trying.
        const said = `${child.output}\n${(await readLog()).slice(-3000)}`
        if (attempt === 3 || !/in use|CannotListen/.test(said)) throw new Error(`Synapse did not start:\n${said}`)
      }
    },
    async stop() {
      if (server !== undefined) await end(server)
      server = undefined
    },
    async register(user) {
      const body = { type: 'm.login.application_service', username: user, inhibit_login: true }
      await request(applicationService, 'POST', '/_matrix/client/v3/register', body)
    },
    call(user, method, path, body) {
      const who = `${path.includes('?') ? '&' : '?'}user_id=${encodeURIComponent(userId(user))}`
      return request(applicationService, method, `/_matrix/client/v3${path}${who}`, body)
    },
    async admin(method, path, body) {
      adminToken ??= registerAdmin(request)
      return request(`Bearer ${await adminToken}`, method, `/_synapse/admin${path}`, body)
    },
    async states() {
      const file = join(directory, 'states.json')
      const child = run('states', config, file)
      const late = setTimeout(() => child.kill('SIGKILL'), 5 * patienceSeconds * 1000)
      const [code] = (await once(child, 'close')) as [number | null]
      clearTimeout(late)
      if (code !== 0) throw new Error(`Synapse's storage could not be asked:\n${child.output}`)
      const found = JSON.parse(await readFile(file, 'utf8')) as Record<string, string>
      return new Map(Object.entries(found).map(([group, digest]) => [Number(group), digest]))
    },
    log: readLog,
    async [Symbol.asyncDispose]() {
      await homeserver.stop()
      await readLog()
      await rm(directory, { recursive: true, force: true })
    },
  }
  const key = randomBytes(32).toString('base64').replaceAll('=', '')
  await writeFile(join(directory, 'signing.key'), `ed25519 a_e2e ${key}\n`, { mode: 0o600 })
  return homeserver
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 30_000)
  await exit
  clearTimeout(late)
}

async function registerAdmin(
  request: (authorization: undefined, method: string, path: string, body?: object) => Promise<any>,
): Promise<string> {
  const path = '/_synapse/admin/v1/register'
  const { nonce } = await request(undefined, 'GET', path)
  const username = 'admin'
  const password = randomBytes(12).toString('hex')
  const mac = createHmac('sha1', sharedSecret).update([nonce, username, password, 'admin'].join('\0')).digest('hex')
  const { access_token } = await request(undefined, 'POST', path, { nonce, username, password, admin: true, mac })
  return access_token
}

/** JSON is YAML. */
async function configure(directory: string, port: number, database: string): Promise<void> {
  const url = new URL(database)
  const unlimited = { per_second: 1_000_000, burst_count: 1_000_000 }
  const files = {
    'homeserver.yaml': {
      server_name: serverName,
      public_baseurl: `http://127.0.0.1:${port}/`,
      pid_file: join(directory, 'homeserver.pid'),
      listeners: [
        { port, bind_addresses: ['127.0.0.1'], type: 'http', tls: false, resources: [{ names: ['client'] }] },
      ],
      database: {
        name: 'psycopg2',
        args: {
          user: decodeURIComponent(url.username),
          password: decodeURIComponent(url.password),
          host: url.hostname,
          port: Number(url.port),
          dbname: url.pathname.slice(1),
          cp_min: 2,
          cp_max: 10,
        },
      },
      log_config: join(directory, 'log.yaml'),
      media_store_path: join(directory, 'media'),
      signing_key_path: join(directory, 'signing.key'),
      app_service_config_files: [join(directory, 'application-service.yaml')],
      registration_shared_secret: sharedSecret,
      macaroon_secret_key: 'e2e-macaroon',
      form_secret: 'e2e-form',
      report_stats: false,
      trusted_key_servers: [],
      suppress_key_server_warning: true,
      presence: { enabled: false },
      bcrypt_rounds: 4,
      rc_message: unlimited,
      rc_registration: unlimited,
      rc_login: { address: unlimited, account: unlimited, failed_attempts: unlimited },
      rc_joins: { local: unlimited, remote: unlimited },
      rc_joins_per_room: unlimited,
      rc_invites: { per_room: unlimited, per_user: unlimited, per_issuer: unlimited },
      rc_room_creation: unlimited,
    },
    'application-service.yaml': {
      id: 'e2e',
      url: null,
      as_token: applicationService.split(' ')[1],
      hs_token: 'e2e-homeserver',
      sender_localpart: 'e2e',
      rate_limited: false,
      namespaces: { users: [{ exclusive: false, regex: `@.*:${serverName}` }], aliases: [], rooms: [] },
    },
    'log.yaml': {
      version: 1,
      disable_existing_loggers: false,
      formatters: { line: { format: '%(asctime)s %(name)s %(levelname)s %(request)s %(message)s' } },
      handlers: {
        file: { class: 'logging.FileHandler', formatter: 'line', filename: join(directory, 'homeserver.log') },
      },
      root: { level: 'WARNING', handlers: ['file'] },
      // What the deletion of state groups does.
      loggers: {
        'synapse.storage.controllers.purge_events': { level: 'INFO' },
        'synapse.storage.databases.state.store': { level: 'INFO' },
      },
    },
  }
  for (const [name, content] of Object.entries(files))
    await writeFile(join(directory, name), JSON.stringify(content, undefined, 1), { mode: 0o600 })
}
