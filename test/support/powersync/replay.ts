// Judges a rewrite of bucket storage with the real client core: whoever has seen operations of the storage as it was gets the rest of
// the storage as it is now, must validate, and must end as a client that has seen nothing but the storage as it was.
import { openClient } from './client-core.ts'
import type { Client } from './client-core.ts'
import { rememberingChecksums, serve } from './service-lines.ts'
import type { Image, ServeOptions } from './service-lines.ts'

export interface Synced {
  readonly operations: number
  readonly bytes: number
  readonly complete: boolean
  /** The core's complaint. */
  readonly failure: string | null
}

/** One session of a client against what storage holds. */
export function sync(client: Client, image: Image | (() => Image), options: ServeOptions = {}): Synced {
  const positions = client.start()
  let operations = 0
  let bytes = 0
  let complete = false
  let failure: string | null = null
  for (const line of serve(image, positions, options)) {
    const text = JSON.stringify(line)
    bytes += Buffer.byteLength(text) + 1
    operations += (line['data'] as { data: unknown[] } | undefined)?.data.length ?? 0
    for (const instruction of client.line(text)) {
      const log = (instruction['LogLine'] as { line: string } | undefined)?.line ?? ''
      if ('DidCompleteSync' in instruction) complete = true
      else if (/didn't match|Could not apply/.test(log)) failure = log
      else if ('CloseSyncStream' in instruction) failure ??= 'closed the stream'
    }
    if (failure !== null) break
  }
  client.stop()
  return { operations, bytes, complete: complete && failure === null, failure }
}

/** A session that is cut off after the operations up to `position`, before the checkpoint is complete. */
export function interrupt(client: Client, image: Image, position: number, options: ServeOptions = {}): void {
  const positions = client.start()
  for (const line of serve(image, positions, options)) {
    if ('checkpoint' in line) client.line(line)
    if (!('data' in line)) continue
    const sent = line['data'] as { data: { op_id: string }[] }
    const data = sent.data.filter(({ op_id }) => Number(op_id) <= position)
    if (data.length > 0) client.line({ data: { ...sent, data, next_after: data.at(-1)!.op_id } })
  }
  client.stop()
}

/** What two clients that agree have in common. */
export function stateOf(client: Client): string {
  return JSON.stringify({
    rows: client.rows(),
    buckets: client.buckets().map(({ name, other, puts }) => ({ name, other, puts })),
  })
}

export interface ReplayTask extends ServeOptions {
  readonly before: Image
  readonly after: Image
  /** 0, every op id of `before` and the checkpoint; or a list. Published checkpoints are what clients normally stand at. */
  readonly positions: 'operations' | readonly number[]
  /** How a client came to its position: it completed it as a checkpoint, or was cut off there on the way to the checkpoint. */
  readonly interrupted?: boolean
}

export interface Replayed {
  readonly clients: number
  readonly operations: number
  readonly bytes: number
  readonly failures: { readonly position: number; readonly failure: string }[]
}

/** The service remembers the checksums that it had at a client's position. */
export function replay(task: ReplayTask): Replayed {
  const { before, after, checkpoint = after.checkpoint, interrupted = false } = task
  const options: ServeOptions = { checkpoint, ...(task.priority ? { priority: task.priority } : {}) }
  const expected = finalState(before, options)
  const all = task.positions === 'operations' ? everyPosition(before, checkpoint) : task.positions
  const positions = [...new Set(all)].filter((position) => position <= checkpoint).sort((a, b) => a - b)
  const report = { clients: 0, operations: 0, bytes: 0, failures: [] as { position: number; failure: string }[] }
  // Completes one position after the other; the others are copies of it.
  using walker = openClient()
  let at = 0
  for (const position of positions) {
    const fresh = interrupted || position === 0
    if (!fresh && position > at) {
      const walked = sync(walker, before, { ...options, checkpoint: position })
      if (walked.failure !== null) throw new Error(`no client can be brought to ${position}: ${walked.failure}`)
      // What was compacted before points beyond: nobody can stand here any more.
      if (!walked.complete) continue
      at = position
    }
    using client = fresh ? openClient() : walker.fork()
    if (interrupted && position > 0) interrupt(client, before, position, options)
    const checksums = rememberingChecksums()
    if (position > 0) for (const bucket of before.buckets.keys()) checksums(before, bucket, position)
    const synced = sync(client, after, { ...options, checksums })
    report.clients++
    report.operations += synced.operations
    report.bytes += synced.bytes
    if (!synced.complete)
      report.failures.push({ position, failure: synced.failure ?? 'the checkpoint was not completed' })
    else if (stateOf(client) !== expected) report.failures.push({ position, failure: 'other rows or checksums' })
  }
  return report
}

function finalState(image: Image, options: ServeOptions): string {
  using client = openClient()
  const first = sync(client, image, options)
  if (!first.complete) throw new Error(`the storage as it was does not validate: ${first.failure ?? 'not complete'}`)
  return stateOf(client)
}

function everyPosition(image: Image, checkpoint: number): number[] {
  return [0, ...[...image.buckets.values()].flat().map(({ opId }) => opId), checkpoint]
}
