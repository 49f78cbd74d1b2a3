// A story as lines to run: the drawn steps as SQL against the schema at hand, and tamp's commands between them.
import { mayInsertNull, mayMisfit, mayUpdateSeveral } from './announced-differences.ts'
import type { Schema } from './built-schema.ts'
import { askedOfIndex, condition, question } from './questions.ts'
import type { DrawnStep } from './random-statements.ts'
import { assigned, fit, inserted, keyOrder, keyValue, manyOf, oneKey } from './row-values.ts'

export type Line =
  | { readonly kind: 'change'; readonly sql: string }
  | { readonly kind: 'ask'; readonly sql: string; readonly ordered: boolean }
  /** Two questions that have the same answer. */
  | { readonly kind: 'agree'; readonly sql: string; readonly other: string }
  /** A command of tamp's; the plain table is told `plain` meanwhile, where there is something to tell it. */
  | {
      readonly kind: 'tamp'
      readonly command: string
      readonly options: Readonly<Record<string, unknown>>
      readonly plain?: string
      /** A no is an answer too: nothing must have changed by it. */
      readonly mayRefuse?: boolean
    }

const ors = ['', '', '', ' OR REPLACE', ' OR IGNORE', ' OR FAIL', ' OR ROLLBACK']

const at = <Item>(items: readonly Item[], n: number): Item => items[n % items.length]!

/** The steps as lines to run. */
export function linesOf(steps: readonly DrawnStep[], schema: Schema): readonly Line[] {
  return steps.flatMap((step): readonly Line[] => lines(step, schema))
}

function lines(step: DrawnStep, schema: Schema): readonly Line[] {
  const run = (sql: string): readonly Line[] => [{ kind: 'change', sql }]
  switch (step.do) {
    case 'insert':
      return run(insert(step, schema))
    case 'many':
      return run(many(step))
    case 'copy':
      return run(copy(step))
    case 'update':
      return run(update(step))
    case 'delete':
      return run(`DELETE FROM ${schema.sql} WHERE ${condition(step.where, schema)}`)
    case 'around':
      return around(step, schema).flatMap(run)
    case 'ask':
      return [question(step.form, step.where, schema)]
    case 'ask index':
      return askedOfIndex(step, schema)
    case 'transaction':
      return [
        ...run(step.savepoint ? 'SAVEPOINT s' : 'BEGIN'),
        ...step.steps.flatMap((one) => lines(one, schema)),
        ...(step.savepoint
          ? step.end === 'COMMIT'
            ? run('RELEASE s')
            : [...run('ROLLBACK TO s'), ...run('RELEASE s')]
          : run(step.end)),
      ]
    case 'maintain':
      return [{ kind: 'tamp', command: 'maintain', options: at(maintenance, step.form) }]
    case 'enable':
      return [
        { kind: 'tamp', command: 'enable', options: enableOptions(schema, step.column, step.form), mayRefuse: true },
      ]
    case 'index':
      return [newIndex(step.form, schema)]
  }
  function many({ rows, from }: DrawnStep & { readonly do: 'many' }): string {
    const columns = schema.columns.filter(({ part }) => part !== 'generated')
    return `INSERT OR IGNORE INTO ${schema.sql} (${columns.map(({ sql }) => sql).join(', ')})
      WITH RECURSIVE n(i) AS (SELECT ${100 + from * 40} UNION ALL SELECT i + 1 FROM n WHERE i < ${100 + from * 40 + rows})
      SELECT ${columns.map(manyOf).join(', ')} FROM n`
  }
  function copy({ or, by, where }: DrawnStep & { readonly do: 'copy' }): string {
    const columns = schema.columns.filter(({ part }) => part !== 'generated')
    const values = columns.map((column) =>
      column.part !== 'key'
        ? mayInsertNull(column)
          ? column.sql
          : `coalesce(${column.sql}, ${column.default})`
        : column.affinity === 'INTEGER'
          ? `${column.sql} + ${by}`
          : `${column.sql} || '${by}'`,
    )
    return `INSERT${at(ors, or)} INTO ${schema.sql} (${columns.map(({ sql }) => sql).join(', ')})
      SELECT ${values.join(', ')} FROM ${schema.sql} WHERE ${condition(where, schema)} ORDER BY ${keyOrder(schema)} LIMIT 20`
  }
  function update({ or, sets, where }: DrawnStep & { readonly do: 'update' }): string {
    const columns = schema.columns.filter(({ part }) => part !== 'generated')
    const bySet = new Map(sets.map((set) => [at(columns, set.column), set]))
    const keyed = [...bySet.keys()].some(({ part }) => part === 'key')
    const one = !mayUpdateSeveral(schema, keyed, at(ors, or))
    const assignments = [...bySet].map(([column, set]) => `${column.sql} = ${assigned(column, set, schema)}`)
    return `UPDATE${at(ors, or)} ${schema.sql} SET ${assignments.join(', ')} WHERE ${one ? oneKey(where.key, schema) : condition(where, schema)}`
  }
}

