// P7: every kind of damage is found, by name, on exactly the operation or row that was damaged; what the service wrote is clean.
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { namedSubjects } from '../../../src/core/finding-tally.ts'
import { TampError } from '../../../src/core/errors.ts'
import { checkBuckets } from '../../../src/powersync/check/check.ts'
import type { CheckOptions, CheckSummary } from '../../../src/powersync/check/check.ts'
import { compactBuckets } from '../../../src/powersync/compact.ts'
import { bucketFaults, bucketFindings } from '../../../src/powersync/findings.ts'
import type { BucketFinding } from '../../../src/powersync/findings.ts'
import type { FreshDatabase } from '../../support/postgres.ts'
import { cleared, moved, put, remove, removeChecksum, writeBucket } from '../../support/powersync/operations.ts'
import { Replicator } from '../../support/powersync/replicator.ts'
import { compactAsTheServiceDoes } from '../../support/powersync/service-compactor.ts'
import { emptyStorage, loadStorage, publish, storageOf } from '../../support/powersync/storages.ts'
import type { StorageVersion } from '../../support/powersync/storages.ts'

type Checked = { found: string[]; findings: BucketFinding[]; summary: CheckSummary }

async function check(database: FreshDatabase, options?: CheckOptions): Promise<Checked> {
  const findings: BucketFinding[] = []
  const run = checkBuckets(await storageOf(database), options)
  for await (const finding of run) findings.push(finding)
  return { findings, found: findings.map(({ code, subject }) => `${code} ${subject}`).sort(), summary: run.summary }
}

describe('sound storages', () => {
  test.each([1, 2, 3] as const)('version %i, as the service wrote it', async (version) => {
    await using database = await loadStorage(version)
    expect(await check(database)).toEqual({
      found: [],
      findings: [],
      summary: {
        complete: true,
        streams: 1,
        buckets: 112,
        operations: version === 3 ? 46_492 : 46_560,
        checksumsComputed: true,
        rowsCompared: true,
        counts: {},
        faults: 0,
      },
    })
  })

  test('version 2, compacted by the service, and then by tamp', async () => {
    await using database = await loadStorage(2)
    await compactAsTheServiceDoes(database.session)
    expect((await check(database)).found).toEqual([])
    await compactBuckets(await storageOf(database), { mode: 'execute', grace: 0 })
    expect((await check(database)).found).toEqual([])
  })

  test('one without an operation', async () => {
    await using database = await emptyStorage(2)
    expect((await check(database)).summary).toMatchObject({ complete: true, streams: 1, buckets: 0, operations: 0 })
  })

  test.each([2, 3] as const)(
    'version %i, with changes that no checkpoint covers yet, and a row being deleted',
    async (version) => {
      await using database = await emptyStorage(version)
      const replicator = new Replicator(database.session, { table: 'lists', storageVersion: version })
      const at = (id: string, ...buckets: string[]) => ({ id, row: { id }, buckets })
      await replicator.flush([at('a', 'x[]'), at('b', 'x[]', 'y[]')])
      await replicator.commit()
      await replicator.flush([{ id: 'a', row: null, buckets: [] }, at('b', 'y[]')])
      expect((await check(database)).found).toEqual([])
    },
  )
})

/** Bucket `b["x"]`: a CLEAR, a MOVE, and live rows r1 and r2; r3 was removed, and r4, whose key is an ObjectId. `c[]`: r1 alone. */
async function smallStorage(version: StorageVersion): Promise<FreshDatabase> {
  const database = await emptyStorage(version)
  const row = (id: string) => ({ table: 'lists', id })
  await writeBucket(database.session, 'b["x"]', [
    cleared([put(1, row('r3'), 1), put(2, row('r3'), 2)]),
    moved(put(4, row('r1'), 1), 6),
    put(5, row('r2'), 'Zürich "\\ \u2028 🧵'),
    put(6, row('r1'), 2),
    remove(8, row('r3')),
  ])
  await writeBucket(database.session, 'c[]', [put(7, row('r1'), 2)])
  await database.query(
    `INSERT INTO powersync.bucket_data VALUES (1, 'b["x"]', 9, 'REMOVE', '6544e389-9293-4531-8fa7-b38331000000',
       '\\x150000000769640064b7f2a0c3d4e5f60123456700', 'lists', 'r4', $1, NULL, NULL)`,
    [removedObjectId],
  )
  const current = version === 3 ? 'v3_current_data' : 'current_data'
  for (const [id, ...buckets] of [
    ['r1', 'b["x"]', 'c[]'],
    ['r2', 'b["x"]'],
  ] as const)
    await database.query(
      `INSERT INTO powersync.${current} (group_id, source_table, source_key, buckets, data, lookups)
       SELECT 1, source_table, source_key, $2, '\\x0500000000', '{}' FROM powersync.bucket_data WHERE row_id = $1 LIMIT 1`,
      [id, JSON.stringify(buckets.map((bucket) => ({ bucket, table: 'lists', id })))],
    )
  await publish(database, 9)
  return database
}

