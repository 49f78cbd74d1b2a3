// The SQL file of `synapse_compress_state -o`: for every group that changes, its edge and all its rows, taken out and put in again.
import { TampError } from '../../core/errors.ts'
import type { Connection } from '../../database/postgres.ts'
import type { RoomPlan } from '../plan/room-plan.ts'
import { RowReader } from '../move/row-reader.ts'
import type { RowText } from '../move/row-reader.ts'

/** Rows whose texts are looked up at a time. */
const batchRows = 5_000

/**
 * The changes of a plan in the old tool's format, in ascending group order.
 * @param transactions whether each group is a transaction; without them a reader can meet a group that is half written
 * @throws TampError `failed` where the room has been changed since it was read
 */
export async function* oldSql(
  connection: Connection,
  plan: RoomPlan,
  transactions: boolean,
): AsyncGenerator<string, void> {
  const { history, moves } = plan
  const { start, rows } = moves.deltas
  const wanted = new Uint8Array(history.entries.count)
  for (const entry of rows) wanted[entry] = 1
  const reader = new RowReader(history, wanted)
  const count = moves.position.length
  for (let from = 0, to = 0; from < count; from = to) {
    while (to < count && (to === from || start[to + 1]! - start[from]! < batchRows)) to++
    await readTexts(connection, reader, plan, rows.subarray(start[from]!, start[to]!))
    let text = ''
    for (let move = from; move < to; move++) {
      const id = history.ids[moves.position[move]!]!
      const base = moves.base[move]! < 0 ? null : history.ids[moves.base[move]!]!
      const texts = [...rows.subarray(start[move]!, start[move + 1]!)].map((entry) => reader.text(entry))
      if (texts.includes(undefined))
        throw new TampError('failed', `State group ${id} was changed while it was being read.`, {
          hint: 'Run the command again.',
        })
      text += groupSql(history.room, id, base, texts as RowText[], transactions)
    }
    yield text
    reader.trim()
  }
}

/** The texts are with the lowest group that has them. */
async function readTexts(
  connection: Connection,
  reader: RowReader,
  { history }: RoomPlan,
  entries: Uint32Array,
): Promise<void> {
  const holders = new Set<number>()
  for (const entry of entries)
    if (reader.text(entry) === undefined) holders.add(history.ids[history.entries.holder[entry]!]!)
  await reader.read(connection, [...holders], () => {})
}

/** The statements that store one group anew. */
export function groupSql(
  room: string,
  id: number,
  base: number | null,
  rows: readonly RowText[],
  transactions: boolean,
): string {
  const lines = transactions ? ['BEGIN;'] : []
  lines.push(`DELETE FROM state_group_edges WHERE state_group = ${id};`)
  if (base !== null)
    lines.push(`INSERT INTO state_group_edges (state_group, prev_state_group) VALUES (${id}, ${base});`)
  lines.push(`DELETE FROM state_groups_state WHERE state_group = ${id};`)
  if (rows.length > 0) {
    lines.push('INSERT INTO state_groups_state (state_group, room_id, type, state_key, event_id) VALUES')
    const sorted = rows.toSorted((a, b) => order(a.type, b.type) || order(a.stateKey, b.stateKey))
    const values = sorted.map(({ type, stateKey, eventId }) =>
      [room, type, stateKey, eventId].map(dollarQuoted).join(', '),
    )
    lines.push(values.map((value) => `    (${id}, ${value})`).join(',\n') + ';')
  }
  if (transactions) lines.push('COMMIT;')
  return lines.join('\n') + '\n'
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** A text as PostgreSQL's $$…$$ literal, with a tag where the text itself would end it. */
export function dollarQuoted(text: string): string {
  let delimiter = '$$'
  // A last $ would join the closing $$ and end it one character early.
  for (let n = 0; text.includes(delimiter) || (delimiter === '$$' && text.endsWith('$')); n++) delimiter = `$q${n}$`
  return delimiter + text + delimiter
}
