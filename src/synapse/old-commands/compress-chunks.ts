// `synapse_auto_compressor`: chunks of all rooms, oldest groups first; in a room each chunk goes on with the levels of the one before.
import { TampError } from '../../core/errors.ts'
import type { Left } from '../../core/unit.ts'
import type { SynapseDatabase } from '../database.ts'
import type { RoomHistory } from '../history.ts'
import { levelBases } from '../plan/level-plan.ts'
import type { LevelChunk } from '../plan/level-plan.ts'
import { readRoom } from '../read/read-room.ts'
import { planRoom } from '../plan/room-plan.ts'
import type { CompressChunksRequest } from './arguments.ts'
import { chunksOfRooms } from './chunk-order.ts'
import { carryOut } from './compress-state.ts'
import type { Tell } from './messages.ts'

export interface CompressChunksResult {
  readonly savedRows: number
  readonly chunks: number
  readonly skippedChunks: number
  /** What was left as it is although the plan would have changed it, with the reasons. */
  readonly left: readonly Left[]
}

/** Errors of one room that the next room will not have. */
const passing = new Set(['no-such-room', 'failed', 'proof-failed'])

/** Compresses the oldest chunks of the database and writes the changes. @throws TampError */
export async function compressChunks(
  database: SynapseDatabase,
  request: CompressChunksRequest,
  { tell, signal }: { readonly tell: Tell; readonly signal?: AbortSignal | undefined },
): Promise<CompressChunksResult> {
  const { chunkSize, plan } = request
  let savedRows = 0
  let chunks = 0
  let skippedChunks = 0
  const left: Left[] = []
  const rooms = await chunksOfRooms(database, chunkSize, request.chunks, signal)
  for (const [room, many] of rooms) {
    try {
      const history = oldest(await readRoom(database, room, { signal }), many * chunkSize)
      for (const stretch of plan === 'best' ? [asOne(history, many)] : stretches(history, plan.levels, chunkSize)) {
        for (let n = 0; n < stretch.chunks.length; n++)
          tell('info', `Running compressor on room ${room} with chunk size ${chunkSize}`)
        chunks += stretch.chunks.length
        if (!stretch.kept) {
          tellSkipped(history, stretch, tell)
          skippedChunks += stretch.chunks.length
          continue
        }
        if (stretch.savedRows > 0) {
          const range = { from: history.ids[stretch.chunks[0]!.first]!, to: history.ids[stretch.chunks.at(-1)!.last]! }
          const done = await carryOut(database, room, { range, plan, signal })
          left.push(...done.left)
          savedRows += done.left.length === 0 ? stretch.savedRows : Math.max(0, done.savedRows)
        }
        for (const { rowsBefore, rowsAfter } of stretch.chunks)
          tell('debug', `Saved ${rowsBefore - rowsAfter} rows for room ${room}`)
      }
    } catch (error) {
      if (!(error instanceof TampError) || !passing.has(error.code)) throw error
      left.push({ subject: room, reason: error.message })
    }
  }
  tell('info', `Finished running compressor. Saved ${savedRows} rows. Skipped ${skippedChunks}/${chunks} chunks`)
  return { savedRows, chunks, skippedChunks, left }
}

/** The lowest `count` groups of a room: what comes later can be no base of theirs. */
function oldest(history: RoomHistory, count: number): RoomHistory {
  const end = Math.min(count, history.ids.length)
  const start = history.deltas.start.subarray(0, end + 1)
  return {
    ...history,
    ids: history.ids.subarray(0, end),
    base: history.base.subarray(0, end),
    bar: history.bar.subarray(0, end),
    referenced: history.referenced.subarray(0, end),
    deltas: { start, rows: history.deltas.rows.subarray(0, start[end]!) },
    tips: history.tips.filter((tip) => tip < end),
  }
}

/** Chunks side by side that are all kept, or all skipped. */
interface Stretch {
  readonly kept: boolean
  readonly chunks: readonly LevelChunk[]
  readonly savedRows: number
}

/**
 * After a skipped chunk the levels start afresh: so the kept ones between two skipped are, together, what the levels make of their
 * groups alone, and can be carried out as one range.
 */
function stretches(history: RoomHistory, levels: readonly number[], chunkSize: number): Stretch[] {
  const found: { kept: boolean; chunks: LevelChunk[]; savedRows: number }[] = []
  for (const chunk of levelBases(history, levels, { chunkSize }).chunks) {
    let latest = found.at(-1)
    if (latest?.kept !== chunk.kept) found.push((latest = { kept: chunk.kept, chunks: [], savedRows: 0 }))
    latest.chunks.push(chunk)
    latest.savedRows += chunk.rowsBefore - chunk.rowsAfter
  }
  return found
}

/** The plan `best` takes a room's chunks at once: they only say how far to go. */
function asOne(history: RoomHistory, many: number): Stretch {
  const { before, after } = planRoom(history, { plan: 'best' }).summary
  const last = history.ids.length - 1
  const whole = { first: 0, last, rowsBefore: before.rows, rowsAfter: after.rows, kept: true }
  const rest = Array.from({ length: many - 1 }, () => ({ ...whole, first: last, rowsBefore: 0, rowsAfter: 0 }))
  return { kept: true, chunks: [whole, ...rest], savedRows: before.rows - after.rows }
}

function tellSkipped({ ids, room }: RoomHistory, { chunks }: Stretch, tell: Tell): void {
  for (const { first, last } of chunks) {
    const after = first === 0 ? 'None' : `Some(${ids[first - 1]!})`
    tell(
      'warn',
      `The compressor tried to increase the number of rows in ${room} between ${after} and ${ids[last]!}. Skipping...`,
    )
    tell('debug', `Unable to make savings for room ${room}, skipping chunk`)
  }
}
