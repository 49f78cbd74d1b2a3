// From what the user gave (a connection string, DATABASE_URL, PG* variables, ~/.pgpass) to settings that can be connected with.
// Defaults and precedence are libpq's. The password is only ever inside a closure: settings can be printed.
import { existsSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { TampError } from '../core/errors.ts'
import { parseConnectionString } from './connection-string.ts'
import type { ConnectionOptions } from './connection-string.ts'
import { lookUpPassword, socketDirectories, type PasswordLookup } from './password-file.ts'
import type { PostgresSettings } from './postgres.ts'
import { planTls } from './tls.ts'
import type { Tls } from './tls.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** `connection`, else `DATABASE_URL`; what neither says comes from the `PG*` variables, then from libpq's defaults. */
export function resolveSettings(given: {
  readonly connection?: string | undefined
  readonly env?: Environment
}): PostgresSettings {
  const env = given.env ?? process.env
  const text = given.connection ?? (env['DATABASE_URL'] || undefined)
  const options = text === undefined ? new Map<string, string>() : parseConnectionString(text)
  return settingsFrom(options, env, Object.keys(variables))
}

const variables: Readonly<Record<string, string>> = {
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  port: 'PGPORT',
  dbname: 'PGDATABASE',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  passfile: 'PGPASSFILE',
  service: 'PGSERVICE',
  options: 'PGOPTIONS',
  application_name: 'PGAPPNAME',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslcrl: 'PGSSLCRL',
  sslnegotiation: 'PGSSLNEGOTIATION',
  channel_binding: 'PGCHANNELBINDING',
  require_auth: 'PGREQUIREAUTH',
  requirepeer: 'PGREQUIREPEER',
}

/** Variables that say how to get in, not where to: these alone may complete settings that come from a file of somebody else's. */
export const credentialOptions: readonly string[] = [
  'password',
  'passfile',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslcrl',
]

/** Settings from libpq options; those named in `fromEnvironment` default to their PG* variable. */
export function settingsFrom(
  given: ConnectionOptions,
  env: Environment,
  fromEnvironment: readonly string[],
): PostgresSettings {
  const options = new Map(given)
  for (const name of fromEnvironment) {
    const value = env[variables[name]!]
    // PGHOSTADDR belongs to PGHOST: it must not lead a host that was named elsewhere to another server.
    if (name === 'hostaddr' && given.has('host')) continue
    if (!options.has(name) && value !== undefined && value !== '') options.set(name, value)
  }
  refuseWhatWouldBeIgnored(options)

  const port = portOf(options.get('port'))
  const user = options.get('user') ?? systemUser()
  const database = options.get('dbname') ?? user
  const named = options.get('host') ?? options.get('hostaddr') ?? defaultHost(port)
  const overSocket = named.startsWith('/')
  const home = env['HOME'] || homedir()
  const encryption = overSocket ? { first: false as const } : planTls(options, home)
  const password = passwordSource(options.get('password'), {
    file: options.get('passfile') ?? join(home, '.pgpass'),
    host: named,
    port,
    database,
    user,
  })
  const configWith = (ssl: Tls): pg.ClientConfig => ({
    host: overSocket ? named : (options.get('hostaddr') ?? named),
    port,
    user,
    database,
    password,
    // With hostaddr the connection goes to an address, but the certificate is of the host.
    ssl:
      ssl === false
        ? false
        : { ...ssl, ...(options.has('hostaddr') && options.has('host') ? { servername: named } : {}) },
    application_name: options.get('application_name') ?? 'tamp',
    connectionTimeoutMillis: timeoutOf(options.get('connect_timeout')),
    ...(options.has('options') ? { options: options.get('options') } : {}),
    // Named in any case: pg would look into the process's environment.
    sslnegotiation: options.get('sslnegotiation') === 'direct' && ssl !== false ? 'direct' : 'postgres',
  })
  return {
    config: configWith(encryption.first),
    describe: describe(user, named, port, database),
    ...('fallback' in encryption ? { fallback: configWith(encryption.fallback) } : {}),
  }
}

/** Options that ask for something tamp does not do, where leaving it out would reach another server or be less safe. */
function refuseWhatWouldBeIgnored(options: ConnectionOptions): void {
  const refuse = (message: string, hint: string) => {
    throw new TampError('usage', message, { hint })
  }
  if (options.has('service'))
    refuse(
      'Connection service files (service, PGSERVICE) are not supported.',
      'Give host, port, dbname and user instead.',
    )
  if (
    options.get('host')?.includes(',') ||
    options.get('port')?.includes(',') ||
    options.get('hostaddr')?.includes(',')
  ) {
    refuse('The connection names several hosts.', 'Give the one that takes writes.')
  }
  if (options.get('channel_binding') === 'require')
    refuse('The connection option channel_binding=require is not supported.', 'Use sslmode=verify-full instead.')
  for (const name of ['require_auth', 'requirepeer', 'sslcrldir', 'replication']) {
    if (options.has(name)) refuse(`The connection option ${name} is not supported.`, 'Leave it out.')
  }
  if (options.get('gssencmode') === 'require')
    refuse('GSSAPI encryption is not supported.', 'Use sslmode=verify-full instead.')
  const negotiation = options.get('sslnegotiation') ?? 'postgres'
  if (negotiation !== 'postgres' && negotiation !== 'direct')
    refuse('The sslnegotiation is neither postgres nor direct.', 'Leave it out.')
  if (negotiation === 'direct' && !/^(require|verify-ca|verify-full)$/.test(options.get('sslmode') ?? '')) {
    refuse('For sslnegotiation=direct encryption must be required.', 'Add sslmode=require, verify-ca or verify-full.')
  }
}

/** Called by pg only when the server asks for a password. */
function passwordSource(given: string | undefined, lookup: PasswordLookup): () => string {
  return () => {
    if (given !== undefined) return given
    const found = lookUpPassword(lookup)
    if (found.password !== undefined) return found.password
    throw new TampError('authentication-failed', 'The server asks for a password, and none was given.', {
      hint:
        found.ignored === undefined
          ? 'Give it in the connection string, in PGPASSWORD, or in ~/.pgpass.'
          : `The password file ${found.ignored}.`,
    })
  }
}

// Values are not quoted back: in a URL whose @ is missing, a password stands where the port should be.
function portOf(text: string | undefined): number {
  if (text === undefined) return 5432
  const port = /^\d+$/.test(text) ? Number(text) : 0
  if (port >= 1 && port <= 65535) return port
  throw new TampError('usage', 'The port of the connection is not a number from 1 to 65535.', {
    hint: 'A URL looks like postgresql://user:password@host:5432/database.',
  })
}

/** In milliseconds. Where nobody says, half a minute: longer than any server that will answer, shorter than the system's patience. */
function timeoutOf(text: string | undefined): number {
  if (text === undefined) return 30_000
  if (!/^-?\d+$/.test(text)) throw new TampError('usage', 'The connect_timeout is not a number of seconds.')
  return Math.max(0, Number(text)) * 1000
}

function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    throw new TampError('usage', 'No database user was given.', {
      hint: 'Name one: postgresql://user@host/database, or PGUSER.',
    })
  }
}

function defaultHost(port: number): string {
  return socketDirectories.find((directory) => existsSync(`${directory}/.s.PGSQL.${port}`)) ?? 'localhost'
}

function describe(user: string, host: string, port: number, database: string): string {
  const name = encodeURIComponent(database)
  if (host.startsWith('/')) {
    return `postgresql://${encodeURIComponent(user)}@/${name}?host=${host}${port === 5432 ? '' : `&port=${port}`}`
  }
  return `postgresql://${encodeURIComponent(user)}@${host.includes(':') ? `[${host}]` : host}:${port}/${name}`
}
