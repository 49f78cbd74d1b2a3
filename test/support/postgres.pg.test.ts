// The test server, its databases and its fixtures.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, test } from 'vitest'
import { loadDump } from '../../src/database/load-dump.ts'
import { freshDatabase, scratchServer } from './postgres.ts'
import { openSession } from './session.ts'

describe('fresh databases', () => {
  test('the fixtures hold every state row, with the sequence and the indexes of Synapse', async () => {
    for (const [kind, rows, lastGroup] of [
      ['homeserver', 26_254, 9746],
      ['half-compressed', 3_350, 1584],
    ] as const) {
      await using database = await freshDatabase(kind)
      expect(await database.query('SELECT count(*) FROM state_groups_state')).toEqual([[rows]])
      expect(await database.query('SELECT max(id) FROM state_groups')).toEqual([[lastGroup]])
      expect(await database.query(`SELECT nextval('state_group_id_seq')`)).toEqual([[lastGroup + 1]])
      const indexes = await database.query<[string]>(
        `SELECT indexname FROM pg_indexes WHERE tablename = 'state_groups_state'`,
      )
      expect(indexes.flat()).toEqual(['state_groups_state_type_idx'])
      // Statistics are there: estimates can be tested.
      expect(await database.query(`SELECT reltuples FROM pg_class WHERE relname = 'state_groups_state'`)).toEqual([
        [rows],
      ])
    }
  })

  test('two databases do not see each other, and are gone after use', async () => {
    const first = await freshDatabase('empty')
    await using second = await freshDatabase('empty')
    await first.query(`INSERT INTO state_groups VALUES (1, '!a', '$a')`)
    expect(await second.query('SELECT count(*) FROM state_groups')).toEqual([[0]])
    const reader = await first.connect()
    await first[Symbol.asyncDispose]()
    await expect(reader.query('SELECT 1')).rejects.toThrow()
    expect(await second.query('SELECT count(*) FROM pg_database WHERE datname = $1', [first.name])).toEqual([[0]])
  })

  test('a dump that breaks off is refused with its reason', async () => {
    await using database = await freshDatabase('homeserver')
    const again = loadDump(database.session.client, new URL('../../fixtures/homeserver.sql.br', import.meta.url))
    await expect(again).rejects.toMatchObject({ name: 'TampError', message: expect.stringContaining('already exists') })
  })
})

describe('a server of its own', () => {
  test('survives a crash with what was committed, and nothing else', async () => {
    await using server = await scratchServer()
    const session = await openSession(server.url)
    await session.query('CREATE TABLE kept (n int)')
    await session.query('INSERT INTO kept VALUES (1)')
    await session.query('BEGIN')
    await session.query('INSERT INTO kept VALUES (2)')
    await server.stop('immediate')
    await expect(session.query('COMMIT')).rejects.toThrow()
    await expect(openSession(server.url)).rejects.toThrow(/ECONNREFUSED/)
    await server.restart()
    await using after = await openSession(server.url)
    expect(await after.query('SELECT n FROM kept')).toEqual([[1]])
  })

  test('leaves neither a process nor a file when its owner is killed', async () => {
    const { cluster, binaries } = inject('postgres')
    const options = JSON.stringify({ template: cluster, ...(binaries === null ? {} : { binaries }) })
    const owner = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { startEmbeddedPostgres } from ${JSON.stringify(new URL('../../src/database/embedded.ts', import.meta.url).href)}
         const server = await startEmbeddedPostgres(${options})
         console.log(JSON.stringify({ url: server.url, directory: server.directory }))`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [line] = (await once(owner.stdout, 'data')) as [Buffer]
    const { url, directory } = JSON.parse(line.toString()) as { url: string; directory: string }
    const session = await openSession(url)
    expect(existsSync(directory)).toBe(true)
    owner.kill('SIGKILL')
    for (let waited = 0; waited < 100 && existsSync(directory); waited++) await sleep(100)
    expect(existsSync(directory)).toBe(false)
    await expect(session.query('SELECT 1')).rejects.toThrow()
  })
})
