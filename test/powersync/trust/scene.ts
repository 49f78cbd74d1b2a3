// What the trust tests start from: a small storage whose end is known, put back as it was in milliseconds, and a storage whose
// transactions pause where a test says, so that somebody else can step in between two statements.
import { compactBuckets } from '../../../src/powersync/compact.ts'
import type { CompactOptions } from '../../../src/powersync/compact.ts'
import { openBucketStorage } from '../../../src/powersync/database.ts'
import type { BucketStorage } from '../../../src/powersync/database.ts'
import type { BucketReport } from '../../../src/powersync/report.ts'
import type { Connection } from '../../../src/database/postgres.ts'
import { generator } from '../../support/powersync/clients.ts'
import { put, readBuckets, remove, writeBuckets } from '../../support/powersync/operations.ts'
import type { Buckets, Operation } from '../../support/powersync/operations.ts'
import { compacted, fingerprint, reduced, violations } from '../../support/powersync/reference-compactor.ts'
import { emptyStorage } from '../../support/powersync/storages.ts'
import { openSession } from '../../support/session.ts'
import type { Session } from '../../support/session.ts'

export interface Shape {
  readonly seed?: number
  /** Of some 60 operations each. */
  readonly buckets?: number
  /** Operations of the dead beginning of one large bucket: with more than 10,000 it is cleared in steps. 0: there is none. */
  readonly large?: number
  /** Operations after the bound. */
  readonly unpublished?: number
}

export interface Scene extends AsyncDisposable {
  readonly url: string
  readonly session: Session
  readonly storage: BucketStorage
  readonly before: Buckets
  readonly bound: number
  /** What compacting up to the bound has to come to. */
  readonly end: Buckets
  /** Another session; its disposal is yours. */
  connect(): Promise<Session>
  /** After the server was away. */
  reconnect(): Promise<void>
  /** Puts everything back as it was; what tamp remembers is gone. */
  restore(): Promise<void>
  now(): Promise<Buckets>
  /** What does not hold of what is stored now: nothing may be here, whatever happened. */
  harm(): Promise<string[]>
}

export const largeBucket = '1#large[]'

/** A storage of version 2, with the real service's tables. */
export async function scene(shape: Shape = {}): Promise<Scene> {
  const database = await emptyStorage(2)
  return stage(database.url, shape, async () => database[Symbol.asyncDispose]())
}

/** The same on a server without such a storage. */
export async function sceneOn(url: string, shape: Shape = {}): Promise<Scene> {
  await using session = await openSession(url)
  await session.client.query(tables)
  return stage(url, shape, async () => {})
}

async function stage(url: string, shape: Shape, dispose: () => Promise<void>): Promise<Scene> {
  const open = async (): Promise<Session> => {
    const session = await openSession(url)
    await session.query('SET search_path = powersync, public')
    return session
  }
  let session = await open()
  const { buckets: before, bound, last } = grown(shape)
  await writeBuckets(session, before)
  await session.query(
    `UPDATE powersync.sync_rules SET last_checkpoint = $1, last_checkpoint_ts = now() - interval '1 hour', last_keepalive_ts = now() WHERE id = 1`,
    [bound],
  )
  await session.query(`SELECT setval('powersync.op_id_sequence', $1)`, [last])
  for (const table of ['bucket_data', 'sync_rules'])
    await session.query(`CREATE TABLE public.saved_${table} AS TABLE powersync.${table}`)
  await session.query('VACUUM ANALYZE')
  const judged = new Map<string, string[]>()
  const now = (): Promise<Buckets> => readBuckets(session)
  return {
    url,
    get session() {
      return session
    },
    before,
    bound,
    end: new Map([...before].map(([bucket, operations]) => [bucket, compacted(operations, bound)])),
    storage: await openBucketStorage({ connection: url, env: {} }),
    connect: () => openSession(url),
    async reconnect() {
      await session[Symbol.asyncDispose]()
      session = await open()
    },
    async restore() {
      await session.query(`DROP SCHEMA IF EXISTS tamp CASCADE`)
      await session.query(
        `TRUNCATE powersync.bucket_data; INSERT INTO powersync.bucket_data TABLE public.saved_bucket_data;
         DELETE FROM powersync.sync_rules; INSERT INTO powersync.sync_rules TABLE public.saved_sync_rules`,
      )
    },
    now,
    async harm() {
      const after = await now()
      return [...before].flatMap(([bucket, operations]) => {
        const own = after.get(bucket) ?? []
        // Most buckets are as they were or as they will be: each form is judged once.
        const key = `${bucket} ${JSON.stringify(own)}`
        const found = judged.get(key) ?? wrong(operations, own, bound)
        judged.set(key, found)
        return found.map((what) => `${bucket}: ${what}`)
      })
    },
    async [Symbol.asyncDispose]() {
      await session[Symbol.asyncDispose]()
      await dispose()
    },
  }
}