/** The subkey is the service's own. */
const removedObjectId = removeChecksum('419e6bb9-c04a-5e32-abf6-5aafd93a60d1')

/** Each row is one damage: what is done to the operations or else as a statement, and everything that must be found. */
const damages: readonly (readonly [name: string, damage: string, ...found: string[]])[] = [
  ['an unknown operation', `SET op = 'PATCH' WHERE op_id = 8`, 'unknown-operation b["x"]/8'],
  ['a PUT without data', `SET data = NULL WHERE op_id = 5`, 'operation-malformed b["x"]/5'],
  ['a PUT with a target', `SET target_op = 9 WHERE op_id = 5`, 'operation-malformed b["x"]/5'],
  [
    'a PUT that does not say of which row it is',
    `SET row_id = NULL WHERE op_id = 5`,
    'operation-malformed b["x"]/5',
    'row-lost b["x"]',
  ],
  ['a REMOVE with data', `SET data = '{}' WHERE op_id = 8`, 'operation-malformed b["x"]/8'],
  ['a REMOVE without a source key', `SET source_key = NULL WHERE op_id = 8`, 'operation-malformed b["x"]/8'],
  ['a MOVE that says of which row it was', `SET row_id = 'r1' WHERE op_id = 4`, 'operation-malformed b["x"]/4'],
  ['a MOVE with data', `SET data = '' WHERE op_id = 4`, 'operation-malformed b["x"]/4'],
  ['a MOVE without a target', `SET target_op = NULL WHERE op_id = 4`, 'operation-malformed b["x"]/4'],
  ['a MOVE to before itself', `SET target_op = 2 WHERE op_id = 4`, 'operation-malformed b["x"]/4'],
  ['a MOVE to itself', `SET target_op = 4 WHERE op_id = 4`, 'operation-malformed b["x"]/4'],
  ['a MOVE to an operation of another bucket', `SET target_op = 7 WHERE op_id = 4`, 'move-target-missing b["x"]/4'],
  [
    'a MOVE whose target was deleted',
    `DELETE FROM bucket_data WHERE op_id = 6`,
    'move-target-missing b["x"]/4',
    'row-lost b["x"]',
  ],
  ['a CLEAR with a source key', `SET source_key = '\\x00' WHERE op_id = 2`, 'operation-malformed b["x"]/2'],
  ['a CLEAR that became a MOVE', `SET op = 'MOVE' WHERE op_id = 2`, 'operation-malformed b["x"]/2'],
  [
    'a second CLEAR',
    `INSERT INTO bucket_data (group_id, bucket_name, op_id, op, checksum) VALUES (1, 'b["x"]', 3, 'CLEAR', 0)`,
    'clear-not-first b["x"]/3',
  ],
  [
    'a CLEAR over the operation that a MOVE names',
    `UPDATE bucket_data SET op = 'CLEAR', source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL WHERE op_id = 6`,
    'clear-not-first b["x"]/6',
    'row-lost b["x"]',
  ],
  ['a checksum of 33 bits', `SET checksum = 4294967296 WHERE op_id = 4`, 'checksum-out-of-range b["x"]/4'],
  [
    'a negative checksum of a PUT',
    `SET checksum = checksum - 4294967296 WHERE op_id = 5`,
    'checksum-out-of-range b["x"]/5',
  ],
  ['a CLEAR below 32 bits', `SET checksum = -2147483649 WHERE op_id = 2`, 'checksum-out-of-range b["x"]/2'],
  ['the checksum of a PUT, off by one', `SET checksum = checksum + 1 WHERE op_id = 5`, 'checksum-mismatch b["x"]/5'],
  ['one byte of data', `SET data = replace(data, 'Z', 'z') WHERE op_id = 5`, 'checksum-mismatch b["x"]/5'],
  ['the checksum of a REMOVE by UUID', `SET checksum = checksum - 1 WHERE op_id = 8`, 'checksum-mismatch b["x"]/8'],
  ['the checksum of a REMOVE by ObjectId', `SET checksum = checksum - 1 WHERE op_id = 9`, 'checksum-mismatch b["x"]/9'],
  [
    'the UUID in the key of a REMOVE',
    `SET source_key = set_byte(source_key, 20, get_byte(source_key, 20) # 1) WHERE op_id = 8`,
    'checksum-mismatch b["x"]/8',
  ],
  ['a key that is no BSON', `SET source_key = '\\x0102' WHERE op_id = 8`, 'source-key-unreadable b["x"]/8'],
  [
    'a key of BSON that is cut short',
    `SET source_key = substring(source_key FROM 1 FOR 12) WHERE op_id = 9`,
    'source-key-unreadable b["x"]/9',
  ],
  [
    'a key of BSON of two things',
    `SET source_key = '\\x1400000010696400010000001078000200000000' WHERE op_id = 9`,
    'source-key-unreadable b["x"]/9',
  ],
  [
    'a PUT with a key that is no BSON',
    `SET source_key = '\\x' WHERE op_id = 7`,
    'row-left-over c[]/7',
    'row-lost c[]',
    'source-key-unreadable c[]/7',
  ],
  ['a row that was deleted', `DELETE FROM bucket_data WHERE op_id = 7`, 'row-lost c[]'],
  [
    'a MOVE of a live row',
    `SET op = 'MOVE', source_table = NULL, source_key = NULL, table_name = NULL, row_id = NULL, data = NULL, target_op = 6 WHERE op_id = 5`,
    'row-lost b["x"]',
  ],
  [
    'a REMOVE of a row that is there',
    `INSERT INTO bucket_data SELECT group_id, bucket_name, 10, 'REMOVE', source_table, source_key, table_name, row_id,
       (SELECT checksum FROM bucket_data WHERE op_id = 8), NULL, NULL FROM bucket_data WHERE op_id = 7`,
    'beyond-sequence c[]/10',
    'checksum-mismatch c[]/10',
    'row-lost c[]/10',
  ],
  [
    'a row under another id',
    `SET row_id = 'R2' WHERE op_id = 5`,
    'checksum-mismatch b["x"]/5',
    'row-left-over b["x"]/5',
    'row-lost b["x"]',
  ],
  [
    'a row that has left the bucket',
    `UPDATE current_data SET buckets = buckets - 1 WHERE buckets @> '[{"bucket":"c[]"}]'`,
    'row-left-over c[]/7',
  ],
  ['a row that nobody knows', `DELETE FROM current_data WHERE buckets @> '[{"id":"r2"}]'`, 'row-left-over b["x"]/5'],
  [
    'a row known of another stream',
    `UPDATE current_data SET group_id = 2 WHERE buckets @> '[{"id":"r2"}]'`,
    'row-left-over b["x"]/5',
  ],
  [
    'a sequence that was set back',
    `SELECT setval('op_id_sequence', 7)`,
    'beyond-sequence b["x"]/8',
    'beyond-sequence b["x"]/9',
    'beyond-sequence stream 1',
  ],
  [
    'a sequence that was never used',
    `SELECT setval('op_id_sequence', 9, false)`,
    ...[2, 4, 5, 6, 8, 9].map((opId) => `beyond-sequence b["x"]/${opId}`),
    'beyond-sequence c[]/7',
    'beyond-sequence stream 1',
  ],
  ['a CLEAR that waits for an operation to come', `SET target_op = 10 WHERE op_id = 2`, 'beyond-sequence b["x"]/2'],
  ['a checkpoint to come', `UPDATE sync_rules SET last_checkpoint = 10`, 'beyond-sequence stream 1'],
  ['a checkpoint to come, kept for later', `UPDATE sync_rules SET keepalive_op = 10`, 'beyond-sequence stream 1'],
]