function insert({ or, columns: mask, rows }: DrawnStep & { readonly do: 'insert' }, schema: Schema): string {
  if (rows.length === 0) return `INSERT${at(ors, or)} INTO ${schema.sql} DEFAULT VALUES`
  const writable = schema.columns.filter(({ part }) => part !== 'generated')
  const omitted = writable.filter(
    ({ part }, i) =>
      (part !== 'key' || schema.keyKind === 'integer' || schema.keyKind === 'autoincrement') &&
      mask >> 5 === 1 &&
      (mask >> (i % 5)) & 1,
  )
  const columns = omitted.length === writable.length ? writable : writable.filter((column) => !omitted.includes(column))
  const mayBeWrong = mayMisfit(schema, at(ors, or))
  const values = rows.map((row) => {
    const given = mayBeWrong ? row : { ...row, fits: Math.max(row.fits, 1) }
    return `(${columns.map((column, i) => inserted(column, given, i, schema)).join(', ')})`
  })
  return `INSERT${at(ors, or)} INTO ${schema.sql} (${columns.map(({ sql }) => sql).join(', ')}) VALUES ${values.join(', ')}`
}

/** Writing to what is around the table. */
function around({ form, key, value }: DrawnStep & { readonly do: 'around' }, schema: Schema): readonly string[] {
  const ref = keyValue(schema.key[0]!, key)
  const writes = [
    ...(schema.parent
      ? [`DELETE FROM parent WHERE id = ${key % 6}`, `UPDATE parent SET id = id + 1 WHERE id = ${key % 7}`]
      : []),
    ...(schema.child
      ? [
          `INSERT INTO child (ref) VALUES (${ref})`,
          `INSERT INTO child (ref) VALUES (${ref})`,
          `UPDATE child SET ref = ${ref} WHERE n = ${form}`,
        ]
      : []),
    ...(schema.inbox ? [`INSERT INTO inbox (body) VALUES (${fit(schema.payloads[0]!, value, 0, schema).sql})`] : []),
    ...(schema.writableView ? [`UPDATE "a view" SET four = ${value.sql} WHERE one = ${ref}`] : []),
  ]
  return writes.length === 0 ? [] : [at(writes, form)]
}

function newIndex(form: number, schema: Schema): Line {
  const column = schema.payloads[0]!
  const on = [
    column.sql,
    `lower(${column.sql}) DESC`,
    `length(${column.sql})`,
    `CASE WHEN json_valid(${column.sql}) THEN ${column.sql}->>'y' END`,
  ][form]!
  const name = `late ${form}`
  const where = form === 2 ? `${column.sql} IS NOT NULL` : undefined
  return {
    kind: 'tamp',
    command: 'index',
    options: {
      table: schema.table,
      name,
      on: [form === 0 ? column.name : on],
      ...(where === undefined ? {} : { where }),
      unique: form === 1,
    },
    plain: `CREATE ${form === 1 ? 'UNIQUE ' : ''}INDEX "${name}" ON ${schema.sql} (${on})${where === undefined ? '' : ` WHERE ${where}`}`,
  }
}

const maintenance: readonly Readonly<Record<string, unknown>>[] = [
  { maxSeconds: null },
  { oneStep: true },
  { oneStep: true },
  { maxSeconds: 0 },
  { maxSeconds: null, retrain: true },
  { maxSeconds: null, recompress: true },
]

/** How a column is enabled: small groups are trained on and compressed in several steps. */
export function enableOptions(schema: Schema, column: number, form: number): Readonly<Record<string, unknown>> {
  const key = schema.key[0]!.sql
  const c = at(schema.payloads, column).sql
  const choosers = [
    undefined,
    `'[nodict]'`,
    `'g.' || (length(${key}) % 2)`,
    `CASE WHEN length(${c}) % 3 = 0 THEN NULL ELSE 'h' END`,
  ]
  const dictChooser = at(choosers, form)
  return {
    table: schema.table,
    column: at(schema.payloads, column).name,
    level: [1, 3, 12, 19][form % 4],
    ...(dictChooser === undefined ? {} : { dictChooser }),
    minDictBytesForTraining: 256,
    dictSizeRatio: form % 2 === 0 ? 0.3 : 0.05,
    incrementalCompressionStepBytes: 2000,
    ...(form > 4 ? { minLength: 1 } : {}),
  }
}
