// TLS as libpq's sslmode means it: what to try first, and what to fall back to.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import tls from 'node:tls'
import { TampError } from '../core/errors.ts'
import type { ConnectionOptions } from './connection-string.ts'

export type Tls = false | tls.ConnectionOptions

/** `fallback` is tried when the server refuses `first` for being, or not being, encrypted. */
interface TlsPlan {
  readonly first: Tls
  readonly fallback?: Tls
}

const modes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
type Mode = (typeof modes)[number]

/** `home` is where libpq's default certificates are looked for, in `.postgresql/`. */
export function planTls(options: ConnectionOptions, home: string): TlsPlan {
  const root = options.get('sslrootcert')
  const mode = options.get('sslmode') ?? (root === 'system' ? 'verify-full' : 'prefer')
  if (!isMode(mode)) {
    throw new TampError('usage', `The sslmode "${mode}" is not known.`, { hint: `It is one of ${modes.join(', ')}.` })
  }
  if (root === 'system' && mode !== 'verify-full') {
    throw new TampError('usage', `With sslrootcert=system, sslmode=${mode} proves nothing.`, {
      hint: 'Public certificate authorities sign for anybody: use sslmode=verify-full.',
    })
  }
  if (mode === 'disable') return { first: false }
  const encrypted = tlsOptions(mode, options, home)
  if (mode === 'allow') return { first: false, fallback: encrypted }
  return mode === 'prefer' ? { first: encrypted, fallback: false } : { first: encrypted }
}

function isMode(text: string): text is Mode {
  return (modes as readonly string[]).includes(text)
}

function tlsOptions(mode: Mode, options: ConnectionOptions, home: string): tls.ConnectionOptions {
  const named = options.get('sslrootcert')
  const byDefault = join(home, '.postgresql', 'root.crt')
  const rootFile = named === 'system' ? undefined : (named ?? (existsSync(byDefault) ? byDefault : undefined))
  if (mode === 'verify-ca' && rootFile === undefined) {
    throw new TampError('usage', 'For sslmode=verify-ca there must be a certificate authority to trust.', {
      hint: 'Name its certificate with sslrootcert=FILE, or use sslmode=verify-full.',
    })
  }
  // As in libpq a root certificate makes `require` verify the chain; allow and prefer promise nothing, so they verify nothing.
  const verify = mode === 'verify-full' || mode === 'verify-ca' || (mode === 'require' && rootFile !== undefined)
  const secureContext = secure({
    ...(verify ? { ca: rootFile === undefined ? publicAuthorities() : read('sslrootcert', rootFile) } : {}),
    ...clientCertificate(options, home),
    ...(options.has('sslcrl') ? { crl: read('sslcrl', options.get('sslcrl')!) } : {}),
  })
  return {
    // A finished context, so that no object that could be printed holds the private key or its passphrase.
    secureContext,
    rejectUnauthorized: verify,
    ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
  }
}

function publicAuthorities(): string[] {
  return [...new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system')])]
}

function clientCertificate(options: ConnectionOptions, home: string): tls.SecureContextOptions {
  const directory = join(home, '.postgresql')
  const named = options.get('sslcert')
  const certificate = named ?? join(directory, 'postgresql.crt')
  if (named === undefined && !existsSync(certificate)) return {}
  const passphrase = options.get('sslpassword')
  return {
    cert: read('sslcert', certificate),
    key: read('sslkey', options.get('sslkey') ?? join(directory, 'postgresql.key')),
    ...(passphrase === undefined ? {} : { passphrase }),
  }
}

/** @param file its path; or the PEM text itself, as configurations of other programs hold it */
function read(option: string, file: string): string {
  if (file.includes('-----BEGIN ')) return file
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new TampError(
      'usage',
      `The file of ${option}, ${file}, cannot be read (${(error as NodeJS.ErrnoException).code}).`,
      {
        hint: 'Certificates and keys are files in PEM format.',
      },
    )
  }
  if (!text.includes('-----BEGIN ')) {
    throw new TampError('usage', `The file of ${option}, ${file}, holds nothing in PEM format.`)
  }
  return text
}

function secure(options: tls.SecureContextOptions): tls.SecureContext {
  try {
    return tls.createSecureContext(options)
  } catch (error) {
    throw new TampError('usage', `The TLS certificates cannot be used: ${(error as Error).message}.`, {
      hint: 'Check sslrootcert, sslcert, sslkey and sslpassword.',
    })
  }
}
