// The plan for one bucket: which of its live operations go to which op ids, and where the CLEAR of everything else will stand.
// Read in one snapshot; the ids of the live rows are the only thing held in memory, and there are at most so many.
import type { Connection } from '../../../database/postgres.ts'
import { identityColumns, operationBytes, smallOperationBytes } from '../../operation-sql.ts'
import type { BucketMeasure } from '../../report.ts'
import { cutIn, mayCross, placeAbove, topOf, windowAmong, windowAt } from './gap.ts'
import type { Cut, Gap, Window } from './gap.ts'
import { censusQuery, harmlessQuery } from './relocation-sql.ts'

/** Rows that one transaction moves, and operations that it deletes, at most: about a second of work. */
export const mostRows = 20_000
export const mostRemoved = 200_000
/** Gaps that are looked at closely for one bucket. */
const closeLooks = 50
/** Rows that may be written anew for each operation that a new client is spared. */
const rowsPerOperation = 10

/** Everything that carrying it out and proving it needs. */
export interface Relocation extends Window {
  readonly group: number
  readonly bucket: string
  /** Nothing above it is touched. */
  readonly checkpoint: number
  readonly cut: number
  /** Op ids of the live rows that move, ascending; row n goes to `slots[n]`. */
  readonly moved: readonly number[]
  /** Reduced state, checksum and number of operations up to the checkpoint, before and after. */
  readonly state: string
  readonly operationsBefore: number
  readonly operationsAfter: number
  readonly before: BucketMeasure
  readonly after: BucketMeasure
}

export interface RelocationScope {
  readonly group: number
  readonly bucket: string
  readonly checkpoint: number
  /** Rows from this op id on stay where they are. */
  readonly below: number
}

/** A bucket that stays as it is. `rows` is the number of live rows that a gap would have to have room for, where that is what is missing. */
export interface Unmovable {
  readonly reason: string
  readonly rows?: number
}

/** Plans the relocation that spares clients most. Inside a transaction at REPEATABLE READ. */
export async function planRelocation(
  connection: Pick<Connection, 'query'>,
  scope: RelocationScope,
  gaps: readonly Gap[],
): Promise<Relocation | Unmovable> {
  const { group, bucket, checkpoint, below } = scope
  const live = (
    await connection.query<[number]>(
      `SELECT b.op_id
         FROM (SELECT max(op_id) AS op_id FROM bucket_data
                WHERE group_id = $1 AND bucket_name = $2 AND op_id <= $3 AND op IN ('PUT', 'REMOVE')
                GROUP BY ${identityColumns}) last
         JOIN bucket_data b ON b.group_id = $1 AND b.bucket_name = $2 AND b.op_id = last.op_id
        WHERE b.op = 'PUT' ORDER BY b.op_id LIMIT ${mostRows + 1}`,
      [group, bucket, checkpoint],
    )
  ).map(([opId]) => opId)
  if (live.length === 0) return { reason: 'it has no live rows: compacting is enough' }
  const reach = live.length > mostRows ? Math.min(below, live[mostRows]!) : below
  let looks = 0
  let tooLarge = false
  const downwards = gaps.toSorted((a, b) => b.upTo - a.upTo)
  for (const [index, gap] of downwards.entries()) {
    const cut = cutIn(gap, checkpoint, reach)
    if (cut === undefined || cut <= gap.after) continue
    const rows = countUpTo(live, cut)
    if (rows === 0) break
    if (gap.upTo - gap.after - 1 < rows) continue
    if (looks++ === closeLooks) break
    const { operations, last, next } = await look(connection, scope, cut)
    const place = { cut, rows, last, next }
    const above = lowestAbove(downwards.slice(index), place)
    if (above === undefined && !mayCross(gap, place)) continue
    const removed = operations - rows
    if (removed > mostRemoved) {
      tooLarge = true
      continue
    }
    if (!isWorthwhile(removed, rows)) break
    const moved = live.slice(0, rows)
    const window = above === undefined ? await lookAmong(connection, scope, gap, place, moved) : windowAt(above, rows)
    if (window === undefined) continue
    return await complete(connection, scope, { ...window, cut, moved })
  }
  if (tooLarge) return { reason: `more than ${mostRemoved} operations would have to be deleted in one transaction` }
  if (countUpTo(live, reach - 1) === 0) return { reason: 'its first live row cannot be moved' }
  const all = await look(connection, scope, checkpoint)
  if (!isWorthwhile(all.operations - live.length, live.length)) return { reason: 'too little would be gained' }
  const reason = 'no range of op ids is known in which no checkpoint was published, with room for its rows'
  if (live.length > mostRows) return { reason }
  // The next run finds a later checkpoint, and so has more rows to place.
  const newer = await countAfter(connection, { ...scope, checkpoint: Number.MAX_SAFE_INTEGER }, checkpoint, 'PUT')
  return { reason, rows: live.length + newer }
}

