// Property tests that write to a database take as long as they are given, not so many draws.
import fc from 'fast-check'
import { clientSeed } from './clients.ts'

const seconds = Number(process.env['TAMP_SOAK_SECONDS'] ?? 10)

/**
 * Draws until the time is up; what fails is made smaller in the time that is left. Nothing is left running.
 * TAMP_SOAK_SECONDS makes it longer, TAMP_TEST_SEED repeats the choices.
 */
export async function check<T>(arbitrary: fc.Arbitrary<T>, property: (value: T) => Promise<void>): Promise<void> {
  const end = performance.now() + seconds * 1000
  let drawn = 0
  const inTime = async (value: T): Promise<void> => {
    if (performance.now() > end) return
    drawn++
    await property(value)
  }
  try {
    await fc.assert(fc.asyncProperty(arbitrary, inTime), { seed: clientSeed, numRuns: Math.ceil(seconds * 20) })
  } finally {
    console.log(`TAMP_TEST_SEED=${clientSeed}, ${drawn} drawn`)
  }
}
