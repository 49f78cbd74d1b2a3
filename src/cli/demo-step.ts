// One step of a demo: what it is, what came of it, how long it took.
import { TampError } from '../core/errors.ts'
import { duration } from './figures.ts'
import type { Terminal } from './terminal.ts'

export interface DemoSteps {
  readonly terminal: Terminal
  readonly signal: AbortSignal
  /** What is said of an interruption. */
  readonly interrupted: string
  /** Makes an error of what the step met. */
  describe(error: unknown): TampError
}

/** Does one step, and says what came of it and how long it took. @throws TampError `interrupted` once the signal has fired */
export async function takeStep<Result>(
  { terminal, signal, interrupted, describe }: DemoSteps,
  name: string,
  act: () => Promise<Result>,
  say: (result: Result) => string,
): Promise<Result> {
  const title = `  ${name.padEnd(12)}`
  if (terminal.drawable) terminal.err(`${title}…`)
  const started = performance.now()
  try {
    const result = await act()
    if (signal.aborted) {
      // Nobody else will: the caller never gets to see it.
      await (result as Partial<AsyncDisposable>)[Symbol.asyncDispose]?.()
      throw new TampError('interrupted', interrupted)
    }
    if (terminal.drawable) terminal.err('\r\u001b[2K')
    const took = duration((performance.now() - started) / 1000)
    terminal.out(`${terminal.style('bold', title)}${say(result)} ${terminal.style('dim', `(${took})`)}\n`)
    return result
  } catch (error) {
    if (terminal.drawable) terminal.err('\r\u001b[2K')
    throw signal.aborted ? new TampError('interrupted', interrupted) : describe(error)
  }
}
