// The service's configuration is read as the service reads it, and neither it nor a variable is ever quoted in an error.
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TampError } from '../../src/core/errors.ts'
import type { PostgresSettings } from '../../src/database/postgres.ts'
import { decodeServiceConfig, readServiceConfigFile } from '../../src/powersync/service-config.ts'
import type { ServiceConfig } from '../../src/powersync/service-config.ts'

const certificate = readFileSync(new URL('../database/tls/authority.crt', import.meta.url), 'utf8')
let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tamp-service-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

type Env = Readonly<Record<string, string>>

let files = 0
async function read(text: string, env: Env = {}, name = `powersync-${++files}.yaml`): Promise<ServiceConfig> {
  const file = join(directory, name)
  await writeFile(file, text)
  return readServiceConfigFile(file, { HOME: '/nowhere', ...env })
}

async function refusal(text: string, env: Env = {}): Promise<TampError> {
  const error = await read(text, env).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(TampError)
  expect(error).toMatchObject({ code: 'usage' })
  expect(inspect(error, { depth: 9, showHidden: true }).replace(/^ +at .*$/gm, '')).not.toContain('SECRET')
  return error as TampError
}

const passwordOf = ({ config }: PostgresSettings): string => (config.password as () => string)()

test('a configuration with all that stands in one, variables included', async () => {
  const { settings, schema, checkpointRequestRetention } = await read(
    `
telemetry:
  disable_telemetry_sharing: true
replication:
  connections:
    - type: postgresql
      uri: !env PS_DATA_SOURCE_URI
      sslmode: disable
storage:
  type: postgresql
  uri: !env PS_STORAGE_URI
  sslmode: disable
  max_pool_size: !env PS_POOL::number
port: !env PS_PORT::number
client_auth:
  supabase: !env PS_SUPABASE::boolean
  jwks: { keys: [{ kty: oct, alg: HS256, k: !env PS_KEY }] }
api:
  tokens: [!env PS_ADMIN_TOKEN]
  parameters:
    checkpoint_request_retention_minutes: !env PS_RETENTION::number
`,
    {
      PS_STORAGE_URI: 'postgresql://storage_user:s3%2Fcret@storage:5431/buckets?connect_timeout=3',
      PS_RETENTION: '15',
    },
  )
  expect(settings.describe).toBe('postgresql://storage_user@storage:5431/buckets')
  expect(settings.config).toMatchObject({ host: 'storage', port: 5431, ssl: false })
  expect(passwordOf(settings)).toBe('s3/cret')
  expect(inspect(settings, { depth: 9, showHidden: true })).not.toContain('cret')
  expect(schema).toBeUndefined()
  expect(checkpointRequestRetention).toBe(15)
})

test('what stands beside the URI goes before what stands in it; a port may be a text', async () => {
  const { settings, schema } = await read(`
storage:
  type: postgresql
  uri: postgres://u:p@h:1111/d
  hostname: other
  port: "5433"
  username: somebody
  password: else
  database: buckets
  schema: sync
  sslmode: disable
`)
  expect(settings.describe).toBe('postgresql://somebody@other:5433/buckets')
  expect(passwordOf(settings)).toBe('else')
  expect(schema).toBe('sync')
})

test('TLS is verified unless the file says otherwise, whatever the environment or the URI says', async () => {
  const tls = async (more: string, env: Env = {}): Promise<any> =>
    (await read(`storage: {type: postgresql, uri: "postgres://u:p@h/d?sslmode=disable"${more}}`, env)).settings
  const strict = await tls('', { PGSSLMODE: 'disable' })
  expect(strict.config.ssl).toMatchObject({ rejectUnauthorized: true })
  expect(strict.config.ssl.checkServerIdentity).toBeUndefined()
  expect(strict.fallback).toBeUndefined()
  expect((await tls(', sslmode: disable', { PGSSLMODE: 'verify-full' })).config.ssl).toBe(false)
  const chain = await tls(`, sslmode: verify-ca, cacert: ${JSON.stringify(certificate)}`)
  expect(chain.config.ssl).toMatchObject({ rejectUnauthorized: true, checkServerIdentity: expect.any(Function) })
})

test('the password may come from outside, where the file has none; which server it is may not', async () => {
  const { settings } = await read(
    'storage: {type: postgresql, hostname: h, username: u, database: d, sslmode: disable}',
    {
      PGHOST: 'elsewhere',
      PGDATABASE: 'else',
      PGUSER: 'somebody',
      DATABASE_URL: 'postgresql://x@y/z',
      PGPASSWORD: 'from-outside',
    },
  )
  expect(settings.describe).toBe('postgresql://u@h:5432/d')
  expect(passwordOf(settings)).toBe('from-outside')
})

