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
  /** The live rows take `rows` consecutive op ids from here. */
  readonly firstSlot: number
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

/** The place for a CLEAR and the live rows after it, or undefined where the gap has no room for them. */
export function fitWindow(gap: Gap, { rows, last, next }: Cut): Window | undefined {
  const top = next === null ? gap.upTo : Math.min(gap.upTo, next - 1)
  // Best above every operation that is replaced, at ids that never were one: then no client can be in the window, even if it was cut off
  // after the last operation; and a compactor of the service that was about to change an old operation does not find another in its place.
  const above = Math.max(last, gap.after) + 1
  if (top - above >= rows) return { clearAt: above, firstSlot: above + 1, crosses: false }
  const clearAt = top - rows
  if (gap.reserved || clearAt <= gap.after || top < last) return undefined
  return { clearAt, firstSlot: clearAt + 1, crosses: clearAt <= last }
}
