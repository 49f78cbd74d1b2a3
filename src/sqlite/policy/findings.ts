// What a check found, by stable codes. The first ones of each code are kept by name, the rest are counted, so that memory stays flat.

import type { CheckFinding } from './check.ts'
import { tell } from './request.ts'
import type { Policy } from './request.ts'

/** Codes of what makes rows unreadable or answers wrong. */
const faults: ReadonlySet<string> = new Set([
  'integrity',
  'foreign-key',
  'check-failed',
  'catalogue-missing',
  'config-unreadable',
  'config-without-rows',
  'view-missing',
  'view-differs',
  'trigger-missing',
  'trigger-differs',
  'guard-missing',
  'dictionary-missing',
  'dictionary-changed',
  'cell-unreadable',
])

/** Findings of one code that are kept by name. */
const namedFindings = 100

export class Findings {
  readonly #named: CheckFinding[] = []
  readonly #counts = new Map<string, number>()

  count(code: string): number {
    return this.#counts.get(code) ?? 0
  }

  *add(code: string, subject: string, detail: string): Policy<void> {
    if (this.count(code) < namedFindings) {
      const finding = { code, subject, detail, fault: faults.has(code) }
      this.#named.push(finding)
      yield* tell({ type: 'finding', ...finding })
    }
    this.#counts.set(code, this.count(code) + 1)
  }

  /** How many more of a code would be kept by name. */
  room(code: string): number {
    return Math.max(0, namedFindings - this.count(code))
  }

  /** Counts findings that are not named. */
  more(code: string, count: number): void {
    if (count > 0) this.#counts.set(code, this.count(code) + count)
  }

  get result(): {
    readonly findings: readonly CheckFinding[]
    readonly counts: Readonly<Record<string, number>>
    readonly faults: number
  } {
    const counts = Object.fromEntries(this.#counts)
    const sum = [...this.#counts].reduce((total, [code, count]) => total + (faults.has(code) ? count : 0), 0)
    return { findings: this.#named, counts, faults: sum }
  }
}
