// Debian's sqlite3 shell with the extension loaded, told one line at a time.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { testLibrary } from './judge.ts'

export interface Shell {
  readonly pid: number
  readonly closed: Promise<unknown>
  /** Sends text and does not wait. */
  say(sql: string): void
  /** Sends a statement and gives what it printed, errors included. */
  ask(sql: string): Promise<string>
  /** False where it had ended before. */
  kill(): boolean
  end(): Promise<void>
}

/** Whether the shell is installed. */
export const shellIsThere: boolean = spawnSync('sqlite3', ['--version']).status === 0
if (!shellIsThere) console.log('what the sqlite3 shell does is not tested: it is not installed')

const mark = 'that was all'

export function startShell(file: string, first: readonly string[] = []): Shell {
  const child = spawn('/bin/sh', ['-c', 'exec sqlite3 -batch "$0" 2>&1', file], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  child.stdin.on('error', () => {})
  let out = ''
  const waiting: ((text: string) => void)[] = []
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    for (let end = out.indexOf(`${mark}\n`); end >= 0; end = out.indexOf(`${mark}\n`)) {
      waiting.shift()?.(out.slice(0, end).trimEnd())
      out = out.slice(end + mark.length + 1)
    }
  })
  const say = (sql: string): void => void child.stdin.write(`${sql}\n`)
  say(`.load ${testLibrary}`)
  say('.timeout 2000')
  for (const line of first) say(line)
  return {
    pid: child.pid!,
    closed,
    say,
    async ask(sql) {
      const answer = new Promise<string>((resolve) => waiting.push(resolve))
      say(sql)
      say(`.print ${mark}`)
      return Promise.race([
        answer,
        closed.then(() => {
          throw new Error(`the shell ended: ${out}`)
        }),
      ])
    },
    kill() {
      if (child.exitCode !== null || child.signalCode !== null) return false
      return child.kill('SIGKILL')
    },
    async end() {
      child.stdin.end()
      await closed
    },
  }
}
