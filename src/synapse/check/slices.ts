// Walks all state groups in ascending id order, in slices that each take about a second to look at.
import type { ReadSnapshot } from '../../database/read-snapshot.ts'

/** A part of the state groups: a condition on a column that holds a state group id, with its parameters. */
export interface Slice {
  where(column: string): string
  readonly values: readonly unknown[]
  /** Share of the walk that is behind us when this slice is done, 0 … 1. */
  readonly done: number
}

const targetMilliseconds = 1000
const firstWidth = 2000
/** Bounds what one slice may bring into memory. */
const greatestWidth = 200_000

/**
 * Every id that occurs in any of the tables, group or not: ranges that jump over gaps.
 * `events`: where event_to_state_groups is, or undefined where it cannot be read.
 */
export async function* allGroups(state: ReadSnapshot, events: ReadSnapshot | undefined): AsyncGenerator<Slice> {
  const ends = async (extreme: 'min' | 'max', from: number | null): Promise<number[]> => {
    const inState = await state.query<(number | null)[]>(
      `SELECT (SELECT ${extreme}(id) FROM state_groups WHERE $1::bigint IS NULL OR id >= $1),
              (SELECT ${extreme}(state_group) FROM state_group_edges WHERE $1::bigint IS NULL OR state_group >= $1),
              (SELECT ${extreme}(state_group) FROM state_groups_state WHERE $1::bigint IS NULL OR state_group >= $1)`,
      [from],
    )
    const inEvents = await events?.query<(number | null)[]>(
      `SELECT (SELECT ${extreme}(state_group) FROM event_to_state_groups WHERE $1::bigint IS NULL OR state_group >= $1)`,
      [from],
    )
    return [...(inState[0] ?? []), ...(inEvents?.[0] ?? [])].filter((id) => id !== null)
  }

  const lowest = Math.min(...(await ends('min', null)))
  const highest = Math.max(...(await ends('max', null)))
  let width = firstWidth
  let from = lowest
  while (Number.isFinite(from)) {
    const to = from + width - 1
    const started = performance.now()
    yield {
      where: (column) => `${column} BETWEEN $1::bigint AND $2::bigint`,
      values: [from, to],
      done: highest === lowest ? 1 : Math.min(1, (to - lowest) / (highest - lowest)),
    }
    width = adapted(width, performance.now() - started)
    from = Math.min(...(await ends('min', to + 1)))
  }
}

/** The groups of some rooms, as lists of ids. */
export async function* groupsOf(ids: readonly number[]): AsyncGenerator<Slice> {
  let width = firstWidth
  for (let from = 0; from < ids.length;) {
    const part = ids.slice(from, from + width)
    from += part.length
    const started = performance.now()
    yield {
      where: (column) => `${column} = ANY ($1::bigint[])`,
      values: [part],
      done: from / ids.length,
    }
    width = Math.min(20_000, adapted(width, performance.now() - started))
  }
}

function adapted(width: number, milliseconds: number): number {
  const factor = Math.min(4, Math.max(0.25, targetMilliseconds / Math.max(milliseconds, 1)))
  return Math.max(1, Math.min(greatestWidth, Math.round(width * factor)))
}
