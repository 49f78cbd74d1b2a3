// The password file as libpq reads it.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { resolveSettings } from '../../src/database/connection-settings.ts'
import { lookUpPassword } from '../../src/database/password-file.ts'

let home: string
let file: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'tamp-pgpass-'))
  file = join(home, '.pgpass')
  await writeFile(
    file,
    [
      '# host:port:database:user:password',
      '#h:5432:d:u:commented out',
      'too:short',
      'h:5432:d:u:first:ignored',
      'h:5432:d:u:second',
      'localhost:*:*:u:socket',
      '/srv/pg:5440:d:u:elsewhere',
      '2001\\:db8\\:\\:1:*:d:u:a\\:b\\\\c',
      '*:*:*:any\\:body:*',
      '',
    ].join('\r\n'),
    { mode: 0o600 },
  )
})
afterAll(() => rm(home, { recursive: true, force: true }))

test.each([
  [{}, 'first'],
  [{ port: 5433 }, undefined],
  [{ host: 'localhost', port: 5999, database: 'x' }, 'socket'],
  [{ host: '/var/run/postgresql' }, 'socket'],
  [{ host: '/tmp' }, 'socket'],
  [{ host: '/srv/pg', port: 5440 }, 'elsewhere'],
  [{ host: '2001:db8::1', port: 1 }, 'a:b\\c'],
  [{ host: 'x', user: 'any:body' }, '*'],
  [{ user: 'nobody' }, undefined],
])('%o', (changes, password) => {
  expect(lookUpPassword({ file, host: 'h', port: 5432, database: 'd', user: 'u', ...changes }).password).toBe(password)
})

test('settings use ~/.pgpass, PGPASSFILE and passfile, and an explicit password before all of them', () => {
  const password = (connection: string, env: Record<string, string>) =>
    (resolveSettings({ connection, env }).config.password as () => string)()
  expect(password('host=h user=u dbname=d', { HOME: home })).toBe('first')
  expect(password('host=h user=u dbname=d', { HOME: '/nowhere', PGPASSFILE: file })).toBe('first')
  expect(password(`host=h user=u dbname=d passfile=${file}`, { HOME: '/nowhere' })).toBe('first')
  expect(password('host=h user=u dbname=d password=mine', { HOME: home })).toBe('mine')
  expect(password('host=h user=u dbname=d', { HOME: home, PGPASSWORD: 'env' })).toBe('env')
  expect(() => password('host=h user=u dbname=d', { HOME: '/nowhere' })).toThrow(
    expect.objectContaining({ code: 'authentication-failed' }),
  )
})

test('a file that others may read is not used, and the hint says so', async () => {
  const open = join(home, 'open')
  await writeFile(open, '*:*:*:*:secret')
  await chmod(open, 0o644)
  expect(lookUpPassword({ file: open, host: 'h', port: 1, database: 'd', user: 'u' })).toEqual({
    ignored: expect.stringContaining('chmod 600'),
  })
  const settings = resolveSettings({ connection: `host=h user=u passfile=${open}`, env: {} })
  expect(settings.config.password as () => string).toThrow(
    expect.objectContaining({ hint: expect.stringContaining(open) }),
  )
})
