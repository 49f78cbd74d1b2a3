// Sampling and training: a uniform sample in bounded memory, dictionaries that are worth something, within seconds.
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { titleRows } from '../../../bench/title-rows.ts'
import { testLibrary } from '../../support/sqlite/judge.ts'

const db = new Database(':memory:')
db.loadExtension(testLibrary)
db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)')
afterAll(() => db.close())

const ask = (sql: string, ...values: readonly unknown[]) =>
  db
    .prepare(`SELECT ${sql}`)
    .pluck()
    .get(...values)
const json = (sql: string, ...values: readonly unknown[]) =>
  JSON.parse(ask(sql, ...values) as string) as Readonly<Record<string, number>>
const cpuSeconds = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
const peakMegabytes = () => process.resourceUsage().maxRSS / 1000

test('a sample is uniform over the rows, and keeps to its size', () => {
  // Every row is its own number, so that the sample says which rows it took: the dictionary's content is no help, the trial's bytes are.
  const rows = 50_000
  const sizes = [1000, 10_000, 100_000].map((bytes) => {
    const handle = ask(
      `tamp_sample(printf('%010d', i), ${bytes}) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) SELECT i FROM n)`,
    )
    return json('tamp_samples(?)', handle)
  })
  expect(sizes.map(({ cells, bytes, seenCells, heldBackCells }) => [cells, bytes, seenCells, heldBackCells])).toEqual([
    [100, 1000, rows, 20],
    [1000, 10_000, rows, 200],
    [10_000, 100_000, rows, 2000],
  ])
})

test('rows at the end are as likely in a sample as rows at the beginning', () => {
  // The first half of the rows is of 'a', the second of 'b': a dictionary of the sample must serve both alike.
  const handle = ask(
    `tamp_sample(iif(i <= 20000, 'aaaaaaaaaa', 'bbbbbbbbbbbbbbbbbbbb'), 60000) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) SELECT i FROM n)`,
  )
  const { cells, bytes } = json('tamp_samples(?)', handle)
  // cells = a + b, bytes = 10 a + 20 b
  const ofSecondHalf = (bytes! - 10 * cells!) / 10
  expect(ofSecondHalf / cells!).toBeGreaterThan(0.47)
  expect(ofSecondHalf / cells!).toBeLessThan(0.53)
})

test('the same rows give the same sample and the same dictionary', () => {
  const dictionary = () =>
    (
      ask(
        `tamp_dictionary(tamp_train(tamp_sample(json_object('id', i, 'name', 'user ' || (i * 7919 % 1000)), 50000), 'default', 2000, 3))
         FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n)`,
      ) as Buffer
    ).toString('hex')
  expect(dictionary()).toBe(dictionary())
})

describe('of 100,000 rows of titles', () => {
  const insert = db.prepare('INSERT INTO t VALUES (?, ?)')
  db.transaction(() => {
    let id = 0
    for (const row of titleRows(100_000)) insert.run(++id, row)
  })()
  const handle = ask('tamp_sample(data, 16000000) FROM t')

  test('both trainers make dictionaries that hold most of a row, in seconds, and COVER’s is the better one', () => {
    const before = { cpu: cpuSeconds(), peak: peakMegabytes() }
    const [byDefault, cover] = ['default', 'cover'].map((trainer) =>
      ask('tamp_train(?, ?, 112640, 12)', handle, trainer),
    )
    expect(cpuSeconds() - before.cpu).toBeLessThan(15)
    expect(peakMegabytes() - before.peak).toBeLessThan(90)
    const trial = (dictionary: unknown) => json('tamp_trial(?, ?, 12, 2000000)', handle, dictionary)
    const [plain, one, other] = [trial(null), trial(byDefault), trial(cover)]
    expect(one.bytes! / plain.bytes!).toBeLessThan(0.4)
    expect(other.bytes!).toBeLessThan(one.bytes! * 1.01)
    expect(other.plainBytes).toBe(plain.plainBytes)
    for (const { encodeSeconds, decodeSeconds } of [plain, one, other]) {
      expect(encodeSeconds).toBeGreaterThan(decodeSeconds!)
      expect(decodeSeconds).toBeGreaterThan(0)
    }
  })

  test('a sample of a gigabyte takes 32 MB', () => {
    const before = peakMegabytes()
    const sample = ask(
      `tamp_sample(value || data, NULL) FROM t, (SELECT hex(randomblob(2000)) AS value UNION ALL SELECT hex(randomblob(2000)) UNION ALL SELECT hex(randomblob(2000))) LIMIT 250000`,
    )
    const { bytes, seenBytes } = json('tamp_samples(?)', sample)
    expect(seenBytes! / 1e9).toBeGreaterThan(1)
    expect(bytes! / 2 ** 20).toBeLessThan(32.01)
    expect(bytes! / 2 ** 20).toBeGreaterThan(31.9)
    expect(peakMegabytes() - before).toBeLessThan(60)
    ask('tamp_release(?)', sample)
  })

  test('sqlite-zstd’s aggregate keeps 64 MB at most, whatever it is asked for', () => {
    const before = peakMegabytes()
    const dictionary = ask(
      `zstd_train_dict(value || data, 50000, 1e9) FROM t, (SELECT hex(randomblob(1000)) AS value) LIMIT 100000`,
    ) as Buffer
    expect(dictionary).toHaveLength(50_000)
    expect(peakMegabytes() - before).toBeLessThan(220)
  })
})

test('next to nothing to train on is an error, or NULL, and not the end of the process', () => {
  // zstd's own trainer divides by zero, or reads far away, where the part that it trains on has less than eight bytes.
  const ones = (rows: number): string =>
    `(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) SELECT 'x' AS v FROM n)`
  for (let rows = 1; rows <= 40; rows++) {
    for (const trainer of ['default', 'cover'])
      expect([null, 'number']).toContain(
        ask(`iif(tamp_train(tamp_sample(v, 1000), '${trainer}', 16384, 3) IS NULL, NULL, 'number') FROM ${ones(rows)}`),
      )
    const trained = (): unknown => ask(`length(zstd_train_dict(v, 5000, 1000)) FROM ${ones(rows)}`)
    if (rows <= 10)
      expect(trained).toThrow(/no dictionary can be made from \d+ values of \d+ bytes: too little to learn from/)
    else expect(trained()).toBeGreaterThan(0)
  }
})
