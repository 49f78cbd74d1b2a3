// The storage section of a PowerSync service's own configuration file: where it keeps its buckets.
// Read as the service reads it (YAML or JSON, `!env` tags, TLS verified unless told otherwise). No error quotes the file or a variable.
import type { ScalarTag } from 'yaml'
import { TampError } from '../core/errors.ts'
import { isMapping, parseYaml, readConfigFile } from '../database/config-file.ts'
import type { Mapping } from '../database/config-file.ts'
import { credentialOptions, settingsFrom } from '../database/connection-settings.ts'
import type { Environment } from '../database/connection-settings.ts'
import { parseConnectionString } from '../database/connection-string.ts'
import type { PostgresSettings } from '../database/postgres.ts'

export interface ServiceConfig {
  readonly settings: PostgresSettings
  /** The PostgreSQL schema, where the file names one. */
  readonly schema: string | undefined
  /** Minutes that a write checkpoint which a client asked for is kept, where the file says. */
  readonly checkpointRequestRetention: number | undefined
}

const hint = 'The service configuration is YAML or JSON, and its storage section says where the buckets are.'

/** @throws TampError `usage` */
export function readServiceConfigFile(file: string, env: Environment = process.env): ServiceConfig {
  return serviceConfig(readConfigFile(file, hint), file, env)
}

/**
 * The file itself, in base64.
 * @param what how it is called in an error
 * @throws TampError `usage`
 */
export function decodeServiceConfig(base64: string, what: string, env: Environment = process.env): ServiceConfig {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(base64.replace(/\s+/g, '')))
    throw new TampError('usage', `What ${what} holds is not base64.`, {
      hint: 'It takes the whole file: base64 -w0 FILE.',
    })
  return serviceConfig(Buffer.from(base64, 'base64').toString('utf8'), what, env)
}

function serviceConfig(text: string, file: string, env: Environment): ServiceConfig {
  const config = new Section(parse(text, file), file, '', env)
  const storage = config.section('storage')
  if (storage === undefined)
    throw new TampError('usage', `${file} has no storage section.`, {
      hint: 'Name the configuration file of the service.',
    })
  const type = storage.text('type')
  if (type === 'mongodb')
    throw new TampError('usage', 'Bucket storage on MongoDB is not supported by this version.', {
      hint: `${file} names mongodb as its storage; tamp powersync works on PostgreSQL.`,
    })
  if (type !== 'postgresql')
    throw new TampError('usage', `In ${file} the type of storage is neither postgresql nor mongodb.`, {
      hint: 'Bucket storage on PostgreSQL has type: postgresql.',
    })
  return {
    settings: settingsFrom(connectionOptions(storage, file), env, credentialOptions),
    schema: storage.text('schema'),
    checkpointRequestRetention: config
      .section('api')
      ?.section('parameters')
      ?.number('checkpoint_request_retention_minutes'),
  }
}

/** As libpq calls them. What stands beside the URI goes before what stands in it; of the URI the service takes no options. */
function connectionOptions(storage: Section, file: string): Map<string, string> {
  const uri = storage.text('uri')
  const options = new Map(uri === undefined ? [] : parseConnectionString(uri.split('?')[0]!))
  const set = (option: string, value: string | undefined): void => {
    if (value !== undefined) options.set(option, value)
  }
  set('host', storage.text('hostname'))
  set('port', storage.text('port'))
  set('dbname', storage.text('database'))
  set('user', storage.text('username'))
  set('password', storage.text('password'))
  set('connect_timeout', storage.text('connect_timeout'))
  for (const [option, key] of [
    ['host', 'hostname'],
    ['dbname', 'database'],
    ['user', 'username'],
  ] as const)
    if (!options.has(option))
      throw new TampError('usage', `In ${file} storage has no ${key}.`, {
        hint: `The service wants one, there or in its uri.`,
      })

  const sslmode = storage.text('sslmode') ?? 'verify-full'
  if (sslmode !== 'verify-full' && sslmode !== 'verify-ca' && sslmode !== 'disable')
    throw new TampError('usage', `In ${file} sslmode of storage is neither verify-full, verify-ca nor disable.`)
  const certificate = storage.pem('cacert')
  if (sslmode === 'verify-ca' && certificate === undefined)
    throw new TampError('usage', `In ${file} storage has sslmode: verify-ca, but no cacert.`, {
      hint: 'It takes the certificate authority to trust, in PEM format.',
    })
  options.set('sslmode', sslmode)
  if (sslmode === 'disable') return options
  set('sslrootcert', certificate)
  set('sslcert', storage.pem('client_certificate'))
  set('sslkey', storage.pem('client_private_key'))
  return options
}

