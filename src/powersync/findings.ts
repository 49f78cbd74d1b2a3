// What can be wrong with bucket storage, or odd: stable codes, each with its one sentence. docs/findings.md says what to do about them.
import type { Finding } from '../core/report.ts'

/** Faults: what `check` looks for. Code → what it means. Scripts rely on the codes: they are added to, never renamed. */
export const bucketFaults = {
  'unknown-operation': 'The operation is none of PUT, REMOVE, MOVE and CLEAR.',
  'operation-malformed': 'A column is empty that an operation of its kind must have, or has a value that it must not.',
  'checksum-out-of-range': 'The checksum is not a 32-bit number.',
  'checksum-mismatch': 'The checksum is not that of the data: one of them was changed after the service wrote it.',
  'source-key-unreadable':
    'The key of the source row cannot be decoded, so nothing tells what it is sent to clients as.',
  'clear-not-first':
    'There are operations before a CLEAR, which must be the first of its bucket: clients forget them, the service goes on counting them.',
  'move-target-missing': 'A MOVE names an operation that took its place, and there is no such operation in the bucket.',
  'row-lost': 'A row belongs to the bucket, but its last operation there is no PUT: new clients do not get it.',
  'row-left-over': 'The last operation of a row is a PUT, but the row does not belong to the bucket any more.',
  'beyond-sequence': 'An op id is higher than any that was ever given out; later changes would be given it again.',
} as const

/** Remarks: nothing is damaged. */
export const bucketRemarks = {
  'superseded-left':
    'A run of compaction has passed these operations, and yet they are stored in full although a later one took their place.',
  'errored-stream': 'The replication stream that clients are served from has stopped with an error.',
  'old-checkpoint': 'The service has not published a checkpoint or a sign of life for an hour or more.',
  'no-checkpoint': 'Clients are served from no replication stream yet, or it has no checkpoint.',
  'stopped-stream': 'A replication stream has been replaced, and its operations are still there.',
  'unknown-group': 'There are operations of a group that is no replication stream: nobody deletes them.',
  'held-back':
    'Old rows that never change keep most of the bucket from being cleared: defragmenting shortens it, compacting alone does not.',
} as const

export const bucketFindings: typeof bucketFaults & typeof bucketRemarks = { ...bucketFaults, ...bucketRemarks }

export type BucketFindingCode = keyof typeof bucketFindings

/** A finding of `inspectBuckets` or `checkBuckets`. */
export interface BucketFinding extends Finding {
  readonly code: BucketFindingCode
}

export function isRemark(code: BucketFindingCode): boolean {
  return code in bucketRemarks
}

/** The subject of a finding on one operation: the last slash parts the op id from the bucket's name. */
export function operationSubject(bucket: string, opId: number): string {
  return `${bucket}/${opId}`
}
