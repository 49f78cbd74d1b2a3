// The CSV files of `synapse_compress_state -g`: the groups as nodes and the bases as edges, as graph programs import them.
import type { Bases, RoomHistory } from '../history.ts'

/** Name of each file and its whole text. */
export type GraphFiles = readonly (readonly [name: string, text: string])[]

/**
 * @param shown groups that belong in the graph
 * @param after bases and rows of every group under the plan
 */
export function graphFiles(
  history: RoomHistory,
  shown: readonly number[],
  after: { readonly bases: Bases; readonly rows: Uint32Array },
): GraphFiles {
  const { start } = history.deltas
  const stored = Uint32Array.from(history.base, (_, group) => start[group + 1]! - start[group]!)
  return [
    ['before_edges.csv', edges(history, shown, history.base)],
    ['before_nodes.csv', nodes(history, shown, history.base, stored)],
    ['after_edges.csv', edges(history, shown, after.bases)],
    ['after_nodes.csv', nodes(history, shown, after.bases, after.rows)],
  ]
}

function edges({ ids }: RoomHistory, shown: readonly number[], bases: Bases): string {
  const based = shown.filter((group) => bases[group]! >= 0)
  return `Source;Target\n${based.map((group) => `${ids[group]!};${ids[bases[group]!]!}\n`).join('')}`
}

function nodes({ ids }: RoomHistory, shown: readonly number[], bases: Bases, rows: Uint32Array): string {
  const lines = shown.map((group) => `${ids[group]!};${rows[group]!};${bases[group]! < 0};"${rows[group]!}"\n`)
  return `Id;Rows;Root;Label\n${lines.join('')}`
}
