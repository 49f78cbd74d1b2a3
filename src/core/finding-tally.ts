// Counts findings by code, and names only the first of each: a badly damaged database drowns neither its reader nor our memory.
import type { Finding } from './report.ts'

/** Subjects of one code that are named one by one; of the others only the number is told. */
export const namedSubjects = 100

export class FindingTally<Code extends string> {
  readonly #counts = new Map<Code, number>()

  /** The finding, or undefined where enough of its code have been named already. */
  add(code: Code, subject: string | number, detail: string): (Finding & { readonly code: Code }) | undefined {
    const count = (this.#counts.get(code) ?? 0) + 1
    this.#counts.set(code, count)
    return count <= namedSubjects ? { code, subject: String(subject), detail } : undefined
  }

  /** One closing finding for each code that had more subjects than were named. */
  *rest(): Generator<Finding & { readonly code: Code }> {
    for (const [code, count] of this.#counts) {
      const more = count - namedSubjects
      if (more > 0)
        yield { code, subject: `${more} more`, detail: `${count} in all; the first ${namedSubjects} are named.` }
    }
  }

  /** How many subjects each code was found on, the unnamed ones included. */
  get counts(): Readonly<Partial<Record<Code, number>>> {
    return Object.fromEntries(this.#counts) as Partial<Record<Code, number>>
  }
}
