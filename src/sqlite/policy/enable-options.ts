// What can be asked of a compressed column, from TypeScript and in the JSON of `zstd_enable_transparent`. Whatever is misspelled is said.

import { TampError } from '../../core/errors.ts'
import { closestName } from './closest-name.ts'

export interface EnableOptions {
  readonly table: string
  readonly column: string
  /** zstd level, 1–22, or `auto`: tried on a sample, together with trainer and size. Default `auto`. */
  readonly level?: number | 'auto'
  /** SQL expression over the row that gives the key of the dictionary. Default: one key for the column. */
  readonly dictChooser?: string
  readonly minDictBytesForTraining?: number
  readonly dictSizeRatio?: number
  readonly trainDictSamplesRatio?: number
  readonly incrementalCompressionStepBytes?: number
  /** Cells shorter than this many characters (bytes, for blobs) stay plain. Default 16. */
  readonly minLength?: number
  readonly dryRun?: boolean
}

type Check = (value: unknown) => string | undefined

const isText: Check = (value) => (typeof value === 'string' && value !== '' ? undefined : 'must be a text')
const isLevel: Check = (value) =>
  value === 'auto' || (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 22)
    ? undefined
    : `must be a whole number from 1 to 22, or "auto"`
const isBytes: Check = (value) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
    ? undefined
    : 'must be a whole number from 0 on'
const isPositive: Check = (value) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 1
    ? undefined
    : 'must be a whole number from 1 on'
const isRatio: Check = (value) =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? undefined : 'must be a number above 0'
const isBoolean: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false')

/** The keys of the JSON, what they are in TypeScript, and what they may be. */
const keys: Readonly<Record<string, readonly [keyof EnableOptions, Check]>> = {
  table: ['table', isText],
  column: ['column', isText],
  compression_level: ['level', isLevel],
  dict_chooser: ['dictChooser', isText],
  min_dict_size_bytes_for_training: ['minDictBytesForTraining', isBytes],
  dict_size_ratio: ['dictSizeRatio', isRatio],
  train_dict_samples_ratio: ['trainDictSamplesRatio', isRatio],
  incremental_compression_step_bytes: ['incrementalCompressionStepBytes', isPositive],
  min_length: ['minLength', isPositive],
  dry_run: ['dryRun', isBoolean],
}

/** The options in the JSON that sqlite-zstd takes. @throws TampError usage */
export function parseEnableJson(json: string): EnableOptions {
  let given: unknown
  try {
    given = JSON.parse(json)
  } catch (error) {
    throw new TampError('usage', `The configuration is not JSON: ${(error as Error).message}.`, { hint: example })
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new TampError('usage', 'The configuration must be a JSON object.', { hint: example })
  const options: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(given)) {
    const known = keys[key]
    if (known === undefined) {
      const closest = closestName(key, Object.keys(keys))
      throw new TampError('usage', `The configuration has an unknown key "${key}".`, {
        hint: closest === undefined ? `The keys are ${Object.keys(keys).join(', ')}.` : `Did you mean "${closest}"?`,
      })
    }
    if (value !== null) options[known[0]] = value
  }
  return checkedOptions(options as unknown as EnableOptions, (option) => nameInJson(option))
}

const example = `Such as {"table": "events", "column": "data", "compression_level": 19, "dict_chooser": "'all'"}.`

function nameInJson(option: keyof EnableOptions): string {
  return Object.keys(keys).find((key) => keys[key]![0] === option)!
}

/** @throws TampError usage where an option is missing, or is not what it must be */
export function checkedOptions(
  options: EnableOptions,
  nameOf: (option: keyof EnableOptions) => string = (option) => option,
): EnableOptions {
  for (const required of ['table', 'column'] as const)
    if (options[required] === undefined)
      throw new TampError('usage', `The configuration lacks "${nameOf(required)}".`, { hint: example })
  for (const [option, check] of Object.values(keys)) {
    const value = options[option]
    const complaint = value === undefined ? undefined : check(value)
    if (complaint !== undefined)
      throw new TampError('usage', `${nameOf(option)} ${complaint}, not ${JSON.stringify(value)}.`)
  }
  return options
}
