// A drawn schema as SQL, with what the statements over it have to know.
import { triggerCondition } from './announced-differences.ts'
import type { DrawnColumn, DrawnSchema, DrawnTrigger, KeyKind } from './random-schema.ts'
import * as words from './schema-words.ts'
import type { Affinity } from './schema-words.ts'
import { quoted, typed, written } from './schema-words.ts'

export interface Column {
  readonly name: string
  /** The name as SQL. */
  readonly sql: string
  readonly definition: string
  readonly affinity: Affinity
  readonly notNull: boolean
  /** The expression of its DEFAULT; null where there is none. */
  readonly default: string | null
  readonly part: 'key' | 'payload' | 'other' | 'parent' | 'itself' | 'generated'
}

export interface Schema {
  readonly table: string
  /** The table's name as SQL. */
  readonly sql: string
  readonly statements: readonly string[]
  /** In the table's order. */
  readonly columns: readonly Column[]
  readonly key: readonly Column[]
  readonly keyKind: KeyKind
  readonly strict: boolean
  /** Columns that compression may be asked for, the likeliest first. */
  readonly payloads: readonly Column[]
  /** First terms of the indexes, over the table as it is seen, and their conditions. */
  readonly indexed: readonly {
    readonly term: string
    /** Comparisons with it turn texts into numbers. */
    readonly numeric: boolean
    readonly where: string | null
  }[]
  /** Everything that can be read, beside the table and its log: names as SQL. */
  readonly besides: readonly string[]
  readonly parent: boolean
  readonly child: boolean
  readonly inbox: boolean
  readonly writableView: boolean
  /** Rows can be in each other's way. */
  readonly unique: boolean
}

const at = <Item>(items: readonly Item[], n: number): Item => items[n % items.length]!

export function built(drawn: DrawnSchema): Schema {
  const table = at(words.tableNames, drawn.table)
  const name = quoted(table)
  const names = new FreshNames()
  const key = keyColumns(drawn, names)
  const payload = column(drawn.payload, 'payload', drawn.strict, names)
  const others = drawn.others.map((from) => column(from, 'other', drawn.strict, names))
  const parent =
    drawn.parent === null
      ? []
      : [reference('parent_id', 'parent', `parent(id)${at(words.actions, drawn.parent)}`, 'INTEGER')]
  const itself =
    drawn.itself && key.length === 1
      ? [reference('up', 'itself', `${name}(${key[0]!.sql}) ON DELETE CASCADE`, drawn.strict ? 'ANY' : '')]
      : []
  const k = others[0] ?? key[0]!
  const filled = (template: string, c: Column): string => template.replaceAll('{c}', c.sql).replaceAll('{k}', k.sql)
  const generated = drawn.generated === null ? [] : [generatedColumn(drawn.generated, drawn.strict, filled, payload)]
  const rest = [payload, ...others, ...parent, ...itself, ...generated]
  const before = drawn.keyAt % (rest.length + 1)
  const columns = [...rest.slice(0, before), ...key, ...rest.slice(before)]
  const constraints = [
    ...(drawn.key === 'composite' ? [`PRIMARY KEY (${key.map(({ sql }) => sql).join(', ')})`] : []),
    ...(drawn.tableCheck ? [`CONSTRAINT "both" CHECK (${filled('length({c}) > 0 OR {k} IS NOT NULL', payload)})`] : []),
  ]
  const withoutRowid = drawn.withoutRowid && drawn.key !== 'autoincrement'
  const options = [...(drawn.strict ? ['STRICT'] : []), ...(withoutRowid ? ['WITHOUT ROWID'] : [])]
  const unique = drawn.indexes.some((index) => index.unique) || drawn.others.some((other) => other.unique)
  const indexes = drawn.indexes.map((index) => {
    const on = at([payload, payload, ...others, ...generated], index.on)
    // Of a row that is no JSON and not unique either, one of the two is said.
    const [expression, term] = at(unique ? words.safeIndexExpressions : words.indexExpressions, index.expression)
    const first = term === '{c}' ? on : term === '{k}' ? k : null
    return {
      expression: filled(expression, on),
      term: filled(term, on),
      numeric: first === null ? term.startsWith('length') : first.affinity !== 'TEXT' && first.affinity !== 'BLOB',
      where: index.where === null ? null : filled(at(words.indexConditions, index.where), on),
      unique: index.unique,
    }
  })
  const hasChild = drawn.child !== null && key.length === 1
  const touches = drawn.triggers.some(({ deed }) => deed === 'touch')
  const sameKey = key.map(({ sql }) => `${sql} = new.${sql}`).join(' AND ')
  return {
    table,
    sql: name,
    columns,
    key,
    keyKind: drawn.key,
    strict: drawn.strict,
    payloads: [
      payload,
      ...others.filter(({ affinity }, i) => (affinity === 'TEXT' || affinity === 'BLOB') && !drawn.others[i]!.unique),
    ],
    indexed: indexes,
    parent: parent.length > 0,
    child: hasChild,
    inbox: drawn.inbox,
    writableView: drawn.view === 2,
    unique,
    besides: [
      ...(parent.length > 0 ? ['parent'] : []),
      ...(hasChild ? ['child'] : []),
      ...(drawn.view > 0 ? ['"a view"'] : []),
    ],
    statements: [
      ...pragmas(drawn.pragmas, touches),
      'CREATE TABLE log (n INTEGER PRIMARY KEY, what TEXT, was TEXT, became TEXT)',
      ...(parent.length > 0
        ? ['CREATE TABLE parent (id INTEGER PRIMARY KEY)', 'INSERT INTO parent VALUES (0), (1), (2), (3), (4), (5)']
        : []),
      `CREATE TABLE ${name} (${[...columns.map(({ definition }) => definition), ...constraints].join(', ')}) ${options.join(', ')}`,
      ...indexes.map(
        ({ unique, expression, where }, i) =>
          `CREATE ${unique ? 'UNIQUE ' : ''}INDEX "index ${i}" ON ${name} (${expression})${where === null ? '' : ` WHERE ${where}`}`,
      ),
      ...drawn.triggers.map((trigger, i) =>
        triggerSql(trigger, i, name, payload, [...others, ...key], generated, k, sameKey),
      ),
      ...(hasChild
        ? [
            `CREATE TABLE child (n INTEGER PRIMARY KEY, ref REFERENCES ${name}(${key[0]!.sql})${at(words.actions, drawn.child!)})`,
          ]
        : []),
      ...viewSql(drawn.view, name, key[0]!, payload, k),
      ...(drawn.inbox
        ? [
            'CREATE TABLE inbox (n INTEGER PRIMARY KEY, body)',
            `CREATE TRIGGER arrives AFTER INSERT ON inbox BEGIN
              UPDATE ${name} SET ${payload.sql} = new.body WHERE ${key[0]!.sql} IN (SELECT ${key[0]!.sql} FROM ${name} WHERE length(${payload.sql}) > 5 ORDER BY ${key[0]!.sql} COLLATE BINARY LIMIT 1);
              DELETE FROM ${name} WHERE ${payload.sql} = 'bad'; END`,
          ]
        : []),
    ],
  }
}

