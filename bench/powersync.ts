// Speed and memory of compacting PowerSync buckets, as ratios against a floor and the service's statements in the same run.
//
//   npm run bench:powersync                          all three histories
//   npm run bench:powersync -- i ii                  some of them
//   npm run bench:powersync -- i --scale 0.1         smaller
//   npm run bench:powersync -- i --statements        also where the time of tamp goes
//
// i     one bucket, 1,000,000 operations over 50,000 rows
// ii    500,000 operations in 20,000 buckets of ten rows
// iii   ten times i, compacted after every million, and all at once
//
// Every contender works on its own copy of the same database, straight after a checkpoint of the server. The server is an embedded PostgreSQL
// as it comes, but without fsync and full_page_writes, with room for its log, and without autovacuum, which would hit one of them by chance.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { startEmbeddedPostgres } from '../src/database/embedded.ts'
import { openSession } from '../test/support/session.ts'
import { compactAsTheServiceDoes } from '../test/support/powersync/service-compactor.ts'
import { floorOf } from './powersync/floor.ts'
import type { Floor } from './powersync/floor.ts'
import { appendHistory, endState, makeStorage, tidy, touchBuckets } from './powersync/histories.ts'
import type { History } from './powersync/histories.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    scale: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    statements: { type: 'boolean', default: false },
    'no-service': { type: 'boolean', default: false },
  },
})
const scale = Number(values.scale)
const rounds = Number(values.rounds)
const wanted = positionals.length === 0 ? ['i', 'ii', 'iii'] : positionals

interface Ran {
  readonly seconds: number
  /** What the server's processes took in that time; not known everywhere. */
  readonly serverCpuSeconds: number | undefined
  readonly operations: number
  readonly complete: boolean
  readonly peakMegabytes: number
  readonly statements: readonly (readonly [string, { readonly seconds: number; readonly times: number }])[]
}

await using server = await startEmbeddedPostgres({
  settings: { max_wal_size: '8GB', checkpoint_timeout: '1h', autovacuum: 'off' },
})
let missed = 0
/** Of the clock of /proc, in a second. */
const ticks = 100
if (wanted.includes('i')) await oneBucket()
if (wanted.includes('ii')) await manyBuckets()
if (wanted.includes('iii')) await overTime()
if (missed > 0) process.exitCode = 1

async function oneBucket(): Promise<void> {
  const operations = Math.round(1_000_000 * scale)
  const history: History = { operations, buckets: 1, rows: Math.round(50_000 * scale) }
  await using storage = await made('one', history)
  const floors: number[] = []
  const cpus: number[] = []
  const jobs: number[] = []
  const seconds: number[] = []
  const again: number[] = []
  let state = ''
  let floor: Floor | undefined
  for (let round = 0; round < rounds; round++) {
    {
      await using copy = await copyOf(storage.name, 'floor')
      floor = await floorOf(copy.url, serverCpu)
      const floorState = await endState(copy.url)
      if (state !== '' && floorState !== state) fail('the floor ends elsewhere', floorState)
      state = floorState
    }
    {
      await using copy = await copyOf(storage.name, 'tamp')
      const ran = await tamp(copy.url)
      seconds.push(ran.seconds)
      floors.push(ran.seconds / floor.seconds)
      if (ran.serverCpuSeconds !== undefined && floor.cpuSeconds !== undefined)
        cpus.push(ran.serverCpuSeconds / floor.cpuSeconds)
      same('tamp', state, await endState(copy.url))
      const second = await tamp(copy.url)
      again.push(second.seconds / ran.seconds)
      if (round === 0) sayRan('tamp', ran)
    }
    {
      await using copy = await copyOf(storage.name, 'jobs')
      const ran = await tamp(copy.url, { jobs: 2 })
      jobs.push(ran.seconds / floor.seconds)
      same('tamp --jobs 2', state, await endState(copy.url))
    }
  }
  if (floor !== undefined)
    say(
      'the floor: scan + DELETE + UPDATE',
      `${fixed(floor.scan)} + ${fixed(floor.delete)} + ${fixed(floor.update)} = ${fixed(floor.seconds)} s`,
    )
  bar('tamp / floor', floors, { atMost: 1.3 })
  if (cpus.length > 0) bar('  in CPU seconds of the server', cpus, {})
  bar('tamp --jobs 2 / floor', jobs, {})
  bar('second run / first', again, { atMost: 0.02 })
  if (!values['no-service']) {
    await using copy = await copyOf(storage.name, 'service')
    const took = await service(copy.url)
    same('the service', state, await endState(copy.url))
    bar("the service's statements / tamp", [took / median(seconds)], {})
  }
}

