// P1 for rows: random tables, random statements, told to a plain table and to one with a compressed column, which is maintained, trained
// anew and disabled on the way. Every answer is the same; what is announced to differ is stepped around in announced-differences.ts.
// TAMP_SOAK_SECONDS makes it longer, TAMP_TEST_SEED repeats it.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { built } from '../../support/sqlite/built-schema.ts'
import { drawnSchemas } from '../../support/sqlite/random-schema.ts'
import { drawnSteps } from '../../support/sqlite/random-statements.ts'
import { tellBoth } from '../../support/sqlite/side-by-side.ts'
import { enableOptions, linesOf } from '../../support/sqlite/story-lines.ts'
import { announced, ways } from '../../support/sqlite/ways.ts'

const seed = Number(process.env['TAMP_TEST_SEED'] ?? Date.now() % 1_000_000)
const soak = process.env['TAMP_SOAK_SECONDS']

/** Stories, at most. A story in the shell starts two processes. */
const stories: Readonly<Record<string, number>> = { 'better-sqlite3': 250, 'node:sqlite': 120, "Debian's sqlite3": 80 }

for (const { host, way } of ways) {
  const seconds = soak === undefined ? 25 : Number(soak) / ways.length
  if (host.version === null) console.log(`no random stories are told to ${host.name}: it is not installed`)
  test.skipIf(host.version === null)(
    `P1: ${way.name}: the same answers (seed ${seed}, at most ${seconds} s)`,
    { timeout: (seconds + 120) * 1000 },
    () => {
      const told = { stories: 0, enabled: 0, compressedRows: 0, dictionaries: 0 }
      fc.assert(
        fc.property(drawnSchemas, drawnSteps, fc.nat(7), drawnSteps, (drawn, early, form, late) => {
          const schema = built(drawn)
          const options = enableOptions(schema, 0, form)
          const { enabled, compressedRows, dictionaries } = tellBoth(
            way,
            host,
            schema,
            linesOf(
              early.filter((step) => step.do !== 'maintain' && step.do !== 'enable' && step.do !== 'index'),
              schema,
            ),
            { kind: 'tamp', command: 'enable', options, mayRefuse: true },
            linesOf(late, schema),
          )
          const { obstacles } = announced(schema.statements, schema.table, schema.payloads[0]!.name)
          expect(obstacles.length === 0, `enabled, but for ${JSON.stringify(obstacles)}`).toBe(enabled)
          told.stories++
          told.enabled += Number(enabled)
          told.compressedRows += compressedRows
          told.dictionaries += dictionaries
        }),
        {
          seed,
          numRuns: soak === undefined ? stories[host.name]! : 1e9,
          interruptAfterTimeLimit: seconds * 1000,
          markInterruptAsFailure: false,
        },
      )
      console.log(`${way.name}: ${JSON.stringify(told)}`)
      expect(told.enabled).toBeGreaterThan(told.stories * 0.6)
      expect(told.compressedRows).toBeGreaterThan(told.stories)
      expect(told.dictionaries).toBeGreaterThan(0)
    },
  )
}
