// Connections to a PostgreSQL that belongs to somebody else: settings, exact numbers, errors in plain words.
// A lost connection never crashes the process, and closing one never throws and never hangs.
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { TampError } from '../core/errors.ts'
import { describeConnectFailure, isConnectionLost, isTlsFailure, sqlState } from './failures.ts'

export { describeFailure, isConnectionLost, isRetryable } from './failures.ts'

/** How to reach a database. `describe` is safe to print: it never holds a password. */
export interface PostgresSettings {
  readonly config: pg.ClientConfig
  readonly describe: string
  /** What to try when the server refuses `config` for being, or not being, encrypted (sslmode prefer and allow). */
  readonly fallback?: pg.ClientConfig
}

/** One open connection, for one statement at a time. int8 comes as a number (exact; out of range is an error). */
export interface Connection extends AsyncDisposable {
  readonly client: pg.Client
  /** Runs one statement and returns its rows as arrays of values, in column order. */
  query<Row extends readonly unknown[] = unknown[]>(text: string, values?: readonly unknown[]): Promise<Row[]>
  /** Runs one statement and returns the number of rows it touched. */
  execute(text: string, values?: readonly unknown[]): Promise<number>
  /** Cancels the statement that is running, over a connection of its own. Never throws: it is a request, as in `psql`. */
  cancel(): Promise<void>
  /** Closes the socket at once: whatever is under way fails, and the connection cannot be used any more. */
  abandon(): void
}

export async function connect(settings: PostgresSettings): Promise<Connection> {
  const { config, fallback, describe } = settings
  try {
    return await open(config, settings)
  } catch (error) {
    // 28000: pg_hba.conf has no line for this user with, or without, encryption.
    const mayFallBack = fallback !== undefined && (sqlState(error) === '28000' || (config.ssl && isTlsFailure(error)))
    if (!mayFallBack) throw describeConnectFailure(error, describe, config)
    try {
      return await open(fallback, settings)
    } catch (second) {
      throw isTlsFailure(error) || !isTlsFailure(second)
        ? describeConnectFailure(second, describe, fallback)
        : describeConnectFailure(error, describe, config)
    }
  }
}

async function open(config: pg.ClientConfig, settings: PostgresSettings): Promise<Connection> {
  // A socket of our own, because only closing it ends a connection whose server does not answer any more.
  const socket = new Socket()
  const client = new pg.Client({
    keepAlive: true,
    ...config,
    application_name: config.application_name ?? 'tamp',
    types: { getTypeParser } as pg.CustomTypesConfig,
    stream: () => socket,
  })
  // pg fills a missing `options` from the process's own PGOPTIONS; what the environment may say is decided where settings are made.
  ;(client as unknown as { connectionParameters: { options?: string | undefined } }).connectionParameters.options =
    config.options
  // Without a listener an idle connection that breaks would end the process. What broke it is the cause the next query reports.
  let broken: Error | undefined
  client.on('error', (error) => (broken ??= error))
  try {
    await client.connect()
  } catch (error) {
    await close(client, socket)
    throw error
  }

  async function run(text: string, values: readonly unknown[] | undefined): Promise<pg.QueryArrayResult> {
    try {
      const result: pg.QueryArrayResult | pg.QueryArrayResult[] = await client.query({
        text,
        rowMode: 'array',
        ...(values === undefined ? {} : { values: [...values] }),
      })
      return Array.isArray(result) ? result.at(-1)! : result
    } catch (error) {
      if (error instanceof pg.DatabaseError || error instanceof TampError || !isConnectionLost(error)) throw error
      throw new TampError('connection-failed', `The connection to ${settings.describe} was lost.`, {
        hint: 'Every unit is either whole or untouched: run the command again to go on.',
        cause: broken ?? error,
      })
    }
  }

  return {
    client,
    async query<Row extends readonly unknown[]>(text: string, values?: readonly unknown[]): Promise<Row[]> {
      return (await run(text, values)).rows as unknown as Row[]
    },
    async execute(text, values) {
      return (await run(text, values)).rowCount ?? 0
    },
    async cancel() {
      try {
        const backend = (client as unknown as { processID: number }).processID
        await using other = await open(config, settings)
        await other.query('SELECT pg_cancel_backend($1)', [backend])
      } catch {
        // The server is gone, or full: ending the connection ends the statement too.
        socket.destroy()
      }
    },
    abandon() {
      socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      await close(client, socket)
    },
  }
}

/** Says goodbye where that is quick, and closes the socket in any case. */
async function close(client: pg.Client, socket: Socket): Promise<void> {
  const patience = new AbortController()
  const goodbye = client.end().catch(() => {})
  await Promise.race([goodbye, delay(1000, undefined, { signal: patience.signal }).catch(() => {})])
  patience.abort()
  socket.destroy()
}

const int8 = 20
const int8Array = 1016

function getTypeParser(oid: number, format?: 'text' | 'binary'): (value: never) => unknown {
  if (format !== 'binary' && oid === int8) return exactNumber
  const parse = pg.types.getTypeParser(oid, format as 'text') as (value: never) => unknown
  if (format !== 'binary' && oid === int8Array) return (value) => numbersWithin(parse(value))
  return parse
}

function exactNumber(text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number)) return number
  throw new TampError('failed', `The database holds the number ${text}, which is too large to be worked with exactly.`)
}

function numbersWithin(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(numbersWithin)
  return typeof value === 'string' ? exactNumber(value) : value
}
