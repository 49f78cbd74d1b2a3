// What the trust tests start from: a small room whose plan is known, put back as it was in milliseconds, and a database whose
// transactions pause where a test says, so that somebody else can step in between two statements.
import { compact, openSynapse, planRoom, readRoom } from '../../../src/synapse/index.ts'
import type { CompactOptions, SynapseDatabase } from '../../../src/synapse/index.ts'
import type { Connection } from '../../../src/database/postgres.ts'
import type { Report } from '../../../src/core/report.ts'
import { freshDatabase, type FreshDatabase } from '../../support/postgres.ts'
import { growRoom, type GrownRoom, type RoomShape } from '../../support/synapse/grow.ts'
import { compareStates, faults, rememberStates, type Memory } from '../../support/synapse/judge.ts'
import type { Session } from '../../support/session.ts'

/** A change of one group's base that tamp plans for the room. */
export interface PlannedMove {
  readonly group: number
  readonly oldBase: number | null
  readonly newBase: number | null
}

export interface Scene extends AsyncDisposable {
  readonly database: FreshDatabase
  readonly session: Session
  readonly grown: GrownRoom
  readonly synapse: SynapseDatabase
  readonly moves: readonly PlannedMove[]
  readonly states: Memory
  /** Puts every table back as it was. */
  restore(): Promise<void>
  /** Every group's stored form, to see which of them have been rewritten. */
  stored(): Promise<ReadonlyMap<number, string>>
}

const tables = [
  'state_groups',
  'state_group_edges',
  'state_groups_state',
  'state_groups_pending_deletion',
  'event_to_state_groups',
  'event_forward_extremities',
]

/** A database with one room. Nothing but the newest group is named by an event, so that Synapse may delete any of the others. */
export async function scene(
  shape: RoomShape,
  planning: { readonly plan?: CompactOptions['plan'] } = {},
): Promise<Scene> {
  const database = await freshDatabase('empty')
  const { session } = database
  const grown = await growRoom(session, { referenced: 0, ...shape })
  const synapse = await openSynapse({ connection: database.url, env: {} })
  for (const table of tables) await session.query(`CREATE TABLE saved_${table} AS TABLE ${table}`)
  return {
    database,
    session,
    grown,
    synapse,
    moves: await plannedMoves(synapse, grown.room, planning),
    states: await rememberStates(session),
    async restore() {
      await session.query(
        `TRUNCATE ${tables.join(', ')}; ` +
          tables
            .map((table) =>
              table === 'state_groups_pending_deletion' ? '' : `INSERT INTO ${table} TABLE saved_${table}; `,
            )
            .join(''),
      )
    },
    stored: () => storedForms(session),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
}

/** The changes of bases that a run would make now. */
export async function plannedMoves(
  synapse: SynapseDatabase,
  room: string,
  { plan = 'best' }: { readonly plan?: CompactOptions['plan'] } = {},
): Promise<PlannedMove[]> {
  const { history, moves } = planRoom(await readRoom(synapse, room), { plan })
  const id = (position: number): number | null => (position < 0 ? null : history.ids[position]!)
  return Array.from(moves.position, (position, move) => ({
    group: id(position)!,
    oldBase: id(history.base[position]!),
    newBase: id(moves.base[move]!),
  }))
}

/** Every group's edges and rows as one text. */
export async function storedForms(session: Session): Promise<ReadonlyMap<number, string>> {
  return new Map(
    await session.query<[number, string]>(
      `SELECT id, concat(
         (SELECT string_agg(prev_state_group::text, ',' ORDER BY prev_state_group) FROM state_group_edges WHERE state_group = id), '|',
         (SELECT string_agg(concat_ws('/', type, state_key, event_id), ',' ORDER BY type, state_key, event_id)
            FROM state_groups_state WHERE state_group = id))
         FROM state_groups ORDER BY id`,
    ),
  )
}

export async function execute(synapse: SynapseDatabase, options: Partial<CompactOptions> = {}): Promise<Report> {
  return compact(synapse, { mode: 'execute', ...options })
}

/** What must be true whatever happened: no group that is still there reads differently, and the tables are sound. */
export interface Harm {
  readonly changed: readonly number[]
  readonly faults: readonly string[]
}

export const unharmed: Harm = { changed: [], faults: [] }

export async function harm(session: Session, states: Memory): Promise<Harm> {
  const { changed } = compareStates(states, await rememberStates(session))
  // An event may name a group that a test's own purge took away: that is not ours.
  return { changed, faults: (await faults(session)).filter((fault) => !fault.startsWith('event-without-group')) }
}

export interface Pause {
  /** Resolves once a statement that matches is about to be sent. */
  readonly reached: Promise<void>
  resume(): void
}

export interface Pausable {
  readonly database: SynapseDatabase
  /** What was sent, first line of each statement. */
  readonly statements: string[]
  /** Holds the next statement that matches back until `resume()`. */
  pauseBefore(pattern: RegExp): Pause
  /** Does something just before the next statement that matches. */
  before(pattern: RegExp, work: (connection: Connection) => Promise<void>): void
}

/** The statements of a unit, in order, as patterns for `pauseBefore`. */
export const unitStatements: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['begin', /^BEGIN ISOLATION LEVEL REPEATABLE READ;/],
  ['lock', /FOR KEY SHARE SKIP LOCKED/],
  ['pending', /^SELECT state_group FROM state_groups_pending_deletion WHERE/],
  ['edges', /^SELECT state_group, prev_state_group FROM state_group_edges/],
  ['fence', /^UPDATE state_groups SET event_id/],
  ['rewrite edges', /^(UPDATE|INSERT INTO) state_group_edges/],
  ['delete rows', /^DELETE FROM state_groups_state/],
  ['insert rows', /^INSERT INTO state_groups_state/],
  ['commit', /^COMMIT/],
]

/** The same database, with connections that a test can stop before a statement. */
export function pausable(database: SynapseDatabase): Pausable {
  const statements: string[] = []
  let waiting: { readonly pattern: RegExp; readonly work: (connection: Connection) => Promise<void> }[] = []
  const arrive = async (connection: Connection, text: string): Promise<void> => {
    statements.push(text.trim().split('\n')[0]!)
    const due = waiting.find(({ pattern }) => pattern.test(text.trim()))
    if (due === undefined) return
    waiting = waiting.filter((one) => one !== due)
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
    database: { ...database, connectState: async () => wrap(await database.connectState()) },
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
      })
      return { reached: reached.promise, resume: resumed.resolve }
    },
    before(pattern, work) {
      waiting.push({ pattern, work })
    },
  }
}

/** Resolves once some other session of this database waits for a lock. */
export async function someoneWaits(session: Session): Promise<void> {
  for (const deadline = Date.now() + 5000; ;) {
    const [row] = await session.query<[number]>(
      `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    if (row![0] > 0) return
    if (Date.now() > deadline) throw new Error('nobody waits for a lock')
  }
}
