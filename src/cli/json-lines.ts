// `--json`: one object a line on standard output. The shapes are fixed; fields are added, never renamed.
import type { TampEvent } from '../core/events.ts'
import type { Bound, LanePlan, Measure, RunSummary } from '../core/report.ts'
import type { TampError } from '../core/errors.ts'

type Line = Readonly<Record<string, unknown>>

export function jsonLine(line: { readonly type: string } & Line): string {
  return JSON.stringify({ v: 1, ...line }) + '\n'
}

/**
 * The last line of a run.
 * @param missing the figures of a run that measured nothing
 * @param more what only this command has
 */
export function summaryLine(report: RunSummary, missing: Partial<Measure> = {}, more: Line = {}): string {
  const { command, mode, complete, before, after, bound, units, proof, findings, seconds, throttledSeconds } = report
  return jsonLine({
    type: 'summary',
    command,
    mode,
    complete,
    before: { ...missing, ...before },
    after: { ...missing, ...after },
    ...(bound === undefined ? {} : { bound: boundOf(bound) }),
    units,
    proof,
    findings,
    seconds,
    throttledSeconds,
    skipped: report.skipped,
    ...(report.stopped === undefined ? {} : { stopped: report.stopped }),
    ...more,
  })
}

function boundOf({ exact, ...figures }: Bound): Line {
  return exact ? figures : { ...figures, estimate: true }
}

/** @param lane what the compactor calls a lane: `room`, `bucket`, `table` */
export function planLine(lane: string, plan: LanePlan): string {
  const { before, after, bound, onTheWay, changes, proof, findings, notes } = plan
  return jsonLine({
    type: 'plan',
    [lane]: plan.lane,
    before,
    after,
    bound: boundOf(bound),
    onTheWay,
    changes,
    proof,
    findings,
    notes,
  })
}

export function unitLine(lane: string, items: string, event: TampEvent & { type: 'unit' }): string {
  const { status, ...outcome } = event.outcome
  return jsonLine({
    type: 'unit',
    [lane]: event.lane,
    status,
    [items]: event.items,
    seconds: Math.round(event.seconds * 1000) / 1000,
    ...outcome,
  })
}

export function statusLine({
  percentDone,
  unitsDone,
  secondsRemaining,
  waiting,
}: TampEvent & { type: 'status' }): string {
  return jsonLine({
    type: 'status',
    percentDone: Math.round(percentDone * 10) / 10,
    unitsDone,
    secondsRemaining: secondsRemaining === null ? null : Math.round(secondsRemaining),
    waiting,
  })
}

export function errorLine({ code, message, hint }: TampError): string {
  return jsonLine({ type: 'error', code, message, hint: hint ?? null })
}
