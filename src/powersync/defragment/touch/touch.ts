// Touches source rows: an UPDATE that changes nothing makes the service send them again, as the newest operations of their buckets.
// The documented way to defragment, planned: only the rows that are in the way, in small batches, as a script or at the source.
import { Budget } from '../../../core/budget.ts'
import type { BudgetOptions } from '../../../core/budget.ts'
import { TampError } from '../../../core/errors.ts'
import type { Listener } from '../../../core/events.ts'
import type { Mode } from '../../../core/report.ts'
import type { Left } from '../../../core/unit.ts'
import { resolveSettings } from '../../../database/connection-settings.ts'
import type { Environment } from '../../../database/connection-settings.ts'
import { connect, describeFailure } from '../../../database/postgres.ts'
import type { Connection } from '../../../database/postgres.ts'
import type { BucketStorage } from '../../database.ts'
import { servedStream } from '../../streams.ts'
import type { DefragmentPlan } from '../plan.ts'
import { movedRows, readSourceTables } from './moved-rows.ts'
import type { SourceTable } from './moved-rows.ts'
import type { SourceKey } from './source-key.ts'
import { isLsn, ReplicationLag } from './replication-lag.ts'
import type { Patience } from './replication-lag.ts'
import { approach, approachUnseen } from './source-catalog.ts'
import { TableTouch } from './table-touch.ts'
import type { BatchOutcome } from './table-touch.ts'
import { touchBatch } from './touch-batch.ts'
import { batchScript, scriptComment, scriptHeader } from './touch-script.ts'
import type { TouchTarget } from './update-statement.ts'

export interface TouchOptions extends BudgetOptions {
  /** `dry-run` recovers the keys and counts, `script` writes the statements, `execute` runs them at the source. */
  readonly mode: Mode
  /** Where the source database is, as a URL: needed to execute; else only asked for triggers and types. */
  readonly source?: string | undefined
  readonly env?: Environment
  /** Takes the script, in mode `script`. */
  readonly write?: ((text: string) => void | Promise<void>) | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: Listener | undefined
  /** Rows in a statement and transaction. Default 500. */
  readonly batchRows?: number | undefined
  /** How long replication may stand still before waiting for it is given up, in seconds. Default 120. */
  readonly patience?: number | undefined
}

/** What became of the rows of a source table. `planned` is the sum of the others where a run is complete. */
export interface TouchedTable {
  readonly schema: string
  readonly table: string
  readonly planned: number
  /** Written again; in a dry run and in a script, those that would be. */
  readonly touched: number
  /** Not there any more, or hidden from the role. */
  readonly missing: number
  /** Locked by others all the time. */
  readonly locked: number
  /** Left alone, for a reason that `left` gives. */
  readonly left: number
}

export interface TouchReport {
  readonly mode: Mode
  readonly complete: boolean
  readonly tables: readonly TouchedTable[]
  readonly rows: Omit<TouchedTable, 'schema' | 'table'>
  /** Tables or rows of them that were left alone, and why. */
  readonly left: readonly Left[]
  /** What touching sets off, for the operator. */
  readonly notes: readonly string[]
  /** Whether clients are served a checkpoint with all touched rows: compacting gains nothing before. Null where nothing was executed. */
  readonly published: boolean | null
  readonly stopped?: 'limit' | 'interrupted' | 'replication'
  /** What ended it, where rows had been touched by then. */
  readonly failure?: TampError
  readonly seconds: number
  readonly throttledSeconds: number
}

const sideEffects = [
  'Each row is written once more at the source: write-ahead log, a dead version of the row, and an UPDATE for everybody who follows these tables (audit, change data capture, webhooks).',
  'Compact when the service has published the touched rows: until then nothing more can be cleared.',
]
const unseenTriggers =
  'Triggers for UPDATE fire; with --source their names are listed, and a table whose trigger drops such updates is left out.'

/**
 * Touches the rows of a plan.
 * @throws TampError `usage` (no source to execute at, or it is not PostgreSQL), `connection-failed`, `interrupted`, `no-checkpoint`
 */
