// What a survey finds odd: of a bucket from its figures, of the storage from its streams.
import type { BucketFinding } from '../findings.ts'
import type { Stream } from '../streams.ts'
import type { BucketFigures } from './bucket-figures.ts'
import type { OtherGroup } from './storage-figures.ts'

/** Operations that compaction leaves for each one that is needed, before it is worth a remark; and how many at least. */
const heldBackFactor = 10
const heldBackLeast = 1000

export function bucketRemarks(figures: BucketFigures): BucketFinding[] {
  const { bucket: subject, operations, rows, above, prefix, unknown, odd, misplacedClears } = figures
  const findings: BucketFinding[] = []
  if (unknown > 0)
    findings.push({ code: 'unknown-operation', subject, detail: `${unknown} operations are of an unknown kind.` })
  if (odd > 0)
    findings.push({
      code: 'operation-malformed',
      subject,
      detail: `${odd} operations do not say of which row they are, or do and must not.`,
    })
  if (misplacedClears > 0)
    findings.push({
      code: 'clear-not-first',
      subject,
      detail: `${misplacedClears} CLEARs are not the first operation.`,
    })
  const left = operations - above - Math.max(0, prefix - 1)
  if (left >= heldBackLeast && left >= heldBackFactor * (rows + 1))
    findings.push({
      code: 'held-back',
      subject,
      detail: `Compacting leaves ${left} operations for ${rows} rows; the oldest row is operation ${figures.oldestRow}.`,
    })
  return findings
}

export function storageRemarks(
  streams: readonly Stream[],
  stream: Stream | null,
  others: readonly OtherGroup[],
  silentFor: number | null,
): BucketFinding[] {
  const findings: BucketFinding[] = []
  const subject = stream === null ? 'storage' : `stream ${stream.id}`
  if (stream === null || !stream.serves || !stream.lastCheckpoint)
    findings.push({
      code: 'no-checkpoint',
      subject,
      detail:
        stream === null
          ? 'There is no replication stream.'
          : stream.serves
            ? 'The stream has not published a checkpoint.'
            : 'The only stream is still being built.',
    })
  if (stream?.serves === true && stream.state === 'ERRORED')
    findings.push({
      code: 'errored-stream',
      subject,
      detail: "It goes on serving what it had; the service's own compact leaves it out.",
    })
  if (stream?.serves === true && silentFor !== null && silentFor >= 3600)
    findings.push({
      code: 'old-checkpoint',
      subject,
      detail: `Nothing was heard of the service for ${Math.floor(silentFor / 3600)} hours.`,
    })
  const states = new Map(streams.map(({ id, state }) => [id, state]))
  for (const { group, operations } of others) {
    const state = states.get(group)
    if (state === undefined)
      findings.push({ code: 'unknown-group', subject: `group ${group}`, detail: `It has ${operations} operations.` })
    else if (state === 'STOP' || state === 'TERMINATED')
      findings.push({
        code: 'stopped-stream',
        subject: `stream ${group}`,
        detail: `${operations} operations are left of it.`,
      })
  }
  return findings
}
