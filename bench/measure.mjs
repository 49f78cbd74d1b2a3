// One measurement in a process of its own, so that its peak memory is its own: prints a line of JSON.
// Usage: node bench/measure.mjs floor|plan|both|execute URL ROOM
import pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
// As the commands do.
import '../dist/cli/small-memory.js'
import { compact, openSynapse, planRoom, readRoom } from 'tamp/synapse'

const [what, connection, room] = process.argv.slice(2)
const database = await openSynapse({ connection, env: {} })

/** The floor of reading: the same columns by COPY, received in this process and thrown away. */
async function floor() {
  const client = new pg.Client({ connectionString: connection })
  await client.connect()
  const start = performance.now()
  const columns = 'SELECT state_group, type, state_key, event_id FROM state_groups_state'
  let bytes = 0
  for await (const chunk of client.query(copyTo(`COPY (${columns}) TO STDOUT`))) bytes += chunk.length
  const seconds = (performance.now() - start) / 1000
  await client.end()
  return { seconds, bytes }
}

/** Reading, planning, and proving every group's state by fingerprint. */
async function plan() {
  const start = performance.now()
  const { summary } = planRoom(await readRoom(database, room))
  const seconds = (performance.now() - start) / 1000
  return { seconds, rows: summary.after.rows, depth: summary.after.maxDepth, proof: summary.proof }
}

/** The whole run, less the time until the plan was there: what writing took, with its guards, proofs and last reading. */
async function execute() {
  let planned = 0
  const onEvent = (event) => {
    if (event.type === 'plan') planned = performance.now()
  }
  const report = await compact(database, { mode: 'execute', rooms: [room], onEvent })
  const seconds = (performance.now() - planned) / 1000
  return { seconds, whole: report.seconds, rows: report.after.rows, proof: report.proof, units: report.units }
}

const result =
  what === 'floor'
    ? { floor: await floor() }
    : what === 'plan'
      ? { plan: await plan() }
      : what === 'both'
        ? { floor: await floor(), plan: await plan() }
        : { execute: await execute() }
console.log(JSON.stringify({ ...result, peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024) }))
