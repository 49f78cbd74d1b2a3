// A plain connection for tests. It shares nothing with the code under test, so that a fault there cannot hide itself here.
import pg from 'pg'

/** int8 comes as a number, rows as arrays. Has the methods of the library's `Connection`. */
export interface Session extends AsyncDisposable {
  readonly client: pg.Client
  query<Row extends readonly unknown[] = any[]>(text: string, values?: readonly unknown[]): Promise<Row[]>
  /** Returns the number of rows touched. */
  execute(text: string, values?: readonly unknown[]): Promise<number>
}

const int8 = 20

export async function openSession(url: string, config: pg.ClientConfig = {}): Promise<Session> {
  const client = new pg.Client({
    ...config,
    connectionString: url,
    types: {
      getTypeParser: ((oid: number, format?: 'text') =>
        oid === int8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  })
  // A server that is stopped under us must fail the query at hand, not the whole test run.
  client.on('error', () => {})
  await client.connect()
  return {
    client,
    async query<Row extends readonly unknown[]>(text: string, values?: readonly unknown[]) {
      const result = await client.query({ text, ...(values ? { values: [...values] } : {}), rowMode: 'array' })
      return result.rows as unknown as Row[]
    },
    async execute(text, values) {
      return (await client.query(text, values ? [...values] : undefined)).rowCount ?? 0
    },
    async [Symbol.asyncDispose]() {
      await client.end().catch(() => {})
    },
  }
}

/** Runs `work` in a transaction; rolls back where it throws. */
export async function transaction<T>(session: Session, begin: string, work: () => Promise<T>): Promise<T> {
  await session.query(begin)
  try {
    const result = await work()
    await session.query('COMMIT')
    return result
  } catch (error) {
    await session.query('ROLLBACK').catch(() => {})
    throw error
  }
}
