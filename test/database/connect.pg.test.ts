// Connections on a real server: exact numbers, errors in plain words, TLS as asked for, and an end that never hangs.
import { chmod, chown, copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import pg from 'pg'
import { expect, test } from 'vitest'
import { TampError } from '../../src/core/errors.ts'
import { resolveSettings } from '../../src/database/connection-settings.ts'
import { serverUser } from '../../src/database/embedded-binaries.ts'
import { connect, isConnectionLost } from '../../src/database/postgres.ts'
import { freshDatabase, scratchServer } from '../support/postgres.ts'
import { startProxy } from '../support/cutting-proxy.ts'

const settingsOf = (connection: string, env: Record<string, string> = {}) =>
  resolveSettings({ connection, env: { HOME: '/nowhere', ...env } })

/** The URL with another user, database, …. */
function changed(
  url: string,
  changes: Partial<Pick<URL, 'username' | 'password' | 'pathname' | 'search' | 'hostname'>>,
): string {
  return Object.assign(new URL(url), changes).href
}

async function failure(connection: string): Promise<TampError> {
  const error: unknown = await connect(settingsOf(connection)).then(
    () => undefined,
    (caught: unknown) => caught,
  )
  expect(error).toBeInstanceOf(TampError)
  const password = new URL(connection).password
  if (password !== '') expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(password)
  return error as TampError
}

test('rows, counts and exact numbers', async () => {
  await using database = await freshDatabase('blank')
  await using connection = await connect(settingsOf(database.url))
  expect(await connection.query('SELECT 1::int8, $1::text, NULL::int8, ARRAY[1, NULL]::int8[]', ['x'])).toEqual([
    [1, 'x', null, [1, null]],
  ])
  expect(await connection.query(`SELECT ${Number.MAX_SAFE_INTEGER}::int8`)).toEqual([[Number.MAX_SAFE_INTEGER]])
  await expect(connection.query(`SELECT ${Number.MAX_SAFE_INTEGER}1::int8`)).rejects.toThrow('too large')
  await expect(connection.query('SELECT ARRAY[9007199254740993]::int8[]')).rejects.toThrow('too large')
  expect(await connection.execute('CREATE TABLE t AS SELECT generate_series(1, 5) AS n')).toBe(5)
  expect(await connection.execute('DELETE FROM t WHERE n > $1', [3])).toBe(2)
  expect(await connection.execute('BEGIN')).toBe(0)
  await connection.execute('ROLLBACK')
  expect(await connection.query('SHOW application_name')).toEqual([['tamp']])
})

test('an error of a statement is the error of pg, with its SQLSTATE', async () => {
  await using database = await freshDatabase('blank')
  await using connection = await connect(settingsOf(database.url))
  const error: unknown = await connection.query('SELECT * FROM nowhere').catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(pg.DatabaseError)
  expect(error).toMatchObject({ code: '42P01' })
  expect(await connection.query('SELECT 1')).toEqual([[1]])
})

test('options, application_name and PG* variables reach the server', async () => {
  await using database = await freshDatabase('blank')
  const url = changed(database.url, { search: '?options=-csearch_path%3Da%2Cb&application_name=nightly%20run' })
  await using connection = await connect(settingsOf(url))
  expect(await connection.query("SELECT current_setting('search_path'), current_setting('application_name')")).toEqual([
    ['a,b', 'nightly run'],
  ])
  const { hostname, port, username, password, pathname } = new URL(database.url)
  const variables = {
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
    PGDATABASE: pathname.slice(1),
  }
  await using other = await connect(resolveSettings({ env: { ...variables, PGOPTIONS: '-c search_path=c' } }))
  expect(await other.query('SHOW search_path')).toEqual([['c']])
})

test('only the environment that was given counts, not that of the process', async () => {
  await using database = await freshDatabase('blank')
  const before = process.env['PGOPTIONS']
  process.env['PGOPTIONS'] = '-c search_path=elsewhere'
  try {
    await using connection = await connect(settingsOf(database.url))
    expect(await connection.query('SHOW search_path')).toEqual([['"$user", public']])
  } finally {
    if (before === undefined) delete process.env['PGOPTIONS']
    else process.env['PGOPTIONS'] = before
  }
})

test('P7: wrong password, none, wrong user, wrong database: one sentence each, and never the password', async () => {
  await using database = await freshDatabase('blank')
  expect(await failure(changed(database.url, { password: 'WRONG-SECRET' }))).toMatchObject({
    code: 'authentication-failed',
    message: expect.stringContaining('password authentication failed'),
  })
  expect(await failure(changed(database.url, { password: '' }))).toMatchObject({
    code: 'authentication-failed',
    message: expect.stringContaining('none was given'),
  })
  expect(await failure(changed(database.url, { username: 'nobody-here' }))).toMatchObject({
    code: 'authentication-failed',
  })
  expect(await failure(changed(database.url, { pathname: '/no_such_database' }))).toMatchObject({
    code: 'no-such-database',
    message: expect.stringContaining('no_such_database'),
  })
  expect(await failure(changed(database.url, { search: '?sslmode=require' }))).toMatchObject({
    code: 'connection-failed',
    message: expect.stringContaining('does not offer TLS'),
  })
  const settings = settingsOf(database.url)
  await using connection = await connect(settings)
  const { password } = new URL(database.url)
  expect(inspect([connection, connection.client, settings], { depth: 12 })).not.toContain(password)
})

test('a role that may not connect', async () => {
  await using database = await freshDatabase('blank')
  const role = `${database.name}_role`
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'role-secret'`)
  try {
    await database.query(`REVOKE CONNECT ON DATABASE ${database.name} FROM PUBLIC`)
    expect(await failure(changed(database.url, { username: role, password: 'role-secret' }))).toMatchObject({
      code: 'no-permission',
      hint: expect.stringContaining('GRANT CONNECT'),
    })
  } finally {
    await database.query(`DROP ROLE ${role}`)
  }
})

test('a connection that breaks while idle fails the next statement, not the process', async () => {
  await using database = await freshDatabase('blank')
  await using connection = await connect(settingsOf(database.url))
  const [[backend]] = (await connection.query<[number]>('SELECT pg_backend_pid()')) as [[number]]
  const ended = new Promise((resolve) => connection.client.once('end', resolve))
  await database.query('SELECT pg_terminate_backend($1)', [backend])
  await ended
  for (let attempt = 0; attempt < 2; attempt++) {
    const error: unknown = await connection.query('SELECT 1').catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'connection-failed', cause: { code: '57P01' } })
    expect(isConnectionLost(error)).toBe(true)
  }
})

test('cancel stops the running statement, and the connection lives on', async () => {
  await using database = await freshDatabase('blank')
  await using connection = await connect(settingsOf(database.url))
  const sleeping = connection.query('SELECT pg_sleep(60)').catch((caught: unknown) => caught)
  await delay(50)
  await connection.cancel()
  expect(await sleeping).toMatchObject({ code: '57014' })
  expect(await connection.query('SELECT 1')).toEqual([[1]])
})

test('disposal neither throws nor hangs: twice, while a statement runs, after the server is gone', async () => {
  await using database = await freshDatabase('blank')
  const twice = await connect(settingsOf(database.url))
  await twice[Symbol.asyncDispose]()
  await twice[Symbol.asyncDispose]()
  await expect(twice.query('SELECT 1')).rejects.toMatchObject({ code: 'connection-failed' })

  const busy = await connect(settingsOf(database.url))
  const sleeping = busy.query('SELECT pg_sleep(60)').catch((caught: unknown) => caught)
  await busy[Symbol.asyncDispose]()
  expect(isConnectionLost(await sleeping)).toBe(true)
})

test('disposal does not wait for a server that has stopped answering', async () => {
  await using database = await freshDatabase('blank')
  const { hostname, port } = new URL(database.url)
  await using proxy = await startProxy({ target: { host: hostname, port: Number(port) } })
  const connection = await connect(settingsOf(proxy.url(database.url)))
  proxy.startCounting(/last words/)
  const goodbye = proxy.stall({ direction: 'frontend', message: 2 })
  await connection.query("SELECT 'last words'")
  const start = performance.now()
  await connection[Symbol.asyncDispose]()
  expect(performance.now() - start).toBeLessThan(3000)
  expect((await goodbye.reached).type).toBe('X')
  goodbye.resume()
})

test('TLS: encrypted where asked for, verified where asked for, refused where it must be', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tamp-tls-'))
  try {
    const account = await serverUser()
    for (const file of ['server.crt', 'server.key']) {
      await copyFile(new URL(`tls/${file}`, import.meta.url), join(directory, file))
      await chmod(join(directory, file), 0o600)
      if (account) await chown(join(directory, file), account.uid, account.gid)
    }
    if (account) await chown(directory, account.uid, account.gid)
    await using server = await scratchServer({
      ssl: 'on',
      ssl_cert_file: join(directory, 'server.crt'),
      ssl_key_file: join(directory, 'server.key'),
    })
    const root = new URL('tls/authority.crt', import.meta.url).pathname
    // The certificate is for localhost; hostaddr spares us the question what localhost is here.
    const localhost = (options: string) =>
      changed(server.url, { hostname: 'localhost', search: `?hostaddr=127.0.0.1&${options}` })
    const address = (options: string) => changed(server.url, { search: `?${options}` })
    const encrypted = async (url: string) => {
      await using connection = await connect(settingsOf(url))
      return (await connection.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'))[0]?.[0]
    }

    expect(await encrypted(address('sslmode=disable'))).toBe(false)
    expect(await encrypted(address('sslmode=allow'))).toBe(false)
    expect(await encrypted(server.url)).toBe(true)
    expect(await encrypted(address('sslmode=require'))).toBe(true)
    expect(await encrypted(address(`sslmode=require&sslrootcert=${root}`))).toBe(true)
    expect(await encrypted(address(`sslmode=verify-ca&sslrootcert=${root}`))).toBe(true)
    expect(await encrypted(localhost(`sslmode=verify-full&sslrootcert=${root}`))).toBe(true)
    expect(await encrypted(localhost(`sslmode=verify-full&sslrootcert=${root}&sslnegotiation=direct`))).toBe(true)

    expect(await failure(address(`sslmode=verify-full&sslrootcert=${root}`))).toMatchObject({
      code: 'connection-failed',
      message: expect.stringContaining('certificate is not for 127.0.0.1'),
    })
    expect(await failure(localhost('sslmode=verify-full'))).toMatchObject({
      code: 'connection-failed',
      message: expect.stringContaining('TLS failed'),
      hint: expect.stringContaining('sslrootcert'),
    })
    // The server's own certificate is not an authority that signed it.
    const wrongRoot = join(directory, 'server.crt')
    for (const mode of ['require', 'verify-ca', 'verify-full']) {
      const error = await failure(localhost(`sslmode=${mode}&sslrootcert=${wrongRoot}`))
      expect(error, mode).toMatchObject({ code: 'connection-failed', message: expect.stringContaining('TLS failed') })
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