/** Names that differ in more than the case of letters. */
class FreshNames {
  readonly #taken = new Set<string>(['parent_id', 'up', 'gen'])

  next(names: readonly string[], n: number): string {
    for (let i = n; ; i++) {
      const name = at(names, i) + (i - n >= names.length ? String(i) : '')
      if (this.#taken.has(name.toLowerCase())) continue
      this.#taken.add(name.toLowerCase())
      return name
    }
  }
}

function column(from: DrawnColumn, part: 'payload' | 'other', strict: boolean, names: FreshNames): Column {
  const name = names.next(part === 'payload' ? words.payloadNames : words.columnNames, from.name)
  const types = {
    payload: strict ? words.strictPayloadTypes : words.payloadTypes,
    other: strict ? words.strictTypes : words.otherTypes,
  }
  const [type, affinity] = at(types[part], from.type)
  const collation = at(words.collations, from.collation)
  const strictDefault = words.strictDefaults[affinity]
  const [text, value] =
    from.default === null
      ? [null, null]
      : strict
        ? [strictDefault, strictDefault]
        : at(words.defaultTexts, from.default)
  const check = from.check === null ? null : at(words.checks, from.check)
  const sql = written(name, from.quotes)
  const definition = [
    sql,
    type,
    from.notNull ? `NOT NULL${at(words.conflicts, from.onConflict)}` : '',
    text === null ? '' : `DEFAULT ${text}`,
    collation === '' ? '' : `COLLATE ${collation}`,
    from.unique ? `UNIQUE${at(words.conflicts, from.onConflict)}` : '',
    check === null ? '' : `CHECK (${check.replaceAll('{c}', sql)})`,
  ]
  return {
    name,
    sql: quoted(name),
    definition: definition.filter((word) => word !== '').join(' '),
    affinity,
    notNull: from.notNull,
    default: value,
    part,
  }
}

function keyColumns(drawn: DrawnSchema, names: FreshNames): readonly Column[] {
  const collation = at(words.collations, drawn.keyCollation)
  const conflict = at(words.conflicts, drawn.keyConflict)
  const make = (name: string, type: string, affinity: Affinity, constraint: string): Column => ({
    name: names.next([name], 0),
    sql: quoted(name),
    definition: `${quoted(name)} ${type} ${affinity === 'TEXT' && collation !== '' ? `COLLATE ${collation} ` : ''}${constraint}`,
    affinity,
    notNull: true,
    default: null,
    part: 'key',
  })
  switch (drawn.key) {
    case 'integer':
      return [make('id', 'INTEGER', 'INTEGER', `PRIMARY KEY${conflict}`)]
    case 'autoincrement':
      return [make('id', 'INTEGER', 'INTEGER', `PRIMARY KEY${conflict} AUTOINCREMENT`)]
    case 'text':
      return [make('name', 'TEXT', 'TEXT', `NOT NULL PRIMARY KEY${conflict}`)]
    case 'any':
      return [make('key', drawn.strict ? 'ANY' : '', 'BLOB', `NOT NULL PRIMARY KEY${conflict}`)]
    case 'descending':
      return [make('id', 'INTEGER', 'INTEGER', `NOT NULL PRIMARY KEY DESC${conflict}`)]
    case 'composite':
      return [make('one', 'TEXT', 'TEXT', 'NOT NULL'), make('two', 'INTEGER', 'INTEGER', 'NOT NULL')]
  }
}

function reference(name: string, part: 'parent' | 'itself', to: string, type: string): Column {
  return {
    name,
    sql: quoted(name),
    definition: `${quoted(name)} ${type} REFERENCES ${to}`,
    affinity: type === 'INTEGER' ? 'INTEGER' : 'BLOB',
    notNull: false,
    default: null,
    part,
  }
}

function generatedColumn(
  { expression, stored, more }: NonNullable<DrawnSchema['generated']>,
  strict: boolean,
  filled: (template: string, c: Column) => string,
  payload: Column,
): Column {
  return {
    name: 'gen',
    sql: '"gen"',
    definition: `"gen"${strict ? ' ANY' : ''} AS (${filled(at(words.generatedExpressions, expression), payload)}) ${stored ? 'STORED' : 'VIRTUAL'}${at(words.generatedConstraints, more)}`,
    affinity: 'BLOB',
    notNull: false,
    default: null,
    part: 'generated',
  }
}

function triggerSql(
  { before: early, event, of, what, deed }: DrawnTrigger,
  i: number,
  table: string,
  payload: Column,
  others: readonly Column[],
  generated: readonly Column[],
  k: Column,
  sameKey: string,
): string {
  // SQLite leaves open what comes of a BEFORE trigger that writes the row that is being written.
  const before = early && deed !== 'touch'
  // What a BEFORE trigger sees in a generated column depends on what else SQLite happens to have read.
  const shown = at([payload, ...others, ...(before ? [] : generated)], what)
  const columns = others.filter(({ part }) => part === 'other')
  const waitsFor = event === 'UPDATE' && of !== null ? at([payload, ...columns], of) : null
  const show = (row: 'old' | 'new', there: boolean): string =>
    there ? `substr(hex(${row}.${shown.sql}), 1, 200) || ' ' || typeof(${row}.${shown.sql})` : 'NULL'
  const seen = event === 'DELETE' ? 'old' : 'new'
  const log = `INSERT INTO log (what, was, became) VALUES ('${i} ${event}', ${show('old', event !== 'INSERT')}, ${show('new', event !== 'DELETE')})`
  const veto = `SELECT raise(${i % 2 === 0 ? `ABORT, 'vetoed'` : 'IGNORE'}) WHERE instr(${seen}.${payload.sql}, 'veto')`
  const target = k.part === 'other' ? k : payload
  const touch = `UPDATE ${table} SET ${target.sql} = typeof(new.${payload.sql}) || length(${payload.sql}) WHERE ${sameKey}`
  const body = deed === 'veto' ? veto : deed === 'log' || event === 'DELETE' ? log : touch
  return `CREATE TRIGGER "trigger ${i}" ${before ? 'BEFORE' : 'AFTER'} ${event}${waitsFor === null ? '' : ` OF ${waitsFor.sql}`} ON ${table}${triggerCondition(waitsFor?.sql ?? null)} BEGIN ${body}; END`
}

function viewSql(view: number, table: string, key: Column, payload: Column, k: Column): readonly string[] {
  if (view === 0) return []
  return [
    `CREATE VIEW "a view" AS SELECT ${key.sql} AS one, ${typed(payload.sql)} AS two, ${k.sql} AS three, ${payload.sql} AS four FROM ${table} WHERE ${payload.sql} IS NOT NULL`,
    ...(view === 2
      ? [
          `CREATE TRIGGER through INSTEAD OF UPDATE ON "a view" BEGIN UPDATE ${table} SET ${payload.sql} = new.four WHERE ${key.sql} = old.one; END`,
        ]
      : []),
  ]
}

function pragmas(n: number, touches: boolean): readonly string[] {
  return [
    ...(n & 1 ? [`PRAGMA encoding = 'UTF-16le'`] : []),
    // A trigger that writes to its own table would never end.
    ...(n & 2 && !touches ? ['PRAGMA recursive_triggers = ON'] : []),
    ...(n & 4 ? ['PRAGMA foreign_keys = OFF'] : []),
    ...(n & 8 ? ['PRAGMA legacy_alter_table = ON'] : []),
  ]
}