test.each(damages)('%s', async (_, damage, ...found) => {
  await using database = await smallStorage(2)
  expect((await check(database)).found).toEqual([])
  await database.session.client.query(damage.replace(/^SET/, 'UPDATE bucket_data SET'))
  const { found: all, summary } = await check(database)
  expect(all).toEqual(found)
  expect(summary).toMatchObject({ complete: true, faults: found.length })
})

test('every fault there is has its damage', () => {
  const planted = new Set(damages.flatMap(([, , ...found]) => found.map((each) => each.slice(0, each.indexOf(' ')))))
  expect([...planted].toSorted()).toEqual(Object.keys(bucketFaults).toSorted())
})

test('the rows of a stream of version 3 are in a table of their own', async () => {
  await using database = await smallStorage(3)
  expect((await check(database)).found).toEqual([])
  await database.query(`UPDATE v3_current_data SET pending_delete = 9 WHERE buckets @> '[{"id":"r2"}]'`)
  expect((await check(database)).found).toEqual(['row-left-over b["x"]/5'])
})

describe('only some buckets', () => {
  test('by name and by definition: nothing is told of others', async () => {
    await using database = await smallStorage(2)
    await database.query(`UPDATE bucket_data SET checksum = checksum # 1 WHERE op IN ('PUT', 'REMOVE')`)
    const mismatch = (...subjects: string[]) => subjects.map((subject) => `checksum-mismatch ${subject}`)
    const ofB = mismatch('b["x"]/5', 'b["x"]/6', 'b["x"]/8', 'b["x"]/9')
    expect((await check(database)).found).toEqual([...ofB, ...mismatch('c[]/7')])
    expect((await check(database, { buckets: ['b["x"]'] })).found).toEqual(ofB)
    expect((await check(database, { definitions: ['c'] })).found).toEqual(mismatch('c[]/7'))
    expect((await check(database, { buckets: ['b["x"]', 'c[]'], definitions: ['c'] })).found).toEqual(mismatch('c[]/7'))
    expect((await check(database, { buckets: [] })).summary).toMatchObject({ complete: true, operations: 0 })
    expect((await check(database, { definitions: ['c'] })).summary).toMatchObject({ buckets: 1, operations: 1 })
    expect((await check(database, { checksums: false })).found).toEqual([])
  })

  test.each([
    [{ buckets: ['b["x"]', 'b["y"]'] }, 'There is no bucket b["y"] in this storage.'],
    [{ definitions: ['b', 'd'] }, 'There is no bucket of the definition d in this storage.'],
  ])('%j', async (options, message) => {
    await using database = await smallStorage(2)
    await expect(check(database, options)).rejects.toMatchObject({ code: 'no-such-bucket', message })
  })
})

