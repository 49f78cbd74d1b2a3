// What programs beside the compactor have in common: they go on until their standard input ends, count what was refused and how long
// they waited, and say it in one line.
import { setTimeout } from 'node:timers/promises'

export interface Witness {
  /** Statements that succeeded. */
  readonly acts: number
  /** What went wrong with the others, by message. */
  readonly refused: Readonly<Record<string, number>>
  /** Rows that were not what they said they are; the first few. */
  readonly wrong: readonly unknown[]
  readonly longestSeconds: number
  /** Of a writer: its pairs of rows by the odd id, null for those that are gone. */
  readonly versions?: readonly (readonly [number, number | null])[]
}

/** Runs one statement; undefined where it was refused. */
export type Act = <Result>(what: string, statement: () => Result) => Result | undefined

/** @param pauseMilliseconds between two rounds */
export async function judged(
  pauseMilliseconds: number,
  round: (act: Act) => readonly unknown[],
  last?: () => Partial<Witness>,
): Promise<void> {
  let acts = 0
  let longestSeconds = 0
  const refused: Record<string, number> = {}
  const wrong: unknown[] = []
  const act: Act = (what, statement) => {
    const start = performance.now()
    try {
      const result = statement()
      acts++
      return result
    } catch (error) {
      const { code, message } = error as { code?: string; message: string }
      const name = `${what}: ${code ?? ''} ${message}`
      refused[name] = (refused[name] ?? 0) + 1
      return undefined
    } finally {
      longestSeconds = Math.max(longestSeconds, (performance.now() - start) / 1000)
    }
  }
  let over = false
  process.stdin.on('end', () => (over = true)).resume()
  process.stdout.write('ready\n')
  while (!over) {
    for (const row of round(act)) if (wrong.length < 10) wrong.push(row)
    await setTimeout(pauseMilliseconds)
  }
  const witness: Witness = { acts, refused, wrong, longestSeconds, ...last?.() }
  process.stdout.write(`${JSON.stringify(witness)}\n`)
}
