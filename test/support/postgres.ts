// Databases and servers for tests: a fresh database in a fraction of a second, or a whole server that a test may crash.
import { inject } from 'vitest'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/database/embedded.ts'
import { openSession, type Session } from './session.ts'

/**
 * `homeserver` (six rooms, 26,254 state rows) and `half-compressed` (four rooms, 3,350 rows, the old compressor's tables) are
 * fixtures; `empty` has Synapse's tables without rows, `blank` no tables at all.
 */
export type DatabaseKind = 'homeserver' | 'half-compressed' | 'empty' | 'blank'

export interface FreshDatabase extends AsyncDisposable {
  readonly url: string
  readonly name: string
  /** One session of the database, kept open for its life. Rows are arrays, int8 is a number. */
  readonly session: Session
  query<Row extends readonly unknown[] = any[]>(text: string, values?: readonly unknown[]): Promise<Row[]>
  /** Another session; its disposal is yours. */
  connect(): Promise<Session>
}

let databases = 0

/** A database of its own on the shared server; disposing it drops it, whoever is still connected. */
export async function freshDatabase(kind: DatabaseKind): Promise<FreshDatabase> {
  return databaseFrom(kind === 'blank' ? 'template0' : `tmpl_${kind.replaceAll('-', '_')}`)
}

/** The same from any template database of the shared server. */
export async function databaseFrom(template: string): Promise<FreshDatabase> {
  const name = `test_${process.pid}_${++databases}`
  const serverUrl = inject('postgres').url
  await onServer(serverUrl, `CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`)
  const location = new URL(serverUrl)
  location.pathname = `/${name}`
  const url = location.href
  const session = await openSession(url)
  return {
    url,
    name,
    session,
    query: (text, values) => session.query(text, values),
    connect: () => openSession(url),
    async [Symbol.asyncDispose]() {
      await session[Symbol.asyncDispose]()
      await onServer(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    },
  }
}

/** A server of the test's own, to stop (`stop('immediate')` is a crash) and to `restart()`. It has no databases but `postgres`. */
export async function scratchServer(settings: Readonly<Record<string, string>> = {}): Promise<EmbeddedPostgres> {
  const { cluster, binaries } = inject('postgres')
  return startEmbeddedPostgres({ template: cluster, settings, ...(binaries === null ? {} : { binaries }) })
}

async function onServer(url: string, statement: string): Promise<void> {
  await using session = await openSession(url)
  await session.query(statement)
}