/** `violations`; of a large bucket for some clients only. */
function wrong(before: readonly Operation[], after: readonly Operation[], bound: number): string[] {
  if (before.length <= 500) return violations(before, after, bound)
  const found = violations([], [], bound)
  const expected = fingerprint(reduced(before))
  const step = Math.ceil(before.length / 12)
  for (let seen = 0; seen <= before.length; seen += step) {
    const position = before[seen - 1]?.opId ?? 0
    const rest = after.filter(({ opId }) => opId > position)
    if (fingerprint(reduced([...before.slice(0, seen), ...rest])) !== expected)
      found.push(`a client at ${position} ends otherwise`)
  }
  if (after.slice(1).some(({ op }) => op === 'CLEAR')) found.push('a CLEAR that is not first')
  const above = (operations: readonly Operation[]): string =>
    JSON.stringify(operations.filter(({ opId }) => opId > bound))
  if (above(before) !== above(after)) found.push('operations above the bound were changed')
  return found
}

function grown({ seed = 1, buckets: count = 4, large = 0, unpublished = 8 }: Shape): {
  buckets: Buckets
  bound: number
  last: number
} {
  const random = generator(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const buckets: Buckets = new Map()
  const add = (bucket: string, make: (opId: number) => Operation): void => {
    const own = buckets.get(bucket) ?? []
    buckets.set(bucket, own)
    own.push(make(++last))
  }
  let last = 0
  if (large > 0) {
    const row = (n: number) => ({ table: 'lists', id: `row ${n}` })
    for (let n = 0; n < large; n++) add(largeBucket, (opId) => put(opId, row(n % 40), n))
    for (let n = 0; n < 40; n++) add(largeBucket, (opId) => put(opId, row(n), 'live'))
    // Half of them live on; the others are superseded above what will be cleared.
    for (let n = 0; n < 300; n++) add(largeBucket, (opId) => put(opId, row(20 + (n % 20)), n))
  }
  const some = (): void => {
    const bucket = `1#small["${below(count)}"]`
    const row = { table: 'todos', id: String(below(6)) }
    const value = below(100)
    if (random() < 0.25) add(bucket, (opId) => remove(opId, row))
    else add(bucket, (opId) => put(opId, row, value))
    last += below(2)
  }
  for (let n = 0; n < count * 60; n++) some()
  const bound = last
  for (let n = 0; n < unpublished; n++) some()
  return { buckets, bound, last }
}

export function execute(storage: BucketStorage, options: Partial<CompactOptions> = {}): Promise<BucketReport> {
  return compactBuckets(storage, { mode: 'execute', grace: 0, ...options })
}

/** What every run says that met nothing. */
export const sound = {
  complete: true,
  skipped: [],
  units: { skipped: 0, failed: 0 },
  proof: { mismatches: 0 },
} as const

/** Ends the session that holds the lock against a second tamp. */
export async function stealLock(session: Session): Promise<void> {
  const ended = await session.query(
    `SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
      WHERE l.locktype = 'advisory' AND d.datname = current_database()`,
  )
  if (JSON.stringify(ended) !== '[[true]]') throw new Error(`the lock had ${ended.length} holders`)
}

export interface Pause {
  /** Resolves once a statement that matches is about to be sent. */
  readonly reached: Promise<void>
  resume(): void
}

export interface Pausable {
  readonly storage: BucketStorage
  /** What was sent, first line of each statement. */
  readonly statements: string[]
  /** Holds the next statement that matches back until `resume()`. */
  pauseBefore(pattern: RegExp): Pause
  /** Does something just before statements that match: the next one, or every one. */
  before(pattern: RegExp, work: (connection: Connection) => Promise<void>, every?: boolean): void
}

/** The statements of a slice, in order, as patterns for `pauseBefore`. */
export const sliceStatements: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['begin', /^BEGIN ISOLATION LEVEL REPEATABLE READ;\nSET LOCAL lock_timeout/],
  ['guard', /^SELECT state, coalesce\(last_checkpoint, 0\)/],
  ['clear', /^WITH slice AS MATERIALIZED/],
  ['move', /^WITH moved AS/],
  ['commit', /^COMMIT/],
]

