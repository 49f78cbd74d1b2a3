// The demo of SQLite rows: a table of JSON, compressed and put back, in a file of its own that is gone afterwards.
import { copyFile, mkdtempDisposable, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Database } from 'better-sqlite3'
import { BetterSqlite3Driver, openBetterSqlite3 } from '../database/better-sqlite3.ts'
import { describeSqliteFailure } from '../database/sqlite-failures.ts'
import type { Value } from '../database/sqlite-value.ts'
import { checkSqlite, disableColumn, enableColumn, extensionLibrary, maintainSqlite, open } from '../sqlite/index.ts'
import type { RunControl } from '../sqlite/index.ts'
import { fillBooks } from './demo-books.ts'
import { takeStep } from './demo-step.ts'
import { bytes, count, counted, duration, mean, percent } from './figures.ts'
import { Interruption } from './interruption.ts'
import { table } from './table.ts'
import type { Terminal } from './terminal.ts'

const rows = 100_000
const query = `SELECT count(*), avg(data->>'pages') FROM books WHERE data->>'year' = '1992'`

/** How one query did. */
interface Asked {
  readonly answer: readonly unknown[]
  readonly plan: string
  /** Of CPU time, once. */
  readonly seconds: number
}

export async function runSqliteDemo(terminal: Terminal): Promise<number> {
  using interruption = new Interruption(terminal, 'Stopping and cleaning up.')
  const { signal } = interruption
  await using directory = await mkdtempDisposable(join(tmpdir(), 'tamp-demo-'))
  const started = performance.now()
  const file = join(directory.path, 'books.db')
  const plain = join(directory.path, 'plain.db')
  const target = { table: 'books', column: 'data' }
  const control: RunControl = { signal }
  const steps = {
    terminal,
    signal,
    interrupted: 'Interrupted; the file of the demo is removed.',
    describe: (error: unknown) => describeSqliteFailure(error, file),
  }
  const step = <Result>(name: string, act: () => Promise<Result>, say: (result: Result) => string): Promise<Result> =>
    takeStep(steps, name, act, say)
  const sizes: [string, number][] = []
  const noteSize = async (what: string): Promise<number> => {
    const { size } = await stat(file)
    sizes.push([what, size])
    return size
  }

  terminal.out(`\n${terminal.style('bold', 'tamp demo')} · a table of JSON in a SQLite file\n\n`)
  await step(
    'Extension',
    () => extensionLibrary({ tell: (told) => terminal.err(`  ${told}\n`) }),
    () => 'the loadable extension is there',
  )
  await step(
    'Make',
    async () => {
      make(file)
      await copyFile(file, plain)
      return noteSize('plain')
    },
    (size) => `${counted(rows, 'row')} of JSON with an index on data->>'year': ${bytes(size)}`,
  )
  const before = await step('Query', () => ask(file), askedText)
  await step(
    'Enable',
    () => enableColumn(file, target, control),
    () => 'a view named "books" in the place of the table; nothing compressed yet',
  )
  await step(
    'Compress',
    () => maintainSqlite(file, {}, control),
    ({ columns }) => {
      const [{ rows: done, bytesBefore, bytesAfter }] = columns as [(typeof columns)[number]]
      return `${counted(done, 'cell')}, each compared: ${bytes(bytesBefore)} → ${bytes(bytesAfter)} (${percent(bytesAfter, bytesBefore)})`
    },
  )
  await step(
    'VACUUM',
    async () => {
      await withDatabase(file, (database) => database.exec('VACUUM'))
      return noteSize('compressed')
    },
    (size) => `the file has ${bytes(size)}`,
  )
  const after = await step(
    'Same query',
    () => ask(file),
    (asked) => `${askedText(asked)}: ${mean(asked.seconds / before.seconds)} × the time`,
  )
  const check = await step(
    'Check',
    () => checkSqlite(file, {}, control),
    ({ findings }) =>
      findings.length === 0 ? 'every cell can be read, nothing found' : counted(findings.length, 'finding'),
  )
  await step(
    'Disable',
    async () => {
      const disabled = await disableColumn(file, target, control)
      await withDatabase(file, (database) => database.exec('VACUUM'))
      await noteSize('disabled')
      return disabled
    },
    (disabled) => `${counted(disabled.rows, 'cell')} decompressed, the table back in its place`,
  )
  const differences = await step(
    'Compare',
    async () => compare(file, plain),
    (different) => (different === 0 ? 'the same rows, the same schema' : counted(different, 'difference')),
  )

  const sameAnswer = JSON.stringify(before.answer) === JSON.stringify(after.answer)
  const good = sameAnswer && differences === 0 && check.findings.length === 0
  terminal.out(`\n${sizesText(sizes, terminal)}\n`)
  terminal.out(
    `${terminal.style(good ? 'green' : 'red', good ? '✓' : '✗')} The query ${sameAnswer ? 'gives the same answer' : 'gives ANOTHER answer'}, ` +
      `${after.plan === before.plan ? 'by the same index' : `by another plan (${after.plan})`}; ` +
      `${differences === 0 ? 'the table came back as it was' : 'the table did NOT come back as it was'}. ` +
      `${duration((performance.now() - started) / 1000)} in all.\n\n` +
      'On your own file, changing nothing:\n\n' +
      '  tamp sqlite inspect events.db\n' +
      '  tamp sqlite enable events.db --table events --column data\n\n' +
      'and with --execute, to carry it out; then "tamp sqlite maintain events.db --execute".\n',
  )
  return good ? 0 : 1
}

