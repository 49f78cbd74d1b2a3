// What goes wrong with a database, in plain words: errors of pg and of the network as a TampError with one sentence and a hint.
import pg from 'pg'
import { TampError } from '../core/errors.ts'

/** The transaction met somebody else's; the same one may well succeed when tried again. */
export function isRetryable(error: unknown): boolean {
  return retryable.has(sqlState(error) ?? '')
}
// serialization_failure, deadlock_detected, lock_not_available
const retryable: ReadonlySet<string> = new Set(['40001', '40P01', '55P03'])

/** The connection is gone: what was running in it was rolled back, unless it was a COMMIT whose answer was lost. */
export function isConnectionLost(error: unknown): boolean {
  if (error instanceof TampError) return error.code === 'connection-failed'
  const state = sqlState(error)
  // Class 08; shut down, crashed, cannot connect, dropped database, idle session; idle in transaction, transaction timeout.
  if (state !== undefined) return /^(08...|57P0[1-5]|25P0[34])$/.test(state)
  return error instanceof Error && (networkCodes.has(codeOf(error) ?? '') || lostMessages.test(error.message))
}
const networkCodes: ReadonlySet<string> = new Set(
  'ECONNRESET EPIPE ETIMEDOUT ECONNABORTED ECONNREFUSED EHOSTUNREACH ENETUNREACH ENETDOWN ERR_STREAM_DESTROYED ERR_STREAM_PREMATURE_CLOSE'.split(
    ' ',
  ),
)
// pg gives these no code.
const lostMessages =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout expired)/

/** An error of a query, for the user. A TampError stays what it is. */
export function describeFailure(error: unknown): TampError {
  if (error instanceof TampError) return error
  if (error instanceof Error && error.name === 'AbortError')
    return new TampError('interrupted', 'Interrupted.', { cause: error })
  const state = sqlState(error)
  const message = error instanceof Error ? error.message : String(error)
  if (state === '42501') {
    const object = (error as pg.DatabaseError).table ?? /permission denied for \w+ (\S+)/.exec(message)?.[1]
    return new TampError('no-permission', sentence(`The role may not do this: ${message}`), {
      hint: `Grant it SELECT (and, to write, INSERT, UPDATE and DELETE) on ${object ?? 'the tables'}, or connect as the role that owns them.`,
      cause: error,
    })
  }
  if (state === '25006') {
    return new TampError('no-permission', sentence(`The database takes no writes here: ${message}`), {
      hint: 'Connect to the primary, not to a standby, and as a role whose default_transaction_read_only is off.',
      cause: error,
    })
  }
  if (state === '42P01' || state === '3F000' || state === '42703') {
    return new TampError('unknown-schema', sentence(`The database is not as expected: ${message}`), {
      hint: wrongDatabase,
      cause: error,
    })
  }
  if (isConnectionLost(error)) {
    return new TampError('connection-failed', sentence(`The connection to the database was lost: ${message}`), {
      hint: 'Every unit is either whole or untouched: run the command again to go on.',
      cause: error,
    })
  }
  if (state === '57014') {
    return new TampError('failed', sentence(`The server cancelled a statement: ${message}`), {
      hint: 'A statement_timeout of the role or the database may be too short for this.',
      cause: error,
    })
  }
  return new TampError(
    'failed',
    sentence(state === undefined ? message : `The database reports: ${message} (SQLSTATE ${state})`),
    { cause: error },
  )
}

export const wrongDatabase =
  'Is this the right database? If the tables are in another schema, set search_path: options=-csearch_path%3Dname in the URL.'

/** An error of connecting, for the user. `describe` names the server, without a password. */
export function describeConnectFailure(error: unknown, describe: string, config: pg.ClientConfig): TampError {
  if (error instanceof TampError) {
    return new TampError(
      error.code,
      `Cannot connect to ${describe}: ${lower(error.message)}`,
      error.hint === undefined ? {} : { hint: error.hint },
    )
  }
  const message = error instanceof Error ? error.message : String(error)
  const fail = (
    code: 'connection-failed' | 'authentication-failed' | 'no-such-database' | 'no-permission',
    why: string,
    hint?: string,
  ) =>
    new TampError(code, sentence(`Cannot connect to ${describe}: ${why}`), {
      cause: error,
      ...(hint === undefined ? {} : { hint }),
    })

  const state = sqlState(error)
  if (state !== undefined) {
    if (state === '28P01')
      return fail(
        'authentication-failed',
        message,
        'Check user and password (connection string, PGPASSWORD, ~/.pgpass).',
      )
    if (state === '28000') {
      return fail(
        'authentication-failed',
        message,
        "The server's pg_hba.conf decides who may connect from where, and whether encrypted (sslmode=require).",
      )
    }
    if (state === '3D000') return fail('no-such-database', message, 'psql -l lists the databases of a server.')
    if (state === '42501')
      return fail(
        'no-permission',
        message,
        `GRANT CONNECT ON DATABASE "${config.database}" TO "${config.user}" allows it.`,
      )
    if (state === '57P03' || state === '53300') return fail('connection-failed', message, 'Try again in a moment.')
    return fail(
      'connection-failed',
      `${message} (SQLSTATE ${state})`,
      config.options ? `The connection sets these options: ${config.options}` : undefined,
    )
  }

  const where = config.host?.startsWith('/')
    ? `${config.host}/.s.PGSQL.${config.port}`
    : `${config.host}:${config.port}`
  const code = codeOf(error)
  switch (code) {
    case 'ECONNREFUSED':
    case 'ENOENT':
      return fail(
        'connection-failed',
        `no server listens on ${where}`,
        'Is PostgreSQL running, and are host and port right?',
      )
    case 'EACCES':
      return fail(
        'connection-failed',
        `the socket ${where} may not be opened`,
        'Run as a system user that may, or connect over TCP.',
      )
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NODATA':
      return fail('connection-failed', `the host name ${config.host} cannot be resolved`, 'Is it spelled right?')
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return fail('connection-failed', `${where} cannot be reached (${code})`, 'A firewall may be in between.')
  }
  if (message.startsWith('timeout expired')) {
    return fail(
      'connection-failed',
      `no answer within ${Number(config.connectionTimeoutMillis) / 1000} s`,
      'A firewall may be in between; connect_timeout sets how long to wait.',
    )
  }
  if (message === 'The server does not support SSL connections') {
    return fail(
      'connection-failed',
      'the server does not offer TLS',
      'On a network you trust, sslmode=disable or prefer does without.',
    )
  }
  if (isTlsFailure(error)) {
    return code === 'ERR_TLS_CERT_ALTNAME_INVALID'
      ? fail(
          'connection-failed',
          `the server's certificate is not for ${config.host}`,
          'Connect by a name the certificate holds, or verify only its chain with sslmode=verify-ca.',
        )
      : fail(
          'connection-failed',
          `TLS failed: ${message.split(';')[0]} (${code ?? 'no code'})`,
          'Name the certificate authority to trust with sslrootcert=FILE.',
        )
  }
  if (isConnectionLost(error)) {
    return fail(
      'connection-failed',
      'the server closed the connection before it was ready',
      'Is it a PostgreSQL server, or a proxy without one behind it?',
    )
  }
  return fail('connection-failed', message)
}

/** The server has no TLS, or the handshake failed or was not trusted. */
export function isTlsFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return (
    /SSL connection/.test(error.message) ||
    /^(ERR_SSL|ERR_TLS|EPROTO|CERT_|CRL_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA)/.test(
      codeOf(error) ?? '',
    )
  )
}

export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`
}

function lower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
