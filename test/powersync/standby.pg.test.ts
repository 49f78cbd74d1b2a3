// What only reads works where nothing can be written: on a hot standby, which refuses even temporary tables.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkBuckets } from '../../src/powersync/check/check.ts'
import { openBucketStorage } from '../../src/powersync/database.ts'
import { inspectBuckets } from '../../src/powersync/inspect/inspect.ts'
import { scratchServer } from '../support/postgres.ts'
import { put, writeBucket } from '../support/powersync/operations.ts'
import { openSession } from '../support/session.ts'

test('a survey and a check of a standby', async () => {
  await using server = await scratchServer()
  {
    await using session = await openSession(server.url)
    await session.client.query(tables)
    const row = { table: 'lists', id: 'x' }
    await writeBucket(session, 'a[]', [put(1, row, 1), put(2, row, 2), put(3, row, 3)])
    await session.query(
      `INSERT INTO powersync.current_data SELECT 1, source_table, source_key, '[{"bucket":"a[]","table":"lists","id":"x"}]', '', '{}'
         FROM powersync.bucket_data WHERE op_id = 1`,
    )
    await session.query(`SELECT setval('powersync.op_id_sequence', 3)`)
  }
  await server.stop('fast')
  await writeFile(join(server.directory, 'data', 'standby.signal'), '')
  await server.restart()

  await using session = await openSession(server.url)
  expect(await session.query('SELECT pg_is_in_recovery()')).toEqual([[true]])
  const storage = await openBucketStorage({ connection: server.url, env: {} })
  const inspection = inspectBuckets(storage, { grace: 0 })
  for await (const bucket of inspection)
    expect(bucket).toMatchObject({ now: { operations: 3 }, compacted: { operations: 2 } })
  expect(inspection.summary).toMatchObject({ buckets: 1, compactableBuckets: 1 })
  const check = checkBuckets(storage)
  for await (const finding of check) expect(finding).toBeUndefined()
  expect(check.summary).toMatchObject({ complete: true, operations: 3, rowsCompared: true })
})

const tables = `
  CREATE SCHEMA powersync;
  CREATE SEQUENCE powersync.op_id_sequence;
  CREATE TABLE powersync.bucket_data (group_id int NOT NULL, bucket_name text NOT NULL, op_id int8 NOT NULL, op text NOT NULL,
    source_table text, source_key bytea, table_name text, row_id text, checksum int8 NOT NULL, data text, target_op int8,
    PRIMARY KEY (group_id, bucket_name, op_id));
  CREATE TABLE powersync.current_data (group_id int, source_table text, source_key bytea, buckets jsonb, data bytea, lookups bytea[],
    PRIMARY KEY (group_id, source_table, source_key));
  CREATE TABLE powersync.sync_rules (id int PRIMARY KEY, state text, last_checkpoint int8, keepalive_op int8);
  INSERT INTO powersync.sync_rules VALUES (1, 'ACTIVE', 3, NULL);`
