// The name somebody probably meant.

/** The one of `names` that is only a slip of the finger away from `wrong`, or undefined. */
export function closestName(wrong: string, names: readonly string[]): string | undefined {
  const slips = Math.max(1, Math.floor(wrong.length / 3))
  const ranked = names
    .map((name) => ({ name, distance: distance(wrong.toLowerCase(), name.toLowerCase()) }))
    .toSorted((one, other) => one.distance - other.distance)
  return ranked[0] !== undefined && ranked[0].distance <= slips ? ranked[0].name : undefined
}

/** Letters to change, add, drop or swap with their neighbour: optimal string alignment distance. */
function distance(one: string, other: string): number {
  let before: readonly number[] = []
  let row = Array.from({ length: other.length + 1 }, (_, i) => i)
  for (let i = 1; i <= one.length; i++) {
    const next = [i]
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1] ? 0 : 1
      let best = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + same)
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
        best = Math.min(best, before[j - 2]! + 1)
      next.push(best)
    }
    before = row
    row = next
  }
  return row[other.length]!
}
