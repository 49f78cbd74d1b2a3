// What a run of a compactor tells while it goes on: lines of JSON, lines about units with --verbose, and the progress.
import type { TampEvent } from '../core/events.ts'
import type { OutputFlags } from './command.ts'
import { counted, duration, printable } from './figures.ts'
import { planLine, statusLine, unitLine } from './json-lines.ts'
import type { Progress } from './progress.ts'
import type { Terminal } from './terminal.ts'

export interface RunWords {
  /** What a lane is called in JSON: `room`, `lane`. */
  readonly lane: string
  /** What a unit holds, one of it: `group`, `operation`. */
  readonly item: string
}

export function runListener(
  terminal: Terminal,
  { json, verbose }: OutputFlags,
  progress: Progress,
  { lane, item }: RunWords,
): (event: TampEvent) => void {
  let told = -Infinity
  return (event) => {
    if (json) {
      progress.clear()
      if (event.type === 'plan') terminal.out(planLine(lane, event.plan))
      if (event.type === 'unit' && verbose) terminal.out(unitLine(lane, `${item}s`, event))
      if (event.type === 'status' && performance.now() - told >= 1000) {
        told = performance.now()
        terminal.out(statusLine(event))
      }
    } else if (event.type === 'unit' && verbose) {
      progress.clear()
      const { outcome } = event
      const reason = 'reason' in outcome ? `: ${printable(outcome.reason)}` : ''
      terminal.err(
        `${printable(event.lane)}: ${counted(event.items, item)} ${outcome.status} in ${duration(event.seconds)}${reason}\n`,
      )
    }
    progress.hear(event)
  }
}