function make(file: string): void {
  const driver = new BetterSqlite3Driver(openBetterSqlite3(file, { create: true }))
  try {
    fillBooks(driver, rows)
    driver.query('VACUUM')
  } finally {
    driver.close()
  }
}

async function withDatabase<Result>(file: string, act: (database: Database) => Result): Promise<Result> {
  const database = await open(file)
  try {
    return act(database)
  } finally {
    database.close()
  }
}

/** The best of several rounds: the first one reads the file. */
const rounds = 5
const asksPerRound = 20

async function ask(file: string): Promise<Asked> {
  return withDatabase(file, (database) => {
    const statement = database.prepare(query).raw()
    const answer = statement.get() as unknown[]
    const plan = database
      .prepare<[], { detail: string }>(`EXPLAIN QUERY PLAN ${query}`)
      .all()
      .map(({ detail }) => detail.replace('_books_zstd', 'books'))
      .join(', ')
    let seconds = Infinity
    for (let round = 0; round < rounds; round++) {
      const start = process.cpuUsage()
      for (let i = 0; i < asksPerRound; i++) statement.get()
      const { user, system } = process.cpuUsage(start)
      seconds = Math.min(seconds, (user + system) / 1e6 / asksPerRound)
    }
    return { answer, plan, seconds }
  })
}

function askedText({ answer, plan, seconds }: Asked): string {
  return `${count(Number(answer[0]))} books of 1992 in ${(seconds * 1000).toFixed(1)} ms · ${plan}`
}

/** How many rows and statements of the schema differ between two databases, but for the quotes around names. */
function compare(file: string, plain: string): number {
  const driver = new BetterSqlite3Driver(openBetterSqlite3(file))
  try {
    driver.query('ATTACH ? AS plain', [plain])
    const number = (sql: string): number => Number(driver.query(sql)[0]![0] as Value)
    const cells = 'id, added, typeof(data), data'
    const schema = `SELECT type, name, tbl_name, replace(sql, '"', '')`
    const where = `WHERE name NOT LIKE '\\_zstd\\_%' ESCAPE '\\' AND name NOT LIKE '\\_tamp\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`
    return (
      number(`SELECT count(*) FROM (SELECT ${cells} FROM plain.books EXCEPT SELECT ${cells} FROM main.books)`) +
      Math.abs(number('SELECT (SELECT count(*) FROM plain.books) - (SELECT count(*) FROM main.books)')) +
      number(
        `SELECT count(*) FROM (${schema} FROM plain.sqlite_schema ${where} EXCEPT ${schema} FROM main.sqlite_schema ${where})`,
      ) +
      number(
        `SELECT count(*) FROM (${schema} FROM main.sqlite_schema ${where} EXCEPT ${schema} FROM plain.sqlite_schema ${where})`,
      )
    )
  } finally {
    driver.close()
  }
}

const barWidth = 40

function sizesText(sizes: readonly [string, number][], terminal: Terminal): string {
  const [, largest] = sizes.reduce((most, size) => (size[1] > most[1] ? size : most))
  const lines = table(
    [
      { title: 'The file', align: 'left' },
      { title: '', align: 'left' },
      { title: 'Bytes', align: 'right' },
      { title: '', align: 'right' },
    ],
    sizes.map(([what, size]) => {
      const filled = Math.max(1, Math.round((barWidth * size) / largest))
      return [
        what,
        '█'.repeat(filled) + terminal.style('dim', '░'.repeat(barWidth - filled)),
        count(size),
        percent(size, sizes[0]![1]),
      ]
    }),
    undefined,
    { indent: '  ', title: (text) => terminal.style('dim', text) },
  )
  return lines.join('\n') + '\n'
}