async function manyBuckets(): Promise<void> {
  const buckets = Math.round(20_000 * scale)
  await using storage = await made('many', { operations: buckets * 25, buckets, rows: 10 })
  const seconds: number[] = []
  const jobs: number[] = []
  const again: number[] = []
  const touched: number[] = []
  let state = ''
  for (let round = 0; round < rounds; round++) {
    {
      await using copy = await copyOf(storage.name, 'tamp')
      const ran = await tamp(copy.url)
      seconds.push(ran.seconds)
      state = await endState(copy.url)
      again.push((await tamp(copy.url)).seconds / ran.seconds)
      await touchBuckets(copy.url, Math.ceil(buckets / 100))
      touched.push((await tamp(copy.url)).seconds / ran.seconds)
      if (round === 0) sayRan('tamp', ran)
    }
    await using copy = await copyOf(storage.name, 'jobs')
    jobs.push((await tamp(copy.url, { jobs: 2 })).seconds)
    same('tamp --jobs 2', state, await endState(copy.url))
  }
  bar('tamp --jobs 2 / tamp', [median(jobs) / median(seconds)], {})
  bar('second run / first', again, { atMost: 0.02 })
  bar('after a change in 1 % of the buckets / first', touched, { atMost: 0.05 })
  if (!values['no-service']) {
    await using copy = await copyOf(storage.name, 'service')
    const took = await service(copy.url)
    same('the service', await endState(copy.url), state)
    bar("the service's statements / tamp", [took / median(seconds)], { atLeast: 20 })
  }
}

async function overTime(): Promise<void> {
  const operations = Math.round(10_000_000 * scale)
  const history: History = { operations, buckets: 1, rows: Math.round(500_000 * scale) }
  const whole = { seconds: 0, peak: 0, state: '' }
  {
    await using storage = await made('ten', history)
    const ran = await tamp(storage.url)
    Object.assign(whole, { seconds: ran.seconds, peak: ran.peakMegabytes, state: await endState(storage.url) })
    sayRan('all at once', ran)
  }
  await using storage = await made('grown', { ...history, operations: operations / 10 })
  const seconds: number[] = []
  const peaks: number[] = []
  for (let part = 1; part <= 10; part++) {
    const [from, to] = [((part - 1) * operations) / 10 + 1, (part * operations) / 10]
    if (part > 1) await appendHistory(storage.url, history, from, to)
    // What autovacuum does between two runs of a day.
    await tidy(storage.url)
    const ran = await tamp(storage.url)
    seconds.push(ran.seconds)
    peaks.push(ran.peakMegabytes)
  }
  say('a tenth at a time', `${seconds.map((s) => s.toFixed(1)).join(', ')} s`)
  say('  peak memory', `${peaks.join(', ')} MB`)
  const state = await endState(storage.url)
  if (lastOf(state) !== lastOf(whole.state)) fail('compacting a tenth at a time ends with other rows', state)
  bar('all the tenths / all at once', [sum(seconds) / whole.seconds], {})
  bar('the last tenth / the first', [seconds.at(-1)! / seconds[0]!], {})
  bar('peak memory, MB', [Math.max(whole.peak, ...peaks)], { atMost: 200 })
}

/** The live rows of an end state. */
function lastOf(state: string): string | undefined {
  return /PUT \d+ .*?\)/.exec(state)?.[0]
}

interface Database extends AsyncDisposable {
  readonly name: string
  readonly url: string
}

async function made(name: string, history: History): Promise<Database> {
  const database = await newDatabase(name, 'template0')
  await makeStorage(database.url, history)
  await using session = await openSession(database.url)
  const [[bytes] = [0]] = await session.query<[number]>(
    `SELECT pg_total_relation_size('powersync.bucket_data') / 1000000`,
  )
  say(
    `\n${name}: ${history.operations} operations, ${history.buckets} buckets, ${history.rows} rows in each`,
    `${bytes} MB`,
  )
  return database
}

