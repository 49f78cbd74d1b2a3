// Reinserting as a way of defragmenting: the rows of a plan are written again, and where nothing has to age they are published and reported.
import { setTimeout as sleep } from 'node:timers/promises'
import { sqlState } from '../../../database/failures.ts'
import { servedStream } from '../../streams.ts'
import type { DefragmentedBucket } from '../defragment-report.ts'
import type { DefragmentFacts, DefragmentPlan } from '../plan.ts'
import { idle, planned } from '../way.ts'
import type { Done, Site } from '../way.ts'
import { reinsertScript } from './reinsert-script.ts'
import { previewReinsert, reinsert } from './reinsert.ts'
import type { Reinserted } from './reinsert.ts'

/** How long a checkpoint with the moved rows is waited for, where compacting has to wait for nothing else. */
const publishedSeconds = 30

export async function reinsertPlanned(site: Site, plan: DefragmentPlan, facts: DefragmentFacts): Promise<Done> {
  const { mode, write } = site.options
  const moves = plan.buckets
  if (moves.length === 0) return { ...idle, complete: true }
  if (mode !== 'execute') {
    const preview = await look(site, plan)
    if (mode === 'script') await write?.(reinsertScript(site.storage.schema, site.stream, moves))
    site.plan(preview.batches)
    const buckets = asFarAsMoved(plan, facts, preview)
    const next = `Executed, it is published with the service's next checkpoint; when that is ${site.grace} s old, compacting finishes it.`
    return { ...idle, buckets, resent: preview.total, left: preview.left, complete: true, next }
  }
  if (site.stream.state === 'ERRORED')
    site.notes.push('The stream is in state ERRORED: what is moved is published only when it replicates again.')
  const done = await reinsert({
    sessions: site.sessions,
    stream: site.stream,
    moves,
    ...(site.lock && { lock: site.lock }),
    mustStop: site.mustStop,
    tell: site.tell,
    onQueue: site.plan,
    onBatch: (_, seconds) => site.ended(seconds),
  })
  const published = done.lastNew !== null && site.grace === 0 && (await isPublished(site, done.lastNew))
  const next =
    done.lastNew === null
      ? null
      : published
        ? null
        : `When the service has published operation ${done.lastNew} and that checkpoint is ${site.grace} s old: tamp powersync compact`
  const buckets = asFarAsMoved(plan, facts, done)
  return {
    buckets,
    resent: done.total,
    left: done.left,
    complete: done.complete,
    next,
    compact: published ? [...new Set([...buckets.map(({ bucket }) => bucket), ...done.buckets.keys()])] : [],
    changed: done.total.operations,
    ...(done.failure === undefined ? {} : { failure: done.failure }),
  }
}

/** The buckets of the plan with what is gained although rows stay where they are: nothing behind the first of them. */
function asFarAsMoved(
  plan: DefragmentPlan,
  facts: DefragmentFacts,
  { buckets, firstNotMoved }: Pick<Reinserted, 'buckets' | 'firstNotMoved'>,
): DefragmentedBucket[] {
  const cuts = new Map(facts.buckets.map((one) => [one.bucket, one.cuts]))
  return planned(plan).flatMap((one) => {
    const first = firstNotMoved.get(one.bucket)
    if (first === undefined) return [one]
    if (!buckets.has(one.bucket)) return []
    const reached = cuts.get(one.bucket)?.findLast(({ moveBelow }) => moveBelow <= first)
    return [
      reached === undefined
        ? { ...one, rows: 0, after: one.compacted }
        : { ...one, rows: reached.rows, after: reached.after },
    ]
  })
}

/** Whether clients are served an operation by now; waits a little, for an idle service publishes only now and then. */
async function isPublished(site: Site, opId: number): Promise<boolean> {
  const deadline = performance.now() + publishedSeconds * 1000
  for (;;) {
    const { lastCheckpoint } = await site.sessions.outlasting(async () => {
      await using connection = await site.sessions.connect()
      return await servedStream(connection)
    })
    if (lastCheckpoint >= opId) return true
    if (performance.now() > deadline || site.mustStop()) return false
    site.tell(`waiting until the service publishes operation ${opId}`)
    await sleep(500)
  }
}

/** What would be written again and what would be left. Where nothing at all may be written, not even a temporary table: what the plan says. */
async function look(
  { sessions, stream, notes }: Site,
  plan: DefragmentPlan,
): Promise<Pick<Reinserted, 'total' | 'left' | 'buckets' | 'firstNotMoved' | 'batches'>> {
  try {
    return await sessions.outlasting(async () => {
      await using connection = await sessions.connect()
      return await previewReinsert(connection, stream, plan.buckets)
    })
  } catch (error) {
    // 25006: a standby, or a read-only role. 42501: no TEMP on the database.
    if (!['25006', '42501'].includes(sqlState(error) ?? '')) throw error
    notes.push('Which rows have to stay where they are was not looked at, as no temporary table can be made here.')
    return { total: plan.resent, left: [], buckets: new Map(), firstNotMoved: new Map(), batches: 0 }
  }
}
