// A process of its own that compacts the database of DATABASE_URL, to be killed. Tells a line for every plan and unit.
import { compact, openSynapse } from '../../../src/synapse/index.ts'

const report = await compact(await openSynapse({}), {
  mode: 'execute',
  jobs: 2,
  onEvent: ({ type }) => {
    if (type === 'plan' || type === 'unit') process.stdout.write(`${type}\n`)
  },
})
process.stdout.write(`${JSON.stringify({ complete: report.complete, units: report.units, skipped: report.skipped })}\n`)
