// Which clients of the large storages are tried: all would take too long, so that a seed chooses some.

/** TAMP_TEST_SEED repeats a choice. */
export const clientSeed: number = Number(process.env['TAMP_TEST_SEED'] ?? Date.now() % 1_000_000)

/** A new client, one that has everything, and some between them. */
export function publishedClients(checkpoints: readonly number[], some: number): number[] {
  const chosen = new Set([0, checkpoints.at(-1)!])
  const random = generator()
  while (chosen.size < Math.min(some + 2, checkpoints.length + 1))
    chosen.add(checkpoints[Math.floor(random() * checkpoints.length)]!)
  return [...chosen].sort((a, b) => a - b)
}

/**
 * A bucket of some 200 operations, another for each storage version in turn: with deletes, re-inserts and moves between owners, or with
 * edits of which every one is a REMOVE and a PUT.
 */
export function smallBucket(names: Iterable<string>, version: number): string {
  const wanted = version % 2 === 0 ? /by_user.*"user-086"/ : /by_project.*"empty org"/
  for (const name of names) if (wanted.test(name)) return name
  throw new Error('the storage is not one of the fixtures')
}

/** Numbers in [0, 1) that the seed determines (mulberry32). */
export function generator(seed: number = clientSeed): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
