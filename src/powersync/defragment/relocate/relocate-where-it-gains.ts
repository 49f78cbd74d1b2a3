// Relocating as a way of defragmenting: every bucket that gains, as far as there is proof of a place for its rows; for the rest, room is made.
import { setTimeout as sleep } from 'node:timers/promises'
import { isRetryable } from '../../../database/failures.ts'
import type { DefragmentFacts } from '../plan.ts'
import { nothing } from '../way.ts'
import type { Done, Site } from '../way.ts'
import { provenGaps } from './evidence.ts'
import { relocationHeader } from './relocate-bucket.ts'
import { relocate } from './relocate.ts'
import { reserveGap } from './reserved-gap.ts'

/** How long others are waited for. */
const busySeconds = 20

export async function relocateWhereItGains(site: Site, facts: DefragmentFacts): Promise<Done> {
  const { mode, checkpoints, targetRatio = 0, write } = site.options
  // Nothing is sent again, so nothing is to be saved by moving fewer rows.
  const wanted = facts.buckets
    .filter(({ compacted }) => compacted.operations > targetRatio * compacted.rows)
    .toSorted((a, b) => b.compacted.operations - b.compacted.rows - (a.compacted.operations - a.compacted.rows))
  const before = new Map(wanted.map((bucket) => [bucket.bucket, bucket]))
  site.plan(wanted.length)
  const gaps = await site.sessions.outlasting(async () => {
    await using connection = await site.sessions.connect()
    return await provenGaps(connection, site.storage, site.stream, site.ledger, checkpoints, mode === 'execute')
  })
  if (mode === 'script') await write?.(relocationHeader(site.storage.schema, site.stream.id, facts.upTo))
  const done = await relocate({
    mode,
    sessions: site.sessions,
    group: site.stream.id,
    checkpoint: facts.upTo,
    buckets: wanted.map(({ bucket }) => bucket),
    gaps,
    ...(site.lock && { lock: site.lock }),
    mustStop: site.mustStop,
    write,
    onBucket: (_, __, seconds) => site.ended(seconds),
  })
  const names = done.buckets.map(({ bucket }) => bucket)
  if (site.options.mode === 'execute' && names.length > 0) {
    await using connection = await site.sessions.connect()
    await site.ledger.forgetBuckets(connection, names)
  }
  if (names.length > 0)
    site.notes.push(
      `Clients that were last up to date at a checkpoint below the op ids where rows are put (the highest is at most ${facts.upTo}) download those buckets anew; all others download nothing.`,
    )
  const crossing = done.buckets.filter(({ crosses }) => crosses).length
  if (crossing > 0)
    site.notes.push(
      `In ${crossing} buckets operations lay where rows were put: a client that was cut off right there in the middle of a download gets the bucket once more.`,
    )
  return {
    buckets: done.buckets.map(({ bucket, rows, before: was, after }) => ({
      bucket,
      rows,
      before: was,
      compacted: before.get(bucket)!.compacted,
      after,
    })),
    resent: nothing,
    left: done.left,
    complete: done.complete,
    next:
      done.roomWanted === 0
        ? null
        : await reserve(
            site,
            done.roomWanted,
            gaps.some(
              ({ reserved, after, upTo }) => reserved && upTo > facts.upTo && upTo - after > done.roomWanted + 1,
            ),
          ),
    compact: names,
    changed: done.buckets.reduce((total, { rows }) => total + rows, 0),
    ...(done.failure === undefined ? {} : { failure: done.failure }),
  }
}

/** Makes room for rows that found none, for the next run. */
async function reserve(site: Site, rows: number, pending: boolean): Promise<string> {
  const again = (opId: string): string =>
    `When the service has published ${opId} and that checkpoint is ${site.grace} s old, run the command again: the buckets left for want of room can be relocated then. Clients that are not past it by that time download them anew.`
  if (pending) return again('the op ids that were reserved')
  if (!(site.options.mode === 'execute'))
    return 'Executed, it reserves op ids for the buckets left for want of room; a second run can relocate them.'
  const deadline = performance.now() + busySeconds * 1000
  for (;;) {
    try {
      await using connection = await site.sessions.connect()
      // With room for rows that come meanwhile: op ids cost nothing.
      const gap = await reserveGap(connection, site.storage, site.stream.id, Math.ceil(rows * 1.5) + 100)
      if (!('reason' in gap)) return again(`op id ${gap.upTo}`)
      return `Name all checkpoints that were published, with --checkpoints: ${gap.reason}.`
    } catch (error) {
      if (!isRetryable(error)) throw error
      if (performance.now() > deadline || site.mustStop())
        return 'Run the command again: others kept writing, so that no op ids could be reserved.'
      await sleep(200)
    }
  }
}
