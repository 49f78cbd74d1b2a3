// P1 P7 for rows: what works the same on a compressed column, what differs and is announced, and what is refused: every line on a plain
// table and on a compressed one, in Debian's shell, better-sqlite3 and node:sqlite.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { quoted } from '../../../src/sqlite/policy/names.ts'
import type { Host, Outcome } from '../../support/sqlite/hosts.ts'
import type { Line } from '../../support/sqlite/story-lines.ts'
import type { Way } from '../../support/sqlite/side-by-side.ts'
import { filled } from '../../support/sqlite/truth-lines.ts'
import type { Statement, TruthLine } from '../../support/sqlite/truth-lines.ts'
import { names } from '../../support/sqlite/truth-of-names.ts'
import { objects } from '../../support/sqlite/truth-of-objects.ts'
import { schemas } from '../../support/sqlite/truth-of-schemas.ts'
import { statements } from '../../support/sqlite/truth-of-statements.ts'
import { announced, ways } from '../../support/sqlite/ways.ts'

const lines: readonly TruthLine[] = [...statements, ...schemas, ...objects, ...names]

/** Small enough that the tables of the truth table have a dictionary of their own. */
const enabling = { level: 3, minDictBytesForTraining: 256, dictSizeRatio: 0.2 }

const lineOf = (statement: Statement): Line =>
  typeof statement === 'string'
    ? { kind: 'change', sql: statement }
    : { kind: 'tamp', command: statement.tamp, options: statement.options }

/** The answers by what they are to. */
interface Answers {
  readonly does: readonly Outcome[]
  readonly looks: readonly Outcome[]
  readonly plans: readonly Outcome[]
  readonly enabled: readonly Outcome[]
}

function onPlain(host: Host, line: TruthLine): Answers {
  const does = line.does.filter((statement) => typeof statement === 'string')
  const looks = line.looks ?? []
  const answers = host.run(':memory:', [...line.given, ...does, ...looks])
  noErrors(answers.slice(0, line.given.length))
  const after = answers.slice(line.given.length)
  return { does: after.slice(0, does.length), looks: after.slice(does.length), plans: [], enabled: [] }
}

function onCompressed(way: Way, line: TruthLine, does: readonly Statement[]): Answers {
  const columns = line.columns ?? [['t', 'data']]
  const script: Record<keyof Answers | 'given' | 'maintained', readonly Line[]> = {
    given: line.given.map(lineOf),
    enabled: columns.map(([table, column]) => ({
      kind: 'tamp',
      command: 'enable',
      options: { table, column, ...enabling },
    })),
    maintained:
      'refused' in Object(line.promise)
        ? []
        : [
            { kind: 'tamp', command: 'maintain', options: {} },
            ...columns.map(([table, column]) =>
              lineOf(`SELECT count(*) FROM ${quoted(`_${table}_zstd`)} WHERE ${quoted(`_${column}_dict`)} > 0`),
            ),
          ],
    does: does.map(lineOf),
    looks: (line.looks ?? []).map(lineOf),
    plans: (line.plans ?? []).map(([sql]) => lineOf(`EXPLAIN QUERY PLAN ${sql}`)),
  }
  const parts = ['given', 'enabled', 'maintained', 'does', 'looks', 'plans'] as const
  const answers = way.run(
    ':memory:',
    parts.flatMap((part) => script[part]),
  )
  let from = 0
  const byPart = Object.fromEntries(
    parts.map((part) => [part, answers.slice(from, (from += script[part].length))] as const),
  ) as unknown as Record<(typeof parts)[number], readonly Outcome[]>
  noErrors(byPart.given)
  if (byPart.maintained.length > 0) {
    noErrors([...byPart.enabled, ...byPart.maintained])
    // Otherwise nothing is shown by what follows.
    for (const counted of byPart.maintained.slice(1))
      expect('rows' in counted && Number(counted.rows[0]![0]), 'cells with a dictionary').toBeGreaterThan(10)
  }
  return byPart
}

function noErrors(answers: readonly Outcome[]): void {
  expect(answers.flatMap((answer) => ('error' in answer ? [answer.error] : []))).toEqual([])
}

/** Errors are compared by their kind: their words differ in the names of tables. What a trigger refuses is a constraint, so there its words count. */
function comparable(answer: Outcome): unknown {
  if (!('error' in answer)) return answer
  return { error: /generated column "?\w+"?/.exec(answer.error)?.[0] ?? answer.kind }
}

