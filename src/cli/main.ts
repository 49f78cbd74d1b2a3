#!/usr/bin/env node
// The command `tamp`. Loads nothing but the version guard at first, so that an old Node gets one sentence instead of a syntax error.
import { nodeIsTooOld } from './node-version.ts'

// What stands in the process list from here on: a password on the command line is seen no longer than it takes to start.
process.title = 'tamp'
if (nodeIsTooOld(process.versions.node)) {
  process.stderr.write(`tamp: Node.js 22.18 or newer is needed; this is ${process.versions.node}.\n`)
  process.exitCode = 2
} else {
  await import('./small-memory.ts')
  const { runTamp } = await import('./application.ts')
  process.exitCode = await runTamp(process.argv.slice(2))
  // What has been interrupted may still be waiting for a server that does not answer.
  if (process.exitCode === 130) process.exit()
}
