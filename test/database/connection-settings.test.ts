// Where settings come from, in libpq's order, and that a password in them cannot be printed.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { resolveSettings } from '../../src/database/connection-settings.ts'
import type { PostgresSettings } from '../../src/database/postgres.ts'

let home: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'tamp-home-'))
})
afterAll(() => rm(home, { recursive: true, force: true }))

const resolve = (connection: string | undefined, env: Record<string, string> = {}) =>
  resolveSettings({ connection, env: { HOME: home, ...env } })
const passwordOf = ({ config }: PostgresSettings) => (config.password as () => string)()

test('a connection string comes before DATABASE_URL, that before PG*, that before the defaults', () => {
  const env = { DATABASE_URL: 'postgresql://b@hb/db', PGHOST: 'hc', PGUSER: 'c', PGPORT: '5444', PGDATABASE: 'dc' }
  expect(resolve('postgresql://a@ha', env).describe).toBe('postgresql://a@ha:5444/dc')
  expect(resolve(undefined, env).describe).toBe('postgresql://b@hb:5444/db')
  expect(resolve(undefined, { ...env, DATABASE_URL: '' }).describe).toBe('postgresql://c@hc:5444/dc')
  const user = encodeURIComponent(userInfo().username)
  expect(resolve('host=h').describe).toBe(`postgresql://${user}@h:5432/${user}`)
  expect(resolve('port=59999').config.host).toBe('localhost')
})

test('PG* variables', () => {
  const { config } = resolve(undefined, {
    PGHOST: 'h',
    PGOPTIONS: '-c search_path=x',
    PGAPPNAME: 'nightly',
    PGCONNECT_TIMEOUT: '7',
    PGSSLMODE: 'disable',
    PGPASSWORD: 'secret',
  })
  expect(config).toMatchObject({
    options: '-c search_path=x',
    application_name: 'nightly',
    connectionTimeoutMillis: 7000,
    ssl: false,
  })
  expect(passwordOf({ config, describe: '' })).toBe('secret')
  expect(resolve('host=h').config.application_name).toBe('tamp')
})

test('PGHOSTADDR does not lead a host that was named elsewhere', () => {
  expect(resolve('host=h', { PGHOSTADDR: '192.0.2.1' }).config.host).toBe('h')
  const both = resolve('host=h hostaddr=192.0.2.1 sslmode=verify-full')
  expect(both.config).toMatchObject({ host: '192.0.2.1', ssl: { servername: 'h' } })
})

test('a unix socket is described as a URL that works', () => {
  const { describe, config } = resolve('host=/run/pg port=5440 user=u dbname=d')
  expect(describe).toBe('postgresql://u@/d?host=/run/pg&port=5440')
  expect(config).toMatchObject({ host: '/run/pg', port: 5440, ssl: false })
  expect(resolve(describe).config).toMatchObject({ host: '/run/pg', port: 5440, user: 'u', database: 'd' })
  expect(resolve('postgresql://u@[::1]/a%20b').describe).toBe('postgresql://u@[::1]:5432/a%20b')
})

test('sslmode means what it means to libpq', () => {
  const root = new URL('tls/authority.crt', import.meta.url).pathname
  const of = (text: string) => {
    const { config, fallback } = resolve(`host=h ${text}`)
    const ssl = config.ssl
    if (typeof ssl !== 'object') return { ssl, fallback: fallback && typeof fallback.ssl === 'object' }
    return {
      verified: ssl.rejectUnauthorized,
      anyHost: ssl.checkServerIdentity !== undefined,
      fallback: fallback && (fallback.ssl as boolean),
    }
  }
  expect(of('sslmode=disable')).toEqual({ ssl: false, fallback: undefined })
  expect(of('sslmode=allow')).toEqual({ ssl: false, fallback: true })
  expect(of('')).toEqual({ verified: false, anyHost: true, fallback: false })
  expect(of('sslmode=prefer')).toEqual({ verified: false, anyHost: true, fallback: false })
  expect(of('sslmode=require')).toEqual({ verified: false, anyHost: true, fallback: undefined })
  expect(of(`sslmode=require sslrootcert=${root}`)).toEqual({ verified: true, anyHost: true, fallback: undefined })
  expect(of(`sslmode=verify-ca sslrootcert=${root}`)).toEqual({ verified: true, anyHost: true, fallback: undefined })
  expect(of(`sslmode=verify-full sslrootcert=${root}`)).toEqual({ verified: true, anyHost: false, fallback: undefined })
  expect(of('sslmode=verify-full')).toEqual({ verified: true, anyHost: false, fallback: undefined })
  expect(of('sslrootcert=system')).toEqual({ verified: true, anyHost: false, fallback: undefined })
})

test.each([
  ['host=h sslmode=no-verify', 'sslmode "no-verify"'],
  ['host=h sslmode=verify-ca', 'certificate authority'],
  ['host=h sslmode=require sslrootcert=system', 'proves nothing'],
  ['host=h sslmode=verify-full sslrootcert=/nowhere/root.crt', '/nowhere/root.crt'],
  ['host=h sslmode=require sslcert=/nowhere/my.crt', '/nowhere/my.crt'],
  ['host=a,b', 'several hosts'],
  ['host=h port=0', 'port'],
  ['host=h port=70000', 'port'],
  ['postgresql://u:SECRET', 'port'],
  ['host=h connect_timeout=soon', 'connect_timeout'],
  ['service=x', 'service'],
  ['host=h require_auth=scram-sha-256', 'require_auth'],
  ['host=h channel_binding=require', 'channel_binding'],
  ['host=h sslnegotiation=direct', 'sslnegotiation=direct'],
])('refused: %s', (connection, part) => {
  expect(() => resolve(connection)).toThrow(
    expect.objectContaining({ code: 'usage', message: expect.stringContaining(part) }),
  )
  expect(() => resolve(connection)).not.toThrow('SECRET')
})

test('PGSERVICE is refused rather than ignored', () => {
  expect(() => resolve('host=h', { PGSERVICE: 'x' })).toThrow('PGSERVICE')
})

test('a file that holds no certificate is refused', async () => {
  const file = join(home, 'empty.crt')
  await writeFile(file, 'nothing')
  expect(() => resolve(`host=h sslmode=verify-full sslrootcert=${file}`)).toThrow('PEM')
})

test('P7: neither password nor key shows when settings or a client made of them are printed', () => {
  const tls = new URL('tls/', import.meta.url).pathname
  const settings = resolve(
    `host=h password=SECRET sslpassword=SECRET sslmode=require sslcert=${tls}server.crt sslkey=${tls}server.key`,
  )
  expect(passwordOf(settings)).toBe('SECRET')
  for (const thing of [settings, settings.config, { ...settings.config }, new pg.Client(settings.config)]) {
    const shown = inspect(thing, { depth: 12, showHidden: true })
    expect(shown).not.toContain('SECRET')
    expect(shown).not.toContain('PRIVATE KEY')
  }
  expect(JSON.stringify(settings)).not.toContain('SECRET')
})
