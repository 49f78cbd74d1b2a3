// The two commands of the old compressor: parse, call the library, print the lines its users' scripts know.
// They go to standard error, as its log does. RUST_LOG says how much of it is wanted.
import { readFileSync } from 'node:fs'
import { TampError } from '../core/errors.ts'
import type { Left } from '../core/unit.ts'
import { openSynapse } from '../synapse/database.ts'
import { parseCompressChunks, parseCompressState } from '../synapse/old-commands/arguments.ts'
import { compressChunks } from '../synapse/old-commands/compress-chunks.ts'
import { compressState } from '../synapse/old-commands/compress-state.ts'
import type { MessageLevel, Tell } from '../synapse/old-commands/messages.ts'
import { Interruption } from './interruption.ts'
import { openScript } from './script-file.ts'
import { Terminal } from './terminal.ts'

const compressStateHelp = `Usage: synapse_compress_state -p POSTGRES_LOCATION -r ROOM_ID [flags]

Packs the state groups of one room of a Synapse database into fewer rows. Without -o and -c it only says what it would save.

  -p POSTGRES_LOCATION  where the database is: postgresql://user:password@host/database, or key=value pairs
  -r ROOM_ID            the room
  -b MIN_STATE_GROUP    take only state groups above this one
  -n GROUPS             take at most so many groups, lowest first
  -s MAX_STATE_GROUP    take only state groups up to this one
  -m COUNT              write nothing if fewer rows than this would be saved
  -l LEVELS             sizes of the levels, lowest first (default 100,50,25)
  -o FILE               write the changes to a file, as SQL; it is written whole or not at all
  -t                    with -o: a transaction around the changes of each group
  -c                    carry the changes out; Synapse may be running
  -g                    write the groups before and after as CSV files, into the working directory
  -N                    do not tell about the check; it is made all the same
  --plan best           choose bases the new way instead of by levels
  -h, --help            this text
  -V, --version         the version

Exit status: 0 done, or nothing to save; 1 failed; 2 wrong use; 3 done, but some groups were left as they are; 130 interrupted cleanly.
`

const autoCompressorHelp = `Usage: synapse_auto_compressor -p POSTGRES_LOCATION -c COUNT -n CHUNKS [flags]

Packs the state groups of a Synapse database into fewer rows, the oldest first, and writes the changes. Synapse may be running.

  -p POSTGRES_LOCATION  where the database is: postgresql://user:password@host/database, or key=value pairs
  -c COUNT              state groups in a chunk
  -n CHUNKS             chunks in this run
  -l LEVELS             sizes of the levels, lowest first (default 100,50,25)
  --plan best           choose bases the new way instead of by levels
  -h, --help            this text
  -V, --version         the version

Exit status: 0 done, or nothing to save; 1 failed; 2 wrong use; 3 done, but some groups were left as they are; 130 interrupted cleanly.
`

/** Runs `synapse_compress_state`. @returns its exit status */
export function runCompressState(args: readonly string[]): Promise<number> {
  return run('synapse_compress_state', compressStateHelp, parseCompressState, args, async (request, terminal, stop) => {
    const tell = teller(terminal, 'synapse_compress_state', 'debug', (_, text) => text)
    // Whether the file can be written is found out before the work.
    await using file = request.file === undefined ? undefined : await openScript(request.file, terminal, stop)
    const database = await stop.race(openSynapse({ connection: request.connection }))
    const left = await compressState(database, request, {
      tell,
      signal: stop.signal,
      ...(file === undefined ? {} : { sql: (text) => file.write(text) }),
      async graphs(files) {
        for (const [name, text] of files) {
          await using csv = await openScript(name, terminal, stop)
          await csv.write(text)
          await csv.finish()
        }
      },
    })
    // Where nothing is saved the file is empty: an older one must not be taken for this run's.
    await file?.finish()
    return left
  })
}

/** Runs `synapse_auto_compressor`. @returns its exit status */
export function runAutoCompressor(args: readonly string[]): Promise<number> {
  const name = 'synapse_auto_compressor'
  return run(name, autoCompressorHelp, parseCompressChunks, args, async (request, terminal, stop) => {
    const stamped = (level: MessageLevel, text: string): string =>
      `[${new Date().toISOString().slice(0, 19)}Z ${level.toUpperCase().padEnd(5)} ${name}] ${text}`
    const tell = teller(terminal, name, 'info', stamped)
    tell('info', `${name} started`)
    const database = await stop.race(openSynapse({ connection: request.connection }))
    const { left } = await compressChunks(database, request, { tell, signal: stop.signal })
    tell('info', `${name} finished`)
    return left
  })
}

async function run<Request>(
  name: string,
  help: string,
  parse: (args: readonly string[]) => Request | 'help' | 'version',
  args: readonly string[],
  work: (request: Request, terminal: Terminal, stop: Interruption) => Promise<readonly Left[]>,
): Promise<number> {
  const terminal = new Terminal()
  try {
    const request = parse(args)
    if (request === 'help' || request === 'version') {
      terminal.out(request === 'help' ? help : `${name} (tamp ${version()})\n`)
      return 0
    }
    using stop = new Interruption(terminal, 'Stopping: what has begun is finished or rolled back.')
    const left = await work(request, terminal, stop)
    for (const { subject, reason } of left) terminal.err(`${name}: left as it is: ${subject}: ${reason}\n`)
    return left.length === 0 ? 0 : 3
  } catch (error) {
    const known = error instanceof TampError ? error : undefined
    terminal.err(`${name}: ${known?.message ?? (error as Error).message}\n`)
    if (known?.hint !== undefined) terminal.err(`${known.hint}\n`)
    return known?.code === 'usage' ? 2 : known?.code === 'interrupted' ? 130 : 1
  }
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

const levels: readonly string[] = ['off', 'error', 'warn', 'info', 'debug', 'trace']

/** Prints messages of a level that is wanted: by RUST_LOG where it says something about this command, else by `usual`. */
function teller(
  terminal: Terminal,
  name: string,
  usual: MessageLevel,
  format: (level: MessageLevel, text: string) => string,
): Tell {
  const wanted = levels.indexOf(levelFrom(process.env['RUST_LOG'], name) ?? usual)
  return (level, text) => {
    if (levels.indexOf(level) <= wanted) terminal.err(`${format(level, text)}\n`)
  }
}

/** RUST_LOG is a list of `level` and `module=level`; of a list that is set but silent about a command, its log shows errors only. */
function levelFrom(text: string | undefined, name: string): string | undefined {
  if (text === undefined) return undefined
  let found = 'error'
  for (const directive of text.toLowerCase().split(',')) {
    const [first, second] = directive.trim().split('=')
    if (second === undefined && levels.includes(first!)) found = first!
    else if (name === first) return second === undefined ? 'trace' : levels.includes(second) ? second : found
  }
  return found
}