export async function touchRows(
  storage: BucketStorage,
  plan: DefragmentPlan,
  options: TouchOptions,
): Promise<TouchReport> {
  const { mode, source: url, env } = options
  if (mode === 'execute' && url === undefined)
    throw new TampError('usage', 'Touching rows needs the source database.', {
      hint: 'Name it with --source URL, or write the statements with --sql FILE.',
    })
  await using stored = await storage.connect()
  await using source =
    url === undefined ? undefined : await connect(resolveSettings({ connection: url, ...(env && { env }) }))
  try {
    return await new Touch(plan, options, stored, source).run()
  } catch (error) {
    throw describeFailure(error)
  }
}

class Touch {
  readonly #plan: DefragmentPlan
  readonly #options: TouchOptions
  readonly #stored: Connection
  readonly #source: Connection | undefined
  readonly #budget: Budget
  readonly #signal: AbortSignal
  readonly #started = performance.now()
  readonly #tables: TableTouch[] = []
  readonly #notes: string[] = [...sideEffects]
  #lag: ReplicationLag | undefined
  #touched = 0
  #batches = 0
  #stopped: TouchReport['stopped']

  constructor(plan: DefragmentPlan, options: TouchOptions, stored: Connection, source: Connection | undefined) {
    this.#plan = plan
    this.#options = options
    this.#stored = stored
    this.#source = source
    this.#budget = new Budget(options)
    this.#signal = options.signal ?? new AbortController().signal
  }

