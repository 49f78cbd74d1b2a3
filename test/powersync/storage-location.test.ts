// Which of several places that name a database counts.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { StorageLocation } from '../../src/powersync/database.ts'
import { locateStorage } from '../../src/powersync/storage-location.ts'

let directory: string
let file: string
const yaml = (name: string, more = ''): string =>
  `storage: {type: postgresql, uri: "postgres://u:p@${name}/d", sslmode: disable${more}}`
const base64 = Buffer.from(yaml('from-base64', ', schema: in_base64')).toString('base64')
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tamp-location-'))
  file = join(directory, 'powersync.yaml')
  await writeFile(file, yaml('from-file') + '\napi: {parameters: {checkpoint_request_retention_minutes: 5}}')
})
afterAll(() => rm(directory, { recursive: true, force: true }))

const host = (location: StorageLocation): string => {
  const { settings } = locateStorage(location)
  return String(settings.config.host)
}
const connection = 'postgresql://u@from-option/d'

test('what was given goes before the environment, a configuration of the service before DATABASE_URL and PGHOST', () => {
  const all = {
    HOME: '/nowhere',
    POWERSYNC_CONFIG_B64: base64,
    POWERSYNC_CONFIG_PATH: file,
    DATABASE_URL: 'postgresql://u@from-url/d',
    PGHOST: 'from-pghost',
  }
  expect(host({ connection, env: all })).toBe('from-option')
  expect(host({ config: file, env: all })).toBe('from-file')
  expect(host({ configBase64: base64, env: all })).toBe('from-base64')
  expect(host({ env: all })).toBe('from-base64')
  expect(host({ env: { ...all, POWERSYNC_CONFIG_B64: '' } })).toBe('from-file')
  expect(host({ env: { ...all, POWERSYNC_CONFIG_B64: '', POWERSYNC_CONFIG_PATH: '' } })).toBe('from-url')
  expect(host({ env: { HOME: '/nowhere', PGHOST: 'from-pghost' } })).toBe('from-pghost')
})

test('the schema: what was given, then the configuration, then powersync; the retention is the configuration alone', () => {
  const env = { HOME: '/nowhere' }
  expect(locateStorage({ connection, env })).toMatchObject({
    schema: 'powersync',
    checkpointRequestRetention: undefined,
  })
  expect(locateStorage({ configBase64: base64, env })).toMatchObject({ schema: 'in_base64' })
  expect(locateStorage({ configBase64: base64, schema: 'other', env })).toMatchObject({ schema: 'other' })
  expect(locateStorage({ config: file, env })).toMatchObject({ schema: 'powersync', checkpointRequestRetention: 5 })
  // A connection that was given is not the service's: nothing of its configuration applies.
  expect(locateStorage({ connection, env: { ...env, POWERSYNC_CONFIG_B64: base64 } }).schema).toBe('powersync')
})

test('two that were given contradict each other', () => {
  for (const two of [
    { connection, config: file },
    { connection, configBase64: base64 },
    { config: file, configBase64: base64 },
  ])
    expect(() => locateStorage({ ...two, env: {} })).toThrow(/contradict each other/)
})
