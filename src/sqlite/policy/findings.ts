// What a check found, by stable codes. The first ones of each code are kept by name, the rest are counted, so that memory stays flat.

import type { Finding } from '../../core/report.ts'
import { tell } from './request.ts'
import type { Policy } from './request.ts'

/** `fault`: rows cannot be read, or answers may be wrong. Anything else is a remark. */
export interface CheckFinding extends Finding {
  readonly fault: boolean
}

/** Codes of what makes rows unreadable or answers wrong. */
export const faultCodes: ReadonlySet<string> = new Set([
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

/** What is said of a dictionary that is not there. */
export function missingText(cells: number): string {
  return `${cells} ${cells === 1 ? 'cell needs' : 'cells need'} it, and it is not there`
}

/** Findings of one code that are kept by name. */
const namedFindings = 100

export class Findings {
  readonly #named: CheckFinding[] = []
  readonly #counts = new Map<string, number>()
  #faults = 0

  count(code: string): number {
    return this.#counts.get(code) ?? 0
  }

  /** @param fault where the code alone does not tell */
  *add(code: string, subject: string, detail: string, fault: boolean = faultCodes.has(code)): Policy<void> {
    if (this.count(code) < namedFindings) {
      const finding = { code, subject, detail, fault }
      this.#named.push(finding)
      yield* tell({ type: 'finding', ...finding })
    }
    this.#counts.set(code, this.count(code) + 1)
    if (fault) this.#faults++
  }

  /** How many more of a code would be kept by name. */
  room(code: string): number {
    return Math.max(0, namedFindings - this.count(code))
  }

  /** Counts findings that are not named. */
  more(code: string, count: number): void {
    if (count <= 0) return
    this.#counts.set(code, this.count(code) + count)
    if (faultCodes.has(code)) this.#faults += count
  }

  get result(): {
    readonly findings: readonly CheckFinding[]
    readonly counts: Readonly<Record<string, number>>
    readonly faults: number
  } {
    return { findings: this.#named, counts: Object.fromEntries(this.#counts), faults: this.#faults }
  }
}
