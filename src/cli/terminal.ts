// Standard output and standard error: the only place that writes to them. A reader that goes away (`| head`) never ends a run half way.
import { styleText } from 'node:util'
import { TampError } from '../core/errors.ts'

type Format = Parameters<typeof styleText>[0]

export class Terminal {
  readonly #out: NodeJS.WriteStream
  readonly #err: NodeJS.WriteStream
  #failure: NodeJS.ErrnoException | undefined

  constructor(out: NodeJS.WriteStream = process.stdout, err: NodeJS.WriteStream = process.stderr) {
    this.#out = out
    this.#err = err
    out.on('error', (error) => (this.#failure ??= error))
    err.on('error', () => {})
  }

  /** Results: what a script may read. */
  out(text: string): void {
    if (this.#failure === undefined) this.#out.write(text)
  }

  /** Progress and complaints. */
  err(text: string): void {
    this.#err.write(text)
  }

  /** Whether progress may be drawn over itself. */
  get drawable(): boolean {
    return this.#err.isTTY && process.env['TERM'] !== 'dumb'
  }

  /** Columns of the terminal that standard error goes to. */
  get columns(): number {
    return this.#err.columns ?? 80
  }

  /** Styles a text for standard output, where that is a terminal and NO_COLOR does not forbid it. */
  style(format: Format, text: string): string {
    return styleText(format, text, { stream: this.#out })
  }

  /** The same for standard error. */
  styleErr(format: Format, text: string): string {
    return styleText(format, text, { stream: this.#err })
  }

  /** @throws TampError `output-failed` where standard output took less than it was given; a reader that had enough is none */
  checkOutput(): void {
    if (this.#failure === undefined || this.#failure.code === 'EPIPE') return
    throw outputFailed('Standard output', this.#failure)
  }

  /** Writes and waits until it is written. @throws TampError `output-failed`, also where the reader is gone */
  async outWhole(text: string): Promise<void> {
    const failure = this.#failure ?? (await new Promise<unknown>((done) => this.#out.write(text, done)))
    if (failure) throw outputFailed('Standard output', failure as NodeJS.ErrnoException)
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would become larger than is allowed',
  ENOENT: 'the directory does not exist',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  EROFS: 'the file system is read-only',
  ENAMETOOLONG: 'the name is too long',
  EPIPE: 'the reader has gone away',
}

/** Something that was asked for could not be written. */
export function outputFailed(what: string, error: NodeJS.ErrnoException): TampError {
  return new TampError(
    'output-failed',
    `${what} could not be written: ${reasons[error.code ?? ''] ?? error.message}.`,
    {
      cause: error,
    },
  )
}
