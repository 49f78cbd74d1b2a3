// `tamp powersync defragment`: options in, a report out. What it does is in the library.
import type { FlagParametersForType } from '@stricli/core'
import { TampError } from '../core/errors.ts'
import { defragmentBuckets } from '../powersync/index.ts'
import { tampCommand } from './command.ts'
import type { TampContext } from './command.ts'
import { compactExitStatuses } from './exit-status.ts'
import { jsonLine } from './json-lines.ts'
import { opIds } from './op-id-list.ts'
import { connectionString } from './option-values.ts'
import { defragmentedText } from './powersync-defragmented-text.ts'
import { resyncFlags, storageAliases } from './powersync-options.ts'
import type { ResyncFlags } from './powersync-options.ts'
import { outputFlags, paceFlags, writeFlags } from './planned-run.ts'
import { checkRunFlags, graceFlag, runOnBuckets, whichFlags } from './powersync-run.ts'
import type { BucketRunFlags } from './powersync-run.ts'
import type { Terminal } from './terminal.ts'

type How = 'touch' | 'reinsert' | 'relocate'

interface DefragmentFlags extends BucketRunFlags, ResyncFlags {
  readonly how: How
  readonly source?: string
  readonly checkpoints?: readonly number[]
}

const flags: FlagParametersForType<DefragmentFlags, TampContext> = {
  ...writeFlags(
    'Write the plan as a script for psql instead; - is standard output. With --how touch it is for the source database. ' +
      'The file is there whole or not at all.',
  ),
  how: {
    kind: 'enum',
    values: ['touch', 'reinsert', 'relocate'],
    default: 'touch',
    brief:
      'touch: UPDATE the rows in the source database, as the documentation of PowerSync advises. reinsert: give their operations ' +
      'new op ids inside the storage; only these rows are sent again. relocate: give them op ids that have been published already; ' +
      'clients that are up to date download nothing.',
  },
  ...whichFlags,
  ...resyncFlags,
  source: {
    kind: 'parsed',
    parse: connectionString,
    optional: true,
    placeholder: 'URL',
    brief: 'With --how touch: the source database (PostgreSQL), in which --execute touches the rows.',
  },
  checkpoints: {
    kind: 'parsed',
    parse: opIds,
    optional: true,
    placeholder: 'LIST|FILE',
    brief:
      'With --how relocate: every checkpoint that was ever published in the range, as op ids separated by commas, or a file of them. ' +
      'Without it a run with --execute sets op ids aside, and a later one uses them.',
  },
  ...graceFlag,
  ...paceFlags('Buckets'),
  ...outputFlags,
}

export const powersyncDefragmentCommand: ReturnType<typeof tampCommand> = tampCommand<DefragmentFlags>({
  brief: 'Move old rows out of the way of compacting; with --execute.',
  description: `Compacting can clear a bucket only up to its oldest live row. This moves the rows that hold back most, as few as pay off, and says \
what it costs: existing clients download moved rows again (not with --how relocate), new ones download less from then on.
By default only says what it would do. Afterwards, when the service has published the moved rows, "tamp powersync compact" clears what was behind them.

  tamp powersync defragment --config powersync.yaml --max-resync-rows 1000
  tamp powersync defragment --config powersync.yaml --how reinsert --bucket '1#global[]' --execute
  tamp powersync defragment --config powersync.yaml --how touch --sql touch.sql && psql -d source -f touch.sql

Exit status: ${compactExitStatuses}`,
  flags,
  aliases: storageAliases,
  run: runDefragment,
})

function runDefragment(terminal: Terminal, given: DefragmentFlags): Promise<number> {
  checkFlags(given)
  const { how, source, checkpoints, maxResyncRows, maxResyncBytes, targetRatio } = given
  return runOnBuckets(terminal, given, {
    beginning: 'Looking which rows hold back most …',
    act: (storage, options) =>
      defragmentBuckets(storage, { ...options, how, maxResyncRows, maxResyncBytes, targetRatio, source, checkpoints }),
    text: defragmentedText,
    json: ({ how, buckets, resent, saved, limitedBy, next }) => ({
      lines: buckets.map((bucket) => jsonLine({ type: 'plan', ...bucket })),
      summary: { how, resent, saved, limitedBy, next },
    }),
  })
}

function checkFlags(given: DefragmentFlags): void {
  checkRunFlags(given)
  const { how, source, checkpoints, execute } = given
  if (how !== 'touch' && source !== undefined) onlyWith('--source', '--how touch')
  if (how !== 'relocate' && checkpoints !== undefined) onlyWith('--checkpoints', '--how relocate')
  if (how === 'touch' && execute && source === undefined)
    throw new TampError('usage', 'To touch rows of the source database, --execute needs --source beside it.', {
      hint: 'Name the source database, write a script for it with --sql FILE, or choose --how reinsert.',
    })
}

function onlyWith(option: string, other: string): never {
  throw new TampError('usage', `The option ${option} has a meaning only with ${other}.`, {
    hint: `Add ${other}, or leave ${option} out.`,
  })
}
