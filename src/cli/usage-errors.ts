// What was typed wrongly, in one sentence. Values are not quoted where they could be a connection string with its password.
import { ArgumentParseError, ArgumentScannerError, formatMessageForArgumentScannerError } from '@stricli/core'
import { TampError } from '../core/errors.ts'
import { shown } from './option-values.ts'
import { sentence } from './figures.ts'

/** Stricli's complaint about options and values, as a TampError. */
export function usageError(exception: unknown): TampError {
  if (!(exception instanceof ArgumentScannerError)) return misuse(messageOf(exception))
  let hint: string | undefined
  const message = formatMessageForArgumentScannerError(exception, {
    FlagNotFoundError: ({ input, corrections }) => {
      hint = didYouMean(corrections.map((name) => `--${name.replace(/^-+/, '')}`))
      // What stands behind an = may be a password.
      return `There is no option ${shownOption(input)}.`
    },
    AliasNotFoundError: ({ input }) => `There is no option -${input}.`,
    ArgumentParseError: (error) => parseFailure(error),
    EnumValidationError: ({ externalFlagName, input, values }) =>
      `${shown(input)} is not a value of --${externalFlagName}: it takes ${listed(values)}.`,
    UnsatisfiedFlagError: ({ externalFlagName, nextFlagName }) =>
      `The option --${externalFlagName} needs a value${nextFlagName === undefined ? '' : `, and --${nextFlagName} follows it`}.`,
    UnsatisfiedPositionalError: ({ placeholder }) => {
      hint = 'The file of the database comes right behind the command; --help shows how.'
      return `The ${placeholder} is missing.`
    },
    UnexpectedPositionalError: ({ input }) => {
      if (looksLikeConnection(input)) hint = 'A connection belongs behind --connection, in quotes.'
      return `There is an argument too many: ${shown(input)}.`
    },
    UnexpectedFlagError: ({ externalFlagName }) => `The option --${externalFlagName} was given more than once.`,
    InvalidNegatedFlagSyntaxError: ({ externalFlagName }) => `The option --${externalFlagName} takes no value.`,
  })
  return misuse(message, hint)
}

/** There is no such command. */
export function unknownCommand(input: string, corrections: readonly string[]): TampError {
  return misuse(
    `There is no command ${shown(input)}.`,
    looksLikeConnection(input)
      ? 'A connection belongs behind a command and --connection.'
      : didYouMean(corrections.map((text) => text.replaceAll('`', ''))),
  )
}

function misuse(message: string, hint?: string): TampError {
  return new TampError('usage', sentence(message), { hint: hint ?? '--help explains every option.' })
}

function parseFailure(error: ArgumentParseError): string {
  const { externalFlagNameOrPlaceholder: name } = error
  // Arguments that are not options have a name in capitals.
  const what = /^[A-Z]+$/.test(name) ? name : `--${name}`
  return `The value of ${what} cannot be used: ${messageOf(error.exception)}`
}

function messageOf(exception: unknown): string {
  return exception instanceof Error ? exception.message : String(exception)
}

function shownOption(input: string): string {
  const name = input.split('=')[0]!
  return /^-{0,2}[A-Za-z0-9-]{1,40}$/.test(name) ? `--${name.replace(/^-+/, '')}` : 'of that name'
}

function looksLikeConnection(input: string): boolean {
  return /:\/\/|@|=/.test(input)
}

function didYouMean(names: readonly string[]): string | undefined {
  return names.length === 0
    ? undefined
    : `Did you mean ${new Intl.ListFormat('en', { type: 'disjunction' }).format(names)}?`
}

function listed(values: readonly string[]): string {
  return new Intl.ListFormat('en', { type: 'disjunction' }).format(values)
}
