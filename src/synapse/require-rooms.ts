// Refuses rooms that are not there, before anything is read for them.
import { TampError } from '../core/errors.ts'
import type { ReadSnapshot } from '../database/read-snapshot.ts'

/** @throws TampError `no-such-room` for the first room that has no state groups. */
export async function requireRooms(rooms: readonly string[], state: ReadSnapshot): Promise<void> {
  const [missing] = await state.query<[string]>(
    `SELECT r.room FROM unnest($1::text[]) WITH ORDINALITY AS r (room, place)
      WHERE NOT EXISTS (SELECT FROM state_groups g WHERE g.room_id = r.room)
      ORDER BY r.place LIMIT 1`,
    [rooms],
  )
  if (missing !== undefined) throw noSuchRoom(missing[0])
}

export function noSuchRoom(room: string): TampError {
  return new TampError('no-such-room', `There are no state groups of room ${room} in this database.`, {
    hint: 'Room ids look like !abc:example.org, or in newer rooms just !abc; "tamp synapse inspect" lists the rooms there are.',
  })
}
