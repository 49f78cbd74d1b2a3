// Where it is shown that no checkpoint was ever published: from a list that is said to be complete, and from gaps reserved by tamp.
//
// What is no proof: checkpoints that were sampled, because there may have been others between them; and operations with the same xmin.
// One flush of the replicator does share an xmin, and no checkpoint lies inside of one; but so do all rows of a restored dump, of
// pg_repack, of an upgrade by dump, which nothing tells apart.
import { TampError } from '../../../core/errors.ts'
import type { Connection } from '../../../database/postgres.ts'
import type { BucketStorage } from '../../database.ts'
import type { Ledger } from '../../ledger.ts'
import { gapsBetween } from './gap.ts'
import type { Gap } from './gap.ts'
import { reservedGaps } from './reserved-gap.ts'

/**
 * @param listed every checkpoint that was published between the first and the last of the list
 * @throws TampError `usage` where the list leaves out one that is known to have been published
 */
export async function provenGaps(
  connection: Connection,
  storage: BucketStorage,
  stream: { readonly id: number; readonly lastCheckpoint: number },
  ledger: Ledger,
  listed: readonly number[] | undefined,
  writing: boolean,
): Promise<Gap[]> {
  const seen = await ledger.seenCheckpoints(connection)
  const reserved = await reservedGaps(connection, storage, stream, seen, writing)
  if (listed === undefined) return reserved
  const wrong = listed.find((opId) => !Number.isSafeInteger(opId) || opId < 0)
  if (wrong !== undefined) throw new TampError('usage', `${wrong} is not a checkpoint.`)
  const sorted = [...new Set(listed)].sort((a, b) => a - b)
  const known = [...seen, stream.lastCheckpoint]
  const missing = known.find((opId) => opId > sorted[0]! && opId < sorted.at(-1)! && !sorted.includes(opId))
  if (missing !== undefined)
    throw new TampError('usage', `The list of checkpoints is not complete: ${missing} was published too.`, {
      hint: 'It has to name every checkpoint between its first and its last: a row moved across one breaks clients.',
    })
  if (sorted.at(-1)! > stream.lastCheckpoint)
    throw new TampError('usage', `Checkpoint ${sorted.at(-1)} of the list has not been published yet.`, {
      hint: `The newest is ${stream.lastCheckpoint}: is the list from another storage?`,
    })
  return [...reserved, ...gapsBetween(sorted)]
}
