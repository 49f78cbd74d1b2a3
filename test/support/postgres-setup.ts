// Once a test run: one server, with the template databases that tests copy. It ends with the run, however that ends.
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { createCluster, startEmbeddedPostgres } from '../../src/database/embedded.ts'
import { loadDump } from '../../src/database/load-dump.ts'
import { openSession } from './session.ts'

export interface TestServer {
  /** Of database `postgres`, as superuser. */
  readonly url: string
  /** A cluster that was never started: what servers of a test's own are copied from. */
  readonly cluster: string
  /** Where `postgres` and `initdb` are, if not in the package (environment variable TAMP_TEST_POSTGRES). */
  readonly binaries: string | null
}

declare module 'vitest' {
  interface ProvidedContext {
    postgres: TestServer
  }
}

const fixture = (name: string) => new URL(`../../fixtures/${name}.sql.br`, import.meta.url)

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const binaries = process.env['TAMP_TEST_POSTGRES'] ?? null
  const chosen = binaries === null ? {} : { binaries }
  const server = await startEmbeddedPostgres({ settings: { max_connections: '200' }, ...chosen })
  try {
    // Inside the server's directory, so that it goes with it even where this process is killed.
    const cluster = join(server.directory, 'cluster')
    await Promise.all([createCluster({ directory: cluster, ...chosen }), makeTemplates(server.url)])
    project.provide('postgres', { url: server.url, cluster, binaries })
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
  return async () => {
    await server[Symbol.asyncDispose]()
  }
}

async function makeTemplates(serverUrl: string): Promise<void> {
  await using server = await openSession(serverUrl)
  for (const name of ['homeserver', 'half-compressed', 'empty']) {
    const database = `tmpl_${name.replaceAll('-', '_')}`
    await server.query(`CREATE DATABASE ${database} TEMPLATE ${name === 'empty' ? 'tmpl_homeserver' : 'template0'}`)
    const url = new URL(serverUrl)
    url.pathname = `/${database}`
    await using session = await openSession(url.href)
    if (name === 'empty') {
      const tables = await session.query<[string]>(
        `SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename !~ '^schema_'`,
      )
      await session.query(`TRUNCATE ${tables.join(', ')} RESTART IDENTITY`)
      await session.query(`SELECT setval('state_group_id_seq', 1, false)`)
    } else {
      await loadDump(session.client, fixture(name))
    }
    // A dump's search_path is gone with its session; statistics are not in a dump.
    await session.query('VACUUM ANALYZE')
  }
}
