// The exit status where several things happened at once: the first of 130, 12, 1, 75, 3.
import { expect, test } from 'vitest'
import { exitStatus } from '../../src/cli/exit-status.ts'
import { nodeIsTooOld } from '../../src/cli/node-version.ts'

const fine = {
  units: { planned: 2, done: 2, skipped: 0, failed: 0 },
  proof: { checked: 9, mismatches: 0 },
  skipped: [],
}
const left = { ...fine, skipped: [{ subject: 'state group 1', reason: 'it is locked' }] }
const failed = { ...fine, units: { planned: 2, done: 1, skipped: 0, failed: 1 } }
const differs = { ...left, proof: { checked: 9, mismatches: 1 } }

test.each([
  [0, 'all done', fine],
  [3, 'something left', left],
  [3, 'a unit failed', failed],
  [75, 'a limit, and something left', { ...left, stopped: 'limit' as const }],
  [12, 'a proof failed, and a limit', { ...differs, stopped: 'limit' as const }],
  [130, 'interrupted, and a proof failed', { ...differs, stopped: 'interrupted' as const }],
])('%d: %s', (status, _what, report) => {
  expect(exitStatus(report)).toBe(status)
})

test('Node.js older than 22.18 is refused', () => {
  for (const version of ['18.20.0', '20.20.1', '22.17.9']) expect(nodeIsTooOld(version), version).toBe(true)
  for (const version of ['22.18.0', '22.20.0', '23.0.0', '24.21.0']) expect(nodeIsTooOld(version), version).toBe(false)
})
