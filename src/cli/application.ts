// The whole command line: its routes, its version, and the one place where a failure becomes a sentence and an exit status.
import { buildApplication, buildRouteMap, run, text_en, version } from '@stricli/core'
import { readFile } from 'node:fs/promises'
import { TampError } from '../core/errors.ts'
import type { TampContext } from './command.ts'
import { demoCommand, demoPowersyncCommand, demoSqliteCommand, demoSynapseCommand } from './demo.ts'
import { helpPage } from './help-page.ts'
import { tellFailure } from './failure.ts'
import { powersyncCheckCommand } from './powersync-check.ts'
import { powersyncCompactCommand } from './powersync-compact.ts'
import { powersyncDefragmentCommand } from './powersync-defragment.ts'
import { powersyncInspectCommand } from './powersync-inspect.ts'
import { ownSpelling } from './powersync-options.ts'
import { powersyncReclaimCommand } from './powersync-reclaim.ts'
import { sqliteCheckCommand } from './sqlite-check.ts'
import { sqliteDisableCommand } from './sqlite-disable.ts'
import { sqliteEnableCommand } from './sqlite-enable.ts'
import { sqliteIndexCommand } from './sqlite-index.ts'
import { sqliteInspectCommand } from './sqlite-inspect.ts'
import { sqliteMaintainCommand } from './sqlite-maintain.ts'
import { sqliteShellInitCommand } from './sqlite-shell-init.ts'
import { synapseCheckCommand } from './synapse-check.ts'
import { synapseCompactCommand } from './synapse-compact.ts'
import { synapseInspectCommand } from './synapse-inspect.ts'
import { Terminal } from './terminal.ts'
import { unknownCommand, usageError } from './usage-errors.ts'

const synapse = buildRouteMap<string, TampContext>({
  routes: {
    inspect: synapseInspectCommand,
    compact: synapseCompactCommand,
    check: synapseCheckCommand,
  },
  docs: {
    brief: 'State groups of a Synapse homeserver on PostgreSQL.',
    fullDescription:
      'Packs down the state groups of a Synapse homeserver on PostgreSQL, while it runs.\n' +
      'Start with "inspect", look at the plan of "compact", then run "compact --execute".',
  },
})

const sqlite = buildRouteMap<string, TampContext>({
  routes: {
    inspect: sqliteInspectCommand,
    enable: sqliteEnableCommand,
    maintain: sqliteMaintainCommand,
    disable: sqliteDisableCommand,
    check: sqliteCheckCommand,
    index: sqliteIndexCommand,
    'shell-init': sqliteShellInitCommand,
  },
  docs: {
    brief: 'Compressed columns in a SQLite file.',
    fullDescription:
      'Compresses columns of a SQLite database row by row, behind the own names of their tables, with dictionaries trained on them.\n' +
      'Start with "inspect", which says what is worth it; "enable" prepares a column, "maintain" compresses it.',
  },
})

const powersync = buildRouteMap<string, TampContext>({
  routes: {
    inspect: powersyncInspectCommand,
    compact: powersyncCompactCommand,
    defragment: powersyncDefragmentCommand,
    check: powersyncCheckCommand,
    reclaim: powersyncReclaimCommand,
  },
  docs: {
    brief: 'Buckets of a PowerSync service, stored in PostgreSQL.',
    fullDescription:
      'Shortens the buckets of a self-hosted PowerSync service that stores them in PostgreSQL, while it runs.\n' +
      'Start with "inspect", look at the plan of "compact", then run "compact --execute".',
  },
})

const demo = buildRouteMap<string, TampContext>({
  routes: {
    all: demoCommand,
    synapse: demoSynapseCommand,
    powersync: demoPowersyncCommand,
    sqlite: demoSqliteCommand,
  },
  defaultCommand: 'all',
  docs: { brief: 'Show the whole way on real data, in a database of its own.', hideRoute: { all: true } },
})

const root = buildRouteMap<string, TampContext>({
  routes: { synapse, powersync, sqlite, demo },
  docs: {
    brief: 'Packs down the history that live databases pile up.',
    fullDescription:
      'tamp packs down the history that live databases pile up: losslessly, in small proven steps, while they stay online.\n' +
      'No command changes anything unless --execute is given.',
  },
})

/** Runs one command line and returns its exit status. Prints; never throws. */
export async function runTamp(words: readonly string[]): Promise<number> {
  const terminal = new Terminal()
  let failure: unknown
  const fail = (error: unknown): string => {
    failure ??= error
    return ''
  }
  const application = buildApplication(
    root,
    {
      name: 'tamp',
      scanner: { caseStyle: 'allow-kebab-for-camel' },
      documentation: { disableAnsiColor: true },
      localization: {
        text: {
          ...text_en,
          noCommandRegisteredForInput: ({ input, corrections }) => fail(unknownCommand(input, corrections)),
          exceptionWhileParsingArguments: (exception) => fail(usageError(exception)),
          exceptionWhileLoadingCommandFunction: fail,
          exceptionWhileLoadingCommandContext: fail,
          exceptionWhileRunningCommand: fail,
          commandErrorResult: fail,
          exceptionWhileRunningIntegrationFlag: ({ exception }) => fail(exception),
          exceptionWhileRunningIntegrationHook: ({ exception }) => fail(exception),
        },
      },
    },
    {
      help: helpPage(),
      version: version<TampContext>({
        info: { getCurrentVersion: packageVersion },
        alias: false,
        brief: 'Print the version.',
      } as Parameters<typeof version>[0]),
    },
  )
  // Stricli's own complaints come through `fail`; nothing of it may reach standard error by itself.
  const adapter: { stdout: { write(text: string): void }; stderr: { write(text: string): void }; exitCode?: number } = {
    stdout: { write: (text) => terminal.out(text) },
    stderr: { write: () => {} },
  }
  await run(application, words[0] === 'powersync' ? ownSpelling(words) : words, {
    process: adapter,
    terminal,
  } as TampContext & { process: typeof adapter })
  try {
    if (failure === undefined) terminal.checkOutput()
  } catch (error) {
    failure = error
  }
  if (failure !== undefined) return reportFailure(terminal, failure, words)
  const status = adapter.exitCode ?? 0
  // Stricli's own statuses are negative: its -4 and -5 are misuse.
  if (status >= 0) return status
  return status === -4 || status === -5 ? 2 : 1
}

function reportFailure(terminal: Terminal, failure: unknown, words: readonly string[]): number {
  const error =
    failure instanceof TampError
      ? failure
      : new TampError('failed', failure instanceof Error ? failure.message : String(failure), { cause: failure })
  tellFailure(terminal, error, words.includes('--json'))
  return error.exitStatus
}

/** From package.json, which lies at the same distance from the sources and from what is built of them. */
async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
