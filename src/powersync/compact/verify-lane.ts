// Reads a lane once more after its last slice: are the live rows and the sums of every bucket what they were?
import type { Connection } from '../../database/postgres.ts'
import type { BucketMeasure } from '../report.ts'
import { settingsFor } from './analyse.ts'
import { verification } from './analysis-sql.ts'
import type { LaneFacts } from './lane.ts'
import { recheckClears } from './recheck-clears.ts'

export interface VerifiedLane {
  readonly after: ReadonlyMap<string, BucketMeasure>
  /** Buckets that were compared, and how many are not what they were. */
  readonly checked: number
  readonly mismatches: number
  /** CLEARs that the service's own compactor had made MOVEs of, and that were set back. */
  readonly setBack: number
}

export async function verifyLane(connection: Connection, facts: LaneFacts): Promise<VerifiedLane> {
  const after = new Map<string, BucketMeasure>()
  const before = new Map<string, string>()
  for (const { bucket, fault, fingerprint, operations, rows, bytes } of facts.buckets)
    // What is broken was left as it is: nothing can be said of it that would hold.
    if (fault === null) before.set(bucket, fingerprint)
    else after.set(bucket, { operations, rows, bytesEstimate: bytes })
  const setBack = await recheckClears(connection, facts.scope.group, clearsOf(facts))
  const done = facts.left.clear === 0 && facts.left.move === 0
  const scope = { ...facts.scope, buckets: [...before.keys()] }
  await connection.execute(`BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;\n${settingsFor(scope)}`)
  const rows = await connection.query<[string, string, number, number, number]>(verification(scope, done))
  await connection.execute('COMMIT')
  let mismatches = 0
  for (const [bucket, fingerprint, operations, live, bytesEstimate] of rows) {
    after.set(bucket, { operations, rows: live, bytesEstimate })
    if (before.get(bucket) !== fingerprint) mismatches++
  }
  mismatches += [...before.keys()].filter((bucket) => !after.has(bucket)).length
  return { after, checked: before.size, mismatches, setBack }
}

/** Where the CLEARs of a lane are by now; of buckets that it has not come to, where they will be. */
function clearsOf({ buckets, clearedTo }: LaneFacts): Map<string, number> {
  const clears = new Map<string, number>()
  for (const { bucket, clearTo } of buckets) if (clearTo !== null) clears.set(bucket, clearedTo.get(bucket) ?? clearTo)
  return clears
}
