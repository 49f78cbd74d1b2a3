// A configuration of the service leads to a server: certificates stand in it as text.
import { readFileSync } from 'node:fs'
import { chmod, chown, copyFile, mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { serverUser } from '../../src/database/embedded-binaries.ts'
import { connect } from '../../src/database/postgres.ts'
import { decodeServiceConfig } from '../../src/powersync/service-config.ts'
import { scratchServer } from '../support/postgres.ts'

const tls = (file: string): URL => new URL(`../database/tls/${file}`, import.meta.url)

test('certificates in the configuration are what the server is verified by', async () => {
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tamp-tls-'))
  const account = await serverUser()
  if (account) await chown(temporary.path, account.uid, account.gid)
  const copy = async (file: string): Promise<string> => {
    const path = join(temporary.path, file)
    await copyFile(tls(file), path)
    await chmod(path, 0o600)
    if (account) await chown(path, account.uid, account.gid)
    return path
  }
  await using server = await scratchServer({
    ssl: 'on',
    ssl_cert_file: await copy('server.crt'),
    ssl_key_file: await copy('server.key'),
  })
  const { port, username, password } = new URL(server.url)
  const encrypted = async (storage: object): Promise<unknown> => {
    const config = { storage: { type: 'postgresql', port, username, password, database: 'postgres', ...storage } }
    const { settings } = decodeServiceConfig(Buffer.from(JSON.stringify(config)).toString('base64'), 'it', {})
    await using connection = await connect(settings)
    return (await connection.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'))[0]?.[0]
  }
  const cacert = readFileSync(tls('authority.crt'), 'utf8')
  expect(await encrypted({ hostname: 'localhost', cacert })).toBe(true)
  expect(await encrypted({ hostname: '127.0.0.1', sslmode: 'verify-ca', cacert })).toBe(true)
  expect(await encrypted({ hostname: '127.0.0.1', sslmode: 'disable' })).toBe(false)
  // Nobody vouches for this authority, and the certificate is of localhost.
  await expect(encrypted({ hostname: 'localhost' })).rejects.toMatchObject({ code: 'connection-failed' })
  await expect(encrypted({ hostname: '127.0.0.1', cacert })).rejects.toThrow(/certificate is not for 127\.0\.0\.1/)
})
