#!/usr/bin/env node
// The command `synapse_compress_state`, as users of the old compressor know it. Loads nothing but the version guard at first.
import { nodeIsTooOld } from './node-version.ts'

// What stands in the process list from here on: a password on the command line is seen no longer than it takes to start.
process.title = 'synapse_compress_state'
if (nodeIsTooOld(process.versions.node)) {
  process.stderr.write(`synapse_compress_state: Node.js 22.18 or newer is needed; this is ${process.versions.node}.\n`)
  process.exitCode = 2
} else {
  await import('./small-memory.ts')
  const { runCompressState } = await import('./old-commands.ts')
  process.exitCode = await runCompressState(process.argv.slice(2))
  // What has been interrupted may still be waiting for a server that does not answer.
  if (process.exitCode === 130) process.exit()
}
