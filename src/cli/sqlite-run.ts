// Runs a command of `tamp sqlite`: its thread, its progress, its JSON lines, what it says while it works, and Ctrl-C.
import { TampError } from '../core/errors.ts'
import type { Measure, RunSummary } from '../core/report.ts'
import type { PolicyEvent, RunControl } from '../sqlite/index.ts'
import { extensionLibrary } from '../sqlite/index.ts'
import type { OutputFlags } from './command.ts'
import { counted, duration, printable, sentence } from './figures.ts'
import { Interruption } from './interruption.ts'
import { jsonLine, statusLine } from './json-lines.ts'
import { Progress } from './progress.ts'
import { fileSize } from './sqlite-options.ts'
import type { Terminal } from './terminal.ts'

export interface SqliteWork {
  readonly file: string
  /** What is said until the first figure is there. */
  readonly beginning: string
  /** What the progress counts. Default: chunks. */
  readonly units?: string
  /** What is said when the first signal comes. */
  readonly stopping: string
  /** Where functions in JavaScript do when the extension cannot be had, what is said then; null where they do not. */
  readonly withoutLibrary: string | null
}

export interface SqliteRun<Result> {
  readonly result: Result
  readonly seconds: number
  readonly fileBytesBefore: number
  readonly fileBytesAfter: number
}

/** @throws TampError; `interrupted` for whatever went wrong after Ctrl-C */
export async function runSqlite<Result>(
  terminal: Terminal,
  output: OutputFlags,
  { file, beginning, units = 'chunks', stopping, withoutLibrary }: SqliteWork,
  act: (control: RunControl) => Promise<Result>,
): Promise<SqliteRun<Result>> {
  const fileBytesBefore = fileSize(file)
  const { json, quiet } = output
  using interruption = new Interruption(terminal, stopping)
  const functions = await availableFunctions(terminal, interruption, withoutLibrary)
  using progress = new Progress(terminal, {
    show: quiet ? null : json ? 'bar-only' : 'auto',
    beginning,
    units,
  })
  const listener = new Listener(terminal, output, progress)
  const started = performance.now()
  try {
    const result = await act({
      functions,
      signal: interruption.signal,
      onEvent: (event) => listener.hear(event),
      onWait: (reason) => listener.wait(reason),
      onLog(level, message) {
        if (level === 'debug' || level === 'info') return
        progress.clear()
        terminal.err(`tamp: ${sentence(printable(message))}\n`)
      },
    })
    const seconds = Math.round((performance.now() - started) / 10) / 100
    return {
      result,
      seconds,
      fileBytesBefore,
      fileBytesAfter: fileSize(file),
    }
  } catch (error) {
    if (interruption.signal.aborted)
      throw new TampError('interrupted', 'Interrupted; what was done is whole and stays.', { cause: error })
    throw error
  }
}

/** Says in one sentence when the extension is built, or done without. @throws TampError `no-library` */
async function availableFunctions(
  terminal: Terminal,
  interruption: Interruption,
  withoutLibrary: string | null,
): Promise<'native' | 'javascript'> {
  try {
    await interruption.race(extensionLibrary({ tell: (told) => terminal.err(`${told}\n`) }))
    return 'native'
  } catch (error) {
    if (withoutLibrary === null || !(error instanceof TampError) || error.code !== 'no-library') throw error
    terminal.err(`${error.message} ${withoutLibrary}\n`)
    return 'javascript'
  }
}

/** Turns what the policy tells into progress, JSON lines, and lines for `--verbose`. */
class Listener {
  readonly #terminal: Terminal
  readonly #output: OutputFlags
  readonly #progress: Progress
  readonly #started = performance.now()
  #told = -Infinity
  #chunks = 0
  #rowsDone = 0
  #percentDone = 0
  #secondsRemaining: number | null = null
  #waiting: string | null = null
  #lane = ''

  constructor(terminal: Terminal, output: OutputFlags, progress: Progress) {
    this.#terminal = terminal
    this.#output = output
    this.#progress = progress
  }

  hear(event: PolicyEvent): void {
    const { json, verbose } = this.#output
    if (event.type !== 'finding' && event.lane !== this.#lane) {
      this.#lane = event.lane
      this.#progress.hear({ type: 'reading', lane: event.lane, rowsEstimate: 0 })
    }
    // Findings are in the report as well; a line for each is what the other commands give, too.
    const line = json && event.type === 'finding' ? findingLine(event) : verbose ? eventLine(event, json) : undefined
    if (line !== undefined) {
      this.#progress.clear()
      if (json) this.#terminal.out(line)
      else this.#terminal.err(line)
    }
    if (event.type !== 'chunk' && event.type !== 'read') return
    this.#chunks++
    this.#rowsDone += event.rows
    const share = this.#rowsDone / Math.max(1, this.#rowsDone + event.rowsLeftEstimate)
    const elapsed = (performance.now() - this.#started) / 1000
    this.#percentDone = Math.round(share * 1000) / 10
    this.#secondsRemaining = share === 0 ? null : Math.round((elapsed * (1 - share)) / share)
    this.wait(null)
  }

  wait(reason: string | null): void {
    this.#waiting = reason
    const status = {
      type: 'status',
      percentDone: this.#percentDone,
      unitsDone: this.#chunks,
      secondsRemaining: this.#secondsRemaining,
      waiting: this.#waiting,
    } as const
    this.#progress.hear(status)
    if (!this.#output.json || performance.now() - this.#told < 1000) return
    this.#told = performance.now()
    this.#progress.clear()
    this.#terminal.out(statusLine(status))
  }
}

function findingLine({ code, subject, detail, fault }: PolicyEvent & { type: 'finding' }): string {
  return jsonLine({ type: 'finding', code, subject, detail, fault })
}

/** A line for `--verbose`, undefined for what only moves the progress on. */
function eventLine(event: PolicyEvent, json: boolean): string | undefined {
  if (event.type === 'finding' || event.type === 'read') return undefined
  const { type, lane, ...rest } = event
  if (json) return jsonLine({ type: type === 'chunk' ? 'unit' : type, column: lane, ...rest })
  const name = printable(lane)
  switch (event.type) {
    case 'training':
      return `${name}: training a dictionary for ${printable(event.key)} on ${counted(event.rows, 'row')}\n`
    case 'chunk':
      return `${name}: ${counted(event.rows, 'row')} in ${duration(event.seconds)}\n`
    case 'left':
      return `${name}: ${printable(event.subject)} left as it is: ${printable(event.reason)}\n`
  }
}

/** What the summary line of every `tamp sqlite` command has. */
export function sqliteSummary(
  command: string,
  execute: boolean,
  run: SqliteRun<unknown>,
  more: Partial<RunSummary> & { readonly before?: Measure; readonly after?: Measure },
): RunSummary {
  return {
    command: `sqlite ${command}`,
    mode: execute ? 'execute' : 'dry-run',
    complete: true,
    before: { rows: 0, fileBytes: run.fileBytesBefore },
    after: { rows: 0, fileBytes: run.fileBytesAfter },
    units: { planned: 0, done: 0, skipped: 0, failed: 0 },
    proof: { checked: 0, mismatches: 0 },
    findings: [],
    skipped: [],
    seconds: run.seconds,
    throttledSeconds: 0,
    ...more,
  }
}
