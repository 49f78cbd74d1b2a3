// When a chain is too deep, and how that is said.

/**
 * Edges a chain may have before it is reported. Synapse on PostgreSQL starts anew after 99; the older compressor's default
 * levels leave up to 173, on which Synapse may have put 99 more. What is deeper than 300 was not made by either on purpose
 * (the chain of a room created with thousands of members, or damage), and is where reading becomes measurably slower.
 */
export const overDeep = 300

/** The groups of a room that lie too deep. */
export interface OverDeep {
  groups: number
  deepest: number
  depth: number
}

export function overDeepDetail({ groups, deepest, depth }: OverDeep, maxDepth: number): string {
  const subject = groups === 1 ? '1 group is' : `${groups} groups are`
  return `${subject} deeper than ${maxDepth} edges; the deepest is ${deepest}, at ${depth}.`
}
