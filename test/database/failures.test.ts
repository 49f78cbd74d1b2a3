// Errors that need no database: servers that are not there, do not answer, or are none.
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import { inspect } from 'node:util'
import pg from 'pg'
import { expect, test } from 'vitest'
import { TampError } from '../../src/core/errors.ts'
import { resolveSettings } from '../../src/database/connection-settings.ts'
import { connect, describeFailure, isConnectionLost, isRetryable } from '../../src/database/postgres.ts'

async function failure(connection: string): Promise<TampError> {
  const settings = resolveSettings({ connection, env: { HOME: '/nowhere' } })
  const error: unknown = await connect(settings).then(
    () => undefined,
    (caught: unknown) => caught,
  )
  expect(error).toBeInstanceOf(TampError)
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('SECRET')
  return error as TampError
}

/** A server that accepts connections and does what `serve` does. */
async function listening(serve: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `postgresql://u:SECRET@127.0.0.1:${(server.address() as AddressInfo).port}/d`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

test('nobody listens', async () => {
  const free = await listening(() => {})
  await free[Symbol.asyncDispose]()
  const error = await failure(free.url)
  expect(error).toMatchObject({ code: 'connection-failed', exitStatus: 1 })
  expect(error.message).toMatch(
    /^Cannot connect to postgresql:\/\/u@127\.0\.0\.1:\d+\/d: no server listens on 127\.0\.0\.1:\d+\.$/,
  )
  expect(isConnectionLost(error)).toBe(true)
  expect(await failure('host=/nowhere password=SECRET')).toMatchObject({
    code: 'connection-failed',
    message: expect.stringContaining('no server listens on /nowhere/.s.PGSQL.5432'),
  })
})

test('no such host', async () => {
  const error = await failure('postgresql://u:SECRET@no-such-host.invalid/d')
  expect(error).toMatchObject({
    code: 'connection-failed',
    message: expect.stringContaining('no-such-host.invalid cannot be resolved'),
  })
})

test('a server that never answers', async () => {
  await using silent = await listening(() => {})
  const start = performance.now()
  const error = await failure(`${silent.url}?connect_timeout=1`)
  expect(error).toMatchObject({ code: 'connection-failed', message: expect.stringContaining('no answer within 1 s') })
  expect(performance.now() - start).toBeLessThan(4000)
})

test('a server that is no PostgreSQL', async () => {
  await using http = await listening((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  expect(await failure(http.url)).toMatchObject({ code: 'connection-failed' })
  await using closing = await listening((socket) => socket.end())
  expect(await failure(`${closing.url}?sslmode=disable`)).toMatchObject({
    code: 'connection-failed',
    message: expect.stringContaining('closed the connection'),
  })
})

test('a server without TLS, where TLS is required', async () => {
  await using plain = await listening((socket) => socket.once('data', () => socket.write('N')))
  expect(await failure(`${plain.url}?sslmode=require`)).toMatchObject({
    code: 'connection-failed',
    message: expect.stringContaining('does not offer TLS'),
  })
})

function databaseError(code: string, message: string): pg.DatabaseError {
  const error = new pg.DatabaseError(message, message.length, 'error')
  error.code = code
  return error
}

test.each([
  ['42501', 'permission denied for table state_groups', 'no-permission', 'state_groups'],
  ['25006', 'cannot execute INSERT in a read-only transaction', 'no-permission', 'primary'],
  ['42P01', 'relation "state_groups" does not exist', 'unknown-schema', 'search_path'],
  ['42703', 'column "id" does not exist', 'unknown-schema', 'search_path'],
  ['57P01', 'terminating connection due to administrator command', 'connection-failed', 'again'],
  ['08006', 'connection failure', 'connection-failed', 'again'],
  ['57014', 'canceling statement due to statement timeout', 'failed', 'statement_timeout'],
])('SQLSTATE %s', (state, message, code, hint) => {
  const cause = databaseError(state, message)
  const error = describeFailure(cause)
  expect(error).toMatchObject({ code, cause })
  expect(error.message).toContain(message)
  expect(error.message).toMatch(/\.$/)
  expect(error.hint).toContain(hint)
})

test('other failures keep their message, and a TampError stays itself', () => {
  expect(describeFailure(databaseError('53100', 'could not extend file'))).toMatchObject({
    code: 'failed',
    message: 'The database reports: could not extend file (SQLSTATE 53100).',
  })
  expect(describeFailure(new Error('Connection terminated unexpectedly')).code).toBe('connection-failed')
  expect(describeFailure(new DOMException('stop', 'AbortError')).code).toBe('interrupted')
  expect(describeFailure('odd')).toMatchObject({ code: 'failed', message: 'odd.' })
  const known = new TampError('locked', 'x')
  expect(describeFailure(known)).toBe(known)
})

test('what is worth another try, and what means that the connection is gone', () => {
  for (const state of ['40001', '40P01', '55P03']) expect(isRetryable(databaseError(state, 'x'))).toBe(true)
  for (const state of ['23505', '57014', '57P01']) expect(isRetryable(databaseError(state, 'x'))).toBe(false)
  expect(isRetryable(Object.assign(new Error('not from the server'), { code: '40001' }))).toBe(false)
  for (const state of ['57P01', '57P02', '08006', '25P03'])
    expect(isConnectionLost(databaseError(state, 'x'))).toBe(true)
  for (const state of ['40001', '57014', '42P01']) expect(isConnectionLost(databaseError(state, 'x'))).toBe(false)
  expect(isConnectionLost(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))).toBe(true)
  expect(isConnectionLost(new Error('anything else'))).toBe(false)
  expect(isConnectionLost(undefined)).toBe(false)
})
