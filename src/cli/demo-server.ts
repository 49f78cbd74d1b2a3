// Where the demo runs: an embedded PostgreSQL, or databases of its own on a server that was named. Both are gone afterwards.
import { randomBytes } from 'node:crypto'
import { resolveSettings } from '../database/connection-settings.ts'
import { startEmbeddedPostgres } from '../database/embedded.ts'
import { connect, describeFailure } from '../database/postgres.ts'

export interface DemoServer extends AsyncDisposable {
  /** What it is, for the one who watches. */
  readonly description: string
  /** Makes an empty database and gives the connection string to it. */
  createDatabase(name: string): Promise<string>
}

/**
 * @param connection a server of the user's; without it an embedded one is started
 * @throws TampError `failed` where there is no embedded PostgreSQL; those of connecting; `no-permission`
 */
export async function openDemoServer(connection: string | undefined): Promise<DemoServer> {
  if (connection === undefined) {
    const server = await startEmbeddedPostgres()
    return {
      description: 'an embedded one, for this demo only',
      createDatabase: (name) => create(server.url, `tamp_demo_${name}`),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  }
  const settings = resolveSettings({ connection })
  await using _reachable = await connect(settings)
  const names: string[] = []
  return {
    description: settings.describe,
    async createDatabase(name) {
      const unique = `tamp_demo_${name}_${randomBytes(4).toString('hex')}`
      const url = await create(connection, unique)
      names.push(unique)
      return url
    },
    async [Symbol.asyncDispose]() {
      await using session = await connect(settings)
      for (const name of names) await session.execute(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    },
  }
}

async function create(connection: string, name: string): Promise<string> {
  try {
    await using session = await connect(resolveSettings({ connection }))
    await session.execute(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`)
  } catch (error) {
    throw describeFailure(error)
  }
  return withDatabase(connection, name)
}

/** The connection string with another database in it. */
export function withDatabase(connection: string, name: string): string {
  const url = /^(postgres(?:ql)?:\/\/[^/?]*)(?:\/[^?]*)?(?:\?(.*))?$/is.exec(connection)
  // Of pairs with the same name the last one counts.
  if (url === null) return `${connection} dbname=${name}`
  const options = (url[2] ?? '').split('&').filter((option) => option !== '' && !option.startsWith('dbname='))
  return `${url[1]}/${name}${options.length === 0 ? '' : `?${options.join('&')}`}`
}
