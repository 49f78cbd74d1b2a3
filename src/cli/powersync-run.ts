// What `compact` and `defragment` have in common: which buckets, how old the checkpoint has to be, and what a report of buckets adds to a summary.
import type { FlagParametersForType } from '@stricli/core'
import type { RunOptions } from '../core/run.ts'
import type { BucketReport, BucketSelection, BucketStorage } from '../powersync/index.ts'
import type { TampContext } from './command.ts'
import { secondsOrNone } from './option-values.ts'
import { carryOut, checkPlannedRunFlags } from './planned-run.ts'
import type { PlannedRun, PlannedRunFlags } from './planned-run.ts'
import { bucketFlags, checkStorageFlags, openStorage, selectionOf, storageFlags } from './powersync-options.ts'
import type { BucketFlags, StorageFlags } from './powersync-options.ts'
import type { Terminal } from './terminal.ts'

export interface BucketRunFlags extends StorageFlags, BucketFlags, PlannedRunFlags {
  readonly grace?: number
}

export const whichFlags: FlagParametersForType<StorageFlags & BucketFlags, TampContext> = {
  ...storageFlags,
  ...bucketFlags,
}

export const graceFlag: FlagParametersForType<Pick<BucketRunFlags, 'grace'>, TampContext> = {
  grace: {
    kind: 'parsed',
    parse: secondsOrNone,
    optional: true,
    placeholder: 'TIME',
    brief:
      'Touch only operations up to a checkpoint that was published at least that long ago, so that no client is still being served ' +
      'an older one. 0 takes the newest checkpoint. Default: 10m.',
  },
}

/** @throws TampError `usage` */
export function checkRunFlags(given: BucketRunFlags): void {
  checkPlannedRunFlags(given)
  checkStorageFlags(given)
}

export interface BucketRun<Of extends BucketReport> extends Pick<
  PlannedRun<BucketStorage, Of>,
  'beginning' | 'text' | 'json'
> {
  /** Buckets named in another way than by `--bucket`. */
  readonly list?: readonly string[] | undefined
  act(storage: BucketStorage, options: RunOptions & BucketSelection & { readonly grace?: number }): Promise<Of>
}

/** Opens the storage, carries the run out and prints its report. @returns the exit status */
export function runOnBuckets<Of extends BucketReport>(
  terminal: Terminal,
  given: BucketRunFlags,
  run: BucketRun<Of>,
): Promise<number> {
  return carryOut<BucketStorage, Of>(terminal, given, {
    beginning: run.beginning,
    words: { lane: 'lane', item: 'operation' },
    nothing: { operations: 0, rows: 0, bytesEstimate: 0 },
    open: (interruption) => openStorage(given, interruption),
    act: (storage, options) =>
      run.act(storage, {
        ...options,
        ...selectionOf(given, run.list),
        ...(given.grace === undefined ? {} : { grace: given.grace }),
      }),
    text: run.text,
    json(report) {
      const { stream, checkpoint, definitions, unchangedBuckets, space, notes } = report
      const { lines, summary } = run.json?.(report) ?? { lines: [], summary: {} }
      return { lines, summary: { stream, checkpoint, definitions, unchangedBuckets, space, notes, ...summary } }
    },
  })
}
