// Compacts the state groups of a Synapse database: the compactor behind `tamp synapse compact`, for use as a library.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Compactor, Planned, Scope } from '../core/compactor.ts'
import { TampError } from '../core/errors.ts'
import type { Measure, Report } from '../core/report.ts'
import { run } from '../core/run.ts'
import type { RunOptions } from '../core/run.ts'
import type { Left, Outcome } from '../core/unit.ts'
import { describeFailure, isConnectionLost, isRetryable } from '../database/postgres.ts'
import { RunLock, stateGroupsLock } from '../database/run-lock.ts'
import { Sessions } from '../database/sessions.ts'
import type { SynapseDatabase } from './database.ts'
import { hashKeyWords } from './read/entry-hash.ts'
import { fingerprints, sameFingerprint } from './plan/fingerprints.ts'
import type { RoomHistory } from './history.ts'
import { moveGroups } from './move/move-groups.ts'
import type { MoveResult } from './move/move-groups.ts'
import { moveUnits } from './move/move-unit.ts'
import type { MoveUnit } from './move/move-unit.ts'
import { ProofBudget } from './move/proof-budget.ts'
import { rankRooms } from './rank-rooms.ts'
import { readRoom } from './read/read-room.ts'
import type { GroupRange, ReadRoomOptions } from './read/read-room.ts'
import { ReadSnapshot } from '../database/read-snapshot.ts'
import { requireRooms } from './require-rooms.ts'
import { measure, planRoom } from './plan/room-plan.ts'
import type { PlanOptions, RoomPlan } from './plan/room-plan.ts'
import { RowReader } from './move/row-reader.ts'
import { requireWritable } from './move/require-writable.ts'
import { scriptHeader, scriptUnit } from './move/script-unit.ts'

export interface CompactOptions extends RunOptions, PlanOptions {
  /** Room ids; default: all rooms, largest expected saving first. */
  readonly rooms?: readonly string[] | undefined
  /** Change only groups with these ids. */
  readonly range?: GroupRange | undefined
  /** Ask Synapse's own query for every changed group, or for as many as fit a share of the time. Default `budget`. */
  readonly proof?: 'full' | 'budget' | undefined
}

/**
 * Plans, and in mode `execute` carries out, the compaction of a database's rooms.
 * @throws TampError `no-such-room`, `locked`, `no-permission`, `connection-failed`; everything smaller is in the report
 */
export async function compact(database: SynapseDatabase, options: CompactOptions): Promise<Report> {
  await using compactor = new StateGroupCompactor(database, options)
  if (options.mode === 'execute') await compactor.startWriting()
  if (options.mode === 'script') await options.write?.(scriptHeader(database.stateSchema))
  return await run(compactor, options)
}

/** A room as it was read. The hash key lets a later reading be compared with it. */
interface RoomFacts {
  readonly history: RoomHistory
  readonly hashKey: Uint32Array
}

/** Tries of one transaction before its unit is split or given up. */
const tries = 6
/** How long a unit tries to get its turn among others. */
const busySeconds = 20

class StateGroupCompactor implements Compactor<RoomFacts, MoveUnit>, AsyncDisposable {
  readonly command = 'synapse compact'
  readonly #database: SynapseDatabase
  readonly #options: CompactOptions
  readonly #proof: ProofBudget
  readonly #sessions: Sessions
  readonly #readers = new WeakMap<RoomPlan, RowReader>()
  #lock: RunLock | undefined
  /** The same for all rooms of a run, so that figures before and after compare. */
  #known: { readonly bytesPerRow?: number } = {}

  constructor(database: SynapseDatabase, options: CompactOptions) {
    this.#database = database
    this.#options = options
    this.#proof = new ProofBudget(options.proof ?? 'budget')
    this.#sessions = new Sessions(() => database.connectState(), options.signal)
  }

  /** Looks whether the role may write, and takes the lock against a second tamp. */
  async startWriting(): Promise<void> {
    await using connection = await this.#database.connectState()
    await requireWritable(connection)
    this.#lock = await RunLock.take(() => this.#database.connectState(), stateGroupsLock)
  }

