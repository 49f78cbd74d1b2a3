// What ended a command, as a person and as a script read it.
import { TampError } from '../core/errors.ts'
import { errorLine } from './json-lines.ts'
import type { Terminal } from './terminal.ts'
import { sentence } from './figures.ts'

export function tellFailure(terminal: Terminal, error: TampError, json: boolean): void {
  const message = sentence(error.message)
  if (json) {
    const { code, hint } = error
    terminal.out(errorLine(new TampError(code, message, hint === undefined ? {} : { hint })))
  }
  terminal.err(`${terminal.styleErr(['red', 'bold'], 'tamp:')} ${message}\n`)
  if (error.hint !== undefined) terminal.err(`${terminal.styleErr('dim', `      ${sentence(error.hint)}`)}\n`)
}
