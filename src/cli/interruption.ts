// Ctrl-C and SIGTERM: the first one stops cleanly, a second one ends the process at once.
import { TampError } from '../core/errors.ts'
import type { Terminal } from './terminal.ts'

export class Interruption implements Disposable {
  readonly #controller = new AbortController()
  readonly #terminal: Terminal
  readonly #whatNow: string
  readonly #signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  readonly #lastActions: (() => void)[] = []

  /** @param whatNow what is said when the first signal comes */
  constructor(terminal: Terminal, whatNow: string) {
    this.#terminal = terminal
    this.#whatNow = whatNow
    for (const name of this.#signals) process.on(name, this.#heard)
  }

  readonly #heard = (): void => {
    if (this.signal.aborted) {
      for (const act of this.#lastActions) act()
      process.exit(130)
    }
    this.#terminal.err(`\n${this.#whatNow} (Once more ends at once.)\n`)
    this.#controller.abort()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** What still has to be done, synchronously, when everything ends at once. */
  lastly(act: () => void): void {
    this.#lastActions.push(act)
  }

  /** Waits for something that does not know the signal. @throws TampError `interrupted` */
  async race<Result>(promise: Promise<Result>): Promise<Result> {
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const stop = (): void => reject(new TampError('interrupted', 'Interrupted; nothing was changed.'))
    if (this.signal.aborted) stop()
    this.signal.addEventListener('abort', stop)
    try {
      return await Promise.race([promise, aborted])
    } finally {
      this.signal.removeEventListener('abort', stop)
    }
  }

  [Symbol.dispose](): void {
    for (const name of this.#signals) process.off(name, this.#heard)
  }
}
