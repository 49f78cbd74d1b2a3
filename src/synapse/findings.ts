// What can be wrong with a store of state groups: stable codes, each with its one sentence. docs/findings.md says what to do about them.
import type { Finding } from '../core/report.ts'

/** Code → what it means. Scripts rely on the codes: they are added to, never renamed. */
export const findingExplanations = {
  'dangling-base': 'The group is stored on a base that does not exist, so part of its state cannot be read.',
  cycle: 'Following the bases of these groups leads back to where it began, so Synapse never finishes reading them.',
  'several-bases': 'The group is stored on more than one base; Synapse reads all of them and the higher id wins.',
  'base-not-older':
    'The base does not have a lower id than the group, so the rows of the base win over those of the group.',
  'duplicate-key': 'The group stores the same (type, state_key) more than once.',
  'rows-without-group': 'There are state rows for a group that does not exist.',
  'edge-without-group': 'There is an edge from a group that does not exist.',
  'room-mismatch': 'The state rows or the base of the group belong to another room than the group.',
  'event-without-group':
    'An event refers to a state group that does not exist, so the state at that event cannot be read.',
  'over-deep-chain':
    'Groups of the room lie so many edges above their snapshot that reading them takes noticeably long.',
} as const

export type FindingCode = keyof typeof findingExplanations

/** A finding of `checkStateGroups` or `inspectRooms`. */
export interface StateGroupFinding extends Finding {
  readonly code: FindingCode
}
