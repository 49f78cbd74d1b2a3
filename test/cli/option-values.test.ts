// What stands behind an option: read exactly, or refused in words that never hold a connection string.
import { expect, test } from 'vitest'
import {
  byteSize,
  groupRange,
  levels,
  nameOf,
  ratio,
  schemaName,
  seconds,
  secondsOrNone,
  share,
  shown,
  wholeNumber,
} from '../../src/cli/option-values.ts'

test.each([
  ['90s', 90],
  ['45m', 2700],
  ['2h', 7200],
  ['1h30m', 5400],
  ['1.5h', 5400],
  ['2d', 172_800],
  ['10min', 600],
])('the time %s is %d seconds', (text, expected) => {
  expect(seconds(text)).toBe(expected)
})

test.each(['', '5', '2x', 'h', '1h x', '-1h', '0s', '1h30', '2 h'])('the time "%s" is refused', (text) => {
  expect(() => seconds(text)).toThrow(/is not a time with its unit/)
})

test('a time without its unit is answered with what may have been meant', () => {
  expect(() => seconds('30')).toThrow('did you mean 30s or 30m?')
})

test.each([
  ['1', 1],
  ['0.5', 0.5],
  ['.25', 0.25],
])('the share %s', (text, expected) => {
  expect(share(text)).toBe(expected)
})

test.each(['0', '1.1', '50%', '-0.5', 'NaN', '', '1e-1'])('the share "%s" is refused', (text) => {
  expect(() => share(text)).toThrow(/above 0 and at most 1/)
})

test('whole numbers keep to their range', () => {
  expect(wholeNumber(1)('100')).toBe(100)
  for (const text of ['0', '-1', '1.5', '1e3', '', ' 1', '99999999999999999'])
    expect(() => wholeNumber(1)(text), text).toThrow(/whole number/)
  expect(() => wholeNumber(1, 64)('65')).toThrow('from 1 to 64')
})

test('ranges of groups may be open at either end, not at both', () => {
  expect(groupRange('10..20')).toEqual({ from: 10, to: 20 })
  expect(groupRange('10..')).toEqual({ from: 10 })
  expect(groupRange('..20')).toEqual({ to: 20 })
  for (const text of ['..', '10', '10-20', 'a..b']) expect(() => groupRange(text), text).toThrow(/range of group ids/)
  expect(() => groupRange('20..10')).toThrow('ends before it begins')
})

test('levels are whole numbers above 0', () => {
  expect(levels('100,50,25')).toEqual([100, 50, 25])
  for (const text of ['', '100,', '100,0', '100;50', '-1']) expect(() => levels(text), text).toThrow(/100,50,25/)
})

test('P7: a connection string in the wrong place is refused without being quoted', () => {
  const url = 'postgresql://tamp:hunter2secret@db/synapse'
  for (const parse of [seconds, share, levels, groupRange, wholeNumber(1), nameOf('a file')]) {
    const refuse = (): unknown => parse(url)
    expect(refuse).toThrow()
    expect(refuse).not.toThrow(/hunter2/)
  }
  expect(shown('host=db password=hunter2secret')).not.toContain('hunter2')
})

test.each([
  ['0', 0],
  ['1000', 1000],
  ['500kB', 512_000],
  ['10MB', 10_485_760],
  ['1.5 GB', 1_610_612_736],
  ['2 MiB', 2_097_152],
  ['3b', 3],
])('the size %s', (text, expected) => {
  expect(byteSize(text)).toBe(expected)
})

test.each(['', '-1', '10XB', 'MB', '1e9', '10 M B'])('the size "%s" is refused', (text) => {
  expect(() => byteSize(text)).toThrow(/is not a size/)
})

test('a time that may be none, a ratio, and the name of a schema', () => {
  expect(['0', '0s', '10m'].map(secondsOrNone)).toEqual([0, 0, 600])
  expect(() => secondsOrNone('5')).toThrow(/did you mean 5s or 5m/)
  expect(['1', '1.5', '20'].map(ratio)).toEqual([1, 1.5, 20])
  for (const text of ['0.5', '0', '', '-2', 'two']) expect(() => ratio(text), text).toThrow(/1 or more/)
  expect(schemaName('My schema')).toBe('My schema')
  expect(() => schemaName('x'.repeat(64))).toThrow(/too long/)
  expect(() => schemaName('postgresql://u:p@h/d')).toThrow(/connection/)
})
