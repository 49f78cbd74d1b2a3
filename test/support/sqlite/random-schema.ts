// Random schemas around one table that has a column worth compressing: keys of every kind anywhere in the table, declared types,
// collations, constraints, generated columns, indexes, triggers, a view, foreign keys from and to it, names that need quoting.
// What is drawn is plain numbers and flags, so that it shrinks; built-schema.ts makes SQL of it.
import fc from 'fast-check'

/** Numbers choose from the lists of schema-words.ts, modulo their length. */
export interface DrawnColumn {
  readonly name: number
  readonly quotes: number
  readonly type: number
  readonly notNull: boolean
  readonly onConflict: number
  readonly unique: boolean
  readonly default: number | null
  readonly collation: number
  readonly check: number | null
}

export const keyKinds = ['integer', 'autoincrement', 'text', 'composite', 'any', 'descending'] as const
export type KeyKind = (typeof keyKinds)[number]

export interface DrawnTrigger {
  readonly before: boolean
  readonly event: 'INSERT' | 'UPDATE' | 'DELETE'
  readonly of: number | null
  readonly what: number
  /** Logs what it sees, refuses certain values, writes to the table itself. */
  readonly deed: 'log' | 'veto' | 'touch'
}

export interface DrawnSchema {
  readonly table: number
  readonly key: KeyKind
  readonly keyAt: number
  readonly keyCollation: number
  readonly keyConflict: number
  readonly withoutRowid: boolean
  readonly strict: boolean
  readonly payload: DrawnColumn
  readonly others: readonly DrawnColumn[]
  readonly tableCheck: boolean
  readonly generated: { readonly expression: number; readonly stored: boolean; readonly more: number } | null
  readonly indexes: readonly {
    readonly on: number
    readonly expression: number
    readonly unique: boolean
    readonly where: number | null
  }[]
  readonly triggers: readonly DrawnTrigger[]
  /** A view over the table: 0 none, 1 to read, 2 to write through as well. */
  readonly view: number
  /** Another table whose trigger writes to this one. */
  readonly inbox: boolean
  readonly parent: number | null
  readonly child: number | null
  readonly itself: boolean
  readonly pragmas: number
}

const rarely = (weight: number): fc.Arbitrary<boolean> =>
  fc.oneof({ weight, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) })
const mostly0 = (max: number): fc.Arbitrary<number> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(max) })
const seldom = (weight: number, max: number): fc.Arbitrary<number | null> =>
  fc.oneof({ weight, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(max) })

const drawnColumn: fc.Arbitrary<DrawnColumn> = fc.record({
  name: fc.nat(11),
  quotes: mostly0(3),
  type: fc.nat(9),
  notNull: rarely(4),
  onConflict: mostly0(7),
  unique: rarely(12),
  default: seldom(1, 9),
  collation: mostly0(3),
  check: seldom(2, 9),
})

export const drawnSchemas: fc.Arbitrary<DrawnSchema> = fc.record({
  table: mostly0(7),
  key: fc.constantFrom('integer', 'integer', ...keyKinds),
  keyAt: fc.nat(3),
  keyCollation: mostly0(3),
  keyConflict: mostly0(9),
  withoutRowid: rarely(3),
  strict: rarely(3),
  payload: drawnColumn.chain((column) => fc.nat(3).map((collation) => ({ ...column, collation, unique: false }))),
  others: fc.array(drawnColumn, { maxLength: 4, size: 'max' }),
  tableCheck: rarely(5),
  generated: fc.option(fc.record({ expression: fc.nat(5), stored: fc.boolean(), more: mostly0(2) }), {
    freq: 1,
    nil: null,
  }),
  indexes: fc.array(fc.record({ on: fc.nat(5), expression: fc.nat(7), unique: rarely(4), where: seldom(1, 7) }), {
    maxLength: 3,
    size: 'max',
  }),
  triggers: fc.array(
    fc.record({
      before: fc.boolean(),
      event: fc.constantFrom('INSERT', 'UPDATE', 'DELETE'),
      of: seldom(1, 7),
      what: fc.nat(5),
      deed: fc.constantFrom('log', 'log', 'log', 'log', 'veto', 'touch'),
    }),
    { maxLength: 3, size: 'max' },
  ),
  view: fc.nat(2),
  inbox: rarely(4),
  parent: seldom(1, 3),
  child: seldom(1, 3),
  itself: rarely(6),
  pragmas: mostly0(15),
})
