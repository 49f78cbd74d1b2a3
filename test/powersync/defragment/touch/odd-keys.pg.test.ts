// Keys of every kind that PostgreSQL lets a table have, under names and with values that have to be quoted.
import { Long, serialize } from 'bson'
import { expect, test } from 'vitest'
import type { DefragmentPlan } from '../../../../src/powersync/defragment/plan.ts'
import { touchRows } from '../../../../src/powersync/defragment/touch/touch.ts'
import { freshDatabase } from '../../../support/postgres.ts'
import type { FreshDatabase } from '../../../support/postgres.ts'
import { uuid5 } from '../../../support/powersync/operations.ts'
import { emptyStorage, publish, storageOf } from '../../../support/powersync/storages.ts'

/** Takes rows into a storage as the service does: the key's columns as they are, the whole row in current_data. */
async function store(
  stored: FreshDatabase,
  table: string,
  key: readonly { readonly name: string; readonly type_oid: number }[],
  rows: readonly Readonly<Record<string, unknown>>[],
): Promise<void> {
  await stored.query(
    `INSERT INTO source_tables (id, group_id, connection_id, relation_id, schema_name, table_name, replica_id_columns)
     VALUES ($1, 1, 1, '{}', 'we ird', $1, $2)`,
    [table, JSON.stringify(key)],
  )
  for (const [at, row] of rows.entries()) {
    const columns = Object.fromEntries(key.map(({ name }) => [name, row[name]]))
    const sourceKey = serialize({ id: uuid5(serialize(columns)) })
    await stored.query(
      `INSERT INTO current_data VALUES (1, $1, $2, '[{"bucket": "1#b[]", "table": "t", "id": "x"}]', $3, '{}')`,
      [table, sourceKey, serialize(row)],
    )
    await stored.query(
      `INSERT INTO bucket_data (group_id, bucket_name, op_id, op, source_table, source_key, table_name, row_id, checksum, data)
       VALUES (1, '1#b[]', nextval('op_id_sequence'), 'PUT', $1, $2, $1, $3, 0, '{}')`,
      [table, sourceKey, String(at)],
    )
  }
  await publish(stored, 1000)
}

const all: DefragmentPlan = {
  upTo: 1000,
  buckets: [
    {
      bucket: '1#b[]',
      moveBelow: 1001,
      rows: 9,
      now: { operations: 9, rows: 9, bytesEstimate: 0 },
      compacted: { operations: 9, rows: 9, bytesEstimate: 0 },
      after: { operations: 10, rows: 9, bytesEstimate: 0 },
      resent: { operations: 9, bytesEstimate: 0 },
      saved: { operations: 0, bytesEstimate: 0 },
    },
  ],
  rows: 9,
  resent: { operations: 9, bytesEstimate: 0 },
  saved: { operations: 0, bytesEstimate: 0 },
  after: { operations: 10, rows: 9, bytesEstimate: 0 },
  limitedBy: null,
}

async function writtenOf(source: FreshDatabase, table: string): Promise<string[]> {
  const rows = await source.query<[string]>(
    `SELECT nr::text FROM "we ird".${table} WHERE xmin::text::int8 > $1 ORDER BY nr`,
    [(await source.query<[number]>('SELECT moment FROM "we ird".moment'))[0]![0]],
  )
  return rows.map(([nr]) => nr)
}

async function sourceWith(...statements: readonly string[]): Promise<FreshDatabase> {
  const source = await freshDatabase('blank')
  for (const statement of ['CREATE SCHEMA "we ird"', ...statements]) await source.query(statement)
  await source.query('CREATE TABLE "we ird".moment AS SELECT pg_current_xact_id()::text::int8 AS moment')
  return source
}

const tableName = `o'dd "tab\\le"; --\n`
const quoted = `"o'dd ""tab\\le""; --\n"`

