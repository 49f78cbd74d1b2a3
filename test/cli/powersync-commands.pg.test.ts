// `tamp powersync inspect`, `check` and `reclaim` as a user runs them.
import { expect, test } from 'vitest'
import { loadStorage } from '../support/powersync/storages.ts'
import { runTamp } from './run-tamp.ts'

test('inspect ranks buckets by what they waste, and says what each way would bring', async () => {
  await using database = await loadStorage(2)
  const inspect = ['powersync', 'inspect', '--connection', database.url]
  const text = await runTamp([...inspect, '--limit', '3'])
  expect(text).toMatchObject({ status: 0, err: '' })
  expect(text.out).toMatch(
    /^Bucket +Operations +Live rows +Per row +Download +Compacted +Defragmented +At least +Oldest row$/m,
  )
  expect(text.out).toMatch(/^1#churn\[\] +20,202 +200 +101\.0 /m)
  expect(text.out).toMatch(/^112 buckets +46,560 +6,915 +6\.7 /m)
  expect(text.out).toMatch(/^109 more buckets with less to save; --limit N shows more/m)
  expect(text.out).toMatch(/^Stream 1: ACTIVE, storage version 2, serves clients; checkpoint 46628, published /m)
  expect(text.out).toMatch(/^held-back \(2 findings\)$/m)
  expect(text.out).toMatch(
    /^Compacting removes 20,018 of 46,560 operations \(43\.0 %\), defragmenting first [\d,]+ more/m,
  )

  const json = await runTamp([...inspect, '--json'])
  const lines = json.lines()
  const buckets = lines.filter(({ type }) => type === 'bucket')
  expect(buckets).toHaveLength(112)
  const waste = buckets.map(({ now, bound }) => now.operations - bound.operations)
  expect(waste).toEqual(waste.toSorted((a, b) => b - a))
  expect(lines.at(-1)).toMatchObject({
    v: 1,
    type: 'summary',
    command: 'powersync inspect',
    buckets: 112,
    before: { operations: 46_560, rows: 6915 },
    compacted: { operations: 26_542 },
    bound: { operations: 7027 },
    findings: expect.arrayContaining([expect.objectContaining({ code: 'held-back', subject: '1#global[]' })]),
  })
  const one = await runTamp([...inspect, '--json', '--bucket', '1#by_project["","empty org"]'])
  expect(one.lines()).toHaveLength(2)
  expect(one.lines()[0]).toMatchObject({ now: { operations: 196 } })
  const quiet = await runTamp([...inspect, '--quiet', '--definition', 'by_user'])
  expect(quiet.out).toMatch(/^Compacting removes 12 of 8,631 operations/)
})

test('check ends with 0 where nothing is wrong, and with 4 and a name where something is', async () => {
  await using database = await loadStorage(2)
  const check = ['powersync', 'check', '--connection', database.url]
  const clean = await runTamp(check)
  expect(clean).toMatchObject({ status: 0, err: '' })
  expect(clean.out).toMatch(/^Nothing found: 46,560 operations in 112 buckets looked at/)

  await database.query(`UPDATE bucket_data SET data = '{}' WHERE bucket_name = '1#global[]' AND op_id = 1`)
  const text = await runTamp(check)
  expect(text.status).toBe(4)
  expect(text.out).toMatch(/^checksum-mismatch \(1 finding\)\n {2}1#global\[\]\/1: /m)
  const json = await runTamp([...check, '--json'])
  expect(json.status).toBe(4)
  const lines = json.lines()
  expect(lines[0]).toMatchObject({ v: 1, type: 'finding', code: 'checksum-mismatch', subject: '1#global[]/1' })
  expect(lines.at(-1)).toMatchObject({ command: 'powersync check', complete: true, counts: { 'checksum-mismatch': 1 } })
  const quick = await runTamp([...check, '--no-checksums'])
  expect(quick.status).toBe(0)
  expect(quick.out).toMatch(/Checksums were not computed\./)
  expect((await runTamp([...check, '--quiet', '--definition', 'churn'])).status).toBe(0)
})

test('reclaim says what there is, vacuums, and prints what gives space back', async () => {
  await using database = await loadStorage(2)
  await database.query('ALTER TABLE bucket_data SET (autovacuum_enabled = off)')
  await database.query('DELETE FROM bucket_data WHERE op_id % 2 = 0')
  await database.query('SELECT pg_stat_force_next_flush()')
  const reclaim = ['powersync', 'reclaim', '--connection', database.url]
  const dry = await runTamp(reclaim)
  expect(dry).toMatchObject({ status: 0, err: '' })
  expect(dry.out).toMatch(/^bucket_data +11\.\d MB +2\.0 MB +~23,280 +~23,280 +~6\.\d MB /m)
  expect(dry.out).toMatch(/^ {2}pg_repack --host 127\.0\.0\.1 --port \d+ .* --table powersync\.bucket_data /m)
  expect(dry.out).toMatch(/^ {2}VACUUM \(FULL, ANALYZE\) powersync\.bucket_data;$/m)
  expect(dry.out).toMatch(/Nothing was changed/)
  expect(dry.out).not.toContain(new URL(database.url).password)
  const executed = await runTamp([...reclaim, '--execute', '--json'])
  expect(executed.status).toBe(0)
  const lines = executed.lines()
  expect(lines[0]).toMatchObject({
    type: 'plan',
    table: 'bucket_data',
    vacuumed: true,
    before: { deadRowsEstimate: 23_280 },
    after: { deadRowsEstimate: 0 },
  })
  expect(lines.at(-1)).toMatchObject({
    command: 'powersync reclaim',
    mode: 'execute',
    complete: true,
    givingBack: [{ table: 'bucket_data', reindex: 'REINDEX TABLE CONCURRENTLY powersync.bucket_data;' }],
  })
  await database.query('SELECT pg_advisory_lock($1, $2)', [0x74616d70, 2])
  expect((await runTamp([...reclaim, '--execute'])).status).toBe(11)
})
