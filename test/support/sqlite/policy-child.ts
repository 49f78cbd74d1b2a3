// A process that carries out commands of the policy on a file, one after the other, and may be told to kill itself at a request.
// Says in one line of JSON how they ended.
import { readFileSync } from 'node:fs'
import { TampError } from '../../../src/core/errors.ts'
import { openHost, policyOf } from './policy-host.ts'
import type { Deed, DriverName } from './policy-host.ts'

export interface PolicyChildInput {
  readonly file: string
  readonly driver?: DriverName
  readonly deeds: readonly Deed[]
  /** Number of the request that is not carried out any more, counted over all deeds. */
  readonly killAt?: number
  /** Statements run first. */
  readonly first?: readonly string[]
  readonly busySeconds?: number
  /** Begins again after the last one, until standard input ends. */
  readonly repeat?: boolean
}

export interface PolicyChildEnd {
  /** Of the last round, by deed. */
  readonly results: readonly any[]
  /** Of the deed after those that have a result. */
  readonly failure?: {
    readonly code: string
    readonly message: string
    readonly hint?: string
    readonly stack?: string
  }
  readonly requests: number
  readonly rounds: number
  /** Peak resident memory, bytes. */
  readonly memory: number
}

const input = JSON.parse(process.argv[2]!) as PolicyChildInput
const host = openHost(input.file, input.driver, input)
for (const sql of input.first ?? []) host.driver.query(sql)

let over = false
process.stdin.on('end', () => (over = true)).resume()
process.stdout.write('ready\n')
let requests = 0
let rounds = 0
let results: unknown[] = []
let failure: unknown
do {
  results = []
  try {
    for (const deed of input.deeds)
      results.push(
        host.run(policyOf(deed), () => {
          if (++requests === input.killAt) process.kill(process.pid, 'SIGKILL')
        }),
      )
    rounds++
  } catch (error) {
    const { code, hint, message, stack } = error as TampError
    failure = error instanceof TampError ? { code, hint, message } : { code: 'not-tamp', message, stack }
  }
  await new Promise((resolve) => setImmediate(resolve))
} while (failure === undefined && input.repeat === true && !over)
host.close()
process.stdin.destroy()
process.stdout.write(`${JSON.stringify({ results, failure, requests, rounds, memory: peakMemory() })}\n`)

/** Peak resident memory of this process in bytes; getrusage would tell that of the process which started it, where it is higher. */
function peakMemory(): number {
  if (process.platform !== 'linux') return 0
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024
}
