// The lines that the service sends to a client for a checkpoint, given what bucket storage holds.
// As the real service does it: in reads of 1000 rows over the buckets of a priority, with checksums remembered between checkpoints.
import type { Session } from '../session.ts'
import { readBuckets, subkeyOf, sumOfChecksums } from './operations.ts'
import type { Operation } from './operations.ts'

/** An operation with the form that it takes on the wire. */
export interface ServedOperation {
  readonly opId: number
  readonly op: Operation['op']
  readonly checksum: number
  /** The service looks at it and never sends it. */
  readonly targetOp: number | null
  readonly wire: Readonly<Record<string, unknown>>
  readonly size: number
}

/** What storage holds for one stream at one moment. */
export interface Image {
  readonly checkpoint: number
  /** Each in op id order. */
  readonly buckets: ReadonlyMap<string, readonly ServedOperation[]>
}

/** Everything of the stream that is served; of some buckets only, where they are named. */
export async function readImage(
  session: Pick<Session, 'query'>,
  options: { readonly buckets?: readonly string[] } = {},
): Promise<Image> {
  const [stream] = await session.query<[number, number | null]>(
    `SELECT id, last_checkpoint FROM powersync.sync_rules WHERE state IN ('ACTIVE', 'ERRORED') ORDER BY id DESC LIMIT 1`,
  )
  if (stream === undefined) throw new Error('no stream is served')
  return imageOf(await readBuckets(session, { group: stream[0], ...options }), stream[1] ?? 0)
}

export function imageOf(buckets: ReadonlyMap<string, readonly Operation[]>, checkpoint: number): Image {
  return { checkpoint, buckets: new Map([...buckets].map(([bucket, operations]) => [bucket, operations.map(served)])) }
}

function served(operation: Operation): ServedOperation {
  const { opId, op, checksum, targetOp, data } = operation
  const common = { op_id: String(opId), op, checksum }
  const wire =
    op === 'PUT' || op === 'REMOVE'
      ? {
          ...common,
          object_type: operation.tableName,
          object_id: operation.rowId,
          subkey: subkeyOf(operation.sourceTable!, operation.sourceKey!),
          data,
        }
      : common
  return { opId, op, checksum, targetOp, wire, size: data?.length ?? 0 }
}

export type Checksums = (
  image: Image,
  bucket: string,
  checkpoint: number,
) => { readonly checksum: number; readonly count: number }

/**
 * Remembers bucket checksums from one checkpoint to the next as a process of the service does (for an hour): a later checksum
 * is the remembered one plus the operations since, unless a CLEAR is among those, whose sum then replaces it.
 */
export function rememberingChecksums(): Checksums {
  const known = new Map<string, { end: number; checksum: number; count: number }[]>()
  return (image, bucket, checkpoint) => {
    const entries = known.get(bucket) ?? []
    const base = entries.findLast(({ end }) => end <= checkpoint)
    if (base?.end === checkpoint) return base
    const since = between(image.buckets.get(bucket) ?? [], base?.end ?? 0, checkpoint)
    const all = base === undefined || since.some(({ op }) => op === 'CLEAR')
    const entry = {
      end: checkpoint,
      checksum: all ? sumOfChecksums(since) : (base.checksum + sumOfChecksums(since)) | 0,
      count: since.length + (all ? 0 : base.count),
    }
    known.set(
      bucket,
      [...entries, entry].sort((a, b) => a.end - b.end),
    )
    return entry
  }
}

function between(operations: readonly ServedOperation[], after: number, upTo: number): ServedOperation[] {
  return operations.filter(({ opId }) => opId > after && opId <= upTo)
}

/** A line of the stream, as an object. */
export type Line = Readonly<Record<string, any>>

export interface ServeOptions {
  /** Default: that of the image. */
  readonly checkpoint?: number
  readonly priority?: (bucket: string) => number
  /** Shared between calls it plays a service that lives on. */
  readonly checksums?: Checksums
  /** What the service reads at a time. */
  readonly rowsPerRead?: number
}

const charactersPerLine = 1024 * 1024

/**
 * The lines for one checkpoint to a client at `positions`. Ends without a complete line where a compacted operation points past
 * the checkpoint: the service then waits for the next one. `image` is asked again for every read, because each read is a
 * statement of its own: a rewrite that commits in between is seen half.
 */
export function* serve(
  image: Image | (() => Image),
  positions: ReadonlyMap<string, number>,
  options: ServeOptions = {},
): Generator<Line> {
  const now = typeof image === 'function' ? image : (): Image => image
  const { priority = () => 3, checksums = rememberingChecksums(), rowsPerRead = 1000 } = options
  const first = now()
  const checkpoint = options.checkpoint ?? first.checkpoint
  const names = [...first.buckets.keys()].sort((a, b) => (a < b ? -1 : 1))
  yield {
    checkpoint: {
      last_op_id: String(checkpoint),
      buckets: names.map((bucket) => {
        const { checksum, count } = checksums(first, bucket, checkpoint)
        return { bucket, checksum, count, priority: priority(bucket), subscriptions: [{ default: 0 }] }
      }),
      streams: [{ name: 'all', is_default: true, errors: [] }],
    },
  }
  const levels = [...new Set(names.map(priority))].sort((a, b) => a - b)
  for (const [index, level] of levels.entries()) {
    const after = new Map(
      names.filter((name) => priority(name) === level).map((name) => [name, positions.get(name) ?? 0]),
    )
    for (let full = true; full;) {
      let room = rowsPerRead
      let pointsPast = false
      for (const [bucket, start] of after) {
        if (room === 0) break
        const read = between(now().buckets.get(bucket) ?? [], start, checkpoint).slice(0, room)
        room -= read.length
        for (const { line, last } of dataLines(bucket, start, read, room === 0)) {
          yield line
          after.set(bucket, last)
        }
        pointsPast ||= read.some(({ targetOp }) => targetOp !== null && targetOp > checkpoint)
      }
      full = room === 0
      if (!full && pointsPast) return
    }
    if (index < levels.length - 1)
      yield { partial_checkpoint_complete: { last_op_id: String(checkpoint), priority: level } }
  }
  yield { checkpoint_complete: { last_op_id: String(checkpoint) } }
}

/** One line per bucket and read, cut before it grows beyond a megabyte of data. */
function* dataLines(
  bucket: string,
  start: number,
  operations: readonly ServedOperation[],
  full: boolean,
): Generator<{ readonly line: Line; readonly last: number }> {
  let held: ServedOperation[] = []
  let size = 0
  let after = start
  const flush = (more: boolean): { line: Line; last: number } => {
    const last = held.at(-1)!.opId
    const data = held.map(({ wire }) => wire)
    const line = { data: { bucket, after: String(after), has_more: more, data, next_after: String(last) } }
    held = []
    size = 0
    after = last
    return { line, last }
  }
  for (const operation of operations) {
    if (held.length > 0 && (size >= charactersPerLine || size + operation.size > charactersPerLine)) yield flush(true)
    held.push(operation)
    size += operation.size
  }
  if (held.length > 0) yield flush(full)
}