/** A variable that the file refers to. It is looked up where its value is needed: tamp has no use for most of them. */
class Variable {
  readonly name: string
  readonly type: string

  constructor(text: string) {
    const [name = '', type = 'string'] = text.split('::')
    this.name = name
    this.type = type
  }
}

const environmentTag: ScalarTag = { tag: '!env', resolve: (text) => new Variable(text) }

function parse(text: string, file: string): Mapping {
  let documents: unknown[]
  try {
    documents = parseYaml(text, file, hint, { schema: 'core', customTags: [environmentTag] })
  } catch (error) {
    // Not all JSON is YAML: its indentation may be tabs.
    try {
      documents = [JSON.parse(text)]
    } catch {
      throw error
    }
  }
  return documents.find(isMapping) ?? {}
}

/** A mapping of the file, whose values may be variables. */
class Section {
  readonly #values: Mapping
  readonly #file: string
  readonly #path: string
  readonly #env: Environment

  constructor(values: Mapping, file: string, path: string, env: Environment) {
    this.#values = values
    this.#file = file
    this.#path = path
    this.#env = env
  }

  section(key: string): Section | undefined {
    const value = this.#values[key]
    if (value === undefined || value === null) return undefined
    if (!isMapping(value) || value instanceof Variable) throw this.#wrong(key, 'is not a mapping')
    return new Section(value, this.#file, `${this.#path}${key}.`, this.#env)
  }

  /** A plain value as text; an empty one counts as not given. */
  text(key: string): string | undefined {
    const value = this.#value(key)
    if (value === undefined || value === null || value === '') return undefined
    if (typeof value === 'string') return value
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
    throw this.#wrong(key, 'is not a plain value')
  }

  number(key: string): number | undefined {
    const text = this.text(key)
    if (text === undefined) return undefined
    const number = Number(text)
    if (Number.isFinite(number) && number >= 0) return number
    throw this.#wrong(key, 'is not a number')
  }

  pem(key: string): string | undefined {
    const text = this.text(key)
    if (text === undefined || text.includes('-----BEGIN ')) return text
    throw this.#wrong(key, 'holds nothing in PEM format')
  }

  #value(key: string): unknown {
    const value = this.#values[key]
    if (!(value instanceof Variable)) return value
    const given = this.#env[value.name]
    // What stands there may be no name at all, but what it should have brought.
    const variable = /^[A-Z][A-Z0-9_]*$/.test(value.name)
      ? `the environment variable ${value.name}`
      : 'an environment variable'
    if (given === undefined) throw this.#wrong(key, `refers to ${variable}, which is not set`, variableHint)
    if (value.type === 'string') return given
    if (value.type === 'number' && given.trim() !== '' && !Number.isNaN(Number(given))) return Number(given)
    if (value.type === 'boolean' && /^(true|false)$/i.test(given)) return given.toLowerCase() === 'true'
    if (value.type === 'number' || value.type === 'boolean')
      throw this.#wrong(key, `refers to ${variable}, which holds no ${value.type}`)
    throw this.#wrong(key, `refers to ${variable} as something else than string, number or boolean`)
  }

  #wrong(key: string, why: string, what: string = hint): TampError {
    return new TampError('usage', `In ${this.#file} ${this.#path}${key} ${why}.`, { hint: what })
  }
}

const variableHint = 'Run tamp with the environment of the service.'
