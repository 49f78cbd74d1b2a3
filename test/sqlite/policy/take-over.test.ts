// Columns that sqlite-zstd compressed, as it leaves them: taken over with their cells, and taken back to plain.
import { expect, test } from 'vitest'
import { configuredColumn } from '../../../src/sqlite/policy/catalogue.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { policyDatabase, schemaOf, typedRows } from '../../support/sqlite/policy-database.ts'
import type { PolicyDatabase } from '../../support/sqlite/policy-database.ts'

const plain = `CREATE TABLE u(a); CREATE TABLE log(x);
  CREATE TABLE t(k INT DEFAULT 7, data TEXT, note BLOB, id INTEGER PRIMARY KEY);
  CREATE INDEX by_k ON t(k);
  CREATE TRIGGER au AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.data); END;`

const content = `INSERT INTO t(id, data, note) VALUES (1, 'a text that is long enough to be compressed', x'00112233445566778899aabbccddeeff00'), (2, 'b', NULL), (3, NULL, x'00')`

/** What sqlite-zstd makes of the table, with both columns compressed. */
const theirs = `
  CREATE TABLE _zstd_dicts (id integer primary key autoincrement, chooser_key text unique, dict blob not null);
  INSERT INTO _zstd_dicts VALUES (-1, '[nodict]', ''), (1, 'a', x'70727573746f6d657220646963740a');
  CREATE TABLE _zstd_configs (id integer primary key autoincrement, config json not null);
  INSERT INTO _zstd_configs(config) SELECT json_object('table', 't', 'column', value, 'compression_level', 3, 'dict_chooser', '''a''') FROM json_each('["data","note"]');
  ALTER TABLE t RENAME TO _t_zstd;
  ALTER TABLE _t_zstd ADD COLUMN \`_data_dict\` integer default null references _zstd_dicts(id);
  ALTER TABLE _t_zstd ADD COLUMN \`_note_dict\` integer default null references _zstd_dicts(id);
  CREATE INDEX \`_data_dict_idx\` ON \`_t_zstd\` (\`_data_dict\`);
  CREATE INDEX \`_note_dict_idx\` ON \`_t_zstd\` (\`_note_dict\`);
  CREATE VIEW \`t\` AS SELECT k, zstd_decompress_col(\`data\`, 1, \`_data_dict\`, true) AS \`data\`, zstd_decompress_col(\`note\`, 0, \`_note_dict\`, true) AS \`note\`, id FROM \`_t_zstd\`;
  CREATE TRIGGER \`t_insert_trigger\` INSTEAD OF INSERT ON \`t\` BEGIN INSERT INTO _t_zstd(k, data, note, id) SELECT new.k, new.data, new.note, new.id; END;
  CREATE TRIGGER \`t_delete_trigger\` INSTEAD OF DELETE ON \`t\` BEGIN DELETE FROM _t_zstd WHERE old.id = id; END;
  ${['k', 'data', 'note', 'id'].map((column) => `CREATE TRIGGER \`t_update_${column}_trigger\` INSTEAD OF UPDATE OF ${column} ON t BEGIN UPDATE _t_zstd SET ${column} = new.${column} WHERE old.id = id; END;`).join('\n')}
  UPDATE _t_zstd SET data = zstd_compress_col(data, 3, 1, 1), _data_dict = 1 WHERE id = 1;
  UPDATE _t_zstd SET data = zstd_compress_col(data, 3, -1, 1), _data_dict = -1 WHERE id = 2;
  UPDATE _t_zstd SET note = zstd_compress_col(note, 3, 1, 1), _note_dict = 1 WHERE id = 1;
  DELETE FROM log;`

const made = (): PolicyDatabase => policyDatabase(`PRAGMA foreign_keys = ON; ${plain} ${content}; ${theirs}`)
const expected = typedRows(policyDatabase(`${plain} ${content}`).db, 'SELECT * FROM t')

test('enabling takes over all columns of the table with their cells', () => {
  const tried = made()
  const cells = (): unknown => typedRows(tried.db, 'SELECT data, _data_dict, note, _note_dict FROM _t_zstd')
  const before = cells()
  expect(typedRows(tried.db, 'SELECT * FROM t')).toEqual(expected)
  expect(tried.run(enable({ table: 't', column: 'data' })).takenOver).toBe(true)
  expect(cells()).toEqual(before)
  expect(typedRows(tried.db, 'SELECT * FROM t')).toEqual(expected)
  const lines = schemaOf(tried.db)
  expect(lines.filter((line) => /_idx|t_insert_trigger|t_delete_trigger|t_update_/.test(line))).toEqual([])
  expect(lines.filter((line) => line.includes('_pending'))).toHaveLength(2)
  expect(tried.run(configuredColumn('t', 'data'))?.config).toMatchObject({
    compressionLevel: 3,
    dictChooser: `'a'`,
    tamp: { text: true, auto: false },
  })
  expect(tried.run(configuredColumn('t', 'note'))?.config).toMatchObject({ tamp: { text: false } })
  expect(typedRows(tried.db, 'SELECT id, length(sha256) FROM _tamp_dicts')).toEqual([[1n, 64n]])

  // What was wrong is right: the key after the other columns, the default, the trigger.
  tried.db.exec(`UPDATE t SET id = 10, k = 2, data = 'new' WHERE id = 1; INSERT INTO t(data) VALUES ('omits k')`)
  expect(typedRows(tried.db, 'SELECT k, data, id FROM t WHERE id >= 10 ORDER BY id')).toEqual([
    [2n, 'new', 10n],
    [7n, 'omits k', 11n],
  ])
  expect(typedRows(tried.db, 'SELECT * FROM log')).toEqual([['new']])
})

test('taken over, a column may get other settings', () => {
  const tried = made()
  tried.run(enable({ table: 't', column: 'note', level: 'auto', dictChooser: `'other'` }))
  expect(tried.run(configuredColumn('t', 'note'))?.config).toMatchObject({
    dictChooser: `'other'`,
    tamp: { auto: true },
  })
  expect(tried.run(configuredColumn('t', 'data'))?.config).toMatchObject({ dictChooser: `'a'`, tamp: { auto: false } })
})

test('disabling does not need to have taken over', () => {
  const tried = made()
  tried.run(disable({ table: 't', column: 'note' }))
  expect(typedRows(tried.db, 'SELECT * FROM t')).toEqual(expected)
  tried.run(disable({ table: 't', column: 'data' }))
  expect(typedRows(tried.db, 'SELECT * FROM t')).toEqual(expected)
  expect(typedRows(tried.db, 'SELECT * FROM log')).toEqual([])
  expect(schemaOf(tried.db)).toEqual(schemaOf(policyDatabase(plain).db))
  expect(tried.db.pragma('integrity_check', { simple: true })).toBe('ok')
})
