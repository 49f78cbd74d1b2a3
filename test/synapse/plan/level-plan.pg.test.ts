// The plan `levels` on real rooms, against what the old compressor itself made of them.
//
// old-compressor-results.json holds its results, made with synapse_auto_compressor 0.1.2 from PyPI on databases loaded from the same
// dumps: compress_state_events_table(url, chunkSize, levels, many), whole rooms where a chunk is larger than the room. For each room
// the rows it has afterwards, and the start of the SHA-256 of its lines `group,base,rows\n` in ascending group order.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { RoomHistory } from '../../../src/synapse/history.ts'
import { openSynapse, planRoom, readRoom } from '../../../src/synapse/index.ts'
import { defaultLevels, levelBases } from '../../../src/synapse/plan/level-plan.ts'
import { freshDatabase } from '../../support/postgres.ts'

interface OldResult {
  readonly data: 'homeserver' | 'half-compressed'
  readonly levels: readonly number[]
  readonly chunkSize: number
  readonly rooms: Readonly<Record<string, { readonly rows: number; readonly sha256: string }>>
}

const oldResults = JSON.parse(
  readFileSync(new URL('old-compressor-results.json', import.meta.url), 'utf8'),
) as readonly OldResult[]

test.each(['homeserver', 'half-compressed'] as const)(
  'on %s every group gets the base and the rows that the old compressor gives it',
  async (data) => {
    await using fresh = await freshDatabase(data)
    const database = await openSynapse({ connection: fresh.url, env: {} })
    const histories = new Map<string, RoomHistory>()
    const results = oldResults.filter((result) => result.data === data)
    expect(results.length).toBeGreaterThan(5)
    for (const { levels, chunkSize, rooms } of results) {
      for (const [room, expected] of Object.entries(rooms)) {
        const history = histories.get(room) ?? (await readRoom(database, room))
        histories.set(room, history)
        const { bases, rows } = levelBases(history, levels, { chunkSize })
        const lines = Array.from(history.ids, (id, group) => {
          const base = bases[group]! < 0 ? '' : history.ids[bases[group]!]!
          return `${id},${base},${rows[group]!}\n`
        })
        const sha256 = createHash('sha256').update(lines.join('')).digest('hex').slice(0, 16)
        const total = rows.reduce((sum, here) => sum + here, 0)
        expect({ rows: total, sha256 }, `${room}, levels ${levels.join()}, chunks of ${chunkSize}`).toEqual(expected)
      }
    }
  },
)

const declined = null
test.each([
  ['homeserver', { gen: 3796, rMKF: 4011, genf: declined, rAEA: declined, rTUy: 1995, pegu: 602 }],
  ['half-compressed', { nVMB: 1277, '8FC7': declined, BYhB: 361, '30nU': declined }],
] as const)('P4: on %s a room is compressed to the known figure, or left alone', async (data, figures) => {
  await using fresh = await freshDatabase(data)
  const database = await openSynapse({ connection: fresh.url, env: {} })
  const rooms = await fresh.query<[string]>('SELECT DISTINCT room_id FROM state_groups')
  expect(rooms).toHaveLength(Object.keys(figures).length)
  for (const [name, rows] of Object.entries(figures)) {
    const room = rooms.flat().find((id) => (name === 'gen' ? id === '!gen:x' : id.startsWith(`!${name}`)))
    const { summary, moves } = planRoom(await readRoom(database, room!), { plan: { levels: defaultLevels } })
    expect(summary.proof.mismatches).toBe(0)
    expect(summary.after.rows, name).toBe(rows ?? summary.before.rows)
    if (rows === declined) expect(moves.position).toHaveLength(0)
  }
})
