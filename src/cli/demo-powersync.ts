// The demo of PowerSync buckets: the documented worst case in a storage of its own, which is gone afterwards,
// downloaded by the real client core before and after.
import { resolveSettings } from '../database/connection-settings.ts'
import { connect, describeFailure } from '../database/postgres.ts'
import type { Connection } from '../database/postgres.ts'
import {
  checkBuckets,
  compactBuckets,
  defragmentBuckets,
  inspectBuckets,
  openBucketStorage,
} from '../powersync/index.ts'
import type { BucketStorage, Prospects } from '../powersync/index.ts'
import { appendOperations, createBucketStorage, publishCheckpoint, rebuildCurrentData } from './demo-bucket-storage.ts'
import { findClientCore, openDemoClient } from './demo-client-core.ts'
import type { DemoClient, Download } from './demo-client-core.ts'
import { openDemoServer } from './demo-server.ts'
import type { DemoServer } from './demo-server.ts'
import { takeStep } from './demo-step.ts'
import { bytes, count, counted, duration } from './figures.ts'
import { Interruption } from './interruption.ts'
import { table } from './table.ts'
import type { Terminal } from './terminal.ts'

/** The bucket of the documented case: its first operation is the one row that is still there. */
const bucket = '1#global[]'
const deletedRows = 50_000
const globalOperations = 1 + 2 * deletedRows
/** Another bucket, of some rows that are changed again and again. */
const churned = { bucket: '1#settings["user-001"]', rows: 20, operations: 2000 }
/** What the service published while all this came in. */
const checkpoints = [1, 1 + deletedRows, globalOperations, globalOperations + churned.operations]

/** One line of the table at the end. */
interface Stage {
  readonly name: string
  /** In the bucket of the documented case. */
  readonly operations: number
  /** What a client downloads that has nothing yet, and one that had everything; null without the client core. */
  readonly fresh: Download | null
  readonly caughtUp: Download | null
}

