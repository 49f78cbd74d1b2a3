// What the loadable extension calls: the policy behind its SQL functions, driven over the host that the extension is. Bundled into it.

import { TampError } from '../../core/errors.ts'
import { addIndex } from './add-index.ts'
import type { AddIndexOptions } from './add-index.ts'
import { check } from './check.ts'
import type { CheckOptions } from './check.ts'
import { closestName } from './closest-name.ts'
import { disable } from './disable.ts'
import type { DisableOptions } from './disable.ts'
import { enable, parseEnableJson } from './enable.ts'
import type { EnableOptions } from './enable.ts'
import { inspect } from './inspect.ts'
import type { InspectOptions } from './inspect.ts'
import { maintain } from './maintain.ts'
import type { MaintainOptions } from './maintain.ts'
import { answered, log, SqlError } from './request.ts'
import type { LogLevel, Policy, Request, Row, Value } from './request.ts'

/** What the extension does for the policy, each for the request of that name. */
export interface Host {
  query(sql: string, params: readonly Value[]): readonly Row[] | SqlFailure
  changes(): number
  autocommit(): boolean
  now(): number
  sleep(seconds: number): void
  stopping(): boolean
  /** Answers with how it was. */
  defensive(on: boolean): boolean
  log(level: LogLevel, message: string): void
}

export interface SqlFailure {
  readonly message: string
  readonly code: number
}

/** The value of a SQL function, or its error. */
export type Answer =
  | { readonly done: true; readonly value: Value }
  | { readonly done: false; readonly message: string; readonly code: number | null }

/** Calls the entry point that has the name of a SQL function, with that function's arguments. Never throws. */
export function run(host: Host, entryPoint: string, args: readonly Value[]): Answer {
  try {
    return { done: true, value: answered(entryPoints[entryPoint]!(...args), (request) => answerTo(request, host)) }
  } catch (error) {
    if (error instanceof TampError) {
      const cause = error.cause instanceof SqlError ? error.cause.code : null
      return { done: false, message: toldWithHint(error), code: error.code === 'interrupted' ? interrupt : cause }
    }
    if (error instanceof SqlError) return { done: false, message: error.message, code: error.code }
    throw error
  }
}

/** SQLITE_INTERRUPT */
const interrupt = 9

function toldWithHint({ message, hint }: TampError): string {
  return hint === undefined ? message : `${message} (${hint.replace(/\.$/, '')})`
}

const entryPoints: Readonly<Record<string, (...args: readonly Value[]) => Policy<Value>>> = {
  *zstd_enable_transparent(json = null) {
    if (typeof json !== 'string')
      throw new TampError('usage', 'zstd_enable_transparent takes its configuration as a JSON text.')
    const { remarks } = yield* enable(parseEnableJson(json))
    for (const { detail, hint } of remarks) yield* log('info', hint === undefined ? detail : `${detail} (${hint})`)
    return 'Done!'
  },

  *zstd_incremental_maintenance(seconds = null, load = null) {
    if (seconds !== null && typeof seconds !== 'number')
      throw new TampError('usage', 'zstd_incremental_maintenance takes seconds, or NULL for no limit.')
    if (seconds !== null && !(seconds >= 0 && seconds <= longestTime)) throw new TampError('usage', 'time too large')
    if (typeof load !== 'number')
      throw new TampError(
        'usage',
        'The second argument of zstd_incremental_maintenance is the load, above 0 and at most 1.',
      )
    const { complete, columns, skipped } = yield* maintain({ maxSeconds: seconds, load })
    for (const { subject, reason } of skipped) {
      // A column that was begun and could not be gone through is an error, as in sqlite-zstd; what was compressed stays so.
      if (columns.some((column) => column.lane === subject && !column.complete))
        throw new TampError('failed', `${subject} was left: ${reason}`)
      yield* log('warn', `${subject} was left: ${reason}`)
    }
    return complete ? 0 : 1
  },

  *tamp(command = null, json = null) {
    const known = Object.entries(commands).find(([name]) => name === command)?.[1]
    if (known === undefined) {
      const closest = closestName(String(command), Object.keys(commands))
      throw new TampError('usage', `There is no command "${String(command)}".`, {
        hint:
          closest === undefined
            ? `The commands are ${Object.keys(commands).join(', ')}.`
            : `Did you mean "${closest}"?`,
      })
    }
    return JSON.stringify(yield* known.run(parseOptions(json, known)), printed)
  },
}

/** The longest time that sqlite-zstd takes, in seconds. */
const longestTime = 1e100

