// The options that say which Synapse database is meant, and how it is opened.
import type { FlagParametersForType } from '@stricli/core'
import { openSynapse } from '../synapse/index.ts'
import type { SynapseDatabase } from '../synapse/index.ts'
import { contradict } from './command.ts'
import type { TampContext } from './command.ts'
import type { Interruption } from './interruption.ts'
import { connectionString, nameOf } from './option-values.ts'

export interface ConnectionFlags {
  readonly connection?: string
  readonly homeserver?: string
}

export const connectionFlags: FlagParametersForType<ConnectionFlags, TampContext> = {
  connection: {
    kind: 'parsed',
    parse: connectionString,
    optional: true,
    placeholder: 'URL',
    brief:
      'The database, as a libpq URL (postgresql://user@host:5432/synapse) or key=value string. ' +
      'Without it: DATABASE_URL, else the PG* variables. Passwords are best left to ~/.pgpass.',
  },
  homeserver: {
    kind: 'parsed',
    parse: nameOf('a file'),
    optional: true,
    placeholder: 'FILE',
    brief:
      "Take the database from Synapse's homeserver.yaml (its database or databases section; PostgreSQL). " +
      'Not together with --connection.',
  },
}

export const roomFlag: {
  readonly kind: 'parsed'
  readonly parse: (text: string) => string
  readonly optional: true
  readonly variadic: true
  readonly placeholder: 'ID'
} = {
  kind: 'parsed',
  parse: nameOf('a room id'),
  optional: true,
  variadic: true,
  placeholder: 'ID',
}

export function checkConnectionFlags({ connection, homeserver }: ConnectionFlags): void {
  if (connection !== undefined && homeserver !== undefined)
    contradict('--connection', '--homeserver', 'Give one of them: both say which database to work on.')
}

export function openDatabase(
  { connection, homeserver }: ConnectionFlags,
  interruption: Interruption,
): Promise<SynapseDatabase> {
  return interruption.race(openSynapse({ connection, homeserver, env: process.env }))
}
