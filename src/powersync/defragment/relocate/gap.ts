// Where live operations may be put without any client noticing: op ids between which no checkpoint was ever published. Pure.
//
// A bucket up to `cut` becomes CLEAR@y and its live PUTs at the slots after y. Clients below y start the bucket anew, clients from the last
// slot (or the last removed operation, where that is higher) on get nothing. One that stands in between has the old operations and would
// get the new ones on top: its checksum fails and it downloads the bucket again. And a service that remembers its checksum there would
// give out wrong ones for an hour. So no checkpoint may ever have been published in [y, last slot or removed operation).

/** Op ids strictly between the two have never been a checkpoint of the stream. */
export interface Gap {
  readonly after: number
  readonly upTo: number
  /** Nobody ever wrote an operation there: the ids were taken for this. Then a window has to lie in it whole. */
  readonly reserved?: true
}

/** What is at a place where the history of a bucket may be cut. */
export interface Cut {
  /** Operations up to here are replaced. */
  readonly cut: number
  /** Live rows up to there. */
  readonly rows: number
  /** The last operation up to there. */
  readonly last: number
  /** The first operation after it, which stays; null where there is none up to the checkpoint. */
  readonly next: number | null
}

export interface Window {
  readonly clearAt: number
  /** The op ids that the live rows take, ascending. */
  readonly slots: readonly number[]
  /** Operations of the bucket lay in the window: a client cut off at one of them in the middle of a download gets the bucket again. */
  readonly crosses: boolean
}

/** From a complete list of checkpoints: what lies between each and the next. */
export function gapsBetween(checkpoints: readonly number[]): Gap[] {
  const sorted = [...new Set(checkpoints)].sort((a, b) => a - b)
  return sorted.slice(1).flatMap((upTo, index) => (upTo - sorted[index]! >= 2 ? [{ after: sorted[index]!, upTo }] : []))
}

/** Up to which op id a gap allows a bucket to be cut, or undefined. @param below nothing from here on may be moved */
export function cutIn({ upTo }: Gap, checkpoint: number, below: number): number | undefined {
  return upTo > checkpoint ? undefined : Math.min(upTo, below - 1)
}

/** Up to where in a gap something may be put. */
export function topOf(gap: Gap, { next }: Cut): number {
  return next === null ? gap.upTo : Math.min(gap.upTo, next - 1)
}

/**
 * The place of a CLEAR above every operation that is replaced, where the gap has room there for it and the rows after it, at ids that never
 * were one: then no client can be in the window, even if it was cut off after the last operation.
 */
export function placeAbove(gap: Gap, cut: Cut): number | undefined {
  const clearAt = Math.max(cut.last, gap.after) + 1
  return topOf(gap, cut) - clearAt >= cut.rows ? clearAt : undefined
}

export function windowAt(clearAt: number, rows: number): Window {
  return { clearAt, slots: Array.from({ length: rows }, (_, index) => clearAt + 1 + index), crosses: false }
}

/** Whether a window among the operations that are replaced may be looked for in a gap at all. */
export function mayCross(gap: Gap, cut: Cut): boolean {
  return gap.reserved !== true && topOf(gap, cut) >= cut.last && topOf(gap, cut) - cut.rows > gap.after
}

/**
 * The window among the operations that are replaced, at the highest ids that are `harmless`: those that a compactor of the service has no
 * cause to make a MOVE of, whatever it has read by now. Its UPDATE names an op id and nothing else.
 * @param moved op ids of the live rows, ascending
 * @param harmless ids of the gap up to its top, ascending, at least one more than rows where there are so many
 */
export function windowAmong(moved: readonly number[], harmless: readonly number[]): Window | undefined {
  const [clearAt, ...slots] = harmless.slice(-moved.length - 1)
  if (clearAt === undefined || slots.length < moved.length) return undefined
  // A row that went down would come to lie below an operation that it was above.
  if (slots.some((slot, index) => slot < moved[index]!)) return undefined
  return { clearAt, slots, crosses: true }
}