test('what compaction has passed and left is a remark', async () => {
  await using database = await loadStorage(3)
  const storage = await storageOf(database)
  await compactBuckets(storage, { mode: 'execute', grace: 0, buckets: ['1#churn|0[]'] })
  expect((await check(database)).found).toEqual([])
  const [before] = await database.query(
    `SELECT bucket_name, op_id, source_table, source_key, table_name, row_id, checksum, data FROM bucket_data
      WHERE bucket_name = '1#churn|0[]' AND op = 'PUT' ORDER BY op_id DESC LIMIT 1`,
  )
  // As if the MOVE that was made of an earlier operation had never been.
  await database.query(
    `UPDATE bucket_data SET op = 'PUT', source_table = $2, source_key = $3, table_name = $4, row_id = $5, checksum = $6, data = $7, target_op = NULL
      WHERE bucket_name = '1#churn|0[]' AND op_id = (SELECT max(op_id) FROM bucket_data WHERE bucket_name = '1#churn|0[]' AND op = 'MOVE' AND op_id < $1)`,
    before!.slice(1),
  )
  const { found, summary } = await check(database)
  expect(found).toEqual(['superseded-left 1#churn|0[]'])
  expect(summary.faults).toBe(0)
})

test('a hundred of each code are named, and the others counted', async () => {
  await using database = await loadStorage(2)
  await database.query(`UPDATE bucket_data SET checksum = checksum # 1 WHERE bucket_name = '1#churn[]'`)
  const { findings, summary } = await check(database)
  expect(findings).toHaveLength(namedSubjects + 1)
  expect(findings.at(-1)).toEqual({
    code: 'checksum-mismatch',
    subject: '20102 more',
    detail: '20202 in all; the first 100 are named.',
  })
  expect(summary).toMatchObject({ counts: { 'checksum-mismatch': 20_202 }, faults: 20_202 })
})

