// One run of tamp in a process of its own, so that its peak memory is its own: prints a line of JSON.
// Usage: node bench/powersync/tamp-run.mjs URL OPTIONS [--statements]
import { readFileSync } from 'node:fs'
import pg from 'pg'
// As the commands do.
import '../../dist/cli/small-memory.js'
import { compactBuckets, openBucketStorage } from 'tamp/powersync'

const [connection, options, flag] = process.argv.slice(2)
const statements = new Map()
if (flag === '--statements') watchStatements()
const storage = await openBucketStorage({ connection, env: {} })
const start = performance.now()
const report = await compactBuckets(storage, JSON.parse(options))
const seconds = (performance.now() - start) / 1000
console.log(
  JSON.stringify({
    seconds,
    operations: report.after.operations,
    before: report.before.operations,
    units: report.units,
    skipped: report.skipped,
    complete: report.complete,
    peakMegabytes: peakMegabytes(),
    statements: [...statements].toSorted(([, a], [, b]) => b.seconds - a.seconds).slice(0, 15),
  }),
)

/** Of this process alone: what the parent had taken does not count. */
function peakMegabytes() {
  try {
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024)
  } catch {
    return Math.round(process.resourceUsage().maxRSS / 1024)
  }
}

/** Adds up the time that answers took, by statement. */
function watchStatements() {
  const { query } = pg.Client.prototype
  pg.Client.prototype.query = function (...given) {
    const text = given[0]?.text ?? given[0]
    const began = performance.now()
    const result = query.apply(this, given)
    if (typeof text === 'string' && typeof result?.then === 'function') {
      // Statements that differ in nothing but numbers are one; many begin alike.
      const words = text.replaceAll(/\s+/g, ' ').replaceAll(/\b\d+\b/g, 'n')
      const key = words.length > 160 ? `${words.slice(0, 70)} … ${words.slice(-90)}` : words
      const ended = () => {
        const { seconds = 0, times = 0 } = statements.get(key) ?? {}
        statements.set(key, { seconds: seconds + (performance.now() - began) / 1000, times: times + 1 })
      }
      result.then(ended, ended)
    }
    return result
  }
}
