// A transaction of Synapse's that a test can take statement by statement, or run as Synapse does, with retries.
import type { Session } from '../session.ts'

/**
 * Each `next()` runs one statement (and may wait for a lock); it yields the name of what it has just done. The last statement is
 * COMMIT, the return value comes after it. Where a statement fails, or the iteration is given up, the transaction is rolled back.
 */
export interface Steps<Result> {
  steps(): AsyncGenerator<string, Result, void>
  /** All of it; a serialization failure or a deadlock is tried again, five times at most. */
  run(): Promise<Result>
  /** How often `run` had to start again. */
  readonly retries: number
}

/** Synapse runs at REPEATABLE READ; its snapshot is taken by the first statement after BEGIN. */
export function inTransaction<Result>(
  session: Session,
  body: () => AsyncGenerator<string, Result, void>,
): Steps<Result> {
  let retries = 0
  async function* steps(): AsyncGenerator<string, Result, void> {
    await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
    let committed = false
    try {
      yield 'begin'
      const result = yield* body()
      await session.query('COMMIT')
      committed = true
      yield 'commit'
      return result
    } finally {
      if (!committed) await session.query('ROLLBACK').catch(() => {})
    }
  }
  return {
    steps,
    async run() {
      for (;;) {
        try {
          return await finish(steps())
        } catch (error) {
          const { code } = error as { code?: string }
          if ((code !== '40001' && code !== '40P01') || retries >= 5) throw error
          retries++
        }
      }
    },
    get retries() {
      return retries
    },
  }
}

/** Takes the remaining steps; returns the result. */
export async function finish<Result>(steps: AsyncGenerator<string, Result, void>): Promise<Result> {
  for (;;) {
    const step = await steps.next()
    if (step.done) return step.value
  }
}

/** Takes steps up to and including the one with this name. */
export async function stepTo<Result>(steps: AsyncGenerator<string, Result, void>, name: string): Promise<void> {
  for (;;) {
    const step = await steps.next()
    if (step.done) throw new Error(`there is no step '${name}'`)
    if (step.value === name) return
  }
}
