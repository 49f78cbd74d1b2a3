// Histories of a few rows in a few buckets, drawn with fast-check: edits, deletes, rows that come back or move between buckets, gaps in
// the op ids, two rows that clients know by the same id, compactions that happened on the way, operations above the last checkpoint.
import fc from 'fast-check'
import { put, remove } from './operations.ts'
import type { Operation, RowIdentity } from './operations.ts'
import { compacted } from './reference-compactor.ts'

/** Rows: the last two come to clients under one table and id, from different source tables; the one before from another key. */
const rows: readonly RowIdentity[] = [
  { table: 'lists', id: 'a' },
  { table: 'lists', id: 'b' },
  { table: 'todos', id: 'a' },
  { table: 'lists', id: 'a', key: 'another' },
  { table: 'notes', id: 'ü"\\', sourceTable: 'b33f0000-0000-4000-8000-000000000001' },
  { table: 'notes', id: 'ü"\\', sourceTable: 'b33f0000-0000-4000-8000-000000000002' },
]
/** What follows the definition in a bucket's name. */
const places = ['[]', '["x,\\"y"]', '["ü","\\\\"]'] as const

type Event =
  | { readonly kind: 'put'; readonly row: number; readonly into: readonly number[]; readonly value: number }
  | { readonly kind: 'remove'; readonly row: number }
  /** A row that is removed twice, as after a table was read anew. */
  | { readonly kind: 'remove again'; readonly row: number; readonly from: number }
  | { readonly kind: 'gap'; readonly ids: number }
  | { readonly kind: 'published' }
  /** Compacted up to so many ids before the end of then; `thorough` is ours. */
  | { readonly kind: 'compacted'; readonly back: number; readonly thorough: boolean }

export interface History {
  /** By place. Op ids count from 1; they are made unique over all histories when they are laid out. */
  readonly buckets: ReadonlyMap<string, readonly Operation[]>
  /** The bound that is being asked for: the last op id that was published. */
  readonly bound: number
  /** All op ids that were published, ascending. */
  readonly checkpoints: readonly number[]
  /** Where each row is at the end: places, by row. */
  readonly memberships: readonly (readonly number[])[]
}

const rowIndex = fc.nat({ max: rows.length - 1 })
const place = fc.nat({ max: places.length - 1 })

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      row: rowIndex,
      into: fc.uniqueArray(place, { minLength: 1, maxLength: 2 }),
      value: fc.nat(3),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('remove' as const), row: rowIndex }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove again' as const), row: rowIndex, from: place }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('gap' as const), ids: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('published' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('compacted' as const), back: fc.nat(8), thorough: fc.boolean() }),
  },
)

export const history: fc.Arbitrary<History> = fc
  .record({ events: fc.array(event, { minLength: 1, maxLength: 40, size: 'max' }), unpublished: fc.nat(6) })
  .map(({ events, unpublished }) => played(events, unpublished))

function played(events: readonly Event[], unpublished: number): History {
  const buckets = new Map<string, Operation[]>(places.map((name) => [name, []]))
  const memberships = rows.map(() => new Set<number>())
  let last = 0
  // Nothing is ever compacted beyond what was published then, which is not beyond the bound.
  let compactedTo = 0
  const checkpoints = new Set<number>()
  const add = (at: number, make: (opId: number) => Operation): void => {
    buckets.get(places[at]!)!.push(make(++last))
  }
  for (const one of events) {
    if (one.kind === 'gap') last += one.ids
    else if (one.kind === 'published') checkpoints.add(last)
    else if (one.kind === 'compacted') {
      const to = Math.max(compactedTo, last - one.back)
      compactedTo = to
      checkpoints.add(to)
      for (const [name, operations] of buckets) buckets.set(name, compacted(operations, to, one.thorough))
    } else if (one.kind === 'remove again') add(one.from, (opId) => remove(opId, rows[one.row]!))
    else {
      const now = one.kind === 'put' ? one.into : []
      const before = memberships[one.row]!
      for (const at of now) add(at, (opId) => put(opId, rows[one.row]!, one.kind === 'put' ? one.value : null))
      for (const at of before) if (!now.includes(at)) add(at, (opId) => remove(opId, rows[one.row]!))
      memberships[one.row] = new Set(now)
    }
  }
  const bound = Math.max(compactedTo, last - unpublished)
  const published = [...checkpoints].filter((opId) => opId > 0 && opId < bound).sort((a, b) => a - b)
  return { buckets, bound, checkpoints: [...published, bound], memberships: memberships.map((places) => [...places]) }
}

/** Several histories in one stream: their ids take turns, so that one bound fits all. */
export interface Stream {
  readonly buckets: Map<string, Operation[]>
  readonly bound: number
  /** All op ids that were published, ascending; the last one is the bound. */
  readonly checkpoints: readonly number[]
  /** What current_data says at the end: the buckets of each row that is in any. */
  readonly current: readonly { readonly row: RowIdentity; readonly buckets: readonly string[] }[]
}

export function laidOut(histories: readonly History[]): Stream {
  const bound = Math.max(...histories.map(({ bound }) => bound))
  const buckets = new Map<string, Operation[]>()
  const checkpoints = new Set<number>()
  const current: { row: RowIdentity; buckets: string[] }[] = rows.map((row) => ({ row, buckets: [] }))
  for (const [index, history] of histories.entries()) {
    // A history with a lower bound of its own begins later.
    const at = (opId: number): number => (opId + bound - history.bound) * histories.length + index + 1
    for (const opId of history.checkpoints) checkpoints.add((opId + bound - history.bound + 1) * histories.length)
    for (const [row, at] of history.memberships.entries())
      current[row]!.buckets.push(...at.map((place) => `1#history${index}${places[place]!}`))
    for (const [name, operations] of history.buckets)
      if (operations.length > 0)
        buckets.set(
          `1#history${index}${name}`,
          operations.map((one) => ({
            ...one,
            opId: at(one.opId),
            targetOp: one.targetOp === null ? null : at(one.targetOp),
          })),
        )
  }
  return {
    buckets,
    bound: (bound + 1) * histories.length,
    checkpoints: [...checkpoints].sort((a, b) => a - b),
    current: current.filter(({ buckets }) => buckets.length > 0),
  }
}
