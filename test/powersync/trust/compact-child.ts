// A process of its own that compacts the storage of DATABASE_URL, to be killed. Tells a line for every plan and unit.
import { compactBuckets, openBucketStorage } from '../../../src/powersync/index.ts'

const report = await compactBuckets(await openBucketStorage({}), {
  mode: 'execute',
  grace: 0,
  jobs: 2,
  onEvent: ({ type }) => {
    if (type === 'plan' || type === 'unit') process.stdout.write(`${type}\n`)
  },
})
process.stdout.write(`${JSON.stringify({ complete: report.complete, units: report.units, skipped: report.skipped })}\n`)
