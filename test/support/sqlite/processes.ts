// Processes beside the test: started with a line of JSON, they say `ready`, then one line of JSON when they end.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface Beside<Last> extends AsyncDisposable {
  readonly pid: number
  /** Ends its standard input and gives what it says last. */
  end(): Promise<Last>
  /** Gives what it says last, when it ends by itself; null where it was killed. */
  readonly last: Promise<Last | null>
  kill(): void
}

export const readingChild: URL = new URL('./reading-child.ts', import.meta.url)
export const writingChild: URL = new URL('./writing-child.ts', import.meta.url)
export const policyChild: URL = new URL('./policy-child.ts', import.meta.url)

export async function beside<Last>(script: URL, input: unknown): Promise<Beside<Last>> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', fileURLToPath(script), JSON.stringify(input)],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  )
  child.stdin.on('error', () => {})
  let out = ''
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const ready = new Promise<void>((resolve) =>
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      if (out.startsWith('ready\n')) resolve()
    }),
  )
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  const last = closed.then(([status, signal]): Last | null => {
    if (signal === 'SIGKILL') return null
    const line = out.slice('ready\n'.length).trim()
    if (status !== 0 || err !== '' || line === '')
      throw new Error(`${script.pathname} ended with ${signal ?? status}: ${err}${out}`)
    return JSON.parse(line) as Last
  })
  last.catch(() => {})
  await Promise.race([ready, closed])
  return {
    pid: child.pid!,
    last,
    async end() {
      child.stdin.end()
      return (await last)!
    },
    kill: () => void child.kill('SIGKILL'),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await closed
    },
  }
}
