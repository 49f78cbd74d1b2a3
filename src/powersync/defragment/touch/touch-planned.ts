// Touching as a way of defragmenting: the rows of a plan are written again at the source, and it is said when compacting can finish it.
import type { DefragmentPlan } from '../plan.ts'
import { planned } from '../way.ts'
import type { Done, Site } from '../way.ts'
import { touchRows } from './touch.ts'

export async function touchPlanned(site: Site, plan: DefragmentPlan): Promise<Done> {
  const { mode, source, write, signal, onEvent, load, maxSeconds } = site.options
  const report = await touchRows(site.storage, plan, { mode, source, write, signal, onEvent, load, maxSeconds })
  site.notes.push(...report.notes)
  site.plan(report.rows.planned)
  site.count(mode === 'execute' ? report.rows.touched : 0)
  return {
    buckets: planned(plan),
    resent: plan.resent,
    left: report.left,
    complete: report.complete,
    next:
      plan.rows === 0
        ? null
        : report.published === true && site.grace === 0
          ? null
          : `When the service has replicated the touched rows and their checkpoint is ${site.grace} s old: tamp powersync compact`,
    compact: report.published === true ? plan.buckets.map(({ bucket }) => bucket) : [],
    changed: site.options.mode === 'execute' ? report.rows.touched : 0,
    ...(report.failure === undefined ? {} : { failure: report.failure }),
  }
}
