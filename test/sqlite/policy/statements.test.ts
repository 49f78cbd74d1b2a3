// Statements read and rewritten: tokens, CREATE TABLE, triggers, without a database.
import { describe, expect, test } from 'vitest'
import {
  columnTexts,
  isReadByTable,
  withExpression,
  withoutExpressions,
  withType,
} from '../../../src/sqlite/policy/create-table.ts'
import { closestName } from '../../../src/sqlite/policy/closest-name.ts'
import { tokensOf } from '../../../src/sqlite/policy/sql-tokens.ts'
import { triggerText } from '../../../src/sqlite/policy/trigger-text.ts'

test('tokens of every kind, with their meaning', () => {
  const sql = `SELECT "a""b", [c d], \`e\`\`f\`, 'it''s', x'0aF', X'', 1.5e-3, .5, 0x1F, 1_000, ?1, :p, @q, $r, é, a->>b->c||d<>e -- end "
    /* more ' */ ; "unended`
  expect(tokensOf(sql).map(({ kind, value }) => `${kind} ${value}`)).toEqual([
    'word SELECT',
    'name a"b',
    'operator ,',
    'name c d',
    'operator ,',
    'name e`f',
    'operator ,',
    `string it's`,
    'operator ,',
    `blob x'0aF'`,
    'operator ,',
    `blob X''`,
    ...['1.5e-3', '.5', '0x1F', '1_000'].flatMap((number) => ['operator ,', `number ${number}`]),
    ...['?1', ':p', '@q', '$r'].flatMap((parameter) => ['operator ,', `parameter ${parameter}`]),
    'operator ,',
    'word é',
    'operator ,',
    'word a',
    'operator ->>',
    'word b',
    'operator ->',
    'word c',
    'operator ||',
    'word d',
    'operator <>',
    'word e',
    'operator ;',
    'operator "',
    'word unended',
  ])
  for (const { start, end, value, kind } of tokensOf(sql))
    if (kind !== 'name' && kind !== 'string') expect(sql.slice(start, end)).toBe(value)
})

describe('CREATE TABLE', () => {
  const sql = `CREATE TABLE "a (b" /* ( */ ("x, y" VARCHAR (10, 2) NOT NULL COLLATE nocase DEFAULT ('a, b' || (1)), bare, [data] TEXT CHECK(data <> ''), -- ,
    g GENERATED ALWAYS AS (upper(data)), 'quoted' DOUBLE PRECISION, PRIMARY KEY (bare), CONSTRAINT c CHECK (length("data") > 1), UNIQUE (g COLLATE rtrim)) STRICT`

  test('columns with their types and collations', () => {
    expect(columnTexts(sql).map(({ name, type, collation }) => [name, type, collation])).toEqual([
      ['x, y', 'VARCHAR (10, 2)', 'nocase'],
      ['bare', '', 'BINARY'],
      ['data', 'TEXT', 'BINARY'],
      ['g', '', 'BINARY'],
      ['quoted', 'DOUBLE PRECISION', 'BINARY'],
    ])
  })

  test('another type, and back', () => {
    expect(withType(sql, 'DATA', 'ANY')).toBe(sql.replace('[data] TEXT', '[data] ANY'))
    expect(withType(withType(sql, 'data', 'ANY'), 'data', 'TEXT')).toBe(sql)
    expect(withType(sql, 'bare', 'ANY')).toContain('bare ANY,')
  })

  test('an expression for a name, and back to the very words', () => {
    const expression = 'f("data", "d")'
    const changed = withExpression(sql, 'data', expression)
    expect(changed).toContain(`CONSTRAINT "data <> ''" CHECK(f("data", "d") <> '')`)
    expect(changed).toContain('AS (upper(f("data", "d")))')
    expect(changed).toContain('CONSTRAINT c CHECK (length(f("data", "d")) > 1)')
    const renamed = changed.replace('"a (b"', '"_a (b_zstd"')
    expect(withoutExpressions(renamed, [{ column: 'data', expression }], { sql, table: 'a (b' }, '_a (b_zstd')).toBe(
      sql.replace('"a (b"', '"_a (b_zstd"'),
    )
  })

  test.each([
    ['CHECK (text(text) <> CAST(text AS text) COLLATE text)', `CHECK (text(E) <> CAST(E AS text) COLLATE text)`],
    ['CHECK (t.text = 1)', 'CHECK (E = 1)'],
    [`CHECK ('text' <> "text")`, `CHECK ('text' <> E)`],
    ['CHECK (texts > 1)', 'CHECK (texts > 1)'],
    ['DEFAULT (text)', 'DEFAULT (text)'],
  ])('only what is the column is replaced: %s', (constraint, expected) => {
    const table = `CREATE TABLE t(id, text ${constraint})`
    expect(withExpression(table, 'text', 'E').replace(/CONSTRAINT "(?:[^"]|"")*" /, '')).toBe(
      `CREATE TABLE t(id, text ${expected})`,
    )
    expect(isReadByTable(table, 'text')).toBe(constraint !== expected)
  })
})

test.each([
  ['CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END', 'INSERT', undefined, undefined, ['SELECT']],
  [
    'CREATE TRIGGER "update" BEFORE DELETE ON main.t FOR EACH ROW WHEN old.a BEGIN DELETE FROM u; END',
    'DELETE',
    undefined,
    'old . a',
    ['DELETE u'],
  ],
  [
    'CREATE TEMP TRIGGER IF NOT EXISTS s.insert_x UPDATE OF a, "b c" ON t WHEN (CASE WHEN 1 THEN 2 END) BEGIN UPDATE OR IGNORE u SET a = (SELECT 1; 2); REPLACE INTO v VALUES (1); INSERT OR REPLACE INTO w DEFAULT VALUES; END',
    'UPDATE',
    ['a', 'b c'],
    '( CASE WHEN 1 THEN 2 END )',
    ['UPDATE u', 'INSERT v', 'INSERT w'],
  ],
])('%s', (sql, event, of, when, statements) => {
  const text = triggerText(sql)!
  expect([text.event, text.of]).toEqual([event, of])
  expect(text.tokens[text.tableAt]!.value).toBe('t')
  expect(
    text.when &&
      text.tokens
        .slice(...text.when)
        .map(({ value }) => value)
        .join(' '),
  ).toBe(when)
  expect(
    text.statements.map(({ write }) => (write === undefined ? 'SELECT' : `${write.event} ${write.table}`)),
  ).toEqual(statements)
})

test('the closest name, or none', () => {
  expect(closestName('evnets', ['users', 'events'])).toBe('events')
  expect(closestName('Compresion_level', ['compression_level', 'column'])).toBe('compression_level')
  expect(closestName('x', ['users', 'events'])).toBeUndefined()
  expect(closestName('users', [])).toBeUndefined()
})