function isWorthwhile(removed: number, rows: number): boolean {
  return removed > 1 && (removed - 1) * rowsPerOperation >= rows
}

/** Clients that have not got as far as the CLEAR begin the bucket anew: of the places where no client can have been cut off the lowest is best. */
function lowestAbove(downwards: readonly Gap[], cut: Cut): number | undefined {
  let best: number | undefined
  for (const gap of downwards) {
    if (gap.upTo < cut.last) break
    best = placeAbove(gap, cut) ?? best
  }
  return best
}

async function lookAmong(
  connection: Pick<Connection, 'query'>,
  { group, bucket }: RelocationScope,
  gap: Gap,
  cut: Cut,
  moved: readonly number[],
): Promise<Window | undefined> {
  const rows = await connection.query<[number]>(harmlessQuery, [
    group,
    bucket,
    gap.after,
    topOf(gap, cut),
    moved.length,
  ])
  return windowAmong(moved, rows.map(([opId]) => opId).reverse())
}

async function look(
  connection: Pick<Connection, 'query'>,
  { group, bucket, checkpoint }: RelocationScope,
  cut: number,
): Promise<{ operations: number; last: number; next: number | null }> {
  const [row] = await connection.query<[number, number, number | null]>(
    `SELECT count(*), max(op_id),
            (SELECT min(op_id) FROM bucket_data WHERE group_id = $1 AND bucket_name = $2 AND op_id > $3 AND op_id <= $4)
       FROM bucket_data WHERE group_id = $1 AND bucket_name = $2 AND op_id <= $3`,
    [group, bucket, cut, checkpoint],
  )
  return { operations: row![0], last: row![1], next: row![2] }
}

async function complete(
  connection: Pick<Connection, 'query'>,
  { group, bucket, checkpoint }: RelocationScope,
  chosen: Window & Pick<Relocation, 'cut' | 'moved'>,
): Promise<Relocation | Unmovable> {
  const target = { group, bucket, checkpoint }
  const [census] = await connection.query<[string, number, number, boolean]>(censusQuery(target))
  const [state, operationsBefore, rows, sound] = census!
  if (!sound) return { reason: 'it has a CLEAR that is not its first operation: see "tamp powersync check"' }
  const [bytes] = await connection.query<[number, number]>(
    `WITH last AS (
       SELECT max(op_id) AS op_id FROM bucket_data
        WHERE group_id = $1 AND bucket_name = $2 AND op_id <= $3 AND op IN ('PUT', 'REMOVE') GROUP BY ${identityColumns})
     SELECT sum(${operationBytes('b')}),
            ${smallOperationBytes} + coalesce(sum(CASE WHEN b.op = 'PUT' AND last.op_id IS NULL THEN ${smallOperationBytes}
                ELSE ${operationBytes('b')} END) FILTER (WHERE b.op_id > $4 OR (b.op = 'PUT' AND last.op_id IS NOT NULL)), 0)
       FROM bucket_data b LEFT JOIN last ON last.op_id = b.op_id WHERE b.group_id = $1 AND b.bucket_name = $2 AND b.op_id <= $3`,
    [group, bucket, checkpoint, chosen.cut],
  )
  const [bytesBefore, bytesAfter] = bytes!
  const kept = await countAfter(connection, target, chosen.cut)
  const operationsAfter = 1 + chosen.moved.length + kept
  return {
    ...target,
    ...chosen,
    state,
    operationsBefore,
    operationsAfter,
    before: { operations: operationsBefore, rows, bytesEstimate: Number(bytesBefore) },
    after: { operations: operationsAfter, rows, bytesEstimate: Number(bytesAfter) },
  }
}

async function countAfter(
  connection: Pick<Connection, 'query'>,
  { group, bucket, checkpoint }: Omit<RelocationScope, 'below'>,
  cut: number,
  kind: string | null = null,
): Promise<number> {
  const [row] = await connection.query<[number]>(
    `SELECT count(*) FROM bucket_data
      WHERE group_id = $1 AND bucket_name = $2 AND op_id > $3 AND op_id <= $4 AND ($5::text IS NULL OR op = $5)`,
    [group, bucket, cut, checkpoint, kind],
  )
  return row![0]
}

/** How many of ascending numbers are not above a bound. */
function countUpTo(numbers: readonly number[], bound: number): number {
  let low = 0
  let high = numbers.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (numbers[middle]! <= bound) low = middle + 1
    else high = middle
  }
  return low
}