/** @param connection a server of the user's; without it an embedded one is started */
export async function runPowersyncDemo(terminal: Terminal, connection: string | undefined): Promise<number> {
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

  terminal.out(`\n${terminal.style('bold', 'tamp demo')} · the buckets of a PowerSync service\n\n`)
  const core = findClientCore()
  await using server = await step(
    'PostgreSQL',
    () => openDemoServer(connection),
    ({ description }) => description,
  )
  const [storage, other] = await step(
    'Make',
    () => Promise.all([makeStorage(server, 'buckets'), makeStorage(server, 'buckets_too')]),
    () =>
      `one row, then ${count(deletedRows)} rows inserted and deleted; and a bucket of ${churned.rows} rows with ${count(churned.operations)} changes`,
  )
  if (core === null)
    terminal.out(
      '  Without clients: the real client core is in the npm package @powersync/node, which is not installed here.\n',
    )
  using clients = new Clients(core)
  const stages: Stage[] = []
  const look = async (name: string, at: BucketStorage): Promise<Stage> => {
    await using session = await at.connect()
    const stage = { name, operations: await operationsIn(session), ...(await clients.download(session)) }
    stages.push(stage)
    return stage
  }

  await step('New client', () => look('as it was', storage), downloadedText)
  await step(
    'Inspect',
    () => survey(storage, signal),
    ({ now, compacted, defragmented }) =>
      `${counted(now.operations, 'operation')} for ${counted(now.rows, 'row')}; ${count(compacted.operations)} after compacting, ${count(defragmented.operations)} after defragmenting`,
  )
  // Nobody is being served from this storage, so its newest checkpoint will do.
  const plain = { grace: 0, signal } as const
  await step(
    'Plan',
    () => compactBuckets(storage, { ...plain, mode: 'dry-run' }),
    ({ before, after }) =>
      `${count(before.operations ?? 0)} → ${counted(after.operations ?? 0, 'operation')}; nothing written yet`,
  )
  const compacted = await step(
    'Compact',
    () => compactBuckets(storage, { ...plain, mode: 'execute' }),
    ({ units, proof }) =>
      `the same in ${counted(units.done, 'transaction')}; ${counted(proof.checked, 'operation')} proven superseded, ${counted(proof.mismatches, 'difference')}`,
  )
  await step('New client', () => look('compacted', storage), downloadedText)
  const relocated = await step(
    'Relocate',
    () => defragmentBuckets(storage, { ...plain, mode: 'execute', how: 'relocate', checkpoints }),
    ({ after, resent }) =>
      `${counted(resent.operations, 'row')} sent again to existing clients; ${counted(after.operations ?? 0, 'operation')} left`,
  )
  await step('New client', () => look('defragmented: relocate', storage), downloadedText)
  // The other storage was made alike: who has everything of the one has everything of the other.
  const reinserted = await step(
    'Reinsert',
    async () => {
      await compactBuckets(other, { ...plain, mode: 'execute' })
      await using _replicator = await replicate(other)
      return await defragmentBuckets(other, { ...plain, mode: 'execute', how: 'reinsert' })
    },
    ({ after, resent }) =>
      `the other way, with new op ids: ${counted(resent.operations, 'row')} sent again; ${counted(after.operations ?? 0, 'operation')} left`,
  )
  await step('New client', () => look('defragmented: reinsert', other), downloadedText)
  const findings = await step(
    'Check',
    async () => (await Promise.all([storage, other].map((at) => damage(at, signal)))).reduce((a, b) => a + b),
    (found) => (found === 0 ? 'every checksum right, nothing found' : counted(found, 'finding')),
  )
  const again = await step(
    'Second run',
    () => compactBuckets(storage, { ...plain, mode: 'execute' }),
    ({ units }) => (units.done === 0 ? 'finds nothing left to do' : counted(units.done, 'more transaction')),
  )

  terminal.out(`\n${stagesText(stages, terminal)}\n`)
  const reports = [compacted, relocated, reinserted, again]
  const mismatches = reports.reduce((sum, { proof }) => sum + proof.mismatches, 0)
  const good = mismatches === 0 && findings === 0 && stages.every(isValid) && clients.agree
  const what =
    core === null
      ? 'No client looked at it.'
      : good
        ? 'Every client validated every checksum, and all of them see the same rows.'
        : 'The clients do NOT agree.'
  terminal.out(
    `${terminal.style(good ? 'green' : 'red', good ? '✓' : '✗')} ${what} ${duration((performance.now() - started) / 1000)} in all.\n\n` +
      'On your own storage, beside a running service, changing nothing:\n\n' +
      '  tamp powersync inspect --config powersync.yaml\n' +
      '  tamp powersync compact --config powersync.yaml\n\n' +
      'and with --execute, to carry it out.\n',
  )
  return mismatches > 0 ? 12 : good ? 0 : 1
}

/** The client that had everything from the beginning, and one that starts anew each time. */
class Clients {
  readonly #core: string | null
  readonly #caughtUp: DemoClient | null
  #rows: string | undefined
  /** All clients have seen the same rows so far. */
  agree = true

  constructor(core: string | null) {
    this.#core = core
    this.#caughtUp = core === null ? null : openDemoClient(core)
  }

  async download(session: Connection): Promise<Pick<Stage, 'fresh' | 'caughtUp'>> {
    if (this.#core === null || this.#caughtUp === null) return { fresh: null, caughtUp: null }
    const first = this.#rows === undefined
    const caughtUp = await this.#caughtUp.download(session)
    this.#compare(this.#caughtUp)
    if (first) return { fresh: caughtUp, caughtUp: null }
    using client = openDemoClient(this.#core)
    const fresh = await client.download(session)
    this.#compare(client)
    return { fresh, caughtUp }
  }

  #compare(client: DemoClient): void {
    const rows = client.rows()
    this.#rows ??= rows
    if (rows !== this.#rows) this.agree = false
  }

  [Symbol.dispose](): void {
    this.#caughtUp?.[Symbol.dispose]()
  }
}

async function makeStorage(server: DemoServer, name: string): Promise<BucketStorage> {
  const connection = await server.createDatabase(name)
  {
    await using session = await connect(resolveSettings({ connection }))
    await createBucketStorage(session)
    await appendOperations(session, history)
    await rebuildCurrentData(session)
    await publishCheckpoint(session)
    await session.execute('VACUUM ANALYZE')
  }
  return openBucketStorage({ connection, env: {} })
}

/** Stands in for the replicator of the service: publishes what there is, again and again. */
async function replicate(storage: BucketStorage): Promise<AsyncDisposable> {
  const session = await storage.connect()
  let publishing = Promise.resolve()
  const timer = setInterval(() => {
    publishing = publishing.then(() => publishCheckpoint(session))
  }, 200)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await publishing
      await session[Symbol.asyncDispose]()
    },
  }
}

