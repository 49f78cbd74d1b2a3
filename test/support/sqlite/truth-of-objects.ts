// The truth table's lines about what belongs to a table: indexes and the plans that use them, triggers, views, full-text search.
import { all, filled, usual } from './truth-lines.ts'
import type { TruthLine } from './truth-lines.ts'

const show = (sql: string): string => `SELECT n, what, was, became FROM log ORDER BY n -- ${sql}`
const log = 'CREATE TABLE log (n INTEGER PRIMARY KEY, what, was, became)'

export const objects: readonly TruthLine[] = [
  {
    feature: 'existing index on the column',
    given: [...usual, 'CREATE INDEX by_data ON t (data)', `INSERT INTO t (id, data) VALUES (100, 'short')`],
    does: [
      `SELECT id FROM t WHERE data = 'short'`,
      `SELECT id FROM t WHERE data > '{"type":"movie","y":5' AND data < '{"type":"movie","y":6' ORDER BY data, id`,
      `UPDATE t SET data = 'found' WHERE id = 4`,
      `SELECT id FROM t WHERE data IN ('found', 'short') ORDER BY id`,
      'SELECT min(data), max(data) FROM t',
      'PRAGMA integrity_check',
    ],
    plans: [
      [`SELECT id FROM t WHERE data = 'short'`, 'by_data'],
      [`SELECT id FROM t WHERE data IN ('a', 'short')`, 'by_data'],
      ['SELECT id FROM t ORDER BY data', 'by_data'],
      ['SELECT max(data) FROM t', 'by_data'],
    ],
    promise: 'the same',
  },
  {
    feature: 'existing unique index on the column',
    given: [...usual, 'CREATE UNIQUE INDEX once ON t (data)', `INSERT INTO t (id, data) VALUES (100, 'short')`],
    does: [
      `INSERT INTO t (id, data) VALUES (101, 'short')`,
      'INSERT INTO t (id, data) SELECT 102, data FROM t WHERE id = 3',
      'UPDATE t SET data = (SELECT data FROM t WHERE id = 4) WHERE id = 5',
      'INSERT OR REPLACE INTO t (id, data) SELECT 103, data FROM t WHERE id = 6',
      'INSERT OR IGNORE INTO t (id, data) SELECT 104, data FROM t WHERE id = 7',
      `INSERT INTO t (id, data) VALUES (105, NULL), (106, NULL)`,
    ],
    looks: [all, 'PRAGMA integrity_check'],
    plans: [[`SELECT id FROM t WHERE data = 'short'`, 'once']],
    promise: 'the same',
  },
  {
    feature: 'UPDATE OR REPLACE of the key, with a unique index on the column and a child',
    given: [
      ...usual,
      'CREATE UNIQUE INDEX once ON t (data)',
      'CREATE TABLE child (n INTEGER PRIMARY KEY, ref REFERENCES t(id))',
      `INSERT INTO t (id, data) VALUES (100, 'short'), (101, 'brief')`,
    ],
    does: ['UPDATE OR REPLACE t SET id = 100 WHERE id = 101', 'UPDATE OR REPLACE t SET id = 3 WHERE id = 4'],
    looks: [all, 'PRAGMA integrity_check'],
    promise: 'the same',
  },
  {
    feature: 'existing partial index over the column',
    given: [
      ...usual,
      `CREATE INDEX some ON t (k) WHERE data LIKE '%Episode 1%'`,
      'CREATE INDEX there ON t (k) WHERE data IS NOT NULL',
    ],
    does: [
      `SELECT id FROM t WHERE k = 3 AND data LIKE '%Episode 1%' ORDER BY id`,
      'UPDATE t SET data = NULL WHERE id = 8',
      'SELECT id FROM t WHERE k = 3 AND data IS NOT NULL ORDER BY id',
    ],
    looks: [all, 'PRAGMA integrity_check'],
    plans: [['SELECT id FROM t WHERE k = 3 AND data IS NOT NULL', 'there']],
    promise: 'the same',
  },
  {
    feature: 'existing index on a JSON expression over the column',
    given: [
      ...usual,
      `CREATE INDEX by_y ON t (data->>'y')`,
      `CREATE INDEX by_title ON t (json_extract(data, '$.title'))`,
      'CREATE INDEX by_lower ON t (lower(data), k)',
    ],
    does: [
      `SELECT id FROM t WHERE data->>'y' = 7 ORDER BY id`,
      `SELECT id FROM t WHERE json_extract(data, '$.title') = 'Episode 119 of the lost night' ORDER BY id`,
      `UPDATE t SET data = json_set(data, '$.y', 7) WHERE id = 1`,
      `SELECT id FROM t WHERE data->>'y' = 7 ORDER BY id`,
      `SELECT data->>'y', count(*) FROM t GROUP BY data->>'y' ORDER BY 1`,
      'PRAGMA integrity_check',
    ],
    plans: [
      [`SELECT id FROM t WHERE data->>'y' = 7`, 'by_y'],
      [`SELECT * FROM t WHERE data->>'y' BETWEEN 3 AND 4`, 'by_y'],
      [`SELECT id FROM t WHERE json_extract(data, '$.title') = 'x'`, 'by_title'],
      [`SELECT id FROM t WHERE lower(data) = 'x' AND k = 1`, 'by_lower'],
      [`SELECT id FROM t ORDER BY data->>'y'`, 'by_y'],
    ],
    promise: 'the same',
  },
  {
    feature: 'CREATE INDEX on the table',
    given: usual,
    does: [`CREATE INDEX by_y ON t (data->>'y')`],
    looks: [`SELECT id FROM t WHERE data->>'y' = 7 ORDER BY id`, 'PRAGMA integrity_check'],
    plans: [[`SELECT id FROM t WHERE data->>'y' = 7`, 'by_y']],
    promise: {
      remark: 'alter-table',
      differently: /views may not be indexed/,
      instead: [{ tamp: 'index', options: { table: 't', name: 'by_y', on: [`data->>'y'`] } }],
    },
  },
  {
    feature: 'INDEXED BY',
    given: [...usual, 'CREATE INDEX by_k ON t (k)'],
    does: ['SELECT id FROM t INDEXED BY by_k WHERE k = 3 ORDER BY id'],
    promise: {
      remark: 'indexed-by',
      differently: /no such index: by_k/,
      instead: ['SELECT id FROM t WHERE k = 3 ORDER BY id'],
    },
    plans: [['SELECT id FROM t WHERE k = 3', 'by_k']],
  },
  {
    feature: 'DROP TABLE',
    given: usual,
    does: ['DROP TABLE t'],
    looks: [`SELECT count(*) FROM sqlite_schema WHERE name IN ('t', '_t_zstd')`],
    promise: {
      remark: 'alter-table',
      differently: /use DROP VIEW/,
      instead: [{ tamp: 'disable', options: { table: 't', column: 'data' } }, 'DROP TABLE t'],
    },
  },
  {
    feature: 'CREATE TABLE AS SELECT',
    given: usual,
    does: ['CREATE TABLE copy AS SELECT * FROM t', 'SELECT id, k, data, typeof(data) FROM copy ORDER BY id'],
    promise: 'the same',
  },
  {
    feature: 'AFTER triggers: the values they see',
    given: [
      ...usual,
      log,
      `CREATE TRIGGER made AFTER INSERT ON t BEGIN INSERT INTO log (what, was, became) VALUES ('made', NULL, new.data); END`,
      `CREATE TRIGGER changed AFTER UPDATE ON t WHEN old.data IS NOT new.data BEGIN INSERT INTO log (what, was, became) VALUES ('changed', old.data, new.data->>'y'); END`,
      `CREATE TRIGGER changed_k AFTER UPDATE OF k ON t WHEN new.k IS NOT old.k BEGIN INSERT INTO log (what, was, became) VALUES ('k', old.k, length(new.data)); END`,
      `CREATE TRIGGER gone BEFORE DELETE ON t BEGIN INSERT INTO log (what, was) VALUES ('gone', old.data); END`,
    ],
    does: [
      show('nothing has been logged by compression'),
      `INSERT INTO t (id, data) VALUES (100, '{"y":"a text that is long enough"}')`,
      `UPDATE t SET data = json_set(data, '$.y', 5) WHERE id = 3`,
      'UPDATE t SET k = 50 WHERE id = 4',
      'DELETE FROM t WHERE id = 5',
      'SELECT n, what, was, became FROM log ORDER BY n',
    ],
    looks: [all],
    promise: 'the same',
  },
  {
    feature: 'triggers that write to the table itself',
    given: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, k INT DEFAULT 0, data TEXT)',
      `CREATE TRIGGER count_changes AFTER UPDATE OF data ON t WHEN new.data IS NOT old.data BEGIN UPDATE t SET k = k + 1 WHERE id = new.id; END`,
      filled(),
    ],
    does: [`UPDATE t SET data = 'new' WHERE id IN (3, 4)`, `UPDATE t SET data = 'newer' WHERE id = 3`],
    looks: [all],
    promise: 'the same',
  },
  {
    feature: 'triggers of other tables that write to the table',
    given: [
      ...usual,
      'CREATE TABLE inbox (id INTEGER PRIMARY KEY, body TEXT)',
      `CREATE TRIGGER arrives AFTER INSERT ON inbox BEGIN INSERT INTO t (id, data) VALUES (new.id, new.body); UPDATE t SET data = data || '!' WHERE id = 1; END`,
    ],
    does: [`INSERT INTO inbox VALUES (100, 'from the inbox')`, 'SELECT data FROM t WHERE id IN (1, 100) ORDER BY id'],
    looks: [all],
    promise: 'the same',
  },
  {
    feature: 'UPDATE OF trigger on the column, of an UPDATE that changes nothing',
    given: [
      ...usual,
      log,
      `CREATE TRIGGER touched AFTER UPDATE OF data ON t BEGIN INSERT INTO log (what) VALUES ('touched'); END`,
    ],
    does: ['UPDATE t SET data = data WHERE id = 3', 'SELECT count(*) FROM log'],
    promise: { remark: 'update-of', differently: [[0n]] },
  },
  {
    feature: 'UPDATE OF trigger on another column, of an UPDATE of the column',
    given: [
      ...usual,
      log,
      `CREATE TRIGGER touched AFTER UPDATE OF k ON t BEGIN INSERT INTO log (what) VALUES ('touched'); END`,
    ],
    does: [
      `UPDATE t SET data = 'new' WHERE id = 3`,
      'SELECT count(*) FROM log',
      'UPDATE t SET k = 99 WHERE id = 3',
      'SELECT count(*) FROM log',
    ],
    promise: 'the same',
  },
  {
    feature: 'a new trigger on the table',
    given: [...usual, log],
    does: [`CREATE TRIGGER late AFTER INSERT ON t BEGIN INSERT INTO log (what) VALUES ('late'); END`],
    promise: { remark: 'alter-table', differently: /cannot create AFTER trigger on view/ },
  },
  {
    feature: 'views made before',
    given: [
      ...usual,
      `CREATE VIEW titles AS SELECT id, data->>'title' AS title FROM t WHERE k > 1`,
      'CREATE VIEW titles_of AS SELECT title FROM titles',
    ],
    does: [
      'SELECT * FROM titles ORDER BY id',
      'SELECT max(title) FROM titles_of',
      `UPDATE t SET data = '{"title":"A new one"}' WHERE id = 2`,
      'SELECT * FROM titles WHERE id = 2',
    ],
    promise: 'the same',
  },
  {
    feature: 'views made after',
    given: usual,
    does: ['CREATE VIEW late AS SELECT id, upper(data) AS data FROM t', 'SELECT * FROM late ORDER BY id'],
    promise: 'the same',
  },
  {
    feature: 'FTS5 with the table as external content',
    given: [
      ...usual,
      `CREATE VIRTUAL TABLE words USING fts5(data, content='t', content_rowid='id')`,
      `INSERT INTO words(words) VALUES ('rebuild')`,
    ],
    does: [
      `SELECT rowid FROM words WHERE words MATCH '119' ORDER BY rowid`,
      `SELECT snippet(words, 0, '[', ']', '…', 5) FROM words WHERE words MATCH '119'`,
      `INSERT INTO t (id, data) VALUES (100, 'unheard of, and long enough to be compressed')`,
      `INSERT INTO words (rowid, data) VALUES (100, 'unheard of, and long enough to be compressed')`,
      `SELECT rowid, data FROM words WHERE words MATCH 'unheard'`,
      `INSERT INTO words(words) VALUES ('rebuild')`,
      `INSERT INTO words(words) VALUES ('integrity-check')`,
      `SELECT count(*) FROM words WHERE words MATCH 'night'`,
    ],
    promise: 'the same',
  },
]
