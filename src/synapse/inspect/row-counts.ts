// State rows of each room, those of snapshots and those of deltas apart: counted where that is cheap, else sampled by page.
import { find } from '../edge-forest.ts'
import type { ReadSnapshot } from '../../database/read-snapshot.ts'
import { noBase } from './group-table.ts'
import type { GroupTable } from './group-table.ts'

export interface RowCounts {
  /** Rows of groups without a base, by room. */
  readonly snapshot: Float64Array
  /** Rows of groups with a base, by room. */
  readonly delta: Float64Array
  /** False where the figures are a sample's, scaled up. */
  readonly exact: boolean
  /** What a row takes on disk, its share of the index included. */
  readonly bytesPerRow: number
}

/** Counts the rows of the rooms in `table`, through the index. Reads the index entries of all of them. */
export async function countRows(state: ReadSnapshot, table: GroupTable): Promise<RowCounts> {
  const counts = empty(table)
  for (let from = 0; from < table.ids.length; from += 2000) {
    const found = await state.query<[number, number]>(
      `SELECT state_group, count(*) FROM state_groups_state WHERE state_group = ANY ($1::bigint[]) GROUP BY state_group`,
      [[...table.ids.subarray(from, from + 2000)]],
    )
    for (const [group, rows] of found) add(counts, table, group, rows)
  }
  const [size] = await state.query<[number, number]>(
    `SELECT pg_total_relation_size(oid), reltuples::float8 FROM pg_class WHERE oid = 'state_groups_state'::regclass`,
  )
  const [bytes = 0, tuples = 0] = size ?? []
  // Never analysed, or hardly filled: a mean over nothing. Then what a row took in the databases we have seen.
  return { ...counts, exact: true, bytesPerRow: tuples > 0 ? bytes / tuples : 150 }
}

/**
 * Reads the whole table where it has at most `pages` pages, else about that many of its pages, chosen at random (the same
 * ones every time). Rows of a group lie side by side, so the error of a room's figure goes with the pages that were met of
 * it: a room with a hundredth of the table is met on a hundredth of them.
 */
export async function sampleRows(state: ReadSnapshot, table: GroupTable, pages: number): Promise<RowCounts> {
  const counts = empty(table)
  const [size] = await state.query<[number, number]>(
    `SELECT pg_relation_size('state_groups_state') / current_setting('block_size')::int,
            pg_total_relation_size('state_groups_state')`,
  )
  const [tablePages = 0, bytes = 0] = size ?? []
  const share = tablePages <= pages ? 1 : pages / tablePages
  const sample = share === 1 ? '' : `TABLESAMPLE SYSTEM (${(share * 100).toFixed(8)}) REPEATABLE (1)`
  let met = 0
  for await (const batch of state.batches<[number, number]>(
    `SELECT state_group, count(*) FROM state_groups_state ${sample} GROUP BY state_group`,
  )) {
    for (const [group, rows] of batch) {
      met += rows
      add(counts, table, group, rows)
    }
  }
  if (share < 1) scaleUp(counts, table, share)
  return { ...counts, exact: share === 1, bytesPerRow: met > 0 ? (bytes * share) / met : 0 }
}

/** A delta mostly holds at least one row, which says more about a room that the sample hardly met than the sample does. */
function scaleUp(counts: { snapshot: Float64Array; delta: Float64Array }, table: GroupTable, share: number): void {
  const deltas = new Float64Array(table.rooms.length)
  for (let position = 0; position < table.ids.length; position++) {
    if (table.base[position] !== noBase) deltas[table.room[position]!]! += 1
  }
  for (let room = 0; room < table.rooms.length; room++) {
    counts.snapshot[room]! /= share
    counts.delta[room] = Math.max(counts.delta[room]! / share, deltas[room]!)
  }
}

function empty(table: GroupTable): { snapshot: Float64Array; delta: Float64Array } {
  return { snapshot: new Float64Array(table.rooms.length), delta: new Float64Array(table.rooms.length) }
}

function add(
  counts: { snapshot: Float64Array; delta: Float64Array },
  table: GroupTable,
  group: number,
  rows: number,
): void {
  const position = find(table.ids, group)
  if (position < 0) return
  const column = table.base[position] === noBase ? counts.snapshot : counts.delta
  column[table.room[position]!]! += rows
}
