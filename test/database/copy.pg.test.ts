// COPY out: a reader that fails must not leave a connection behind that waits for ever.
import { expect, test } from 'vitest'
import { resolveSettings } from '../../src/database/connection-settings.ts'
import { copyOut, unescapeCopy } from '../../src/database/copy.ts'
import { connect } from '../../src/database/postgres.ts'
import { freshDatabase } from '../support/postgres.ts'

const many = 'SELECT repeat(n::text, 20) FROM generate_series(1, 300000) AS n'

test('hands on every byte, and the connection is good for more', async () => {
  await using database = await freshDatabase('blank')
  await using connection = await connect(resolveSettings({ connection: database.url, env: {} }))
  let bytes = 0
  expect(await copyOut(connection, many, (chunk) => (bytes += chunk.length))).toBe(bytes)
  expect(
    await connection.query('SELECT sum(length(repeat(n::text, 20)) + 1)::int FROM generate_series(1, 300000) AS n'),
  ).toEqual([[bytes]])
})

test('a reader that throws ends the COPY and the connection at once', async () => {
  await using database = await freshDatabase('blank')
  const connection = await connect(resolveSettings({ connection: database.url, env: {} }))
  const failing = copyOut(connection, many, () => {
    throw new RangeError('no room for more')
  })
  await expect(failing).rejects.toThrow('no room for more')
  await expect(connection.query('SELECT 1')).rejects.toThrow()
  const start = performance.now()
  await connection[Symbol.asyncDispose]()
  expect(performance.now() - start).toBeLessThan(5000)
})

test('an error of the server leaves the connection usable', async () => {
  await using database = await freshDatabase('blank')
  await using connection = await connect(resolveSettings({ connection: database.url, env: {} }))
  await expect(copyOut(connection, 'SELECT 1 / (2 - n) FROM generate_series(1, 3) AS n', () => {})).rejects.toThrow(
    /division/,
  )
  expect(await connection.query('SELECT 1')).toEqual([[1]])
})

test('escapes of the text format', () => {
  expect(unescapeCopy('a\\tb\\nc\\\\d\\be')).toBe('a\tb\nc\\d\be')
})
