// Which rooms the next chunks fall on: the old automatic compressor always takes the room of the oldest group that no chunk has had.
import { TampError } from '../../core/errors.ts'
import type { SynapseDatabase } from '../database.ts'
import { ReadSnapshot } from '../../database/read-snapshot.ts'

/**
 * Chunks of each room, in the order of the rooms' first chunks. What a chunk is depends on ids alone, not on what becomes of it: so
 * all chunks of a room can be worked on together.
 */
export async function chunksOfRooms(
  database: SynapseDatabase,
  chunkSize: number,
  chunks: number,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, { chunks: number; left: number }>()
  let total = 0
  await using snapshot = await ReadSnapshot.open(() => database.connectState(), signal)
  await snapshot.preferIndexes(true)
  count: for await (const rows of snapshot.batches<[string]>('SELECT room_id FROM state_groups ORDER BY id')) {
    for (const [room] of rows) {
      let counted = found.get(room)
      if (counted === undefined || counted.left === 0) {
        if (total === chunks) break count
        total++
        counted = { chunks: (counted?.chunks ?? 0) + 1, left: chunkSize }
        found.set(room, counted)
      }
      counted.left--
    }
  }
  if (signal?.aborted) throw new TampError('interrupted', 'Interrupted; nothing was changed.')
  return new Map([...found].map(([room, { chunks: many }]) => [room, many]))
}
