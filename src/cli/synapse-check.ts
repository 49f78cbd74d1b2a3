// `tamp synapse check`: every structural rule of the store, and what breaks one.
import type { FlagParametersForType } from '@stricli/core'
import type { Finding } from '../core/report.ts'
import { checkStateGroups } from '../synapse/index.ts'
import { checkOutputFlags, outputFlags, tampCommand } from './command.ts'
import type { OutputFlags, TampContext } from './command.ts'
import { findingsText } from './report-text.ts'
import { checkConnectionFlags, connectionFlags, openDatabase, roomFlag } from './connection-options.ts'
import type { ConnectionFlags } from './connection-options.ts'
import { count, counted, duration } from './figures.ts'
import { Interruption } from './interruption.ts'
import { jsonLine, statusLine } from './json-lines.ts'
import { wholeNumber } from './option-values.ts'
import { Progress } from './progress.ts'
import type { Terminal } from './terminal.ts'

interface CheckFlags extends ConnectionFlags, OutputFlags {
  readonly room?: readonly string[]
  readonly maxDepth?: number
}

const flags: FlagParametersForType<CheckFlags, TampContext> = {
  ...connectionFlags,
  room: {
    ...roomFlag,
    brief: 'Only this room; may be repeated. Rows, edges and events without a group are then not looked for.',
  },
  maxDepth: {
    kind: 'parsed',
    parse: wholeNumber(1),
    optional: true,
    placeholder: 'N',
    brief: 'Take chains of more edges than this for a fault. Without it those of more than 300 are remarked upon.',
  },
  ...outputFlags,
}

export const synapseCheckCommand: ReturnType<typeof tampCommand> = tampCommand<CheckFlags>({
  brief: 'Look for damage in the store of state groups.',
  description: `Looks at every structural rule of Synapse's state store, and names what breaks one. Reads only, in one snapshot, and blocks \
nobody; but reads every state row once, which on hundreds of millions of rows takes hours.

  tamp synapse check --homeserver /etc/matrix-synapse/homeserver.yaml

Of each kind of finding the first hundred are named. docs/findings.md says what each means and what to do about it.
Deep chains are not damage: unless --max-depth is given they are named as a remark, and the exit status is 0.

Exit status: 0 no fault found; 1 failed; 2 wrong use; 4 something found; 10 schema not recognised; 130 interrupted.`,
  flags,
  run: runCheck,
})

async function runCheck(terminal: Terminal, given: CheckFlags): Promise<number> {
  checkOutputFlags(given)
  checkConnectionFlags(given)
  const { json, quiet, verbose } = given
  using interruption = new Interruption(terminal, 'Stopping.')
  const database = await openDatabase(given, interruption)
  const started = performance.now()
  const findings: Finding[] = []
  const progress = new Progress(terminal, {
    show: quiet ? null : json ? 'bar-only' : 'auto',
    beginning: 'Reading edges …',
    units: 'groups looked at',
  })
  let told = performance.now()
  const check = checkStateGroups(database, {
    rooms: given.room,
    maxDepth: given.maxDepth,
    signal: interruption.signal,
    onEvent(event) {
      progress.hear(event)
      if (!json || event.type !== 'status' || performance.now() - told < 1000) return
      told = performance.now()
      terminal.out(statusLine(event))
    },
  })
  {
    using shown = progress
    for await (const finding of check) {
      findings.push(finding)
      if (!json) continue
      shown.clear()
      terminal.out(jsonLine({ type: 'finding', ...finding }))
    }
  }
  const seconds = Math.round((performance.now() - started) / 10) / 100
  const { complete, groups, rows, eventsCompared, counts } = check.summary
  const remarks = given.maxDepth === undefined ? (counts['over-deep-chain'] ?? 0) : 0
  const found = Object.values(counts).reduce((sum, here) => sum + here, 0) - remarks
  if (json) {
    const before = { groups, rows }
    terminal.out(
      jsonLine({
        type: 'summary',
        command: 'synapse check',
        mode: 'dry-run',
        complete,
        before,
        eventsCompared,
        counts,
        findings,
        seconds,
      }),
    )
    return found > 0 ? 4 : 0
  }
  const lines = quiet ? [] : findingsText(findings, verbose, terminal)
  if (lines.length > 0) lines.push('')
  lines.push(
    `${found === 0 ? terminal.style('green', remarks === 0 ? 'Nothing found' : `No fault found, ${counted(remarks, 'remark')}`) : terminal.style('bold', `${counted(found, 'finding')} (docs/findings.md says what to do)`)}: ` +
      `${counted(groups, 'state group')} with ${counted(rows, 'row')} looked at, ${duration(seconds)}.`,
  )
  if (quiet) for (const [code, number] of Object.entries(counts)) lines.push(`  ${code}: ${count(number)}`)
  if (!eventsCompared)
    lines.push(
      (given.room ?? []).length > 0
        ? 'Rows, edges and events without a group were not looked for: they belong to no room.'
        : 'Events were not compared: event_to_state_groups cannot be read.',
    )
  terminal.out(lines.join('\n') + '\n')
  return found > 0 ? 4 : 0
}