/** A statement of that name. */
export function slice(name: string): RegExp {
  return sliceStatements.find(([statement]) => statement === name)![1]
}

/** What reads a lane once more at its end. */
export const verifies =
  /^(SELECT f\.bucket_name, concat_ws|WITH tamp_row AS MATERIALIZED[^]*\nSELECT f\.bucket_name, concat_ws[^]* f$)/

/** The same storage, with connections that a test can stop before a statement. */
export function pausable(storage: BucketStorage): Pausable {
  const statements: string[] = []
  let waiting: {
    readonly pattern: RegExp
    readonly work: (connection: Connection) => Promise<void>
    readonly every: boolean
  }[] = []
  const arrive = async (connection: Connection, text: string): Promise<void> => {
    statements.push(text.trim().split('\n')[0]!)
    const due = waiting.find(({ pattern }) => pattern.test(text.trim()))
    if (due === undefined) return
    if (!due.every) waiting = waiting.filter((one) => one !== due)
    await due.work(connection)
  }
  const wrap = (connection: Connection): Connection => ({
    client: connection.client,
    async query(text, values) {
      await arrive(connection, text)
      return connection.query(text, values)
    },
    async execute(text, values) {
      await arrive(connection, text)
      return connection.execute(text, values)
    },
    abandon: () => connection.abandon(),
    cancel: () => connection.cancel(),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  })
  return {
    storage: { ...storage, connect: async () => wrap(await storage.connect()) },
    statements,
    pauseBefore(pattern) {
      const reached = Promise.withResolvers<void>()
      const resumed = Promise.withResolvers<void>()
      waiting.push({
        pattern,
        work: async () => {
          reached.resolve()
          await resumed.promise
        },
        every: false,
      })
      return { reached: reached.promise, resume: resumed.resolve }
    },
    before(pattern, work, every = false) {
      waiting.push({ pattern, work, every })
    },
  }
}

const tables = `
  CREATE SCHEMA powersync;
  CREATE SEQUENCE powersync.op_id_sequence;
  CREATE TABLE powersync.bucket_data (group_id int NOT NULL, bucket_name text NOT NULL, op_id int8 NOT NULL, op text NOT NULL,
    source_table text, source_key bytea, table_name text, row_id text, checksum int8 NOT NULL, data text, target_op int8,
    PRIMARY KEY (group_id, bucket_name, op_id));
  CREATE TABLE powersync.bucket_parameters (id int8 PRIMARY KEY DEFAULT nextval('powersync.op_id_sequence'), group_id int NOT NULL,
    source_table text, source_key bytea, lookup bytea, bucket_parameters text);
  CREATE TABLE powersync.current_data (group_id int, source_table text, source_key bytea, buckets jsonb, data bytea, lookups bytea[],
    PRIMARY KEY (group_id, source_table, source_key));
  CREATE TABLE powersync.sync_rules (id int PRIMARY KEY, state text, last_checkpoint int8, last_checkpoint_ts timestamptz,
    last_keepalive_ts timestamptz, keepalive_op int8, storage_version int DEFAULT 2);
  INSERT INTO powersync.sync_rules VALUES (1, 'ACTIVE');`
