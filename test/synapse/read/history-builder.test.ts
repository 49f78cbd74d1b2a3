// What is read becomes the same columns however the stream is cut, and damage is found, named, and kept from spreading.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HistoryBuilder } from '../../../src/synapse/read/history-builder.ts'
import { Bar } from '../../../src/synapse/history.ts'
import type { RoomHistory } from '../../../src/synapse/history.ts'
import {
  copyEscaped,
  copyRow,
  damagedRooms,
  plainHashKey,
  readDrawn,
  soundRooms,
} from '../../support/synapse/random-history.ts'
import type { DrawnRoom } from '../../support/synapse/random-history.ts'
import { damagedGroups, mayChange } from '../../support/synapse/reference.ts'

const columns = ({ entries, ...history }: RoomHistory): unknown => ({
  ...history,
  entries: {
    count: entries.count,
    keyCount: entries.keyCount,
    key: entries.key.slice(1, entries.count),
    hash: entries.hash.slice(4, 4 * entries.count),
    holder: entries.holder.slice(1),
  },
})

test('a stream cut anywhere gives the same history', () => {
  fc.assert(
    fc.property(soundRooms({ groups: 12 }), fc.array(fc.double({ min: 0, max: 1, noNaN: true })), (room, cuts) => {
      expect(columns(readDrawn(room, { cuts }))).toEqual(columns(readDrawn(room)))
    }),
  )
})

test('a stream that comes byte by byte gives the same history', () => {
  const room: DrawnRoom = {
    groups: [
      { id: 7, bases: [], rows: [['m.room.create\0', '$create']] },
      { id: 4_000_000_000, bases: [7], rows: [['tab\tnewline\n\0back\\slash', '$é\\']] },
    ],
    pending: [],
    referenced: [],
    tips: [7],
    strangers: [],
    range: null,
  }
  const cuts = Array.from({ length: 200 }, (_, n) => n / 200)
  expect(columns(readDrawn(room, { cuts }))).toEqual(columns(readDrawn(room)))
})

test('every row is found in its group, by its text', () => {
  fc.assert(
    fc.property(soundRooms(), fc.nat(), (room, order) => {
      const history = readDrawn(room, { order })
      const { deltas, entries } = history
      const keys = new Map<string, number>()
      for (const [position, group] of room.groups.entries()) {
        const numbers = group.rows.map((row) => {
          const bytes = copyRow(row)
          const entry = entries.find(bytes, 0, bytes.lastIndexOf(9), bytes.length)
          expect(keys.get(row[0]) ?? entries.key[entry]).toBe(entries.key[entry])
          keys.set(row[0], entries.key[entry]!)
          return entry
        })
        const stored = deltas.rows.slice(deltas.start[position], deltas.start[position + 1])
        expect([...stored].sort()).toEqual(numbers.sort())
        expect(numbers).not.toContain(0)
      }
      expect(deltas.start.at(-1)).toBe(deltas.rows.length)
      expect(new Set(keys.values()).size).toBe(entries.keyCount)
      const events = new Set(room.groups.flatMap(({ rows }) => rows.map((row) => row.join('\0'))))
      expect(entries.count).toBe(events.size + 1)
      for (let entry = 1; entry < entries.count; entry++) {
        const first = room.groups.findIndex((_, position) =>
          deltas.rows.subarray(deltas.start[position], deltas.start[position + 1]).includes(entry),
        )
        expect(entries.holder[entry]).toBe(first)
      }
      expect(entries.find(copyRow(['m.room.name\0', '$nowhere']), 0, 12, 21)).toBe(0)
    }),
  )
})

test('ids, bases, marks and tips are those of the room', () => {
  fc.assert(
    fc.property(soundRooms({ pending: true }), (room) => {
      const history = readDrawn({ ...room, tips: [...room.tips, 3_333_333_333_333] })
      const id = (position: number): number => history.ids[position]!
      const marked = (column: Uint8Array, mark: number): number[] =>
        [...history.ids].filter((_, position) => column[position] === mark)
      expect([...history.base].map((base) => (base < 0 ? [] : [id(base)]))).toEqual(
        room.groups.map(({ bases }) => bases),
      )
      expect(marked(history.bar, Bar.pending)).toEqual(room.pending.toSorted((a, b) => a - b))
      expect(marked(history.referenced, 1)).toEqual(room.referenced.toSorted((a, b) => a - b))
      expect(history.tips.map(id)).toEqual(room.tips)
      expect(history.findings).toEqual([])
    }),
  )
})

