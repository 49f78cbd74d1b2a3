// The one error class of the library, and the exit status each of its codes maps to.

/** Stable names of what can go wrong; scripts and tests rely on them. */
export type ErrorCode =
  | 'usage' // wrong options, or options that contradict each other
  | 'connection-failed' // no server, no such host, TLS refused
  | 'authentication-failed'
  | 'no-such-database'
  | 'no-permission' // the role may not read or write what the command needs
  | 'no-such-room'
  | 'no-such-bucket'
  | 'no-checkpoint' // nothing has been published yet, or nothing long enough ago
  | 'not-installed' // a part that this needs, such as an embedded server, is not here
  | 'no-library' // the SQLite extension is not there, and cannot be built
  | 'unknown-schema'
  | 'locked' // another tamp holds the advisory lock
  | 'proof-failed'
  | 'output-failed' // a file asked for could not be written
  | 'interrupted'
  | 'failed'

const exitStatuses: Readonly<Record<ErrorCode, number>> = {
  usage: 2,
  'connection-failed': 1,
  'authentication-failed': 1,
  'no-such-database': 1,
  'no-permission': 1,
  'no-such-room': 1,
  'no-such-bucket': 1,
  'no-checkpoint': 1,
  'not-installed': 1,
  'no-library': 1,
  'unknown-schema': 10,
  locked: 11,
  'proof-failed': 12,
  'output-failed': 1,
  interrupted: 130,
  failed: 1,
}

/** An error a user can act on: one sentence, and a hint that says what to do next. Never holds a password. */
export class TampError extends Error {
  override readonly name = 'TampError'
  readonly code: ErrorCode
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, options: { readonly hint?: string; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
  }

  /** The exit status of a command that ends with this error. */
  get exitStatus(): number {
    return exitStatuses[this.code]
  }
}
