// Tables of every kind, with what is done to them: the same statements on the plain table and on the compressed one must do the same.

export interface TableShape {
  readonly title: string
  readonly schema: string
  readonly table: string
  readonly columns: readonly string[]
  /** What is looked at after each statement; default the table by itself. */
  readonly seen?: readonly string[]
  readonly statements: readonly string[]
}

const long = `'{"year":"1992","title":"a text that is long enough to be worth it"}'`
const other = `'{"year":"2001","title":"another text that is long enough to be worth it"}'`

/** Statements for tables t(id, k, data) in any order of columns. */
const usual: readonly string[] = [
  `INSERT INTO t(id, k, data) VALUES (1, 1, ${long}), (2, 2, ${other}), (3, 3, NULL), (4, 4, x'00ff00ff00ff00ff00ff00ff00ff00ff00ff')`,
  `INSERT INTO t(id, data) VALUES (5, '')`,
  `INSERT INTO t(id, k, data) VALUES (1, 9, 'taken')`,
  `INSERT OR IGNORE INTO t(id, k, data) VALUES (1, 9, 'taken')`,
  `INSERT OR REPLACE INTO t(id, k, data) VALUES (2, 20, 'replaced, and long enough to be compressed')`,
  `UPDATE t SET k = k + 1`,
  `UPDATE t SET data = data || ' and more' WHERE typeof(data) = 'text'`,
  `UPDATE t SET id = 100, k = 2, data = 'all at once, with another key' WHERE id = 1`,
  `UPDATE t SET id = 5 WHERE id = 100`,
  `UPDATE t SET data = 42 WHERE id = 3`,
  `UPDATE t SET data = 1.5 WHERE id = 5`,
  `UPDATE t SET data = NULL WHERE id = 100`,
  `UPDATE t SET data = upper(data)`,
  `DELETE FROM t WHERE id = 2`,
  `DELETE FROM t WHERE data LIKE '%NOTHING%'`,
]

const shape = (title: string, schema: string, more: Partial<TableShape> = {}): TableShape => ({
  title,
  schema,
  table: 't',
  columns: ['data'],
  statements: usual,
  ...more,
})