  async *survey(signal: AbortSignal): AsyncIterable<Scope> {
    yield* await this.#sessions.outlasting(() => this.#scopes(signal))
  }

  async #scopes(signal: AbortSignal): Promise<Scope[]> {
    const { rooms } = this.#options
    const scopes: Scope[] = []
    if (rooms !== undefined) {
      await using state = await ReadSnapshot.open(() => this.#database.connectState(), signal)
      await requireRooms(rooms, state)
      for (const lane of new Set(rooms)) scopes.push({ lane, rowsEstimate: 1 })
    } else for await (const scope of rankRooms(this.#database, signal)) scopes.push(scope)
    return scopes
  }

  async read(room: string, signal: AbortSignal): Promise<RoomFacts> {
    const hashKey = crypto.getRandomValues(new Uint32Array(hashKeyWords))
    const { range } = this.#options
    const history = await this.#readIfThere(room, { ...this.#known, signal, range, hashKey })
    if (history === undefined) throw new TampError('failed', 'it has been deleted since the run began')
    this.#known = { bytesPerRow: history.bytesPerRow }
    return { history, hashKey }
  }

  /** Undefined where the room has no groups: the survey has seen some, so Synapse has deleted it meanwhile. */
  async #readIfThere(room: string, options: ReadRoomOptions): Promise<RoomHistory | undefined> {
    try {
      return await this.#sessions.outlasting(() => readRoom(this.#database, room, options))
    } catch (error) {
      if (error instanceof TampError && error.code === 'no-such-room') return undefined
      throw error
    }
  }

  plan({ history }: RoomFacts): Planned<MoveUnit> {
    const plan = planRoom(history, this.#options)
    return { plan: plan.summary, units: (weight) => moveUnits(plan, weight) }
  }

  async blocked(room: string): Promise<string | null> {
    if (!this.#database.schema.roomLocks) return null
    const locks = await this.#sessions.outlasting(async () => {
      await using main = await this.#database.connectMain()
      return await main.query(
        `SELECT FROM worker_read_write_locks
          WHERE lock_key = $1 AND write_lock AND last_renewed_ts > extract(epoch FROM now()) * 1000 - 120000`,
        [room],
      )
    })
    return locks.length === 0 ? null : 'Synapse is purging or deleting the room just now'
  }

  async apply(unit: MoveUnit): Promise<Outcome> {
    try {
      const { left, checked } = await this.#move(unit)
      if (left.length === unit.items) return { status: 'skipped', reason: summary(left) }
      return { status: 'done', left, checked }
    } catch (error) {
      if (error instanceof TampError && (error.code === 'connection-failed' || error.code === 'locked')) throw error
      const { message, code } = describeFailure(error)
      return { status: 'failed', reason: message, proof: code === 'proof-failed' }
    }
  }

  /**
   * Runs a unit's transaction until it is committed; splits it where it keeps losing against others.
   * @param deadline when to give way for good (`performance.now()`): others may hold their locks for as long as they like
   */
  async #move(unit: MoveUnit, deadline: number = performance.now() + busySeconds * 1000): Promise<MoveResult> {
    const reader = this.#reader(unit.plan)
    for (let attempt = 1; ; attempt++) {
      await this.#lock?.hold(() => this.#sessions.connect())
      const connection = await this.#sessions.take()
      let result: MoveResult | undefined
      let committing = false
      try {
        result = await moveGroups(connection, this.#database.schema.pendingDeletion, unit, reader, this.#proof)
        reader.trim()
        committing = result.transaction !== null
        await connection.execute(committing ? 'COMMIT' : 'ROLLBACK')
        this.#sessions.give(connection)
        return result
      } catch (error) {
        if (isConnectionLost(error)) {
          await connection[Symbol.asyncDispose]()
          await this.#lock?.renew(() => this.#sessions.connect())
          if (committing && (await this.#sessions.isCommitted(result!.transaction!))) return result!
          if (attempt >= tries) throw error
          continue
        }
        await this.#sessions.rollBack(connection)
        if (!isRetryable(error)) throw unitFailure(error, unit)
        const late = performance.now() > deadline || this.#options.signal?.aborted === true
        if (!late && attempt < tries) await sleep(attempt * 100 * (0.5 + Math.random()))
        else if (!late && unit.items > 1) return await this.#moveHalves(unit, deadline)
        else {
          const reason = `others kept it busy: ${describeFailure(error).message}`
          return { left: groupsOf(unit).map((subject) => ({ subject, reason })), checked: 0, transaction: null }
        }
      }
    }
  }

  async #moveHalves(unit: MoveUnit, deadline: number): Promise<MoveResult> {
    const middle = (unit.from + unit.to) >> 1
    const first = await this.#move({ ...unit, to: middle, items: middle - unit.from }, deadline)
    const second = await this.#move({ ...unit, from: middle, items: unit.to - middle }, deadline)
    return {
      left: [...first.left, ...second.left],
      checked: first.checked + second.checked,
      transaction: second.transaction,
    }
  }

  async script(unit: MoveUnit): Promise<{ text: string; left: readonly Left[] }> {
    const { pendingDeletion } = this.#database.schema
    return await this.#sessions.outlasting(async () => {
      const connection = await this.#sessions.take()
      try {
        const full = this.#options.proof === 'full'
        const reader = this.#reader(unit.plan)
        const script = await scriptUnit(connection, pendingDeletion, unit, reader, full)
        reader.trim()
        this.#sessions.give(connection)
        return script
      } catch (error) {
        await connection[Symbol.asyncDispose]()
        throw error
      }
    })
  }

