// A table of JSON rows three ways in one run: plain, compressed by sqlite-zstd 0.3.5 itself, compressed by tamp.
//
//   npm run bench:sqlite                        1,000,000 rows
//   npm run bench:sqlite -- --rows 300000
//   npm run bench:sqlite -- --ten               … and the memory that maintenance takes for ten times the rows (2.4 GB of disk)
//   npm run bench:sqlite -- --only plain,tamp   without sqlite-zstd, which cargo builds once
//
// Each step runs in a process of its own and is measured in seconds of CPU; operations several times, the contenders in turn, medians told.
import { execFile } from 'node:child_process'
import { constants, copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { extensionLibrary } from '../src/sqlite/host/extension-library.ts'
import { realSqliteZstd } from '../test/support/sqlite/real-sqlite-zstd.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    repeats: { type: 'string', default: '5' },
    only: { type: 'string', default: 'plain,sqlite-zstd,tamp' },
    level: { type: 'string', default: 'auto' },
    ten: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
})
const rows = Number(values.rows)
const repeats = Number(values.repeats)

type Operation = 'random select' | 'sequential select' | 'scan' | 'random update' | 'insert'

/** What a process is asked to do. */
interface Step {
  readonly step: Operation | 'fill' | 'compress' | 'vacuum' | 'figures'
  readonly file: string
  /** The extension to load; null for plain SQLite. */
  readonly library: string | null
  /** Rows of the table. */
  readonly rows: number
  /** How many of the operation, at most. */
  readonly operations: number
  /** Which ids, and which new rows. */
  readonly seed: number
  /** What `compress` enables the column with. */
  readonly configuration?: object
}

interface Measured {
  /** Of the operations alone. */
  readonly cpuSeconds: number
  readonly operations: number
  readonly peakMegabytes: number
  /** What the process took before the step began. */
  readonly startMegabytes: number
  readonly figures?: object
}

interface Contender {
  readonly name: string
  readonly library: string | null
  readonly level: number | 'auto' | null
  readonly file: string
}

const counts: Readonly<Record<Operation, number>> = {
  'random select': 50_000,
  'sequential select': 50_000,
  scan: 300_000,
  'random update': 20_000,
  insert: 50_000,
}

mkdirSync(new URL('../.tmp', import.meta.url), { recursive: true })
const folder = mkdtempSync(fileURLToPath(new URL('../.tmp/sqlite-rows-', import.meta.url)))
process.once('exit', () => {
  if (!values.keep) rmSync(folder, { recursive: true, force: true })
})

const contenders = await wanted(values.only.split(','))
const plainFile = join(folder, 'rows.db')
await step({ file: plainFile, library: null, rows }, 'fill')
await step({ file: plainFile, library: null, rows }, 'vacuum')
const plainBytes = statSync(plainFile).size

interface Made {
  readonly bytes: number
  readonly compress?: Measured
  readonly vacuum: Measured
  readonly figures?: CellFigures
}

interface CellFigures {
  readonly cells: number
  readonly bytes: number
  readonly pending: number
  readonly dictionaryBytes: number
}

say(`${rows} rows, ${bytes(plainBytes)} plain; each step in a process of its own, CPU seconds; medians of ${repeats}`)
const made = new Map<string, Made>()
for (const contender of contenders) {
  copyFileSync(plainFile, contender.file, constants.COPYFILE_FICLONE)
  const compress =
    contender.level === null
      ? undefined
      : await step(contender, 'compress', { configuration: configuration(contender) })
  const vacuum = await step(contender, 'vacuum')
  const figures = contender.level === null ? undefined : ((await step(contender, 'figures')).figures as CellFigures)
  made.set(contender.name, {
    bytes: statSync(contender.file).size,
    vacuum,
    ...(compress === undefined ? {} : { compress }),
    ...(figures === undefined ? {} : { figures }),
  })
}

const rates = new Map<string, number[]>()
for (let repeat = 0; repeat < repeats; repeat++)
  for (const operation of Object.keys(counts) as Operation[])
    // The first one after another operation finds a colder machine: nobody is always the first.
    for (const contender of turned(contenders, repeat)) {
      const writes = operation === 'random update' || operation === 'insert'
      const file = writes ? join(folder, 'written.db') : contender.file
      if (writes) {
        forget(file)
        copyFileSync(contender.file, file, constants.COPYFILE_FICLONE)
      }
      const { cpuSeconds, operations } = await step({ ...contender, file }, operation, { seed: repeat + 1 })
      const key = `${operation} ${contender.name}`
      rates.set(key, [...(rates.get(key) ?? []), operations / cpuSeconds])
    }

/** A bar of the table: what tamp's figure is divided by, and what the ratio must not pass. */
interface Bar {
  readonly of: 'plain' | 'sqlite-zstd'
  readonly atMost?: number
  readonly atLeast?: number
}

