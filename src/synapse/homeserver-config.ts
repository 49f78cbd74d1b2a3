// The database section of a homeserver.yaml: where Synapse keeps its main store and its state store.
// Read as Synapse reads it (YAML 1.1, psycopg2 arguments). No error quotes the file: it holds passwords.
import { TampError } from '../core/errors.ts'
import { isMapping, parseYaml, readConfigFile } from '../database/config-file.ts'
import type { Mapping } from '../database/config-file.ts'
import { credentialOptions, settingsFrom } from '../database/connection-settings.ts'
import type { Environment } from '../database/connection-settings.ts'
import { parseConnectionString } from '../database/connection-string.ts'
import type { PostgresSettings } from '../database/postgres.ts'

interface HomeserverDatabases {
  readonly main: PostgresSettings
  readonly state: PostgresSettings
  /** Both stores are the same entry of the file. */
  readonly oneDatabase: boolean
}

/** Of the environment only PGPASSWORD, ~/.pgpass and certificates are used: which server it is, the file alone says. */
export function readHomeserverConfig(file: string, env: Environment = process.env): HomeserverDatabases {
  const config = read(file)
  const single = config['database']
  const several = config['databases']
  if (single !== undefined && several !== undefined) {
    throw new TampError('usage', `${file} has both a database and a databases section.`, {
      hint: 'Synapse takes one of them.',
    })
  }
  if (several === undefined) {
    if (!isMapping(single)) {
      throw new TampError('usage', `${file} has no database section.`, {
        hint: 'Name the configuration file of Synapse that has it, or use --connection.',
      })
    }
    const settings = settingsOf(file, 'database', single, env)
    return { main: settings, state: settings, oneDatabase: true }
  }

  if (!isMapping(several)) throw new TampError('usage', `In ${file} databases is not a mapping of names to databases.`)
  const main = entryFor('main', several, file)
  const state = entryFor('state', several, file)
  const mainSettings = settingsOf(file, `databases.${main.name}`, main.entry, env)
  if (main.name === state.name) return { main: mainSettings, state: mainSettings, oneDatabase: true }
  return {
    main: mainSettings,
    state: settingsOf(file, `databases.${state.name}`, state.entry, env),
    oneDatabase: false,
  }
}

/** Of several documents the first with a database section counts. */
function read(file: string): Mapping {
  const hint = '--homeserver takes the path of homeserver.yaml.'
  const documents = parseYaml(readConfigFile(file, hint), file, hint, { version: '1.1', intAsBigInt: true })
  return documents.filter(isMapping).find((mapping) => 'database' in mapping || 'databases' in mapping) ?? {}
}

function entryFor(store: 'main' | 'state', databases: Mapping, file: string): { name: string; entry: Mapping } {
  const found = Object.entries(databases).filter(([, entry]) => {
    // An entry that does not say holds everything.
    const stores = isMapping(entry) ? (entry['data_stores'] ?? ['main', 'state']) : []
    return Array.isArray(stores) && stores.includes(store)
  })
  if (found.length !== 1) {
    throw new TampError(
      'usage',
      `In ${file} ${found.length === 0 ? 'no database' : 'more than one database'} holds the ${store} store.`,
      {
        hint: `Exactly one entry of databases has ${store} among its data_stores.`,
      },
    )
  }
  return { name: found[0]![0], entry: found[0]![1] as Mapping }
}

function settingsOf(file: string, section: string, entry: Mapping, env: Environment): PostgresSettings {
  const name = entry['name']
  if (name === 'sqlite3') {
    throw new TampError('usage', 'SQLite databases are not supported by this version.', {
      hint: `${file} names sqlite3 in ${section}; tamp synapse works on PostgreSQL.`,
    })
  }
  if (name !== 'psycopg2') {
    throw new TampError('usage', `In ${file} ${section} names neither psycopg2 nor sqlite3.`, {
      hint: 'A PostgreSQL database has name: psycopg2.',
    })
  }
  const args = entry['args'] ?? {}
  if (!isMapping(args)) throw new TampError('usage', `In ${file} args of ${section} is not a mapping.`)
  const options = new Map<string, string>()
  const dsn = args['dsn']
  if (typeof dsn === 'string') for (const [option, value] of parseConnectionString(dsn)) options.set(option, value)
  for (const [key, value] of Object.entries(args)) {
    // cp_*: Synapse's connection pool. An empty value means that libpq decides.
    if (key === 'dsn' || key.startsWith('cp_') || value === null || value === '') continue
    options.set(key === 'database' ? 'dbname' : key, asArgument(value, `In ${file} ${key} of ${section}`))
  }
  return settingsFrom(options, env, credentialOptions)
}

/** The text that Python makes of the value. */
function asArgument(value: unknown, what: string): string {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint' || typeof value === 'number') return String(value)
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  throw new TampError('usage', `${what} is not a plain value.`)
}
