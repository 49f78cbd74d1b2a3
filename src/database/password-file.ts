// The password file (~/.pgpass), looked up as libpq does: first line that fits, `*` fits all, files that others may read are ignored.
import { readFileSync, statSync } from 'node:fs'

export interface PasswordLookup {
  readonly file: string
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
}

type PasswordFound =
  | { readonly password: string }
  /** `ignored` says why a file that is there was not used. */
  | { readonly password?: never; readonly ignored?: string }

/** Directories of libpq's default sockets: in the password file they go by the name localhost. */
export const socketDirectories: readonly string[] = ['/var/run/postgresql', '/tmp']

/*
 * The pgpass package that comes with pg is not used: it prints to standard error, reads the process's own environment, does not know
 * localhost for a default socket, and pg has announced to drop it.
 */
export function lookUpPassword({ file, host, port, database, user }: PasswordLookup): PasswordFound {
  let text: string
  try {
    const status = statSync(file)
    if (!status.isFile()) return { ignored: `${file} is not a plain file` }
    if (process.platform !== 'win32' && (status.mode & 0o077) !== 0) {
      return { ignored: `${file} is ignored because others may read it (chmod 600 it)` }
    }
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? {} : { ignored: `${file} cannot be read` }
  }
  const hosts = socketDirectories.includes(host) ? [host, 'localhost'] : [host]
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) continue
    const fields = /^((?:[^\\:]|\\.)*):((?:[^\\:]|\\.)*):((?:[^\\:]|\\.)*):((?:[^\\:]|\\.)*):((?:[^\\:]|\\.)*)/.exec(
      line,
    )
    if (fields === null) continue
    const [lineHost, linePort, lineDatabase, lineUser, password] = fields.slice(1).map(unescaped)
    const fits = (pattern: string | undefined, ...values: string[]) => pattern === '*' || values.includes(pattern!)
    if (
      fits(lineHost, ...hosts) &&
      fits(linePort, String(port)) &&
      fits(lineDatabase, database) &&
      fits(lineUser, user)
    ) {
      return { password: password! }
    }
  }
  return {}
}

function unescaped(field: string): string {
  return field.replace(/\\(.)/g, '$1')
}