for (const { host, way } of ways) {
  if (host.version === null) console.log(`the truth table is not run on ${host.name}: it is not installed`)
  describe.skipIf(host.version === null)(`P1 P7 ${host.name} ${host.version ?? ''}`, () => {
    for (const line of lines)
      test(`${line.feature}: ${line.promise === 'the same' ? 'the same' : 'refused' in line.promise ? 'refused' : `differently (${line.promise.remark})`}`, () => {
        const { promise } = line
        const plain = onPlain(host, line)
        const compressed = onCompressed(way, line, line.does)
        const columns = line.columns ?? [['t', 'data']]
        if (promise === 'the same') {
          compressed.does.forEach((answer, i) => {
            expect(comparable(answer), JSON.stringify(line.does[i])).toEqual(comparable(plain.does[i]!))
          })
          expect(compressed.looks).toEqual(plain.looks)
        } else if ('refused' in promise) {
          expect('error' in compressed.enabled[0]!).toBe(true)
          expect(compressed.does).toEqual(plain.does)
          expect(announced(line.given, ...columns[0]!).obstacles.map(({ code }) => code)).toEqual(promise.refused)
        } else {
          const { remarks, obstacles } = announced(line.given, ...columns[0]!)
          expect(obstacles).toEqual([])
          expect(remarks.map(({ code }) => code)).toContain(promise.remark)
          expect(compressed.does.slice(0, -1).map(comparable)).toEqual(plain.does.slice(0, -1).map(comparable))
          const [last, lastOnPlain] = [compressed.does.at(-1)!, plain.does.at(-1)!]
          expect(comparable(last)).not.toEqual(comparable(lastOnPlain))
          if (promise.differently instanceof RegExp)
            expect('error' in last ? last.error : String(last.rows[0]?.[0])).toMatch(promise.differently)
          else expect(last).toEqual({ rows: promise.differently })
          if (promise.instead !== undefined) {
            const instead = onCompressed(way, line, promise.instead)
            noErrors(instead.does)
            if (String(promise.instead.at(-1)).startsWith('SELECT')) expect(instead.does.at(-1)).toEqual(lastOnPlain)
            expect(instead.looks).toEqual(plain.looks)
            expectPlans(line, instead.plans)
          }
        }
        if (promise === 'the same') expectPlans(line, compressed.plans)
      })

    test('ATTACH: each database has its own dictionaries', () => {
      const folder = mkdtempSync(join(tmpdir(), 'tamp-attach-'))
      try {
        const make = (file: string, table: string, words: string): void => {
          noErrors(
            way.run(file, [
              lineOf(`CREATE TABLE ${table} (id INTEGER PRIMARY KEY, data TEXT)`),
              lineOf(filled(table, 'id, data', `i, '${words}' || {json}`)),
              {
                kind: 'tamp',
                command: 'enable',
                options: { table, column: 'data', ...enabling, dictChooser: `'same key'` },
              },
              { kind: 'tamp', command: 'maintain', options: {} },
            ]),
          )
        }
        const [one, two] = [join(folder, 'one.db'), join(folder, 'two.db')]
        make(one, 't', 'first of them ')
        make(two, 'u', 'quite another one ')
        const answers = way.run(one, [
          lineOf(`ATTACH '${two}' AS other`),
          lineOf('SELECT data FROM t WHERE id = 3'),
          lineOf('SELECT data FROM other.u WHERE id = 3'),
          lineOf(
            `SELECT count(*) FROM t JOIN other.u USING (id) WHERE t.data LIKE 'first%' AND u.data LIKE 'quite another%'`,
          ),
          lineOf(`UPDATE other.u SET data = 'first of them, now in the other one' WHERE id = 4`),
          lineOf('INSERT INTO other.u (id, data) SELECT id + 100, data FROM t WHERE id < 10'),
          { kind: 'tamp', command: 'maintain', options: {} },
          lineOf(`SELECT count(*) FROM other.u WHERE data LIKE 'first of them%'`),
          lineOf(`SELECT 'quite another ' || data FROM t WHERE id = 3`),
        ])
        noErrors(answers)
        const rows = answers.map((answer) => ('rows' in answer ? answer.rows : []))
        expect(String(rows[1]![0]![0])).toMatch(/^first of them \{"type":"movie","y":3/)
        expect(String(rows[2]![0]![0])).toMatch(/^quite another one \{"type":"movie","y":3/)
        expect(rows[3]).toEqual([[60n]])
        expect(rows[7]).toEqual([[10n]])
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  })
}

function expectPlans(line: TruthLine, plans: readonly Outcome[]): void {
  line.plans?.forEach(([sql, index], i) => {
    const plan = plans[i]!
    expect('rows' in plan ? plan.rows.map((row) => row.at(-1)).join('\n') : plan.error, sql).toMatch(
      new RegExp(`USING (COVERING )?INDEX ${index}\\b`),
    )
  })
}

test('P7: what does not concern a table is not said of it', () => {
  const { obstacles, remarks } = announced(['CREATE TABLE t (rowid INTEGER PRIMARY KEY, data BLOB)'], 't', 'data')
  expect(obstacles).toEqual([])
  expect(remarks.map(({ code }) => code).sort()).toEqual([
    'alter-table',
    'changes',
    'column-information',
    'needs-extension',
    'new-foreign-key',
    'returning',
    'upsert',
  ])
})
