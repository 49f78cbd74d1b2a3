// Speed and memory of compacting state groups, as ratios against floors and the existing tool in the same run.
//
//   npm run bench                                      tamp and the floors
//   npm run bench -- --peer PYTHON                     … and synapse_auto_compressor 0.1.2, installed for that Python
//   npm run bench -- --compress-state BINARY           … and its manual tool, with its check and without
//   npm run bench -- --groups 5000                     a smaller room
//
// The room: a member joins in every group, a snapshot every 100 (20,000 groups: 2,010,000 rows). All on one machine, over loopback.
import { execFile } from 'node:child_process'
import { parseArgs, promisify } from 'node:util'
import { startEmbeddedPostgres } from '../src/database/embedded.ts'
import { loadDump } from '../src/database/load-dump.ts'
import { openSession } from '../test/support/session.ts'
import { growLargeRoom } from '../test/support/synapse/grow-large-room.ts'

const run = promisify(execFile)
const { values } = parseArgs({
  options: {
    groups: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '5' },
    peer: { type: 'string' },
    'compress-state': { type: 'string' },
  },
})

interface Measured {
  readonly floor?: { readonly seconds: number }
  readonly plan?: { readonly seconds: number; readonly rows: number; readonly depth: number }
  readonly execute?: { readonly seconds: number; readonly whole: number; readonly rows: number }
  readonly peakMegabytes: number
}

const room = '!large:example.org'
await using server = await startEmbeddedPostgres({ settings: { max_wal_size: '8GB', checkpoint_timeout: '1h' } })

function at(database: string): string {
  const url = new URL(server.url)
  url.pathname = `/${database}`
  return url.href
}

