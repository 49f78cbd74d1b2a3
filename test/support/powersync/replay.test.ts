// The judge itself: the real client core passes what the service's compaction does, and finds what would harm a client.
import { describe, expect, test } from 'vitest'
import { openClient } from './client-core.ts'
import { cleared, moved, put, remove } from './operations.ts'
import type { Operation } from './operations.ts'
import { compacted, violations } from './reference-compactor.ts'
import { replay, stateOf, sync } from './replay.ts'
import { imageOf } from './service-lines.ts'

const row = (id: string) => ({ table: 'lists', id })

// Row a is edited, b comes and goes, c stays.
const before: Operation[] = [
  put(1, row('b'), 'b1'),
  put(3, row('a'), 'a1'),
  remove(4, row('b')),
  put(6, row('c'), 'c1'),
  put(7, row('a'), 'a2'),
  put(9, row('b'), 'b2'),
  remove(10, row('b')),
  put(11, row('a'), 'a3'),
]
const checkpoint = 12

function judge(after: readonly Operation[], interrupted = false, was: readonly Operation[] = before): number[] {
  return replay({
    before: imageOf(new Map([['x[]', [...was]]]), checkpoint),
    after: imageOf(new Map([['x[]', [...after]]]), checkpoint),
    positions: 'operations',
    interrupted,
  }).failures.map(({ position }) => position)
}

test('a new client ends with the rows and the checksum', () => {
  using client = openClient()
  const synced = sync(client, imageOf(new Map([['x[]', before]]), checkpoint))
  expect(synced).toMatchObject({ operations: 8, complete: true, failure: null })
  expect(client.rows().map(({ id, data }) => [id, data])).toEqual([
    ['a', 'a3'],
    ['c', 'c1'],
  ])
  using copy = client.fork()
  expect(stateOf(copy)).toBe(stateOf(client))
  expect(sync(copy, imageOf(new Map([['x[]', before]]), checkpoint)).operations).toBe(0)
})

describe.each([
  ['that completed their position', false],
  ['that were cut off there', true],
])('clients %s', (_, interrupted) => {
  test('pass what the reference compactor does, at every bound', () => {
    for (let bound = 0; bound <= checkpoint; bound++) {
      const after = compacted(before, bound)
      expect(violations(before, after, bound)).toEqual([])
      expect(judge(after, interrupted)).toEqual([])
    }
  })

  test('find a MOVE of a live row', () => {
    const after = before.map((operation) => (operation.opId === 6 ? moved(operation, 11) : operation))
    expect(judge(after, interrupted)).toEqual([0, 1, 3, 4])
    expect(violations(before, after, 12)).not.toEqual([])
  })

  test('find a REMOVE that was dropped', () => {
    const after = before.filter(({ opId }) => opId !== 10)
    expect(judge(after, interrupted)).toEqual([0, 1, 3, 4, 6, 7, 9])
    expect(violations(before, after, 12)).not.toEqual([])
  })

  test('find a CLEAR over a live row', () => {
    const after = [cleared(before.slice(0, 5)), ...before.slice(5)]
    expect(judge(after, interrupted)).toEqual([0, 1, 3, 4, 6])
    expect(violations(before, after, 12)).not.toEqual([])
  })

  test('find positions between the CLEAR and the last row of a relocation', () => {
    const [c, a] = [before[3]!, before[7]!]
    const dead = before.filter(({ opId }) => opId !== 6 && opId !== 11)
    const after = [
      { ...cleared(dead), opId: 8 },
      { ...c, opId: 9 },
      { ...a, opId: 11 },
    ]
    const failures = judge(after, interrupted)
    expect(failures).toContain(9)
    expect(failures).not.toContain(11)
    expect(failures.every((position) => position >= 8 && position < 11)).toBe(true)
  })

  test('find a wrong checksum', () => {
    const after = compacted(before, 12).map((one) =>
      one.op === 'CLEAR' ? { ...one, checksum: one.checksum ^ 1 } : one,
    )
    expect(judge(after, interrupted)).toContain(0)
  })
})
