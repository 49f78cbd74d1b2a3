// Where the bucket storage is: from a connection string, the service's own configuration, or the environment.
import { TampError } from '../core/errors.ts'
import { resolveSettings } from '../database/connection-settings.ts'
import type { PostgresSettings } from '../database/postgres.ts'
import type { StorageLocation } from './database.ts'
import { decodeServiceConfig, readServiceConfigFile } from './service-config.ts'
import type { ServiceConfig } from './service-config.ts'

/** The schema that the service uses unless it is configured otherwise. */
const defaultSchema = 'powersync'

interface LocatedStorage {
  readonly settings: PostgresSettings
  readonly schema: string
  /** Minutes that a write checkpoint which a client asked for is kept, where a configuration file says. */
  readonly checkpointRequestRetention: number | undefined
}

/**
 * What was given goes before what the environment says: a configuration of the service, then DATABASE_URL and the PG* variables.
 * @throws TampError `usage`
 */
export function locateStorage(location: StorageLocation): LocatedStorage {
  const { connection, schema } = location
  const config = configOf(location)
  return {
    settings: config?.settings ?? resolveSettings({ connection, env: location.env ?? process.env }),
    schema: schema ?? config?.schema ?? defaultSchema,
    checkpointRequestRetention: config?.checkpointRequestRetention,
  }
}

function configOf({ connection, config, configBase64, env = process.env }: StorageLocation): ServiceConfig | undefined {
  const given = [connection, config, configBase64].filter((one) => one !== undefined)
  if (given.length > 1)
    throw new TampError('usage', 'The connection and a configuration of the service contradict each other.', {
      hint: 'Give one of them: each says which database to work on.',
    })
  if (configBase64 !== undefined) return decodeServiceConfig(configBase64, 'the configuration in base64', env)
  if (config !== undefined) return readServiceConfigFile(config, env)
  if (connection !== undefined) return undefined
  // The service itself prefers the first of them.
  const { POWERSYNC_CONFIG_B64: base64, POWERSYNC_CONFIG_PATH: file } = env
  if (base64) return decodeServiceConfig(base64, 'POWERSYNC_CONFIG_B64', env)
  return file ? readServiceConfigFile(file, env) : undefined
}