test('whole rows: NULLs, json, numeric, times, booleans, bytes, bpchar and hostile text', async () => {
  await using source = await sourceWith(
    `CREATE TABLE "we ird".${quoted} (nr int8, "it's" text, done bool, j json, jb jsonb, n numeric(10,3), at timestamptz, b bytea, c char(5), f float8)`,
    `ALTER TABLE "we ird".${quoted} REPLICA IDENTITY FULL`,
    `INSERT INTO "we ird".${quoted} VALUES
       (1, E'\\\\x''; DROP TABLE x; --', true, '{"a": 1,  "b":2}', '{"b": 2, "a": [1, null]}', 1.5, '2026-03-01 00:02:19.25+00', '\\x00ff', 'ab', 0.1),
       (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
       (3, E'line\nbreak \u2028 $$ $1', false, '[]', '[]', -0.001, '1999-12-31 23:59:59+00', '', '', 1e300),
       (4, 'not in the storage', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
  )
  await using stored = await emptyStorage(2)
  const key = [
    ['nr', 20],
    ["it's", 25],
    ['done', 16],
    ['j', 114],
    ['jb', 3802],
    ['n', 1700],
    ['at', 1184],
    ['b', 17],
    ['c', 1042],
    ['f', 701],
  ].map(([name, oid]) => ({ name: String(name), type_oid: Number(oid) }))
  const nothing = { "it's": null, done: null, j: null, jb: null, n: null, at: null, b: null, c: null, f: null }
  await store(stored, tableName, key, [
    {
      nr: Long.fromInt(1),
      "it's": "\\x'; DROP TABLE x; --",
      done: Long.fromInt(1),
      j: '{"a": 1,  "b":2}',
      jb: '{"a": [1, null], "b": 2}',
      n: '1.500',
      at: '2026-03-01 00:02:19.25Z',
      b: Buffer.from([0, 255]),
      c: 'ab   ',
      f: 0.1,
    },
    { nr: Long.fromInt(2), ...nothing },
    {
      ...nothing,
      nr: Long.fromInt(3),
      "it's": 'line\nbreak \u2028 $$ $1',
      done: Long.fromInt(0),
      j: '[]',
      jb: '[]',
      n: '-0.001',
      at: '1999-12-31T23:59:59.000000Z',
      b: Buffer.from([]),
      c: '     ',
      f: 1e300,
    },
    { nr: Long.fromInt(9), ...nothing },
  ])
  const storage = await storageOf(stored)
  const report = await touchRows(storage, all, { mode: 'execute', source: source.url, env: {}, patience: 0 })
  expect(report.rows).toEqual({ planned: 4, touched: 3, missing: 1, locked: 0, left: 0 })
  expect(await writtenOf(source, quoted)).toEqual(['1', '2', '3'])

  await source.query('UPDATE "we ird".moment SET moment = pg_current_xact_id()::text::int8')
  let script = ''
  await touchRows(storage, all, { mode: 'script', write: (text) => void (script += text), batchRows: 2 })
  await source.session.client.query(script)
  expect(await writtenOf(source, quoted)).toEqual(['1', '2', '3'])
})

test('types of its own are looked up at the source, and only there', async () => {
  await using source = await sourceWith(
    `CREATE TYPE "we ird"."mo od" AS ENUM ('so-so', 'it''s fine')`,
    'CREATE DOMAIN "we ird".code AS text',
    'CREATE TABLE "we ird".moods (mood "we ird"."mo od", code "we ird".code, nr int GENERATED ALWAYS AS (1) STORED, PRIMARY KEY (mood, code))',
    `INSERT INTO "we ird".moods VALUES ('it''s fine', 'a'), ('so-so', 'a'), ('so-so', 'b')`,
  )
  const types = await source.query<[string, number]>(
    `SELECT attname, atttypid::int8 FROM pg_attribute WHERE attrelid = '"we ird".moods'::regclass AND attnum IN (1, 2)`,
  )
  await using stored = await emptyStorage(2)
  await store(
    stored,
    'moods',
    types.map(([name, type_oid]) => ({ name, type_oid })),
    [
      { mood: "it's fine", code: 'a' },
      { mood: 'so-so', code: 'b' },
    ],
  )
  const storage = await storageOf(stored)
  const unseen = await touchRows(storage, all, { mode: 'dry-run' })
  expect(unseen.rows).toMatchObject({ planned: 2, touched: 0, left: 2 })
  expect(unseen.left[0]?.reason).toContain('name it with --source')
  let script = ''
  const options = { source: source.url, env: {} }
  expect(
    await touchRows(storage, all, { ...options, mode: 'script', write: (text) => void (script += text) }),
  ).toMatchObject({ rows: { planned: 2, touched: 2 } })
  await source.session.client.query(script)
  expect(await writtenOf(source, 'moods')).toHaveLength(2)

  // A column of another type than was replicated: the table is not the one that the storage knows.
  await source.query('ALTER TABLE "we ird".moods ALTER code TYPE varchar')
  const changed = await touchRows(storage, all, { ...options, mode: 'execute', patience: 0 })
  expect(changed.left).toEqual([
    { subject: 'we ird.moods', reason: 'its column code is not what was replicated: it has been changed' },
  ])
})