async function copyOf(template: string, name: string): Promise<string> {
  await using session = await openSession(server.url)
  await session.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  await session.query(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`)
  return at(name)
}

async function measure(what: string, url: string): Promise<Measured> {
  const { stdout } = await run(process.execPath, ['bench/measure.mjs', what, url, room])
  return JSON.parse(stdout) as Measured
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

function say(name: string, text: string): void {
  console.log(`${name.padEnd(72)}${text}`)
}

let ceiling = 0
await using setup = await openSession(server.url)
await setup.query('CREATE DATABASE large')
{
  await using session = await openSession(at('large'))
  await loadDump(session.client, new URL('../fixtures/half-compressed.sql.br', import.meta.url))
  await session.query(
    'TRUNCATE state_groups, state_groups_state, state_group_edges, event_to_state_groups, event_forward_extremities',
  )
  const { groups, rows } = await growLargeRoom(session, { groups: Number(values.groups), room })
  await session.query('VACUUM ANALYZE')
  await session.query('CHECKPOINT')
  say('the room', `${groups} groups, ${rows} rows`)
  ceiling = Math.round((rows * 16) / 1e6 + 150)
  say('memory ceiling: 16 bytes a row and 150 MB', `${ceiling} MB`)
}

function sayMemory(name: string, megabytes: number): void {
  say(name, `${megabytes} MB`)
  if (megabytes > ceiling) process.exitCode = 1
}

// Reading, planning and proving, against receiving the same columns: pairs in one process.
const pairs: Measured[] = []
for (let n = 0; n < Number(values.rounds); n++) pairs.push(await measure('both', at('large')))
const planRatio = median(pairs.map(({ floor, plan }) => plan!.seconds / floor!.seconds))
const planSeconds = median(pairs.map(({ plan }) => plan!.seconds))
say('plan with full proof / COPY of the same columns', `${planRatio.toFixed(2)} ×`)
say('  ends at', `${pairs[0]!.plan!.rows} rows, depth ${pairs[0]!.plan!.depth}`)
sayMemory('  peak memory of plan and proof', (await measure('plan', at('large'))).peakMegabytes)

// Writing, against one bulk DELETE and INSERT of the same rows.
const writes: { ratio: number; peak: number }[] = []
for (let n = 0; n < Math.min(3, Number(values.rounds)); n++) {
  const compacted = await copyOf('large', 'compacted')
  const { execute, peakMegabytes } = await measure('execute', compacted)
  const bulk = await bulkSeconds(compacted)
  writes.push({ ratio: execute!.seconds / bulk, peak: peakMegabytes })
}
say('execution / one bulk DELETE and INSERT', `${median(writes.map(({ ratio }) => ratio)).toFixed(2)} ×`)
sayMemory('  peak memory of the whole run', Math.max(...writes.map(({ peak }) => peak)))

/** Seconds of one transaction that turns the room as it was into the room as tamp left it, knowing every row beforehand. */
async function bulkSeconds(compacted: string): Promise<number> {
  await using before = await openSession(await copyOf('large', 'bulk'))
  await using after = await openSession(compacted)
  for (const table of ['state_groups_state', 'state_group_edges']) {
    await before.query(`CREATE TABLE after_${table} (LIKE ${table})`)
    const rows = await after.query(`SELECT * FROM ${table}`)
    const columns = rows[0]!.map((_, column) => rows.map((row) => row[column]))
    const types = table === 'state_groups_state' ? ['int8', 'text', 'text', 'text', 'text'] : ['int8', 'int8']
    const lists = types.map((type, n) => `$${n + 1}::${type}[]`).join(', ')
    await before.query(`INSERT INTO after_${table} SELECT * FROM unnest(${lists})`, columns)
    await before.query(`ANALYZE after_${table}`)
    const key =
      table === 'state_groups_state' ? 'state_group, type, state_key, event_id' : 'state_group, prev_state_group'
    await before.query(`CREATE TABLE gone_${table} AS SELECT t.ctid AS place FROM ${table} t
      LEFT JOIN after_${table} a USING (${key}) WHERE a.state_group IS NULL`)
    await before.query(`CREATE TABLE new_${table} AS SELECT a.* FROM after_${table} a
      LEFT JOIN ${table} t USING (${key}) WHERE t.state_group IS NULL`)
  }
  await before.query('ANALYZE')
  await before.query('CHECKPOINT')
  const start = performance.now()
  await before.query('BEGIN')
  for (const table of ['state_groups_state', 'state_group_edges']) {
    await before.query(`DELETE FROM ${table} WHERE ctid IN (SELECT place FROM gone_${table})`)
    await before.query(`INSERT INTO ${table} SELECT * FROM new_${table}`)
  }
  await before.query('COMMIT')
  return (performance.now() - start) / 1000
}

// The existing tool.
if (values.peer !== undefined) {
  const url = await copyOf('large', 'peer')
  const script =
    'import sys, synapse_auto_compressor as s; s.compress_state_events_table(sys.argv[1], 1000000, "100,50,25", 1)'
  const start = performance.now()
  await run(values.peer, ['-c', script, url], { maxBuffer: 1 << 28 })
  await sayPeer('synapse_auto_compressor 0.1.2, with its check', (performance.now() - start) / 1000, url)
}
const binary = values['compress-state']
if (binary !== undefined) {
  for (const flags of [[], ['-N']]) {
    const start = performance.now()
    await run(binary, ['-p', at('large'), '-r', room, ...flags], { maxBuffer: 1 << 28 })
    const name = `synapse_compress_state ${flags.join(' ')}, plan only`
    say(`${name} / tamp's plan with proof`, `${((performance.now() - start) / 1000 / planSeconds).toFixed(1)} ×`)
  }
}

async function sayPeer(name: string, seconds: number, url: string): Promise<void> {
  await using session = await openSession(url)
  const [[rows]] = (await session.query<[number]>('SELECT count(*) FROM state_groups_state')) as [[number]]
  say(`${name} / tamp's plan with proof`, `${(seconds / planSeconds).toFixed(1)} ×`)
  say('  ends at', `${rows} rows`)
}