type Options = Readonly<Record<string, unknown>>

interface Command {
  readonly required: readonly string[]
  readonly optional: readonly string[]
  run(options: Options): Policy<unknown>
}

const ofColumn = ['level', 'dictChooser', 'minDictBytesForTraining', 'dictSizeRatio', 'trainDictSamplesRatio']

const commands: Readonly<Record<string, Command>> = {
  inspect: {
    required: [],
    optional: ['table', 'column', 'sampleRows', 'maxSeconds'],
    run: (options) => inspect(options as InspectOptions),
  },
  enable: {
    required: ['table', 'column'],
    optional: [...ofColumn, 'incrementalCompressionStepBytes', 'minLength', 'dryRun'],
    run: (options) => enable(options as unknown as EnableOptions),
  },
  maintain: {
    required: [],
    optional: ['table', 'column', 'maxSeconds', 'load', 'oneStep', 'retrain', 'recompress', 'dryRun'],
    run: (options) => maintain(options as MaintainOptions),
  },
  disable: {
    required: ['table', 'column'],
    optional: ['maxSeconds', 'load', 'oneStep', 'dryRun'],
    run: (options) => disable(options as unknown as DisableOptions),
  },
  check: {
    required: [],
    optional: ['table', 'column', 'maxSeconds', 'load'],
    run: (options) => check(options as CheckOptions),
  },
  index: {
    required: ['table', 'on'],
    optional: ['name', 'where', 'unique', 'dryRun'],
    run: (options) => addIndex(options as unknown as AddIndexOptions),
  },
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''
const isSwitch = (value: unknown): boolean => typeof value === 'boolean'
const isNumber = (value: unknown): boolean => typeof value === 'number'

/** What options may be, where that is not looked at by the command itself. */
const kinds: Readonly<Record<string, readonly [is: (value: unknown) => boolean, words: string]>> = {
  table: [isText, 'a text'],
  column: [isText, 'a text'],
  name: [isText, 'a text'],
  where: [isText, 'a text'],
  on: [(value) => Array.isArray(value) && value.every(isText), 'an array of texts'],
  maxSeconds: [(value) => value === null || isNumber(value), 'a number, or null for no limit'],
  load: [isNumber, 'a number'],
  sampleRows: [(value) => Number.isSafeInteger(value) && (value as number) >= 1, 'a whole number from 1 on'],
  oneStep: [isSwitch, 'true or false'],
  retrain: [isSwitch, 'true or false'],
  recompress: [isSwitch, 'true or false'],
  dryRun: [isSwitch, 'true or false'],
  unique: [isSwitch, 'true or false'],
}

/** The options of a command. @throws TampError usage where they are no JSON object, one is missing, or one has an unknown name */
function parseOptions(json: Value, { required, optional }: Command): Options {
  const names = [...required, ...optional]
  const hint = `The options are ${names.join(', ')}.`
  let options: unknown
  try {
    options = json === null ? {} : JSON.parse(String(json))
  } catch (error) {
    throw new TampError('usage', `The options are not JSON: ${(error as Error).message}.`, { hint })
  }
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new TampError('usage', 'The options must be a JSON object.', { hint })
  for (const [name, value] of Object.entries(options))
    if (!names.includes(name)) {
      const closest = closestName(name, names)
      throw new TampError('usage', `There is no option "${name}".`, {
        hint: closest === undefined ? hint : `Did you mean "${closest}"?`,
      })
    } else if (kinds[name]?.[0](value) === false)
      throw new TampError('usage', `The option "${name}" is ${kinds[name][1]}, not ${JSON.stringify(value)}.`)
  for (const name of required)
    if (!(name in options)) throw new TampError('usage', `The option "${name}" is missing.`, { hint })
  return options as Options
}

/** JSON has no integers beyond 2^53 that every reader keeps, and no bytes. */
function printed(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  return value instanceof Uint8Array ? Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('') : value
}

function answerTo(request: Request, host: Host): unknown {
  switch (request.kind) {
    case 'query': {
      const rows = host.query(request.sql, request.params)
      if ('code' in rows) throw new SqlError(rows.message, rows.code)
      return rows
    }
    case 'changes':
      return host.changes()
    case 'autocommit':
      return host.autocommit()
    case 'now':
      return host.now()
    case 'sleep':
      return host.sleep(request.seconds)
    case 'stopping':
      return host.stopping()
    case 'defensive':
      return host.defensive(request.on)
    case 'log':
      return host.log(request.level, request.message)
    case 'tell':
      return host.log('debug', JSON.stringify(request.event))
  }
}
