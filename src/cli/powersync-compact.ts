// `tamp powersync compact`: options in, a report out. What it does is in the library.
import type { FlagParametersForType } from '@stricli/core'
import { compactBuckets } from '../powersync/index.ts'
import { bucketList } from './bucket-list.ts'
import { contradict, tampCommand, toggle } from './command.ts'
import type { TampContext } from './command.ts'
import { compactExitStatuses } from './exit-status.ts'
import { secret } from './option-values.ts'
import { storageAliases } from './powersync-options.ts'
import { bucketReportText } from './powersync-report-text.ts'
import { outputFlags, paceFlags, writeFlags } from './planned-run.ts'
import { checkRunFlags, graceFlag, runOnBuckets, whichFlags } from './powersync-run.ts'
import type { BucketRunFlags } from './powersync-run.ts'
import type { Terminal } from './terminal.ts'

interface CompactFlags extends BucketRunFlags {
  readonly buckets?: readonly string[]
  readonly parameterIndexes?: boolean
  readonly full: boolean
  readonly incrementalOnly: boolean
  readonly syncBase64?: string
  readonly proof: 'full' | 'budget'
}

const flags: FlagParametersForType<CompactFlags, TampContext> = {
  ...writeFlags(
    'Write the plan as a script for psql instead; - is standard output. Each unit is a transaction that checks its own ' +
      'precondition. The file is there whole or not at all.',
  ),
  ...whichFlags,
  buckets: {
    kind: 'parsed',
    parse: bucketList,
    optional: true,
    placeholder: 'LIST',
    brief:
      "Buckets as the service's own compact takes them: full names, separated by commas; commas within their parameters do not " +
      'count. "" is none at all.',
  },
  parameterIndexes: {
    kind: 'boolean',
    optional: true,
    brief:
      'Remove superseded entries of the parameter indexes too, up to the same checkpoint. Without it only their number is said: the ' +
      'service itself does not do this on PostgreSQL.',
  },
  full: toggle('Read every bucket, also those in which nothing is new since their last run.'),
  incrementalOnly: toggle(
    "Accepted as in the service's own compact: a run is incremental anyway. Not together with --full.",
  ),
  syncBase64: {
    kind: 'parsed',
    parse: secret,
    optional: true,
    placeholder: 'TEXT',
    brief: "Accepted as in the service's own compact; there is no use for it here.",
  },
  proof: {
    kind: 'enum',
    values: ['full', 'budget'],
    default: 'budget',
    brief:
      'How much is read once more before a unit is committed: everything it touched, or as much as fits a share of the time. ' +
      'Checksums are compared in any case.',
  },
  ...graceFlag,
  ...paceFlags('Buckets'),
  ...outputFlags,
}

export const powersyncCompactCommand: ReturnType<typeof tampCommand> = tampCommand<CompactFlags>({
  brief: 'Plan shorter buckets; with --execute, make them so.',
  description: `Removes the operations of buckets that later ones supersede, as the service's own compact defines it, and no client notices.
By default only says what it would do. The service may keep running while --execute works: only operations up to a checkpoint that has been \
published for a while are touched, locks are waited for 300 ms at most, transactions are short, and each is proven before it is committed. It \
can be stopped at any time. A bucket in which nothing is new costs nothing on the next run.

  tamp powersync compact --config /config/powersync.yaml
  tamp powersync compact --connection postgresql://powersync@localhost/storage --execute --load 0.5
  tamp powersync compact -c powersync.yaml -b '1#by_user|0["x","y"],1#global[]' --execute

Exit status: ${compactExitStatuses}`,
  flags,
  aliases: { ...storageAliases, b: 'buckets', p: 'parameterIndexes' },
  run: runCompact,
})

function runCompact(terminal: Terminal, given: CompactFlags): Promise<number> {
  checkRunFlags(given)
  if (given.full && given.incrementalOnly) contradict('--full', '--incremental-only')
  const { buckets, full, proof } = given
  return runOnBuckets(terminal, given, {
    beginning: 'Looking which buckets have grown …',
    list: buckets,
    act: (storage, options) =>
      compactBuckets(storage, {
        ...options,
        full,
        proof,
        parameterIndexes: given.parameterIndexes ?? false,
        checkpointRequestRetention: storage.checkpointRequestRetention,
      }),
    text: bucketReportText,
  })
}
