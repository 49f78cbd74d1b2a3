// A connection string as libpq reads it, URL or key=value, into named options. Syntax only: no defaults, no files.
// Errors never quote a value, nor a name that a badly quoted password may have been cut into.
import { TampError } from '../core/errors.ts'

/** Options by libpq's names (`host`, `dbname`, `sslmode`, …). An empty value counts as not given, as in libpq. */
export type ConnectionOptions = ReadonlyMap<string, string>

/*
 * pg-connection-string is not used. It knows no key=value strings; it gives sslmode=require and verify-ca the meaning of verify-full (and prints
 * a warning about it); it loses the socket directory of `postgresql://%2Fdir/db`; and the WHATWG URL under it rewrites what it parses.
 */
export function parseConnectionString(text: string): ConnectionOptions {
  const options = new Map<string, string>()
  const scheme = /^postgres(?:ql)?:\/\//i.exec(text)
  if (scheme !== null) parseUrl(text.slice(scheme[0].length), options)
  else if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    throw new TampError('usage', 'The connection URL does not begin with postgresql://.', {
      hint: 'Write postgresql://user@host:5432/database, or key=value pairs: host=… dbname=… user=….',
    })
  } else parsePairs(text, options)
  for (const [name, value] of options) {
    if (value.includes('\0')) throw malformed('it holds a zero byte')
    if (value === '') options.delete(name)
  }
  return options
}

function parseUrl(text: string, options: Map<string, string>): void {
  const slash = text.indexOf('/')
  const beforePath = slash < 0 ? text : text.slice(0, slash)
  const at = endOfCredentials(beforePath)
  const rest = text.slice(at + 1)
  if (at >= 0) {
    const [user, password] = cut(beforePath.slice(0, at), ':')
    options.set('user', decoded(user))
    if (password !== undefined) options.set('password', decoded(password))
  }
  // A raw @ further on is most likely the end of a password that holds a / or ?: what stands before it must not be taken for a host.
  if (rest.includes('@')) {
    throw malformed(
      'an @ stands where none may be',
      'Write @ as %40, / as %2F and ? as %3F in user names, passwords and values.',
    )
  }
  const [location, query] = cut(rest, '?')
  const [authority, database] = cut(location, '/')
  parseAuthority(authority, options)
  if (database !== undefined) options.set('dbname', decoded(database))
  if (query !== undefined) parseQuery(query, options)
}

/** Where the @ after user and password is. An @ or ? that should have been encoded is taken as part of the password. */
function endOfCredentials(beforePath: string): number {
  const beforeQuery = cut(beforePath, '?')[0]
  const at = beforeQuery.lastIndexOf('@')
  return at < 0 && beforeQuery.includes(':') ? beforePath.lastIndexOf('@') : at
}

function parseAuthority(authority: string, options: Map<string, string>): void {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(authority)
  const [host, port] = bracketed === null ? cut(authority, ':') : [bracketed[1]!, bracketed[2]]
  options.set('host', decoded(host))
  if (port !== undefined) options.set('port', decoded(port))
}

function parseQuery(query: string, options: Map<string, string>): void {
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const [name, value] = cut(pair, '=')
    if (value === undefined) throw malformed('an option after the ? has no = and value')
    // libpq accepts the JDBC spelling.
    if (name === 'ssl' && value === 'true') options.set('sslmode', 'require')
    else options.set(known(decoded(name), true), decoded(value))
  }
}

function parsePairs(text: string, options: Map<string, string>): void {
  const pair =
    /\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\[^])*)'(?=\s|$)|((?:[^\s'\\]|\\[^])(?:[^\s\\]|\\[^])*)?(?=\s|$))\s*/y
  while (pair.lastIndex < text.length) {
    const found = pair.exec(text)
    if (found === null) {
      throw malformed(
        'it is neither a URL nor key=value pairs',
        "Write postgresql://user@host:5432/database, or host=… dbname=… user=… with values that hold spaces in '…'.",
      )
    }
    const name = known(found[1]!, !options.has('password'))
    options.set(name, (found[2] ?? found[3] ?? '').replace(/\\([^])/g, '$1'))
  }
  if (options.size === 0) throw malformed('it is empty')
}

/** Everything libpq knows. What tamp does with each is decided in connection-settings.ts. */
const names: ReadonlySet<string> = new Set(
  `host hostaddr port dbname user password passfile service servicefile options application_name fallback_application_name
  connect_timeout client_encoding replication require_auth channel_binding target_session_attrs load_balance_hosts tty
  sslmode sslrootcert sslcert sslkey sslpassword sslcrl sslcrldir sslsni sslcertmode sslnegotiation sslcompression requiressl requirepeer
  ssl_min_protocol_version ssl_max_protocol_version gssencmode gssdelegation gsslib krbsrvname keepalives keepalives_idle
  keepalives_interval keepalives_count tcp_user_timeout min_protocol_version max_protocol_version`.split(/\s+/),
)

function known(name: string, mayShow: boolean): string {
  if (names.has(name)) return name
  const hint =
    name === 'schema' || name === 'search_path'
      ? "To set the search path write options=-csearch_path%3Dname in a URL, or options='-c search_path=name' in key=value pairs."
      : 'Options are those of libpq: host, port, dbname, user, password, sslmode, sslrootcert, options, ….'
  throw new TampError('usage', `The connection string has an unknown option${mayShow ? ` "${name}"` : ''}.`, { hint })
}

function cut(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw malformed('a % is not followed by two hexadecimal digits', 'Write % itself as %25.')
  }
}

function malformed(why: string, hint = 'Write postgresql://user@host:5432/database, or key=value pairs.'): TampError {
  return new TampError('usage', `The connection string cannot be read: ${why}.`, { hint })
}
