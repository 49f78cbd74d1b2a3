// Runs the command as a user does: a process of its own, with nothing of this one's environment that says where a database is.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export interface Ended {
  readonly status: number | null
  readonly out: string
  readonly err: string
  /** The lines of standard output as JSON. */
  lines(): any[]
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Run by this shell text, in which "$@" is the command. */
  readonly shell?: string
  readonly main?: string
  readonly cwd?: string
  /** Told what has been printed so far, whenever there is more. */
  readonly watch?: (
    printed: { out: string; err: string },
    child: { pid: number; kill(signal: NodeJS.Signals): void },
  ) => void
}

export async function runTamp(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const command = [process.execPath, options.main ?? main, ...words]
  const [program, ...rest] = options.shell === undefined ? command : ['/bin/sh', '-c', options.shell, 'sh', ...command]
  const child = spawn(program!, rest, {
    cwd: options.cwd,
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  const told = (): void => options.watch?.({ out, err }, { pid: child.pid!, kill: (signal) => void child.kill(signal) })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    told()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
    told()
  })
  const [status] = (await once(child, 'close')) as [number | null]
  return {
    status,
    out,
    err,
    lines: () =>
      out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
  }
}
