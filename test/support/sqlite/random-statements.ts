// Random statements over a random schema: INSERT, UPDATE, DELETE in all their forms, transactions and savepoints taken back or not,
// questions whose answers depend on types, collations and indexes. Drawn as plain numbers; statement-lines.ts makes SQL of them.
import fc from 'fast-check'
import { anyValue, longValue, smallNumbers, textValues } from './random-values.ts'
import type { Drawn } from './random-values.ts'

export interface DrawnRow {
  readonly key: number
  readonly values: readonly Drawn[]
  readonly fits: number
}

export interface DrawnWhere {
  readonly form: number
  readonly column: number
  readonly key: number
  readonly value: Drawn
}

export type DrawnStep =
  | { readonly do: 'insert'; readonly or: number; readonly columns: number; readonly rows: readonly DrawnRow[] }
  | { readonly do: 'copy'; readonly or: number; readonly by: number; readonly where: DrawnWhere }
  | { readonly do: 'many'; readonly rows: number; readonly from: number }
  | {
      readonly do: 'update'
      readonly or: number
      readonly sets: readonly { readonly column: number; readonly form: number; readonly value: Drawn }[]
      readonly where: DrawnWhere
    }
  | { readonly do: 'delete'; readonly where: DrawnWhere }
  | { readonly do: 'around'; readonly form: number; readonly key: number; readonly value: Drawn }
  | { readonly do: 'ask'; readonly form: number; readonly where: DrawnWhere }
  | { readonly do: 'ask index'; readonly index: number; readonly value: Drawn; readonly row: number }
  | {
      readonly do: 'transaction'
      readonly savepoint: boolean
      readonly end: 'COMMIT' | 'ROLLBACK'
      readonly steps: readonly DrawnStep[]
    }
  | { readonly do: 'maintain'; readonly form: number }
  | { readonly do: 'enable'; readonly column: number; readonly form: number }
  | { readonly do: 'index'; readonly form: number }

const drawnRow: fc.Arbitrary<DrawnRow> = fc.record({
  key: fc.nat(15),
  values: fc.array(fc.oneof({ weight: 30, arbitrary: anyValue }, { weight: 1, arbitrary: longValue }), {
    minLength: 6,
    maxLength: 6,
  }),
  fits: fc.nat(3),
})
const drawnWhere: fc.Arbitrary<DrawnWhere> = fc.record({
  form: fc.nat(11),
  column: fc.nat(6),
  key: fc.nat(15),
  value: fc.oneof(textValues, textValues, anyValue),
})

const change: fc.Arbitrary<DrawnStep> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('insert' as const),
      or: fc.nat(6),
      columns: fc.nat(63),
      rows: fc.array(drawnRow, { minLength: 0, maxLength: 3 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('update' as const),
      or: fc.nat(6),
      sets: fc.array(fc.record({ column: fc.nat(6), form: fc.nat(11), value: anyValue }), {
        minLength: 1,
        maxLength: 3,
      }),
      where: drawnWhere,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), where: drawnWhere }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('copy' as const), or: fc.nat(6), by: fc.nat(20), where: drawnWhere }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('around' as const), form: fc.nat(8), key: fc.nat(15), value: anyValue }),
  },
)
const many: fc.Arbitrary<DrawnStep> = fc.record({
  do: fc.constant('many' as const),
  rows: fc.integer({ min: 1, max: 150 }),
  from: fc.nat(3),
})
const transaction: fc.Arbitrary<DrawnStep> = fc.record({
  do: fc.constant('transaction' as const),
  savepoint: fc.boolean(),
  end: fc.constantFrom('COMMIT' as const, 'ROLLBACK' as const),
  steps: fc.array(change, { maxLength: 4 }),
})
const ask: fc.Arbitrary<DrawnStep> = fc.record({ do: fc.constant('ask' as const), form: fc.nat(15), where: drawnWhere })
const askIndex: fc.Arbitrary<DrawnStep> = fc.record({
  do: fc.constant('ask index' as const),
  index: fc.nat(2),
  value: fc.oneof(textValues, smallNumbers),
  row: fc.nat(5),
})

export const drawnSteps: fc.Arbitrary<readonly DrawnStep[]> = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: change },
    { weight: 2, arbitrary: many },
    { weight: 2, arbitrary: transaction },
    { weight: 3, arbitrary: ask },
    { weight: 2, arbitrary: askIndex },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('maintain' as const), form: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('enable' as const), column: fc.nat(3), form: fc.nat(7) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('index' as const), form: fc.nat(3) }) },
  ),
  { minLength: 1, maxLength: 14, size: 'max' },
)