async function copyOf(template: string, name: string): Promise<Database> {
  const database = await newDatabase(`${template}_${name}`, template)
  await using session = await openSession(server.url)
  await session.query('CHECKPOINT')
  return database
}

async function newDatabase(name: string, template: string): Promise<Database> {
  await using session = await openSession(server.url)
  await session.query(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`)
  const url = new URL(server.url)
  url.pathname = `/${name}`
  return {
    name,
    url: url.href,
    async [Symbol.asyncDispose]() {
      await using last = await openSession(server.url)
      await last.query(`DROP DATABASE ${name} WITH (FORCE)`)
    },
  }
}

async function tamp(url: string, options: { readonly jobs?: number } = {}): Promise<Ran> {
  const asked = JSON.stringify({ mode: 'execute', grace: 0, ...options })
  const cpu = await serverCpu()
  const { stdout } = await promisify(execFile)(process.execPath, [
    'bench/powersync/tamp-run.mjs',
    url,
    asked,
    ...(values.statements ? ['--statements'] : []),
  ])
  const after = await serverCpu()
  const serverCpuSeconds = cpu === undefined || after === undefined ? undefined : after - cpu
  const ran: Ran = { ...(JSON.parse(stdout) as Ran), serverCpuSeconds }
  if (!ran.complete) fail('tamp did not complete', stdout)
  return ran
}

/** Seconds of the service's own way. */
async function service(url: string): Promise<number> {
  await using session = await openSession(url)
  const started = performance.now()
  await compactAsTheServiceDoes(session)
  return (performance.now() - started) / 1000
}

/** CPU seconds of the server's processes that have ended: ask when every session is closed. Only Linux tells. */
async function serverCpu(): Promise<number | undefined> {
  // A session that was closed a moment ago is still ending.
  await sleep(300)
  try {
    const [pid] = readFileSync(join(server.directory, 'data', 'postmaster.pid'), 'utf8').split('\n')
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    return (Number(fields[13]) + Number(fields[14])) / ticks
  } catch {
    return undefined
  }
}

function same(who: string, expected: string, found: string): void {
  if (found !== expected) fail(`${who} ends elsewhere`, `${found}\n    instead of ${expected}`)
}

function fail(what: string, detail: string): void {
  missed++
  console.log(`  ${what}: ${detail}`)
}

function sayRan(name: string, ran: Ran): void {
  const cpu = ran.serverCpuSeconds === undefined ? '' : ` (${fixed(ran.serverCpuSeconds)} s of CPU in the server)`
  say(
    `  ${name}`,
    `${fixed(ran.seconds)} s${cpu}, ${ran.operations} operations left, peak memory ${ran.peakMegabytes} MB`,
  )
  for (const [text, { seconds, times }] of ran.statements)
    console.log(`      ${fixed(seconds).padStart(7)} s ${String(times).padStart(6)} ×  ${text}`)
}

/** The median of several rounds, with what it must not pass. */
function bar(
  name: string,
  ratios: readonly number[],
  { atMost, atLeast }: { readonly atMost?: number; readonly atLeast?: number },
): void {
  const ratio = median(ratios)
  const met = ratio <= (atMost ?? Infinity) && ratio >= (atLeast ?? 0)
  if (!met) missed++
  const judged =
    atMost === undefined && atLeast === undefined
      ? ''
      : `   ${atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost}`} ${met ? 'met' : 'MISSED'}`
  say(`  ${name}`, `${printed(ratio)}${judged}${ratios.length > 1 ? `   (${ratios.map(printed).join(', ')})` : ''}`)
}

function say(name: string, text: string): void {
  console.log(`${name.padEnd(64)}${text}`)
}

function fixed(seconds: number): string {
  return seconds.toFixed(2)
}

function printed(ratio: number): string {
  return ratio >= 10 ? ratio.toFixed(1) : ratio >= 0.1 ? ratio.toFixed(2) : ratio.toFixed(4)
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
