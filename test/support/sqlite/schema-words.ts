// The words that random schemas are made of.

export const tableNames = ['t', 'order', 'my table', 'T"q', 'Größe', "o'k", 'a`b', 'x.y']
export const columnNames = ['k', 'group', 'a b', 'Ünï', 'q"q', "it's", 'VAL', 'new', 'b`t', 'x.y', 'old', 'to']
export const payloadNames = ['data', 'order', 'my data', 'd"d', 'Ä', 'index', 'a]b', '7up']

export type Affinity = 'TEXT' | 'BLOB' | 'NUMERIC' | 'INTEGER' | 'REAL'
type Types = readonly (readonly [declared: string, affinity: Affinity])[]

/** Declared types that hold texts or blobs. */
export const payloadTypes: Types = [
  ['TEXT', 'TEXT'],
  ['BLOB', 'BLOB'],
  ['VARCHAR(20)', 'TEXT'],
  ['', 'BLOB'],
  ['JSON', 'NUMERIC'],
  ['LONG  TEXT', 'TEXT'],
  ['ANY', 'NUMERIC'],
  ['"a type" (1, 2) /* , */', 'NUMERIC'],
  ['CLOB', 'TEXT'],
]
export const otherTypes: Types = [
  ['TEXT', 'TEXT'],
  ['INTEGER', 'INTEGER'],
  ['REAL', 'REAL'],
  ['BLOB', 'BLOB'],
  ['', 'BLOB'],
  ['VARCHAR(20)', 'TEXT'],
  ['NUMERIC', 'NUMERIC'],
  ['DECIMAL(10, 2)', 'NUMERIC'],
]
export const strictPayloadTypes: Types = [
  ['TEXT', 'TEXT'],
  ['BLOB', 'BLOB'],
  ['ANY', 'BLOB'],
]
export const strictTypes: Types = [
  ['TEXT', 'TEXT'],
  ['BLOB', 'BLOB'],
  ['INTEGER', 'INTEGER'],
  ['REAL', 'REAL'],
  ['ANY', 'BLOB'],
]
export const collations = ['', 'NOCASE', 'RTRIM', 'BINARY']

/** What DEFAULT says, and the expression that it stands for. */
export const defaultTexts: readonly (readonly [text: string, value: string])[] = [
  ["'dflt'", "'dflt'"],
  ['7', '7'],
  ["x'00ff'", "x'00ff'"],
  ['(1 + 2)', '(1 + 2)'],
  ["'a default that is long enough to be compressed'", "'a default that is long enough to be compressed'"],
  ['-1.5', '-1.5'],
  ['word', "'word'"],
  ['true', 'true'],
  ['+0x10', '16'],
  ["('it''s' || ', (' || char(34))", "('it''s' || ', (' || char(34))"],
]
export const strictDefaults: Readonly<Record<Affinity, string>> = {
  TEXT: "'dflt'",
  INTEGER: '7',
  REAL: '1.5',
  BLOB: "x'00ff'",
  NUMERIC: '7',
}

/** Conditions over the column `{c}`. */
export const checks = [
  "{c} <> 'bad'",
  'length({c}) < 1000',
  'json_valid({c}) IS NOT 0',
  "typeof({c}) <> 'real'",
  "{c} NOT LIKE '%veto%'",
  "{c} IS NULL OR {c} NOT IN ('bad', 'veto') /* ) , ( */",
]
export const conflicts = [
  '',
  ' ON CONFLICT IGNORE',
  ' ON CONFLICT REPLACE',
  ' ON CONFLICT FAIL',
  ' ON CONFLICT ROLLBACK',
]

/** What is indexed, and the first term of it; `{k}` is another column. */
export const indexExpressions: readonly (readonly [sql: string, term: string])[] = [
  ['{c}', '{c}'],
  ['{c} DESC', '{c}'],
  ['{c} COLLATE NOCASE', '{c}'],
  ['lower({c})', 'lower({c})'],
  [
    "CASE WHEN json_valid({c}) THEN json_extract({c}, '$.y') END",
    "CASE WHEN json_valid({c}) THEN json_extract({c}, '$.y') END",
  ],
  ['length({c}), {k}', 'length({c})'],
  ['{k}, {c}', '{k}'],
  ["{c}->>'y'", "{c}->>'y'"],
]
/** Those that are no error for any value. */
export const safeIndexExpressions = indexExpressions.slice(0, -1)
export const indexConditions = [
  '{c} IS NOT NULL',
  "typeof({c}) = 'text'",
  'length({c}) > 20',
  "{c} > 'm'",
  '{k} IS NOT NULL',
]
export const generatedExpressions = [
  'length({c})',
  'substr({c}, 1, 5)',
  "typeof({c}) || 'g'",
  "CASE WHEN json_valid({c}) THEN {c}->>'y' END",
  '{k}',
  'lower({k})',
]
export const generatedConstraints = ['', ' COLLATE NOCASE', ' CHECK ("gen" IS NOT \'veto\')']
export const actions = [
  '',
  ' ON DELETE CASCADE ON UPDATE CASCADE',
  ' ON DELETE SET NULL ON UPDATE CASCADE',
  ' ON DELETE CASCADE',
]

/** A name in one of the ways to quote it that can hold it. */
export function written(name: string, quotes: number): string {
  if (quotes === 1 && !name.includes(']')) return `[${name}]`
  if (quotes === 2) return `\`${name.replaceAll('`', '``')}\``
  if (quotes === 3 && /^[a-z]+$/i.test(name) && !/^(order|group|desc|index|to)$/i.test(name)) return name
  return quoted(name)
}

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A value as text that tells type and bytes. */
export const typed = (expression: string): string =>
  `typeof(${expression}) || ' ' || CASE typeof(${expression}) WHEN 'text' THEN hex(CAST(${expression} AS BLOB)) ELSE quote(${expression}) END`
