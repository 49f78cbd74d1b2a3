// One step of measuring SQLite rows in a process of its own, so that its CPU time and its peak memory are its own: prints a line of JSON.
// Plain JavaScript, because stripping types would take 17 MB of the memory that is measured.
// Usage: node bench/sqlite-step.mjs '{"step":"random select", …}', the fields as in `Step` of sqlite-rows.ts
import { existsSync, readFileSync } from 'node:fs'
import Database from 'better-sqlite3'

const { step, file, library, rows, operations, seed, configuration } = JSON.parse(process.argv[2])

const db = new Database(file)
for (const setting of ['journal_mode = wal', 'synchronous = normal']) db.pragma(setting)
// As sqlite-zstd's own benchmark has them; the old rows of an update through a view go to a temporary table. Not where memory is measured:
// then everything that is sorted would be kept in it, and a mapped file counts as memory too.
if (step !== 'compress') for (const setting of ['temp_store = memory', 'mmap_size = 30000000000']) db.pragma(setting)
if (library !== null) db.loadExtension(library)

/** The operations alone: opening, preparing and warming up left out. */
let cpuSeconds = 0
let done = 1
let figures

function timed(work) {
  const start = process.cpuUsage()
  const count = work()
  const { user, system } = process.cpuUsage(start)
  cpuSeconds = (user + system) / 1e6
  done = count ?? 1
}

const steps = {
  async fill() {
    const { fillTitles } = await import('./title-rows.ts')
    timed(() => fillTitles(db, rows, seed))
  },

  compress() {
    timed(() => {
      db.prepare('SELECT zstd_enable_transparent(?)').get(JSON.stringify(configuration))
      db.prepare('SELECT zstd_incremental_maintenance(NULL, 1)').get()
      return rows
    })
  },

  vacuum() {
    timed(() => {
      db.exec('VACUUM')
    })
  },

  figures() {
    figures = db
      .prepare(
        `SELECT count(*) AS cells, sum(length(data)) AS bytes, sum(_data_dict IS NULL) AS pending,
          (SELECT sum(length(dict)) FROM _zstd_dicts) AS dictionaryBytes FROM _titles_zstd`,
      )
      .get()
  },

  'random select': () => select(chosenIds(seed)),
  'sequential select': () => select(chosenIds(null)),

  scan() {
    const sum = db.prepare('SELECT sum(length(data)) FROM titles WHERE id <= ?').pluck()
    sum.get(200)
    const upTo = Math.min(rows, operations)
    timed(() => {
      if (sum.get(upTo) < upTo * 100) throw new Error('these are not the rows')
      return upTo
    })
  },

  async 'random update'() {
    const texts = await newTexts()
    const update = db.prepare('UPDATE titles SET data = ? WHERE id = ?')
    const ids = chosenIds(seed)
    timed(() => {
      db.exec('BEGIN')
      for (const [index, id] of ids.entries()) update.run(texts[index], id)
      db.exec('COMMIT')
      return ids.length
    })
  },

  async insert() {
    const texts = await newTexts()
    const insert = db.prepare('INSERT INTO titles (data) VALUES (?)')
    timed(() => {
      db.exec('BEGIN')
      for (const text of texts) insert.run(text)
      db.exec('COMMIT')
      return texts.length
    })
  },
}

function select(ids) {
  const data = db.prepare('SELECT data FROM titles WHERE id = ?').pluck()
  for (const id of ids.slice(0, 200)) data.get(id)
  timed(() => {
    let characters = 0
    for (const id of ids) characters += data.get(id).length
    if (characters < ids.length * 100) throw new Error('these are not the rows')
    return ids.length
  })
}

async function newTexts() {
  const { titleRows } = await import('./title-rows.ts')
  return [...titleRows(operations, seed + 1000)]
}

/** Ids all over the table, or without a seed one after the other around its middle. */
function chosenIds(from) {
  const count = Math.min(operations, rows)
  const first = Math.max(1, Math.floor((rows - count) / 2))
  let state = (from ?? 0) + 12_345
  return Array.from({ length: count }, (_, index) => {
    if (from === null) return first + index
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return 1 + Math.floor((state / 2 ** 32) * rows)
  })
}

/** The most memory this process ever held. The kernel's own mark: what `resourceUsage` says starts from the parent's. */
function peakMegabytes() {
  const status = '/proc/self/status'
  const mark = existsSync(status) ? /VmHWM:\s+(\d+) kB/.exec(readFileSync(status, 'utf8'))?.[1] : undefined
  return Math.round(Number(mark ?? process.resourceUsage().maxRSS) / 1024)
}

const before = peakMegabytes()
await steps[step]()
db.close()
console.log(
  JSON.stringify({ cpuSeconds, operations: done, peakMegabytes: peakMegabytes(), startMegabytes: before, figures }),
)
