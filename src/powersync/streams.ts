// Replication streams: each deployed sync configuration has one, with a group of operations of its own in the storage.
// Clients are served from the newest one that is ACTIVE or ERRORED; the others are being built, or garbage.
import { TampError } from '../core/errors.ts'
import type { Connection } from '../database/postgres.ts'

/** One row of sync_rules. Op ids are exact integers. */
export interface Stream {
  /** `group_id` of its operations. */
  readonly id: number
  /** PROCESSING, ACTIVE, ERRORED, STOP or TERMINATED. */
  readonly state: string
  readonly storageVersion: number
  /** The op id up to which clients are served; null before the first one is published. */
  readonly lastCheckpoint: number | null
  /** Seconds since it was published, by the server's clock; null where that is not known. */
  readonly checkpointAge: number | null
  readonly serves: boolean
}

/** Storage versions whose operations are known to be stored as tamp expects them. */
const knownVersions: readonly number[] = [1, 2, 3]

/** All streams, newest first. @throws TampError `unknown-schema` for a storage version that is not known */
export async function readStreams(connection: Pick<Connection, 'query'>): Promise<Stream[]> {
  // Services before storage versions have no column for them, and none for the time of the checkpoint.
  const rows = await connection.query<[number, string, number, number | null, number | null]>(
    `SELECT id, state, coalesce((to_jsonb(s) ->> 'storage_version')::int, 1), last_checkpoint,
            extract(epoch FROM now() - (to_jsonb(s) ->> 'last_checkpoint_ts')::timestamptz)::float8
       FROM sync_rules s ORDER BY id DESC`,
  )
  const served = rows.find(([, state]) => state === 'ACTIVE' || state === 'ERRORED')
  return rows.map(([id, state, storageVersion, lastCheckpoint, checkpointAge]) => {
    const serves = id === served?.[0]
    if (serves && !knownVersions.includes(storageVersion))
      throw new TampError(
        'unknown-schema',
        `The storage is of version ${storageVersion}; this tamp knows ${knownVersions.join(', ')}.`,
        {
          hint: 'Update tamp.',
        },
      )
    return { id, state, storageVersion, lastCheckpoint, checkpointAge, serves }
  })
}

/**
 * The stream that clients are served from.
 * @throws TampError `no-checkpoint` where nothing is served yet
 */
export async function servedStream(connection: Connection): Promise<Stream & { readonly lastCheckpoint: number }> {
  const streams = await readStreams(connection)
  const stream = streams.find(({ serves }) => serves)
  if (stream === undefined) {
    const building = streams.some(({ state }) => state === 'PROCESSING')
    throw new TampError(
      'no-checkpoint',
      building
        ? 'The storage is being replicated for the first time: no client is served from it yet.'
        : 'There is no replication stream that clients are served from.',
      { hint: building ? 'Wait until the service has activated it.' : 'Start the service first.' },
    )
  }
  const { lastCheckpoint } = stream
  if (lastCheckpoint === null || lastCheckpoint === 0)
    throw new TampError('no-checkpoint', 'The service has not published a checkpoint yet.', {
      hint: 'Wait until the service has replicated the source database.',
    })
  return { ...stream, lastCheckpoint }
}
