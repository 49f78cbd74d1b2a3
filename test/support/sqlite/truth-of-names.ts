// The truth table's lines about names, several columns and tables, other databases, and what is refused.
import { all, filled, usual } from './truth-lines.ts'
import type { TruthLine } from './truth-lines.ts'

export const names: readonly TruthLine[] = [
  {
    feature: 'two tables with the same column name',
    given: [
      ...usual,
      'CREATE TABLE u (data TEXT, id INTEGER PRIMARY KEY)',
      filled('u', 'id, data', `i, 'u' || {json}`),
    ],
    columns: [
      ['t', 'data'],
      ['u', 'data'],
    ],
    does: [
      'SELECT t.data, u.data FROM t JOIN u USING (id) WHERE id < 5 ORDER BY id',
      `UPDATE u SET data = (SELECT data FROM t WHERE t.id = u.id) WHERE id < 10`,
      'SELECT data FROM u ORDER BY id',
    ],
    looks: [all],
    promise: 'the same',
  },
  {
    feature: 'a second column of the same table',
    given: [
      'CREATE TABLE t (data TEXT, id INTEGER PRIMARY KEY, more BLOB, k INT DEFAULT 7)',
      filled('t', 'id, data, more', `i, {json}, CAST('more ' || {json} AS BLOB)`),
    ],
    columns: [
      ['t', 'data'],
      ['t', 'more'],
    ],
    does: [
      'SELECT * FROM t ORDER BY id',
      `UPDATE t SET data = more, more = data WHERE id = 4`,
      `UPDATE t SET more = x'00' WHERE id = 5`,
      `INSERT INTO t (data, more) VALUES ('x', 'y')`,
      'SELECT * FROM t ORDER BY id',
    ],
    promise: 'the same',
  },
  {
    feature: 'names that need quoting',
    given: [
      `CREATE TABLE "order" ("group" INTEGER PRIMARY KEY, "a ""b"" c" TEXT, "select" INT DEFAULT 3, "it's" TEXT)`,
      filled('"order"', `"group", "a ""b"" c", "it's"`, `i, {json}, 'and ' || {json}`),
      `CREATE INDEX "an index" ON "order" ("a ""b"" c"->>'y')`,
    ],
    columns: [
      ['order', 'a "b" c'],
      ['order', "it's"],
    ],
    does: [
      `UPDATE "order" SET "a ""b"" c" = '{"y":"new"}', "select" = 4 WHERE "group" = 3`,
      `INSERT INTO "order" ("a ""b"" c") VALUES ('{"y":5}')`,
      `INSERT INTO "order" ("a ""b"" c") VALUES ('no JSON for the index')`,
      `SELECT "group" FROM "order" WHERE "a ""b"" c"->>'y' = 5 ORDER BY 1`,
      `DELETE FROM "order" WHERE "it's" LIKE '%"y":9%'`,
    ],
    looks: ['SELECT * FROM "order" ORDER BY "group"', 'PRAGMA integrity_check'],
    plans: [[`SELECT "group" FROM "order" WHERE "a ""b"" c"->>'y' = 5`, 'an index']],
    promise: 'the same',
  },
  {
    feature: 'columns called as words of SQL are',
    given: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT, "new" TEXT, "desc" TEXT CHECK ("desc" IS NOT 5), "nocase" TEXT, v)',
      filled('t', 'id, data, "new", "desc", "nocase"', 'i, {json}, {json}, {json}, {json}'),
      `CREATE INDEX falling ON t (data COLLATE nocase DESC, "desc" DESC)`,
      'CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET v = typeof(new.data) || length(new."new") || length("desc") WHERE id = new.id; END',
    ],
    columns: [
      ['t', 'data'],
      ['t', 'new'],
      ['t', 'desc'],
      ['t', 'nocase'],
    ],
    does: [
      `INSERT INTO t (id, data, "new", "desc") VALUES (100, 'a', 'b', 'c'), (101, 'A', NULL, 'words that are long enough to be compressed')`,
      `UPDATE t SET "new" = "desc", "desc" = upper("new") WHERE id < 4`,
      `SELECT id FROM t WHERE data COLLATE nocase = 'A' ORDER BY "desc" DESC`,
    ],
    looks: [all, 'PRAGMA integrity_check'],
    promise: 'the same',
  },
  {
    feature: 'names in another case, and not of ASCII',
    given: [
      'CREATE TABLE T (Id INTEGER PRIMARY KEY, "Größe" TEXT, DATA TEXT)',
      filled('T', 'Id, "Größe", DATA', 'i, {json}, {json}'),
    ],
    columns: [
      ['t', 'data'],
      ['t', 'Größe'],
    ],
    does: [
      'SELECT * FROM t ORDER BY ID',
      `UPDATE t SET dAtA = 'x', "größe" = 'y' WHERE iD = 3`,
      `UPDATE t SET data = 'x', "Größe" = 'y' WHERE id = 3`,
    ],
    looks: ['SELECT id, data, "Größe" FROM t ORDER BY id'],
    promise: 'the same',
  },
  {
    feature: 'trusted_schema = OFF',
    given: [...usual, 'CREATE INDEX by_data ON t (data)'],
    does: [
      'PRAGMA trusted_schema = OFF',
      'SELECT count(*), total(length(data)) FROM t',
      `UPDATE t SET data = 'new' WHERE id = 3`,
      `INSERT INTO t (id, data) VALUES (100, 'x')`,
      'DELETE FROM t WHERE id = 4',
      'SELECT id, data FROM t ORDER BY id',
      `SELECT id FROM t WHERE data = 'new'`,
    ],
    promise: 'the same',
  },
  {
    feature: 'VACUUM and ANALYZE',
    given: [...usual, 'CREATE INDEX by_k ON t (k)'],
    does: ['VACUUM', 'ANALYZE', 'SELECT id FROM t WHERE k = 3 ORDER BY id', 'REINDEX'],
    looks: [all, 'PRAGMA integrity_check'],
    promise: 'the same',
  },
  {
    feature: 'AUTOINCREMENT',
    given: [
      'CREATE TABLE t (data TEXT, id INTEGER PRIMARY KEY AUTOINCREMENT)',
      filled(),
      'DELETE FROM t WHERE id > 50',
    ],
    does: [
      `INSERT INTO t (data) VALUES ('x')`,
      'SELECT max(id) FROM t',
      'DELETE FROM t',
      `INSERT INTO t (data) VALUES ('y')`,
    ],
    looks: [all],
    promise: 'the same',
  },
  {
    feature: 'a table without a key',
    given: ['CREATE TABLE t (data TEXT)', filled('t', 'data', '{json}')],
    does: ['SELECT count(*) FROM t'],
    promise: { refused: ['no-primary-key'] },
  },
  {
    feature: 'a column of the key',
    given: ['CREATE TABLE t (id INT, data TEXT, PRIMARY KEY (id, data))', filled()],
    does: ['SELECT count(*) FROM t'],
    promise: { refused: ['in-primary-key'] },
  },
  {
    feature: 'a column with a UNIQUE constraint',
    given: ['CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT UNIQUE)', filled()],
    does: ['SELECT count(*) FROM t'],
    promise: { refused: ['in-unique-constraint'] },
  },
  {
    feature: 'a column that refers to another table',
    given: [
      'CREATE TABLE owner (name TEXT PRIMARY KEY)',
      'CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT REFERENCES owner(name))',
    ],
    does: ['SELECT count(*) FROM t'],
    promise: { refused: ['in-foreign-key'] },
  },
  {
    feature: 'a generated column',
    given: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, raw TEXT, data TEXT AS (upper(raw)))',
      filled('t', 'id, raw', 'i, {json}'),
    ],
    does: ['SELECT count(*) FROM t'],
    promise: { refused: ['generated-column'] },
  },
]
