// Where the bucket storage is: from a connection string, the service's own configuration, or the environment.
import { resolveSettings } from '../database/connection-settings.ts'
import type { PostgresSettings } from '../database/postgres.ts'
import type { StorageLocation } from './database.ts'

/** The schema that the service uses unless it is configured otherwise. */
const defaultSchema = 'powersync'

/** @throws TampError `usage` */
export function locateStorage({ connection, schema, env = process.env }: StorageLocation): {
  settings: PostgresSettings
  schema: string
} {
  return { settings: resolveSettings({ connection, env }), schema: schema ?? defaultSchema }
}
