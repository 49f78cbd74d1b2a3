// Reinserting as a way of defragmenting: the rows of a plan are written again, and where nothing has to age they are published and reported.
import { setTimeout as sleep } from 'node:timers/promises'
import { servedStream } from '../../streams.ts'
import type { DefragmentPlan } from '../plan.ts'
import { idle, planned } from '../way.ts'
import type { Done, Site } from '../way.ts'
import { reinsertScript } from './reinsert-script.ts'
import { previewReinsert, reinsert } from './reinsert.ts'

/** How long a checkpoint with the moved rows is waited for, where compacting has to wait for nothing else. */
const publishedSeconds = 30

export async function reinsertPlanned(site: Site, plan: DefragmentPlan): Promise<Done> {
  const { mode, write } = site.options
  const moves = plan.buckets
  const buckets = planned(plan)
  if (moves.length === 0) return { ...idle, complete: true }
  if (mode !== 'execute') {
    const preview = await site.sessions.outlasting(async () => {
      await using connection = await site.sessions.connect()
      return await previewReinsert(connection, site.stream, moves)
    })
    if (mode === 'script') await write?.(reinsertScript(site.storage.schema, site.stream, moves))
    site.plan(preview.total.operations)
    const next = `Executed, it is published with the service's next checkpoint; when that is ${site.grace} s old, compacting finishes it.`
    return { ...idle, buckets, resent: preview.total, left: preview.left, complete: true, next }
  }
  if (site.stream.state === 'ERRORED')
    site.notes.push('The stream is in state ERRORED: what is moved is published only when it replicates again.')
  site.plan(plan.resent.operations)
  const done = await reinsert({
    sessions: site.sessions,
    stream: site.stream,
    moves,
    ...(site.lock && { lock: site.lock }),
    mustStop: site.mustStop,
    tell: site.tell,
    onBatch: (_, seconds) => site.ended(seconds),
  })
  const published = done.lastNew !== null && site.grace === 0 && (await isPublished(site, done.lastNew))
  const next =
    done.lastNew === null
      ? null
      : published
        ? null
        : `When the service has published operation ${done.lastNew} and that checkpoint is ${site.grace} s old: tamp powersync compact`
  return {
    buckets,
    resent: done.total,
    left: done.left,
    complete: done.complete,
    next,
    compact: published ? [...done.buckets.keys()] : [],
    changed: done.total.operations,
  }
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
