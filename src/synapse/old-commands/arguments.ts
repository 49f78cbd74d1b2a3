// The flags of the old compressor's two commands, as its users know them: what they mean, and their defaults.
// A refused value is never repeated: it may be a connection string in the wrong place.
import { TampError } from '../../core/errors.ts'
import { defaultLevels } from '../plan/level-plan.ts'

/** `best` is ours; `levels` is what the old commands did, and the default. */
export type OldPlan = 'best' | { readonly levels: readonly number[] }

/** What `synapse_compress_state` was asked to do. */
export interface CompressStateRequest {
  /** -p: URL or key=value pairs. */
  readonly connection: string
  /** -r */
  readonly room: string
  /** -b: only groups above this id. */
  readonly above: number | undefined
  /** -n: at most so many groups, lowest first. */
  readonly groups: number | undefined
  /** -s: only groups up to this id. */
  readonly upTo: number | undefined
  /** -m: write nothing unless at least so many rows are saved. */
  readonly minSavedRows: number | undefined
  /** -l, or --plan best */
  readonly plan: OldPlan
  /** -o */
  readonly file: string | undefined
  /** -t: a transaction around every group of the file. */
  readonly transactions: boolean
  /** -g: write the graph before and after as CSV files. */
  readonly graphs: boolean
  /** -c: carry the changes out. */
  readonly commit: boolean
  /** Without -N: say that the states were compared. They are compared in any case. */
  readonly verify: boolean
}

/** What `synapse_auto_compressor` was asked to do. */
export interface CompressChunksRequest {
  /** -p: URL or key=value pairs. */
  readonly connection: string
  /** -c: groups a chunk. */
  readonly chunkSize: number
  /** -n: chunks of this run. */
  readonly chunks: number
  /** -l, or --plan best */
  readonly plan: OldPlan
}

/** The flags as given, by letter or long name; a switch that is on has the value ''. */
type Given = ReadonlyMap<string, string>

/** @throws TampError `usage` */
export function parseCompressState(args: readonly string[]): CompressStateRequest | 'help' | 'version' {
  const given = read(args, 'prbnsmlo', 'tgcN')
  if (typeof given === 'string') return given
  if (given.has('t') && !given.has('o')) throw wrong('-t needs -o: it is about the file')
  return {
    connection: required(given, 'p', 'where the database is'),
    room: required(given, 'r', 'a room'),
    above: integer(given, 'b'),
    groups: integer(given, 'n', 0),
    upTo: integer(given, 's'),
    minSavedRows: integer(given, 'm'),
    plan: planOf(given),
    file: given.get('o'),
    transactions: given.has('t'),
    graphs: given.has('g'),
    commit: given.has('c'),
    verify: !given.has('N'),
  }
}

/** @throws TampError `usage` */
export function parseCompressChunks(args: readonly string[]): CompressChunksRequest | 'help' | 'version' {
  const given = read(args, 'pcnl', '')
  if (typeof given === 'string') return given
  required(given, 'c', 'the size of a chunk')
  required(given, 'n', 'the number of chunks')
  return {
    connection: required(given, 'p', 'where the database is'),
    chunkSize: integer(given, 'c', 1)!,
    chunks: integer(given, 'n', 0)!,
    plan: planOf(given),
  }
}

/** Reads `-x value`, `-xvalue`, `-x=value` and joined switches such as `-tg`. */
function read(args: readonly string[], withValue: string, switches: string): Given | 'help' | 'version' {
  const given = new Map<string, string>()
  const set = (name: string, value: string): void => {
    const shown = name.length === 1 ? `-${name}` : `--${name}`
    if (given.has(name)) throw wrong(`${shown} is given twice`)
    if (value === '' && (name.length > 1 || withValue.includes(name))) throw wrong(`${shown} needs a value`)
    given.set(name, value)
  }
  const rest = [...args]
  const next = (): string => {
    // A number may be negative; anything else that starts with - is the next flag.
    const [value] = rest
    if (value === undefined || (value.startsWith('-') && !/^-\d/.test(value))) return ''
    rest.shift()
    return value
  }
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--help') return 'help'
    if (arg === '--version') return 'version'
    if (arg === '--plan') set('plan', next())
    else if (arg.startsWith('--plan=')) set('plan', arg.slice(7))
    else if (/^-[^-]/.test(arg)) {
      for (let at = 1; at < arg.length; at++) {
        const letter = arg[at]!
        if (letter === 'h') return 'help'
        if (letter === 'V') return 'version'
        if (withValue.includes(letter)) {
          const joined = arg.slice(at + 1)
          set(letter, joined === '' ? next() : joined.replace(/^=/, ''))
          break
        }
        if (!switches.includes(letter)) throw wrong(`there is no flag -${letter}`)
        set(letter, '')
      }
    } else throw wrong(arg.startsWith('--') ? 'there is no such option' : 'a value stands where a flag belongs')
  }
  return given
}

function required(given: Given, letter: string, what: string): string {
  const value = given.get(letter)
  if (value === undefined) throw wrong(`-${letter} is missing: it says ${what}`)
  return value
}

function integer(given: Given, letter: string, least = -Infinity): number | undefined {
  const text = given.get(letter)
  if (text === undefined) return undefined
  const value = /^[+-]?\d{1,15}$/.test(text) ? Number(text) : NaN
  if (value >= least) return value
  throw wrong(`-${letter} wants a whole number${least === -Infinity ? '' : `, ${least} or more`}`)
}

function planOf(given: Given): OldPlan {
  const plan = given.get('plan') ?? 'levels'
  if (plan !== 'best' && plan !== 'levels') throw wrong('--plan is best or levels')
  const text = given.get('l')
  if (plan === 'best') {
    if (text !== undefined) throw wrong('-l and --plan best contradict each other')
    return 'best'
  }
  if (text === undefined) return { levels: defaultLevels }
  const sizes = text.split(',')
  // A level of size 0 never has room: the old tool takes it, so do we.
  if (!sizes.every((size) => /^\+?\d{1,9}$/.test(size)))
    throw wrong('-l wants whole numbers with commas between, such as 100,50,25')
  return { levels: sizes.map(Number) }
}

function wrong(message: string): TampError {
  return new TampError('usage', `${message[0]!.toUpperCase()}${message.slice(1)}.`, { hint: '--help lists the flags.' })
}