  async run(): Promise<TouchReport> {
    const { mode } = this.#options
    const stream = await servedStream(this.#stored)
    await this.#requirePostgres(stream.id)
    if (this.#source === undefined) this.#notes.push(unseenTriggers)
    else if (mode === 'execute') {
      this.#lag = new ReplicationLag(this.#source, this.#stored, stream)
      if (await this.#lag.isUnseen())
        this.#notes.push('How far replication is behind cannot be seen from here: touching does not wait for it.')
    }
    if (mode === 'script') await this.#options.write?.(scriptHeader(this.#notes))
    let failure: TampError | undefined
    try {
      await this.#touchAll(stream)
    } catch (error) {
      // What was touched is told in any case; only a run that changed nothing is nothing but its error.
      if (this.#touched === 0 || mode !== 'execute') throw error
      failure = describeFailure(error)
    }
    const published = mode === 'execute' && failure === undefined ? await this.#published() : null
    return this.#report(published, failure)
  }

  /** Updates that change nothing are not sent to followers by other databases. */
  async #requirePostgres(stream: number): Promise<void> {
    const [row] = await this.#stored.query<[string | null]>(
      `SELECT to_jsonb(s) ->> 'last_checkpoint_lsn' FROM sync_rules s WHERE id = $1`,
      [stream],
    )
    const position = row?.[0] ?? null
    if (position !== null && !isLsn(position))
      throw new TampError(
        'usage',
        'The source database is not PostgreSQL: an UPDATE that changes nothing does nothing there.',
        {
          hint: 'Defragment inside the storage, with --how reinsert.',
        },
      )
  }

  async #touchAll(stream: { readonly id: number; readonly storageVersion: number }): Promise<void> {
    const tables = await readSourceTables(this.#stored, stream)
    let table: TableTouch | undefined
    const cancel = (): void => void this.#stored.cancel()
    this.#signal.addEventListener('abort', cancel, { once: true })
    try {
      for await (const rows of movedRows(this.#stored, stream, this.#plan, tables))
        for (const { sourceTable, key, left } of rows) {
          if (this.#mustStop()) return
          if (table?.table.id !== sourceTable) {
            await table?.finish()
            table = await this.#begin(tables.get(sourceTable) ?? unknownTable(sourceTable))
          }
          if (key === null) table.leave(left ?? '')
          else await table.add(key)
        }
      await table?.finish()
    } catch (error) {
      if (!this.#mustStop()) throw error
    } finally {
      this.#signal.removeEventListener('abort', cancel)
    }
  }

  async #begin(table: SourceTable): Promise<TableTouch> {
    const how = this.#source === undefined ? approachUnseen(table) : await approach(this.#source, table)
    const touch = new TableTouch(table, how, (target, keys) => this.#send(target, keys), this.#options.batchRows ?? 500)
    this.#tables.push(touch)
    const notes = 'notes' in how ? how.notes.map((note) => `${touch.name}: ${note}`) : []
    this.#notes.push(...notes)
    if (this.#options.mode === 'script') await this.#options.write?.(notes.map(scriptComment).join(''))
    return touch
  }

  async #send(target: TouchTarget, keys: readonly SourceKey[]): Promise<BatchOutcome> {
    const { mode, write } = this.#options
    if (mode !== 'execute') {
      if (mode === 'script') await write?.(batchScript(target, keys))
      return { touched: keys.length, missing: 0, locked: [] }
    }
    // Neither touched nor left: the run is not complete.
    if (this.#mustStop()) return { touched: 0, missing: 0, locked: [] }
    const start = performance.now()
    const outcome = await touchBatch(this.#source!, target, keys)
    const seconds = (performance.now() - start) / 1000
    this.#touched += outcome.touched
    this.#batches++
    this.#options.onEvent?.({
      type: 'unit',
      lane: `${target.schema}.${target.table}`,
      outcome:
        outcome.failed === undefined
          ? { status: 'done', left: [], checked: 0 }
          : { status: 'failed', reason: outcome.failed, proof: false },
      items: keys.length,
      seconds,
    })
    this.#tell(null)
    await this.#budget.rest(seconds, 1, this.#signal, (reason) => this.#tell(reason))
    if (!(await this.#lag!.keepUp(this.#patience)) && !this.#mustStop()) this.#stopped = 'replication'
    return outcome
  }

  /** Waits until the checkpoint that clients are served covers what was touched. */
  async #published(): Promise<boolean> {
    if (this.#touched === 0) return true
    const position = await this.#lag!.position()
    return this.#stopped !== 'replication' && (await this.#lag!.published(position, this.#patience))
  }

  get #patience(): Patience {
    return {
      signal: AbortSignal.any([this.#signal, this.#budget.signal]),
      seconds: this.#options.patience ?? 120,
      tell: (reason) => this.#tell(reason),
    }
  }

  #mustStop(): boolean {
    if (this.#signal.aborted) this.#stopped = 'interrupted'
    else if (this.#budget.spent) this.#stopped ??= 'limit'
    return this.#stopped !== undefined
  }

  #tell(waiting: string | null): void {
    const share = this.#plan.rows === 0 ? 1 : Math.min(1, this.#touched / this.#plan.rows)
    const elapsed = (performance.now() - this.#started) / 1000
    this.#options.onEvent?.({
      type: 'status',
      percentDone: Math.round(share * 1000) / 10,
      unitsDone: this.#batches,
      secondsRemaining: share === 0 ? null : Math.round((elapsed * (1 - share)) / share),
      waiting,
    })
  }

  #report(published: boolean | null, failure: TampError | undefined): TouchReport {
    const tables = this.#tables.map((table) => table.result)
    const sum = (of: (table: TouchedTable) => number): number => tables.reduce((whole, table) => whole + of(table), 0)
    return {
      mode: this.#options.mode,
      complete: this.#stopped === undefined && failure === undefined,
      tables,
      rows: {
        planned: sum((table) => table.planned),
        touched: sum((table) => table.touched),
        missing: sum((table) => table.missing),
        locked: sum((table) => table.locked),
        left: sum((table) => table.left),
      },
      left: this.#tables.flatMap((table) => table.left),
      notes: this.#notes,
      published,
      ...(this.#stopped === undefined ? {} : { stopped: this.#stopped }),
      ...(failure === undefined ? {} : { failure }),
      seconds: Math.round((performance.now() - this.#started) / 10) / 100,
      throttledSeconds: Math.round(this.#budget.throttledSeconds * 100) / 100,
    }
  }
}

/** A table that the storage has operations of, and no entry for any more. */
function unknownTable(id: string): SourceTable {
  return { id, schema: '?', name: id, key: [] }
}