export const shapes: readonly TableShape[] = [
  shape('integer key', 'CREATE TABLE t(id INTEGER PRIMARY KEY, k INT DEFAULT 7, data TEXT)'),
  shape('key last', 'CREATE TABLE t(data TEXT, k INT DEFAULT (3 + 4), id INTEGER PRIMARY KEY AUTOINCREMENT)'),
  shape('text key', `CREATE TABLE t(id TEXT NOT NULL PRIMARY KEY, k INT NOT NULL DEFAULT -7, data JSON)`),
  shape(
    'key that tells letters apart less than its column',
    `CREATE TABLE t(id TEXT NOT NULL, k, data, PRIMARY KEY(id COLLATE NOCASE))`,
    {
      statements: [
        `INSERT INTO t VALUES ('a', 1, ${long}), ('b', 2, ${other})`,
        `INSERT INTO t VALUES ('A', 3, 'taken')`,
        `UPDATE t SET k = 5 WHERE id = 'a'`,
        `UPDATE t SET id = 'A' WHERE id = 'a'`,
        `DELETE FROM t WHERE id = 'A'`,
      ],
    },
  ),
  shape(
    'key that tells letters apart more than its column',
    `CREATE TABLE t(id TEXT COLLATE NOCASE NOT NULL, k, data, PRIMARY KEY(id COLLATE BINARY))`,
    {
      statements: [
        `INSERT INTO t VALUES ('a', 1, ${long}), ('A', 2, ${other})`,
        `UPDATE t SET k = 5 WHERE id = 'a' COLLATE BINARY`,
        `UPDATE t SET data = 'new' WHERE id = 'A' COLLATE BINARY`,
        `DELETE FROM t WHERE id = 'A' COLLATE BINARY`,
      ],
    },
  ),
  shape('composite key', `CREATE TABLE t(k INT NOT NULL DEFAULT 7, data BLOB, id INT NOT NULL, PRIMARY KEY (id, k))`),
  shape('WITHOUT ROWID', `CREATE TABLE t(id TEXT PRIMARY KEY, data TEXT, k DEFAULT 'a "word"') WITHOUT ROWID`),
  shape(
    'WITHOUT ROWID, composite key',
    `CREATE TABLE t(k INT DEFAULT 7, data TEXT, id INT, PRIMARY KEY (k DESC, id)) WITHOUT ROWID`,
  ),
  shape(
    'all names of the rowid taken',
    `CREATE TABLE t(rowid, _rowid_, oid, id INT NOT NULL, k DEFAULT 3, data TEXT, PRIMARY KEY (id))`,
  ),
  shape('STRICT text', `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT DEFAULT 7, data text) STRICT`),
  shape('STRICT blob', `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT DEFAULT 7, data BLOB) STRICT`, {
    statements: [
      `INSERT INTO t VALUES (1, 1, CAST(${long} AS BLOB)), (2, 2, NULL)`,
      ...['1', '1.5', `'text'`].flatMap((value) => [
        `INSERT INTO t VALUES (3, 3, ${value})`,
        `UPDATE t SET data = ${value}`,
      ]),
      `UPDATE t SET data = x'01020304050607080910111213141516171819' WHERE id = 2`,
    ],
  }),
  shape(
    'STRICT any, WITHOUT ROWID',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT DEFAULT 7, data ANY) STRICT, WITHOUT ROWID`,
  ),
  shape(
    'NOT NULL DEFAULT on the column',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, data TEXT NOT NULL DEFAULT 'the usual text, which is long')`,
    {
      statements: [...usual.slice(1), 'INSERT INTO t(k) VALUES (1)', 'UPDATE t SET data = NULL'],
    },
  ),
  shape(
    'defaults of every spelling',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, k DEFAULT word, l DEFAULT "quoted ""word""", m DEFAULT TRUE, n DEFAULT NULL, o DEFAULT x'0102', p DEFAULT (1 + abs(-2)), q DEFAULT +5, r DEFAULT 'it''s', data)`,
    {
      statements: [`INSERT INTO t(data) VALUES (${long})`, `INSERT INTO t(k, data) VALUES ('given', 1)`],
    },
  ),
  shape(
    'collation',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, data TEXT COLLATE NOCASE); CREATE INDEX i ON t(data)`,
    {
      seen: [
        `SELECT id FROM t WHERE data = 'ABC, and so on and on and on' ORDER BY id`,
        `SELECT * FROM t ORDER BY data, id`,
        `SELECT count(DISTINCT data) FROM t`,
      ],
      statements: [
        `INSERT INTO t VALUES (1, 1, 'abc, and so on and on and on'), (2, 2, 'ABC, and so on and on and on'), (3, 3, 'b')`,
        `UPDATE t SET data = 'ABC, and so on and on and on' WHERE id = 1`,
        `UPDATE t SET data = lower(data)`,
      ],
    },
  ),
  shape(
    'virtual and stored generated columns over it',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, year AS (data ->> 'year'), k INT DEFAULT 7, size INT GENERATED ALWAYS AS (length(data) + k) STORED, data TEXT, twice AS (k * 2)); CREATE INDEX by_year ON t(year); CREATE INDEX by_size ON t(size)`,
    {
      seen: [
        `SELECT * FROM t ORDER BY id`,
        `SELECT id FROM t WHERE year = '2001'`,
        'SELECT id FROM t WHERE size > 10 ORDER BY size, id',
      ],
      statements: [
        `INSERT INTO t(id, data) VALUES (1, ${long}), (2, ${other}), (3, NULL)`,
        `INSERT INTO t(id, data) VALUES (4, 'no json')`,
        `INSERT INTO t(id, year, data) VALUES (4, 1, NULL)`,
        `UPDATE t SET size = 1`,
        `UPDATE t SET data = json_set(data, '$.year', '2002') WHERE id = 2`,
        `UPDATE t SET k = 1`,
        `DELETE FROM t WHERE year = '1992'`,
      ],
    },
  ),
  shape(
    'CHECK constraints',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, data TEXT CONSTRAINT is_json CHECK (json_valid(data)), CONSTRAINT is_long CHECK (length(t.data) > 2 OR k IS NULL))`,
    {
      statements: [
        `INSERT INTO t VALUES (1, 1, ${long}), (2, 2, ${other}), (3, NULL, '1')`,
        `INSERT INTO t VALUES (4, 4, 'no json at all, and quite long')`,
        `UPDATE t SET data = 'no json'`,
        `UPDATE t SET data = '2' WHERE id = 2`,
        `UPDATE t SET data = '[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]' WHERE id = 2`,
      ],
    },
  ),
  shape(
    'CHECK in a STRICT table',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, data TEXT CHECK (data <> CAST('forbidden' AS TEXT))) STRICT`,
    {
      statements: [
        `INSERT INTO t VALUES (1, 1, ${long})`,
        `INSERT INTO t VALUES (2, 2, 'forbidden')`,
        `UPDATE t SET data = 'forbidden'`,
        `UPDATE t SET data = 17`,
      ],
    },
  ),
  shape(
    'names that need quoting',
    `CREATE TABLE "we""ird t.able"("order" INTEGER PRIMARY KEY, "group by" INT DEFAULT 7, "da""ta, [x]" TEXT CHECK (length("da""ta, [x]") > 0), 'in quotes' TEXT); CREATE INDEX "the index" ON "we""ird t.able"("da""ta, [x]", 'in quotes')`,
    {
      table: 'we"ird t.able',
      columns: ['da"ta, [x]', 'in quotes'],
      statements: [
        `INSERT INTO "we""ird t.able" VALUES (1, 2, ${long}, ${other})`,
        `INSERT INTO "we""ird t.able"("da""ta, [x]") VALUES (${long})`,
        `INSERT INTO "we""ird t.able"("da""ta, [x]") VALUES ('')`,
        `UPDATE "we""ird t.able" SET "da""ta, [x]" = ${other}, [in quotes] = 'x' WHERE "order" = 2`,
        `DELETE FROM "we""ird t.able" WHERE "order" = 1`,
      ],
    },
  ),
  shape(
    'a table and a column that are called like keywords',
    `CREATE TABLE "order"(id INTEGER PRIMARY KEY, "select" TEXT, "check" TEXT CHECK(length("check") > 1))`,
    {
      table: 'order',
      columns: ['select', 'check'],
      statements: [
        `INSERT INTO "order" VALUES (1, ${long}, ${other})`,
        `UPDATE "order" SET "check" = 'x'`,
        `UPDATE "order" SET "select" = 'x'`,
      ],
    },
  ),
  shape(
    'several columns',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT, k BLOB, note TEXT NOT NULL DEFAULT 'nothing of note, at length', size AS (length(data) + length(note))); CREATE INDEX both ON t(data, note)`,
    {
      columns: ['data', 'k', 'note'],
      statements: [
        ...usual,
        `UPDATE t SET note = data || ', noted' WHERE data IS NOT NULL`,
        `UPDATE t SET data = note, note = data WHERE data IS NOT NULL`,
      ],
    },
  ),
  shape(
    'foreign keys from, to and within',
    `PRAGMA foreign_keys = ON; CREATE TABLE parent(id INTEGER PRIMARY KEY);
    CREATE TABLE t(id INTEGER PRIMARY KEY, k INT REFERENCES parent ON DELETE CASCADE, up INT REFERENCES t(id) ON DELETE SET NULL ON UPDATE CASCADE, data TEXT);
    CREATE TABLE child(id INTEGER PRIMARY KEY, t INT REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
    INSERT INTO parent VALUES (1), (2)`,
    {
      seen: ['SELECT * FROM t ORDER BY id', 'SELECT * FROM child ORDER BY id', 'SELECT * FROM parent'],
      statements: [
        `INSERT INTO t VALUES (1, 1, NULL, ${long}), (2, 1, 1, ${other}), (3, 2, 2, 'x'), (4, 2, 4, 'y')`,
        `INSERT INTO t VALUES (5, 3, NULL, 'no parent')`,
        `INSERT INTO child VALUES (1, 1), (2, 2), (3, 3), (4, 4)`,
        `INSERT INTO child VALUES (5, 99)`,
        `UPDATE t SET id = 20 WHERE id = 2`,
        `UPDATE t SET k = 3`,
        `UPDATE t SET data = 'new'`,
        `DELETE FROM t WHERE id = 1`,
        `DELETE FROM parent WHERE id = 2`,
      ],
    },
  ),
  shape(
    'foreign keys that are not enforced',
    `PRAGMA foreign_keys = OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, data TEXT); CREATE TABLE child(t REFERENCES t(id))`,
  ),
  shape(
    'unique, partial and expression indexes',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, data TEXT); CREATE UNIQUE INDEX u ON t(data); CREATE INDEX p ON t(k) WHERE data IS NOT NULL AND k > 1; CREATE INDEX e ON t(lower(data) DESC, k); CREATE INDEX plain ON t(k); CREATE INDEX c ON t(data COLLATE NOCASE)`,
    {
      statements: [
        `INSERT INTO t VALUES (1, 1, ${long}), (2, 2, ${other}), (3, 3, NULL), (4, 4, NULL)`,
        `INSERT INTO t VALUES (5, 5, ${long})`,
        `INSERT OR REPLACE INTO t VALUES (5, 5, ${long})`,
        `UPDATE t SET data = ${long} WHERE id = 2`,
        `UPDATE OR IGNORE t SET data = ${long}`,
        `UPDATE t SET k = 8 WHERE data = ${other}`,
      ],
    },
  ),
  shape(
    'triggers of each kind',
    `CREATE TABLE log(n INTEGER PRIMARY KEY, what); CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, data TEXT, touched INT DEFAULT 0);
    CREATE TRIGGER ai AFTER INSERT ON t BEGIN INSERT INTO log(what) VALUES ('ai ' || new.id || coalesce(new.data, '-')); END;
    CREATE TRIGGER bi BEFORE INSERT ON t WHEN new.data = 'veto' BEGIN SELECT raise(ABORT, 'veto'); END;
    CREATE TRIGGER ai2 AFTER INSERT ON t WHEN new.k = 5 BEGIN UPDATE t SET data = data || '!' || new.data WHERE t.id = new.id; DELETE FROM t WHERE data = 'go'; INSERT INTO t SELECT id + 1000, 1, data, 0 FROM t WHERE id = new.id; END;
    CREATE TRIGGER au AFTER UPDATE ON t BEGIN INSERT INTO log(what) VALUES ('au ' || coalesce(old.data, '-') || ' > ' || coalesce(new.data, '-')); END;
    CREATE TRIGGER aud AFTER UPDATE OF data ON t WHEN new.data IS NOT old.data BEGIN UPDATE t SET touched = touched + 1 WHERE id = new.id; END;
    CREATE TRIGGER auk AFTER UPDATE OF k, id ON t FOR EACH ROW WHEN new.k IS NOT old.k OR new.id IS NOT old.id BEGIN INSERT INTO log(what) SELECT 'k ' || new.k || ' of ' || count(*) FROM t WHERE data IS NOT NULL; END;
    CREATE TRIGGER ad AFTER DELETE ON t BEGIN INSERT INTO log(what) VALUES ('ad ' || coalesce(old.data, '-')); END`,
    {
      seen: ['SELECT * FROM t ORDER BY id', 'SELECT * FROM log ORDER BY n'],
      statements: [
        ...usual,
        `INSERT INTO t VALUES (60, 1, 'veto', 0)`,
        `INSERT INTO t VALUES (61, 1, 'go', 0)`,
        `INSERT INTO t VALUES (62, 5, 'is five, and long enough to be compressed', 0)`,
        `UPDATE t SET data = data || '.'`,
        `UPDATE t SET k = 6`,
      ],
    },
  ),
  shape(
    'a trigger on a table of nothing but key and column',
    `CREATE TABLE log(n INTEGER PRIMARY KEY, what); CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT);
    CREATE TRIGGER au UPDATE ON t BEGIN INSERT INTO log(what) VALUES (old.data || ' > ' || new.data); END`,
    {
      seen: ['SELECT * FROM t ORDER BY id', 'SELECT * FROM log ORDER BY n'],
      statements: [
        `INSERT INTO t VALUES (1, ${long}), (2, ${other})`,
        `UPDATE t SET data = data || '.'`,
        `UPDATE t SET id = id + 10 WHERE id = 2`,
        `DELETE FROM t`,
      ],
    },
  ),
  shape(
    'a table that refers to itself, and changes its keys',
    `PRAGMA foreign_keys = ON; CREATE TABLE t(id INTEGER PRIMARY KEY, parent REFERENCES t(id) ON UPDATE CASCADE ON DELETE SET NULL, data TEXT)`,
    {
      statements: [
        `INSERT INTO t VALUES (1, NULL, ${long}), (2, 1, ${other}), (3, 2, 'a third text that is long enough')`,
        `UPDATE t SET id = id + 10`,
        `UPDATE t SET id = id + 10, data = data || '.'`,
        `DELETE FROM t WHERE id < 23`,
      ],
    },
  ),
  shape(
    'a trigger that writes rows whose turn is still to come',
    `CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, data TEXT, touched INT DEFAULT 0);
    CREATE TRIGGER au AFTER UPDATE OF k ON t BEGIN UPDATE t SET touched = touched + 1, data = data || '!' WHERE id <> new.id; END`,
    {
      statements: [
        `INSERT INTO t(id, k, data) VALUES (1, 1, ${long}), (2, 2, ${other}), (3, 3, 'a third text that is long enough')`,
        `UPDATE t SET k = k + 10`,
      ],
    },
  ),
  shape(
    'defaults in every quoting, and one that SQLite passes over',
    'CREATE TABLE t(id INTEGER PRIMARY KEY DEFAULT 5, data TEXT, a DEFAULT `f``oo`, b DEFAULT [bar], c DEFAULT "b""az", d DEFAULT word)',
    {
      statements: [
        `INSERT INTO t(data) VALUES (${long})`,
        `INSERT INTO t(data) VALUES (${other})`,
        `INSERT OR REPLACE INTO t(data) VALUES ('a third text that is long enough')`,
        `UPDATE t SET a = 'x' WHERE id = 2`,
      ],
    },
  ),
  shape(
    'views on views, with triggers, and triggers elsewhere',
    `CREATE TABLE u(a, b); CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, data TEXT); CREATE TABLE log(n INTEGER PRIMARY KEY, what);
    CREATE VIEW v AS SELECT id, data ->> 'year' AS year, data FROM t WHERE json_valid(data);
    CREATE VIEW w AS SELECT year, count(*) AS n FROM v GROUP BY year;
    CREATE TRIGGER v_insert INSTEAD OF INSERT ON v BEGIN INSERT INTO t(id, data) VALUES (new.id, new.data); END;
    CREATE TRIGGER v_update INSTEAD OF UPDATE OF data ON v BEGIN UPDATE t SET data = new.data WHERE id = old.id; END;
    CREATE TRIGGER w_delete INSTEAD OF DELETE ON w BEGIN DELETE FROM v WHERE year = old.year; DELETE FROM t WHERE data ->> 'year' = old.year; END;
    CREATE TRIGGER v_delete INSTEAD OF DELETE ON v BEGIN INSERT INTO log(what) VALUES (old.id); END;
    CREATE TRIGGER u_insert AFTER INSERT ON u BEGIN INSERT INTO log(what) VALUES ('first'); END;
    CREATE TRIGGER u_insert_t AFTER INSERT ON u BEGIN INSERT INTO log(what) SELECT 'second ' || count(*) FROM t; INSERT OR REPLACE INTO t(id, data) VALUES (new.a, new.b); END;
    CREATE TRIGGER u_insert_last AFTER INSERT ON u BEGIN INSERT INTO log(what) VALUES ('third'); END`,
    {
      seen: [
        'SELECT * FROM t ORDER BY id',
        'SELECT * FROM v ORDER BY id',
        'SELECT * FROM w',
        'SELECT * FROM log ORDER BY n',
      ],
      statements: [
        `INSERT INTO t VALUES (1, 1, ${long}), (2, 2, ${other})`,
        `INSERT INTO v(id, data) VALUES (3, ${long}), (4, ${other})`,
        `UPDATE v SET data = json_set(data, '$.year', 2002) WHERE id = 3`,
        `INSERT INTO u VALUES (4, ${long}), (5, 'five, which is long enough for anybody')`,
        `DELETE FROM w WHERE year = '1992'`,
      ],
    },
  ),
]