  async verify(
    { history, hashKey }: RoomFacts,
    signal: AbortSignal,
  ): Promise<{ after: Measure; checked: number; mismatches: number }> {
    const now = await this.#readIfThere(history.room, { ...this.#known, signal, hashKey })
    if (now === undefined) return { after: nothing, checked: 0, mismatches: 0 }
    const then = fingerprints(history)
    const fresh = fingerprints(now)
    let checked = 0
    let mismatches = 0
    // Groups come and go while a server runs: those that are there both times must have the same state.
    for (let a = 0, b = 0; a < history.ids.length && b < now.ids.length;) {
      if (history.ids[a]! < now.ids[b]!) a++
      else if (history.ids[a]! > now.ids[b]!) b++
      else {
        checked++
        if (!sameFingerprint(then.subarray(4 * a, 4 * a + 4), fresh, b)) mismatches++
        a++
        b++
      }
    }
    const after = measure(now, now.deltas.rows.length, now.base)
    return { after, checked, mismatches }
  }

  #reader(plan: RoomPlan): RowReader {
    let reader = this.#readers.get(plan)
    if (reader === undefined) {
      const wanted = new Uint8Array(plan.history.entries.count)
      for (const entry of plan.moves.deltas.rows) wanted[entry] = 1
      this.#readers.set(plan, (reader = new RowReader(plan.history, wanted)))
    }
    return reader
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sessions[Symbol.asyncDispose]()
    await this.#lock?.[Symbol.asyncDispose]()
  }
}

/** What a room is that Synapse has deleted. */
const nothing: Measure = { groups: 0, rows: 0, bytesEstimate: 0, maxDepth: 0, meanDepth: 0 }

/** What went wrong with a unit, saying what was not changed by it. */
function unitFailure(error: unknown, unit: MoveUnit): TampError {
  const { code, message, hint } = describeFailure(error)
  return new TampError(code, `${message} (nothing of ${nameOf(unit)} was changed)`, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  })
}

function groupsOf({ plan, from, to }: MoveUnit): string[] {
  const { history, moves } = plan
  return Array.from(moves.position.subarray(from, to), (position) => `state group ${history.ids[position]!}`)
}

function nameOf(unit: MoveUnit): string {
  const { history, moves } = unit.plan
  const first = history.ids[moves.position[unit.from]!]!
  const last = history.ids[moves.position[unit.to - 1]!]!
  return first === last ? `state group ${first}` : `state groups ${first} to ${last}`
}

function summary(left: readonly Left[]): string {
  const [first, ...others] = left
  return `${first!.subject}: ${first!.reason}${others.length === 0 ? '' : `; and ${others.length} more`}`
}
