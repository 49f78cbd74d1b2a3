// Once a run of the end-to-end tests: a Python with Synapse. Where there can be none it says so so that nobody overlooks it.
import type { TestProject } from 'vitest/node'
import { findSynapsePython, type SynapsePython } from './synapse-python.ts'

declare module 'vitest' {
  interface ProvidedContext {
    synapse: SynapsePython
  }
}

export default async function setup(project: TestProject): Promise<void> {
  const tell = (text: string) => process.stderr.write(`${text}\n`)
  const found = await findSynapsePython((text) => tell(`end-to-end test: ${text}`))
  project.provide('synapse', found)
  if (found.python !== null) return
  const line = '*'.repeat(100)
  tell(
    `\n${line}\n*  SKIPPED: the end-to-end tests with a real Synapse did NOT run.\n*  ${found.reason}\n` +
      `*  They need Python 3.10 or newer with venv, and PyPI; or name a Python that has matrix-synapse and psycopg2\n` +
      `*  in TAMP_TEST_SYNAPSE_PYTHON.\n${line}\n`,
  )
}