test('damage is found with what hangs on it, and what it reads is left alone; the rest stays free', () => {
  fc.assert(
    fc.property(damagedRooms(), (room) => {
      const history = readDrawn(room)
      const changeable = mayChange(room)
      const damaged = damagedGroups(room)
      for (const [position, { id }] of room.groups.entries()) {
        expect(history.bar[position] === Bar.none, `group ${id} may be changed`).toBe(changeable(id))
        expect(history.bar[position] === Bar.damaged, `group ${id} is damaged`).toBe(damaged.has(id))
        expect(history.base[position]).toBeLessThan(position)
      }
      for (const { subject } of history.findings) expect(damaged).toContain(Number(subject))
    }),
    { numRuns: 300 },
  )
})

test('each kind of damage has its finding, on the group that has it', () => {
  const builder = new HistoryBuilder('!room:example.org', new Float64Array([10, 20, 30, 40, 50, 60, 70]), plainHashKey)
  const elsewhere = (id: number): boolean => id === 15
  builder.addEdge(20, 10, elsewhere)
  builder.addEdge(30, 15, elsewhere)
  builder.addEdge(40, 35, elsewhere)
  builder.addEdge(50, 60, elsewhere)
  builder.addEdge(60, 20, elsewhere)
  builder.addEdge(60, 10, elsewhere)
  builder.addEdge(99, 10, elsewhere)
  const text = ['10\ta\tb\t$1', '70\ta\tb\t$1', '70\ta\tb\t$2', '70\ta\tb\t$2', '98\ta\tb\t$1'].join('\n')
  builder.addRows(new TextEncoder().encode(`${text}\n`))
  const { findings, bar, deltas } = builder.finish({ bytesPerRow: 1 })
  expect(findings.map(({ code, subject }) => [code, subject])).toEqual([
    ['room-mismatch', '30'],
    ['dangling-base', '40'],
    ['base-not-older', '50'],
    ['several-bases', '60'],
    ['duplicate-key', '70'],
  ])
  // Group 20 and 10 are sound, but 60 reads them both: how they are stored decides what it sees.
  const { damaged, outOfRange } = Bar
  expect([...bar]).toEqual([outOfRange, outOfRange, damaged, damaged, damaged, damaged, damaged])
  expect([...deltas.start]).toEqual([0, 1, 1, 1, 1, 1, 1, 4])
})

test('a room without groups, and groups without rows', () => {
  const empty = new HistoryBuilder('!room:example.org', new Float64Array(0), plainHashKey)
  empty.addEdge(1, 2, () => false)
  empty.addRows(new TextEncoder().encode('1\ta\tb\t$1\n'))
  expect(empty.finish({ bytesPerRow: 1, tips: [1] })).toMatchObject({ tips: [], findings: [] })
  const bare = new HistoryBuilder('!room:example.org', new Float64Array([5, 9]), plainHashKey)
  bare.addEdge(9, 5, () => false)
  const history = bare.finish({ bytesPerRow: 1, tips: [9] })
  expect([...history.base, ...history.deltas.start, ...history.tips]).toEqual([-1, 0, 0, 0, 0, 1])
})

test('columns are told apart by tabs alone: an escaped tab belongs to the text', () => {
  const builder = new HistoryBuilder('!room:example.org', new Float64Array([1]), plainHashKey)
  const key = copyEscaped('k\tk\nk')
  expect(key).toBe(String.raw`k\tk\nk`)
  builder.addRows(new TextEncoder().encode(`1\ttype\t${key}\t${copyEscaped('$e\\')}\n1\ttype\t\t\n`))
  const { entries, deltas } = builder.finish({ bytesPerRow: 1 })
  expect([...deltas.rows]).toEqual([1, 2])
  const find = (text: string): number => {
    const bytes = new TextEncoder().encode(text)
    return entries.find(bytes, 0, text.lastIndexOf('\t'), bytes.length)
  }
  expect(find(`type\t${key}\t${String.raw`$e\\`}`)).toBe(1)
  expect(find('type\t\t')).toBe(2)
  expect(find(`type\t${key}\t$e`)).toBe(0)
})