let missed = 0
say(['', ...contenders.map(({ name }) => name), 'tamp is', 'bar'])
tell('file after VACUUM, bytes', (name) => made.get(name)?.bytes, [
  { of: 'sqlite-zstd', atMost: 0.88 },
  { of: 'plain' },
])
tell('bytes a cell', (name) => quotient(made.get(name)?.figures?.bytes, made.get(name)?.figures?.cells), [
  { of: 'sqlite-zstd' },
])
tell('dictionaries, bytes', (name) => made.get(name)?.figures?.dictionaryBytes, [{ of: 'sqlite-zstd' }])
tell('cells still plain', (name) => made.get(name)?.figures?.pending, [])
tell('enabling and maintenance, CPU seconds', (name) => made.get(name)?.compress?.cpuSeconds, [
  { of: 'sqlite-zstd', atMost: 0.35 },
])
tell('VACUUM, CPU seconds', (name) => made.get(name)?.vacuum.cpuSeconds, [])
tell('peak memory of it, MB', (name) => made.get(name)?.compress?.peakMegabytes, [{ of: 'sqlite-zstd' }])
tell('of which the process before it', (name) => made.get(name)?.compress?.startMegabytes, [])
for (const [operation, bars] of [
  [
    'random select',
    [
      { of: 'sqlite-zstd', atLeast: 2.5 },
      { of: 'plain', atLeast: 0.8 },
    ],
  ],
  [
    'sequential select',
    [
      { of: 'sqlite-zstd', atLeast: 2.5 },
      { of: 'plain', atLeast: 0.8 },
    ],
  ],
  ['scan', [{ of: 'sqlite-zstd', atLeast: 15 }, { of: 'plain' }]],
  ['random update', [{ of: 'sqlite-zstd', atLeast: 1 }, { of: 'plain' }]],
  ['insert', [{ of: 'sqlite-zstd', atLeast: 1 }, { of: 'plain' }]],
] as const)
  tell(`${operation}, a CPU second`, (name) => median(rates.get(`${operation} ${name}`)), bars)

if (values.ten) await tenTimes()
if (missed > 0) process.exitCode = 1

/** Memory of maintenance, of a table and of one ten times as long. */
async function tenTimes(): Promise<void> {
  const tamp = contenders.find(({ name }) => name === 'tamp')
  const once = made.get('tamp')?.compress?.peakMegabytes
  if (tamp === undefined || once === undefined) return
  const long: Contender = { ...tamp, file: join(folder, 'ten.db') }
  await step({ file: long.file, library: null, rows: rows * 10 }, 'fill')
  const { peakMegabytes, cpuSeconds } = await step({ ...long, rows: rows * 10 }, 'compress', {
    configuration: configuration(long),
  })
  forget(long.file)
  const flat = peakMegabytes < 150
  if (!flat) missed++
  say([
    'ten times the rows',
    `${cpuSeconds.toFixed(1)} CPU s`,
    `${peakMegabytes} MB`,
    `${once} MB for these`,
    `< 150 MB ${flat ? 'met' : 'MISSED'}`,
  ])
}

async function wanted(names: readonly string[]): Promise<readonly Contender[]> {
  const found: Contender[] = []
  for (const name of names) {
    const file = join(folder, `${name}.db`)
    if (name === 'plain') found.push({ name, file, library: null, level: null })
    if (name === 'sqlite-zstd') {
      const library = await realSqliteZstd()
      if (library !== null) found.push({ name, file, library, level: 19 })
    }
    if (name === 'tamp') {
      const library = await extensionLibrary({ tell: say })
      found.push({ name, file, library, level: values.level === 'auto' ? 'auto' : Number(values.level) })
    }
  }
  return found
}

/** What `zstd_enable_transparent` is given. */
function configuration({ level }: Contender): object {
  return { table: 'titles', column: 'data', compression_level: level, dict_chooser: `'titles'` }
}

async function step(
  { file, library, rows: of = rows }: { file: string; library: string | null; rows?: number },
  name: Step['step'],
  more: Partial<Step> = {},
): Promise<Measured> {
  const asked: Step = {
    step: name,
    file,
    library,
    rows: of,
    operations: counts[name as Operation] ?? 1,
    seed: 1,
    ...more,
  }
  const program = fileURLToPath(new URL('sqlite-step.mjs', import.meta.url))
  const env = { ...process.env, SQLITE_ZSTD_LOG: 'error' }
  const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(asked)], { env })
  return JSON.parse(stdout) as Measured
}

function forget(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
}

function tell(name: string, figure: (contender: string) => number | undefined, bars: readonly Bar[]): void {
  const cells = contenders.map((contender) => printed(figure(contender.name)))
  const tamp = figure('tamp')
  const ratios: string[] = []
  const judged: string[] = []
  for (const { of, atMost, atLeast } of bars) {
    const ratio = quotient(tamp, figure(of))
    if (ratio === undefined) continue
    ratios.push(`${ratio.toFixed(2)}× ${of}`)
    if (atMost === undefined && atLeast === undefined) continue
    const met = ratio <= (atMost ?? Infinity) && ratio >= (atLeast ?? 0)
    if (!met) missed++
    judged.push(`${atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost}`}× ${of} ${met ? 'met' : 'MISSED'}`)
  }
  say([name, ...cells, ratios.join(', '), judged.join(', ')])
}

function say(line: string | readonly string[]): void {
  if (typeof line === 'string') console.log(line)
  else {
    const [name = '', ...cells] = line
    const figures = cells.slice(0, contenders.length).map((cell) => cell.padStart(14))
    const words = cells.slice(contenders.length)
    console.log(
      `${name.padEnd(38)}${figures.join('')}   ${words[0]?.padEnd(36) ?? ''}${words.slice(1).join('  ')}`.trimEnd(),
    )
  }
}

function printed(figure: number | undefined): string {
  if (figure === undefined) return '–'
  return figure < 1000 && !Number.isInteger(figure)
    ? figure.toFixed(figure < 100 ? 2 : 1)
    : Math.round(figure).toLocaleString('en')
}

function bytes(count: number): string {
  return `${(count / 1e6).toFixed(1)} MB`
}

function quotient(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined || other === 0 ? undefined : one / other
}

function median(numbers: readonly number[] | undefined): number | undefined {
  return numbers?.toSorted((a, b) => a - b)[numbers.length >> 1]
}

function turned<Item>(items: readonly Item[], by: number): readonly Item[] {
  return items.map((_, index) => items[(index + by) % items.length]!)
}
