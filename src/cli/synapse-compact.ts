// `tamp synapse compact`: options in, a report out. What it does is in the library.
import type { FlagParametersForType } from '@stricli/core'
import { TampError } from '../core/errors.ts'
import type { RunOptions } from '../core/run.ts'
import { compact } from '../synapse/index.ts'
import type { CompactOptions } from '../synapse/index.ts'
import { contradict, tampCommand, toggle } from './command.ts'
import type { TampContext } from './command.ts'
import { compactionText } from './compaction-report.ts'
import { checkConnectionFlags, connectionFlags, openDatabase, roomFlag } from './connection-options.ts'
import type { ConnectionFlags } from './connection-options.ts'
import { compactExitStatuses } from './exit-status.ts'
import { groupRange, levels, wholeNumber } from './option-values.ts'
import { carryOut, checkPlannedRunFlags, outputFlags, paceFlags, writeFlags } from './planned-run.ts'
import type { PlannedRunFlags } from './planned-run.ts'
import type { Terminal } from './terminal.ts'

interface CompactFlags extends ConnectionFlags, PlannedRunFlags {
  readonly room?: readonly string[]
  readonly groups?: { readonly from?: number; readonly to?: number }
  readonly maxDepth?: number
  readonly plan: 'best' | 'levels'
  readonly levels?: readonly number[]
  readonly shorten: boolean
  readonly minSavedRows: number
  readonly proof: 'full' | 'budget'
}

const flags: FlagParametersForType<CompactFlags, TampContext> = {
  ...writeFlags(
    'Write the plan as a script for psql instead; - is standard output. Each unit is a transaction that checks its own ' +
      'precondition. The file is there whole or not at all.',
  ),
  ...connectionFlags,
  room: { ...roomFlag, brief: 'Only this room; may be repeated. Default: all, largest expected saving first.' },
  groups: {
    kind: 'parsed',
    parse: groupRange,
    optional: true,
    placeholder: 'FROM..TO',
    brief: 'Change only state groups with ids in this range, ends included; either end may be left out.',
  },
  maxDepth: {
    kind: 'parsed',
    parse: wholeNumber(1, 1_000_000),
    optional: true,
    placeholder: 'N',
    brief:
      'Longest chain wanted, in edges from a snapshot (Synapse itself makes 99). Where chains are deeper today and a ' +
      'shorter one would cost rows, they stay as deep as they are. Default: 100.',
  },
  plan: {
    kind: 'enum',
    values: ['best', 'levels'],
    default: 'best',
    brief: "How bases are chosen: the cheapest ones there are, or the older compressor's algorithm, for comparison.",
  },
  levels: {
    kind: 'parsed',
    parse: levels,
    optional: true,
    placeholder: 'SIZES',
    brief: 'Level sizes for --plan levels, lowest first. Default: 100,50,25.',
  },
  shorten: toggle('Bring chains deeper than --max-depth to it even where that costs rows.'),
  minSavedRows: {
    kind: 'parsed',
    parse: wholeNumber(0),
    default: '1',
    placeholder: 'N',
    brief: 'Leave a room alone unless its plan saves this many rows.',
  },
  proof: {
    kind: 'enum',
    values: ['full', 'budget'],
    default: 'budget',
    brief:
      "How many changed groups Synapse's own query is asked for, before and after, inside the transaction: all, or as many " +
      'as fit a share of the time. All states are compared by fingerprint in any case.',
  },
  ...paceFlags('Rooms'),
  ...outputFlags,
}

export const synapseCompactCommand: ReturnType<typeof tampCommand> = tampCommand<CompactFlags>({
  brief: 'Plan smaller state groups; with --execute, make them so.',
  description: `Stores the state groups of rooms in fewer rows, without changing the state of any.
By default only says what it would do. Synapse may keep running while --execute works: groups that it is about to delete are left alone, \
locks are waited for 300 ms at most, and every transaction is proven before it is committed. It can be stopped at any time.

  tamp synapse compact --homeserver /etc/matrix-synapse/homeserver.yaml
  tamp synapse compact --connection postgresql://synapse@localhost/synapse --execute --load 0.5
  tamp synapse compact --room '!abc:example.org' --sql plan.sql && psql -f plan.sql

Exit status: ${compactExitStatuses}`,
  flags,
  run: runCompact,
})

function runCompact(terminal: Terminal, given: CompactFlags): Promise<number> {
  checkFlags(given)
  return carryOut(terminal, given, {
    beginning: 'Looking which rooms have most to save …',
    words: { lane: 'room', item: 'group' },
    nothing: { groups: 0, rows: 0, bytesEstimate: 0, maxDepth: 0, meanDepth: 0 },
    open: (interruption) => openDatabase(given, interruption),
    act: (database, options) => compact(database, { ...options, ...planning(given) }),
    text: compactionText,
  })
}

function checkFlags(given: CompactFlags): void {
  checkPlannedRunFlags(given)
  checkConnectionFlags(given)
  if (given.plan === 'levels') {
    if (given.shorten) contradict('--plan levels', '--shorten')
    if (given.maxDepth !== undefined)
      contradict('--plan levels', '--max-depth', 'With --plan levels, the depth follows from --levels.')
  } else if (given.levels !== undefined) {
    throw new TampError('usage', 'The option --levels has a meaning only with --plan levels.', {
      hint: 'Add --plan levels, or leave --levels out.',
    })
  }
}

function planning(given: CompactFlags): Omit<CompactOptions, keyof RunOptions> {
  return {
    rooms: given.room === undefined || given.room.length === 0 ? undefined : given.room,
    range: given.groups,
    ...(given.maxDepth === undefined ? {} : { maxDepth: given.maxDepth }),
    plan: given.plan === 'best' ? 'best' : { levels: given.levels ?? [100, 50, 25] },
    minSavedRows: given.minSavedRows,
    shorten: given.shorten,
    proof: given.proof,
  }
}