const history = `
  SELECT op_id, bucket, row_id, CASE WHEN NOT deleted THEN jsonb_build_object('id', row_id, 'name', 'list ' || op_id)::text END AS data
    FROM (SELECT op_id, '${bucket}' AS bucket, md5('list ' || CASE WHEN op_id > 1 THEN (op_id - 2) % ${deletedRows} ELSE -1 END)::uuid::text AS row_id,
                 op_id > ${1 + deletedRows} AS deleted
            FROM generate_series(1, ${globalOperations}) AS op_id
           UNION ALL
          SELECT op_id, '${churned.bucket}', md5('setting ' || op_id * 7 % ${churned.rows})::uuid::text, false
            FROM generate_series(${globalOperations + 1}, ${globalOperations + churned.operations}) AS op_id) AS change`

async function operationsIn(session: Connection): Promise<number> {
  const [[operations = 0] = []] = await session.query<[number]>(
    'SELECT count(*) FROM bucket_data WHERE bucket_name = $1',
    [bucket],
  )
  return operations
}

function isValid({ fresh, caughtUp }: Stage): boolean {
  return fresh?.valid !== false && caughtUp?.valid !== false
}

function downloadedText({ operations, fresh, caughtUp }: Stage): string {
  if (fresh === null) return `would download ${counted(operations, 'operation')} of ${bucket}`
  const also = caughtUp === null ? '' : `; one that had everything: ${counted(caughtUp.operations, 'operation')}`
  return `${counted(fresh.operations, 'operation')}, ${bytes(fresh.bytes)}${fresh.valid ? '' : ', NOT valid'}${also}`
}

const columns = [
  { title: bucket, align: 'left' },
  { title: 'Operations', align: 'right' },
  { title: 'A new client', align: 'right' },
  { title: '', align: 'right' },
  { title: '', align: 'right' },
  { title: 'One that had everything', align: 'right' },
] as const

function stagesText(stages: readonly Stage[], terminal: Terminal): string {
  const lines = table(
    columns,
    stages.map(({ name, operations, fresh, caughtUp }) => [
      name,
      count(operations),
      ...(fresh === null
        ? ['', '', '']
        : [count(fresh.operations), bytes(fresh.bytes), `${(fresh.seconds * 1000).toFixed(0)} ms`]),
      caughtUp === null ? '' : count(caughtUp.operations),
    ]),
    undefined,
    { indent: '  ', title: (text) => terminal.style('dim', text) },
  )
  return `${lines.join('\n')}\n${terminal.style('dim', '  Operations: in this bucket. Downloads: of all buckets.')}\n`
}

/** What becomes of all buckets. */
async function survey(storage: BucketStorage, signal: AbortSignal): Promise<Prospects> {
  const inspection = inspectBuckets(storage, { grace: 0, signal })
  for await (const _bucket of inspection);
  const nothing = { operations: 0, rows: 0, bytesEstimate: 0 }
  return inspection.summary ?? { now: nothing, compacted: nothing, defragmented: nothing, bound: nothing }
}

/** All findings of a check. */
async function damage(storage: BucketStorage, signal: AbortSignal): Promise<number> {
  let found = 0
  for await (const _finding of checkBuckets(storage, { signal })) found++
  return found
}