test('a stream that is being built is looked at, one that was stopped is not', async () => {
  await using database = await smallStorage(2)
  await database.query(`UPDATE bucket_data SET checksum = checksum # 1 WHERE op_id = 7`)
  await database.query(`INSERT INTO sync_rules (id, state, content, storage_version) VALUES (2, 'ACTIVE', '', 2)`)
  await database.query(`UPDATE sync_rules SET state = 'PROCESSING' WHERE id = 1`)
  expect((await check(database)).summary).toMatchObject({ streams: 2, faults: 1 })
  await database.query(`UPDATE sync_rules SET state = 'STOP' WHERE id = 1`)
  expect((await check(database)).summary).toMatchObject({ streams: 1, operations: 0, faults: 0 })
})

test('a role that may read the operations alone checks these', async () => {
  await using database = await smallStorage(2)
  await database.session.client.query(`
    UPDATE bucket_data SET checksum = checksum # 1 WHERE op_id = 7;
    DROP ROLE IF EXISTS tamp_reader_of_check; CREATE ROLE tamp_reader_of_check LOGIN PASSWORD 'x';
    GRANT USAGE ON SCHEMA powersync TO tamp_reader_of_check;
    GRANT SELECT ON bucket_data, sync_rules TO tamp_reader_of_check; DROP TABLE current_data;`)
  try {
    const url = new URL(database.url)
    url.username = 'tamp_reader_of_check'
    url.password = 'x'
    // The other tables are not there for this role.
    for (const table of ['v3_current_data', 'write_checkpoints', 'custom_write_checkpoints'])
      await database.query(`DROP TABLE IF EXISTS ${table}`)
    const { found, summary } = await check({ ...database, url: url.href })
    expect(found).toEqual(['checksum-mismatch c[]/7'])
    expect(summary).toMatchObject({ complete: true, rowsCompared: false })
  } finally {
    await database.session.client.query('DROP OWNED BY tamp_reader_of_check; DROP ROLE tamp_reader_of_check')
  }
})

test('P3: holds no lock but ACCESS SHARE, and can be stopped', async () => {
  await using database = await smallStorage(2)
  await database.query(`UPDATE bucket_data SET checksum = checksum # 1 WHERE op = 'PUT'`)
  const stop = new AbortController()
  const run = checkBuckets(await storageOf(database), { signal: stop.signal })
  const findings = run[Symbol.asyncIterator]()
  expect((await findings.next()).done).toBe(false)
  const modes = await database.query<[string]>(
    `SELECT DISTINCT mode FROM pg_locks JOIN pg_class c ON c.oid = relation
      WHERE c.relname IN ('bucket_data', 'current_data', 'sync_rules') AND pid <> pg_backend_pid()`,
  )
  expect(modes).toEqual([['AccessShareLock']])
  stop.abort()
  await expect(
    (async () => {
      while (!(await findings.next()).done);
    })(),
  ).rejects.toMatchObject({ code: 'interrupted' } satisfies Partial<TampError>)
  expect(run.summary.complete).toBe(false)
})

test('a statement that waits is cancelled', async () => {
  await using database = await smallStorage(2)
  const storage = await storageOf(database)
  await using other = await database.connect()
  await other.query('BEGIN')
  await other.query('LOCK TABLE powersync.current_data')
  const stop = new AbortController()
  const checked = (async () => {
    for await (const _ of checkBuckets(storage, { signal: stop.signal }));
  })()
  const refused = expect(checked).rejects.toMatchObject({ code: 'interrupted' })
  const waiting = `SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
  await expect.poll(async () => (await database.query<[number]>(waiting))[0]?.[0]).toBe(1)
  stop.abort()
  await refused
  await expect.poll(async () => (await database.query<[number]>(waiting))[0]?.[0]).toBe(0)
})

test('docs/findings.md has every code with its sentence', async () => {
  const page = await readFile(new URL('../../../docs/findings.md', import.meta.url), 'utf8')
  const ofBuckets = page.slice(page.indexOf('## Buckets'))
  const documented = [...ofBuckets.matchAll(/^\| `([a-z-]+)` +\| (.+?) +\|/gm)].map(([, code, sentence]) => [
    code,
    sentence,
  ])
  expect(documented).toEqual(Object.entries(bucketFindings))
})
