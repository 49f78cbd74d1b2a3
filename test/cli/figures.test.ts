// Numbers, times and names as an operator reads them.
import { expect, test } from 'vitest'
import { bytes, counted, duration, percent, printable, remaining, sentence } from '../../src/cli/figures.ts'
import { withDatabase } from '../../src/cli/demo-server.ts'
import { table } from '../../src/cli/table.ts'

test('figures carry their unit', () => {
  expect([counted(1, 'row'), counted(0, 'row'), counted(26_254, 'row')]).toEqual(['1 row', '0 rows', '26,254 rows'])
  expect([percent(4163, 6352), percent(0, 0)]).toEqual(['65.5 %', '0.0 %'])
  expect([bytes(9999), bytes(311_296), bytes(13_000_000_000)]).toEqual(['9,999 bytes', '304 kB', '12.1 GB'])
  expect([duration(0.42), duration(42), duration(125), duration(12_000)]).toEqual([
    '0.4 s',
    '42 s',
    '2 min 05 s',
    '3 h 20 min',
  ])
  expect([remaining(3), remaining(600), remaining(9000)]).toEqual([
    'about 5 s left',
    'about 10 min left',
    'about 2.5 h left',
  ])
})

test('room ids of other servers cannot steer the terminal', () => {
  expect(printable('!a\u001b[2J\u202eb:x')).toBe('!a\\u001b[2J\\u202eb:x')
})

test('a message becomes one sentence', () => {
  expect(sentence('there are no\n  state groups')).toBe('There are no state groups.')
  expect(sentence('x.sql could not be written.')).toBe('x.sql could not be written.')
})

test('a table aligns numbers right, leaves out empty columns and sums below a rule', () => {
  const lines = table(
    [
      { title: 'Room', align: 'left' },
      { title: 'Empty', align: 'right' },
      { title: 'Rows', align: 'right' },
    ],
    [
      ['!a', '', '\u001b[1m6,352\u001b[22m'],
      ['!longer', '', '9'],
    ],
    ['2 rooms', '', '6,361'],
  )
  expect(lines).toEqual([
    'Room      Rows',
    '!a       \u001b[1m6,352\u001b[22m',
    '!longer      9',
    '──────────────',
    '2 rooms  6,361',
  ])
})

test.each([
  ['postgresql://u:p@h:5432/old?sslmode=require&dbname=x', 'postgresql://u:p@h:5432/new?sslmode=require'],
  ['postgres://h', 'postgres://h/new'],
  ['postgresql:///old?host=/tmp', 'postgresql:///new?host=/tmp'],
  ['host=/tmp dbname=old', 'host=/tmp dbname=old dbname=new'],
])('%s with another database', (connection, expected) => {
  expect(withDatabase(connection, 'new')).toBe(expected)
})
