// The exit status of a run that came to its end, one way or the other. Where several apply the first of 130, 12, 1, 75, 3 is given.
import type { RunSummary } from '../core/report.ts'

export function exitStatus(report: Pick<RunSummary, 'stopped' | 'proof' | 'units' | 'skipped' | 'failure'>): number {
  if (report.stopped === 'interrupted') return 130
  if (report.proof.mismatches > 0) return 12
  if (report.failure !== undefined) return report.failure.exitStatus
  if (report.stopped === 'limit') return 75
  if (report.units.failed > 0 || report.units.skipped > 0 || report.skipped.length > 0) return 3
  return 0
}

/** For `--help` and the documentation. */
export const compactExitStatuses = `0 done, or nothing to do; 1 failed; 2 wrong use; 3 finished, but some units were skipped or failed; 10 schema not \
recognised; 11 another tamp is at work; 12 a proof failed (that unit was rolled back); 75 stopped by --max-duration, more to do; 130 interrupted cleanly.`
