// The options that `tamp powersync` commands share: which storage and which buckets are meant, and how the storage is opened.
import type { FlagParametersForType } from '@stricli/core'
import { openBucketStorage } from '../powersync/index.ts'
import type { BucketSelection, BucketStorage } from '../powersync/index.ts'
import { contradict } from './command.ts'
import type { TampContext } from './command.ts'
import type { Interruption } from './interruption.ts'
import { byteSize, connectionString, nameOf, ratio, schemaName, secret, wholeNumber } from './option-values.ts'

export interface StorageFlags {
  readonly connection?: string
  readonly config?: string
  readonly configBase64?: string
  readonly schema?: string
}

export const storageFlags: FlagParametersForType<StorageFlags, TampContext> = {
  connection: {
    kind: 'parsed',
    parse: connectionString,
    optional: true,
    placeholder: 'URL',
    brief:
      'The database of the bucket storage, as a libpq URL (postgresql://user@host:5432/storage) or key=value string. ' +
      'Without it and a configuration file: DATABASE_URL, else the PG* variables. Passwords are best left to ~/.pgpass.',
  },
  config: {
    kind: 'parsed',
    parse: nameOf('a file'),
    optional: true,
    placeholder: 'FILE',
    brief:
      "Take the database from the service's own configuration file (YAML or JSON, with !env tags), as --config-path does there. " +
      'Default: POWERSYNC_CONFIG_B64, then POWERSYNC_CONFIG_PATH. Not together with --connection.',
  },
  configBase64: {
    kind: 'parsed',
    parse: secret,
    optional: true,
    placeholder: 'TEXT',
    brief: 'Such a file itself, in base64. As it holds passwords, POWERSYNC_CONFIG_B64 is the better place.',
  },
  schema: {
    kind: 'parsed',
    parse: schemaName,
    optional: true,
    placeholder: 'NAME',
    brief: 'The PostgreSQL schema of the storage. Default: the one of the configuration file, else powersync.',
  },
}

export const storageAliases = { c: 'config' } as const

export interface BucketFlags {
  readonly bucket?: readonly string[]
  readonly definition?: readonly string[]
}

export const bucketFlags: FlagParametersForType<BucketFlags, TampContext> = {
  bucket: {
    kind: 'parsed',
    parse: nameOf('a bucket'),
    optional: true,
    variadic: true,
    placeholder: 'NAME',
    brief: 'Only this bucket, by its full name, such as \'1#by_user|0["x","y"]\'; may be repeated. Default: all.',
  },
  definition: {
    kind: 'parsed',
    parse: nameOf('a definition'),
    optional: true,
    variadic: true,
    placeholder: 'NAME',
    brief: 'Only buckets of this definition, such as by_user or 1#by_user|0; may be repeated.',
  },
}

/** How much existing clients may have to download again for the sake of new ones. */
export interface ResyncFlags {
  readonly maxResyncRows?: number
  readonly maxResyncBytes?: number
  readonly targetRatio?: number
}

export const resyncFlags: FlagParametersForType<ResyncFlags, TampContext> = {
  maxResyncRows: {
    kind: 'parsed',
    parse: wholeNumber(0),
    optional: true,
    placeholder: 'N',
    brief:
      'Move rows only as far as existing clients download at most so many of them again, over all buckets; a row in three buckets counts three times.',
  },
  maxResyncBytes: {
    kind: 'parsed',
    parse: byteSize,
    optional: true,
    placeholder: 'SIZE',
    brief: 'The same in bytes: 500kB, 10MB.',
  },
  targetRatio: {
    kind: 'parsed',
    parse: ratio,
    optional: true,
    placeholder: 'N',
    brief:
      'Leave a bucket alone once it has no more operations for each live row than this, such as 2. With none of the three, rows are moved wherever each that is sent again spares a new client an operation.',
  },
}

export function checkStorageFlags({ connection, config, configBase64 }: StorageFlags): void {
  const both = 'Give one of them: each says which database to work on.'
  if (connection !== undefined && config !== undefined) contradict('--connection', '--config', both)
  if (connection !== undefined && configBase64 !== undefined) contradict('--connection', '--config-base64', both)
  if (config !== undefined && configBase64 !== undefined) contradict('--config', '--config-base64', both)
}

export function openStorage(
  { connection, config, configBase64, schema }: StorageFlags,
  interruption: Interruption,
): Promise<BucketStorage> {
  return interruption.race(openBucketStorage({ connection, config, configBase64, schema, env: process.env }))
}

/** @param list buckets that were named as the service's own command takes them: none of them is not the same as no list */
export function selectionOf({ bucket = [], definition = [] }: BucketFlags, list?: readonly string[]): BucketSelection {
  const buckets = [...(list ?? []), ...bucket]
  return {
    buckets: list === undefined && buckets.length === 0 ? undefined : buckets,
    definitions: definition.length === 0 ? undefined : definition,
  }
}

/** Spellings of the service's own command line that no parser of options of one letter understands. */
const serviceSpellings: Readonly<Record<string, string>> = {
  '-c64': '--config-base64',
  '--config-path': '--config',
  '-sync64': '--sync-base64',
}

/** The words of a `tamp powersync` command line, in tamp's own spelling. */
export function ownSpelling(words: readonly string[]): string[] {
  return words.flatMap((word) => {
    const [, option = word, value] = /^(--?[A-Za-z0-9-]+)=([^]*)$/.exec(word) ?? []
    const own = serviceSpellings[option]
    // An option with nothing behind its = is given nothing, which `--buckets` understands.
    if (value === '') return [own ?? option, value]
    return [own === undefined ? word : value === undefined ? own : `${own}=${value}`]
  })
}
