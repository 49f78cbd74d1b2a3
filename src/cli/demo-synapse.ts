// The demo of state groups: the whole way on the state tables of two homeservers, in databases of its own that are gone afterwards.
import { existsSync } from 'node:fs'
import { TampError } from '../core/errors.ts'
import type { LanePlan, Report } from '../core/report.ts'
import { resolveSettings } from '../database/connection-settings.ts'
import { loadDump } from '../database/load-dump.ts'
import { connect, describeFailure } from '../database/postgres.ts'
import { checkStateGroups, compact, inspectRooms, openSynapse } from '../synapse/index.ts'
import type { SynapseDatabase } from '../synapse/index.ts'
import { openDemoServer } from './demo-server.ts'
import type { DemoServer } from './demo-server.ts'
import { takeStep } from './demo-step.ts'
import { count, counted, duration, percent, printable } from './figures.ts'
import { Interruption } from './interruption.ts'
import { table } from './table.ts'
import type { Column } from './table.ts'
import type { Terminal } from './terminal.ts'

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

/** @param connection a server of the user's; without it an embedded one is started */
export async function runSynapseDemo(terminal: Terminal, connection: string | undefined): Promise<number> {
  if (!homeservers.every(({ dump }) => existsSync(dump)))
    throw new TampError('not-installed', 'The data of the demo are not part of this installation.', {
      hint: 'Run it from the repository: npm ci && npm run demo.',
    })
  using interruption = new Interruption(terminal, 'Stopping and cleaning up.')
  const { signal } = interruption
  const started = performance.now()
  const steps = {
    terminal,
    signal,
    interrupted: 'Interrupted; the databases of the demo are removed.',
    describe: describeFailure,
  }
  const step = <Result>(name: string, act: () => Promise<Result>, say: (result: Result) => string): Promise<Result> =>
    takeStep(steps, name, act, say)

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
