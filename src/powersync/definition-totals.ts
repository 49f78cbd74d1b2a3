// Adds up buckets by definition: there are few definitions, and there may be millions of buckets.
import type { BucketMeasure, DefinitionFigures } from './report.ts'

export class DefinitionTotals {
  readonly #totals = new Map<string, DefinitionFigures>()

  add(definition: string, before: BucketMeasure, after: BucketMeasure): void {
    const sum = this.#totals.get(definition)
    this.#totals.set(definition, {
      definition,
      buckets: (sum?.buckets ?? 0) + 1,
      before: plus(sum?.before, before),
      after: plus(sum?.after, after),
    })
  }

  /** Most operations first. */
  list(): DefinitionFigures[] {
    return [...this.#totals.values()].sort((a, b) => b.before.operations - a.before.operations)
  }
}

function plus(sum: BucketMeasure | undefined, one: BucketMeasure): BucketMeasure {
  return {
    operations: (sum?.operations ?? 0) + one.operations,
    rows: (sum?.rows ?? 0) + one.rows,
    bytesEstimate: (sum?.bytesEstimate ?? 0) + one.bytesEstimate,
  }
}