test('JSON, also with tabs, and base64 of either', async () => {
  const json = JSON.stringify(
    { storage: { type: 'postgresql', uri: 'postgres://u:p@h/d', sslmode: 'disable' } },
    null,
    '\t',
  )
  expect((await read(json, {}, 'powersync.json')).settings.describe).toBe('postgresql://u@h:5432/d')
  for (const text of [json, 'storage:\n  type: postgresql\n  uri: !env PS_URI\n  sslmode: disable\n']) {
    const base64 = Buffer.from(text).toString('base64')
    const { settings } = decodeServiceConfig(base64, 'it', { HOME: '/nowhere', PS_URI: 'postgres://u:p@h/d' })
    expect(settings.describe).toBe('postgresql://u@h:5432/d')
  }
  expect(() => decodeServiceConfig('storage: {}', 'POWERSYNC_CONFIG_B64')).toThrow(
    /POWERSYNC_CONFIG_B64 holds is not base64/,
  )
})

test.each<[string, string, RegExp, Env]>([
  ['MongoDB', 'storage: {type: mongodb, uri: mongodb://SECRET@h/d}', /MongoDB is not supported by this version/, {}],
  ['another type', 'storage: {type: SECRET, uri: x}', /type of storage is neither postgresql nor mongodb/, {}],
  ['no storage', 'storge: {type: postgresql, uri: postgres://u:SECRET@h/d}', /has no storage section/, {}],
  ['an empty file', '', /has no storage section/, {}],
  ['a list as storage', 'storage: [SECRET]', /storage is not a mapping/, {}],
  [
    'a mapping as password',
    'storage: {type: postgresql, uri: postgres://u@h/d, password: {a: SECRET}}',
    /storage.password is not a plain value/,
    {},
  ],
  ['no host', 'storage: {type: postgresql, username: u, password: SECRET, database: d}', /storage has no hostname/, {}],
  ['no database', 'storage: {type: postgresql, uri: "postgres://u:SECRET@h"}', /storage has no database/, {}],
  ['no user', 'storage: {type: postgresql, hostname: h, database: d, password: SECRET}', /storage has no username/, {}],
  [
    'a URI of another kind',
    'storage: {type: postgresql, uri: "mongodb://u:SECRET@h/d"}',
    /does not begin with postgresql/,
    {},
  ],
  [
    'a broken URI',
    'storage: {type: postgresql, uri: "postgres://u:SECRET@x@h:SECRET/d@e"}',
    /connection string cannot be read/,
    {},
  ],
  [
    'a port that is none',
    'storage: {type: postgresql, uri: "postgres://u:p@h/d", port: SECRET}',
    /port of the connection/,
    {},
  ],
  [
    'an unknown sslmode',
    'storage: {type: postgresql, uri: "postgres://u:p@h/d", sslmode: SECRET}',
    /sslmode of storage is neither/,
    {},
  ],
  [
    'verify-ca alone',
    'storage: {type: postgresql, uri: "postgres://u:SECRET@h/d", sslmode: verify-ca}',
    /no cacert/,
    {},
  ],
  [
    'a certificate that is none',
    'storage: {type: postgresql, uri: "postgres://u:p@h/d", cacert: SECRET}',
    /storage.cacert holds nothing in PEM/,
    {},
  ],
  [
    'a variable that is not set',
    'storage: {type: postgresql, uri: !env PS_URI}',
    /storage.uri refers to the environment variable PS_URI, which is not set/,
    {},
  ],
  [
    'a secret as a variable',
    'storage: {type: postgresql, uri: !env "postgres://u:SECRET@h/d"}',
    /storage.uri refers to an environment variable, which is not set/,
    {},
  ],
  [
    'a variable that is no number',
    'storage: {type: postgresql, uri: "postgres://u:p@h/d", port: !env PS_PORT::number}',
    /PS_PORT, which holds no number/,
    { PS_PORT: 'SECRET' },
  ],
  [
    'a variable of no such type',
    'storage: {type: postgresql, uri: !env PS_URI::date}',
    /something else than string, number or boolean/,
    { PS_URI: 'SECRET' },
  ],
  ['broken YAML', 'storage:\n  type: postgresql\n  uri: "SECRET\n', /cannot be read as YAML \(line/, {}],
  [
    'retention that is no number',
    'storage: {type: postgresql, uri: "postgres://u:SECRET@h/d", sslmode: disable}\napi: {parameters: {checkpoint_request_retention_minutes: SECRET}}',
    /api.parameters.checkpoint_request_retention_minutes is not a number/,
    {},
  ],
])('P7: %s', async (_what, text, message, env) => {
  expect((await refusal(text, env)).message).toMatch(message)
})

test('a file that is not there, or a directory', () => {
  expect(() => readServiceConfigFile(join(directory, 'no.yaml'))).toThrow(/no\.yaml does not exist/)
  expect(() => readServiceConfigFile(directory)).toThrow(/is a directory/)
})
