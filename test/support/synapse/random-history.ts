// Random histories of a room, small enough to shrink and odd enough to hurt: forks, backfill, removed keys, states that come again,
// needless rows, gaps, pending groups, a range, and the ways in which stores were found broken.
import fc from 'fast-check'
import { HistoryBuilder } from '../../../src/synapse/read/history-builder.ts'
import { Bar } from '../../../src/synapse/history.ts'
import type { RoomHistory } from '../../../src/synapse/history.ts'
import { stateKey } from './full-state.ts'
import { seeded } from './random.ts'

/** One stored row: the key as `stateKey` makes it, and the event. */
export type Row = readonly [key: string, event: string]

export interface DrawnGroup {
  readonly id: number
  /** One, none, or where the store is damaged several. */
  readonly bases: readonly number[]
  readonly rows: readonly Row[]
}

/** A room's state groups as a store could hold them. */
export interface DrawnRoom {
  /** Ascending by id. */
  readonly groups: readonly DrawnGroup[]
  /** Ids of groups that Synapse is about to delete, that events refer to, that the next event builds on, and of other rooms. */
  readonly pending: readonly number[]
  readonly referenced: readonly number[]
  readonly tips: readonly number[]
  readonly strangers: readonly number[]
  /** Ids, both ends included. */
  readonly range: { readonly from: number; readonly to: number } | null
}

const keyNames = [
  stateKey('m.room.create', ''),
  stateKey('m.room.member', '@a:example.org'),
  stateKey('m.room.member', '@b:example.org'),
  stateKey('m.room.member', 'tab\there'),
  stateKey('m.room.member\\', 'back\\slash\\'),
  stateKey('new\nline', 'return\r'),
  stateKey('example', '鍵🔑'),
  stateKey('example', ''),
  // Told apart by the place of the tab between type and state key only.
  stateKey('exam', 'ple'),
  stateKey('\\N', '\\.'),
  stateKey('\b\f\v', "it's"),
  stateKey('m.room.topic', ''),
]

type Change =
  | { readonly do: 'set' | 'revert'; readonly key: number; readonly version: number }
  | { readonly do: 'remove'; readonly key: number }

interface Step {
  readonly gap: number
  readonly parent: number
  /** Another moment: whose state is taken over, or added to this one. */
  readonly other: { readonly how: 'same' | 'merge'; readonly back: number } | null
  readonly changes: readonly Change[]
  readonly store: 'delta' | 'padded' | 'snapshot' | 'elsewhere'
  readonly referenced: boolean
  readonly pending: boolean
  readonly tip: boolean
}

const key = fc.nat({ max: keyNames.length - 1 })
const version = fc.nat({ max: 2 })
const back = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.nat({ max: 4 }) },
  { weight: 1, arbitrary: fc.nat({ max: 60 }) },
)
const rarely = (one: number): fc.Arbitrary<boolean> => fc.nat({ max: one - 1 }).map((n) => n === one - 1)

const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('set' as const), key, version }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('revert' as const), key, version }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), key }) },
)

function step(pending: boolean): fc.Arbitrary<Step> {
  return fc.record({
    gap: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 9 }) }),
    parent: back,
    other: fc.option(fc.record({ how: fc.constantFrom('same' as const, 'merge' as const), back }), { freq: 8 }),
    changes: fc.array(change, { maxLength: 4 }),
    store: fc.oneof(
      { weight: 6, arbitrary: fc.constant('delta' as const) },
      { weight: 1, arbitrary: fc.constant('padded' as const) },
      { weight: 2, arbitrary: fc.constant('snapshot' as const) },
      { weight: 1, arbitrary: fc.constant('elsewhere' as const) },
    ),
    referenced: fc.boolean(),
    pending: pending ? rarely(8) : fc.constant(false),
    tip: rarely(12),
  })
}

/** A sound room. `pending` and `range` ask for groups that must be left alone. */
export function soundRooms(
  options: { readonly groups?: number; readonly pending?: boolean; readonly range?: boolean } = {},
): fc.Arbitrary<DrawnRoom> {
  const { groups = 40, pending = false, range = false } = options
  return fc
    .record({
      steps: fc.array(step(pending), { minLength: 1, maxLength: groups, size: 'max' }),
      batch: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 15 })),
      first: fc.constantFrom(1, 7, 2 ** 31 - 5, 2 ** 40),
      range: range ? fc.option(fc.tuple(fc.nat({ max: groups }), fc.nat({ max: groups }))) : fc.constant(null),
    })
    .map((drawn) => draw(drawn))
}

interface Drawn {
  readonly steps: readonly Step[]
  /** Groups that a backfill brings at once; later batches are older history. 0 for none. */
  readonly batch: number
  readonly first: number
  readonly range: readonly [number, number] | null
}

function draw({ steps, batch, first, range }: Drawn): DrawnRoom {
  const moments = imagineMoments(steps)
  // `order[i]` is the moment that gets the i-th id.
  let order = steps.map((_, moment) => moment)
  if (batch > 0) {
    const batches: number[][] = []
    for (let at = 0; at < order.length; at += batch) batches.push(order.slice(at, at + batch))
    order = batches.reverse().flat()
  }
  const groups: DrawnGroup[] = []
  const idOf = new Map<number, number>()
  const named = { pending: [] as number[], referenced: [] as number[], tips: [] as number[] }
  let id = first - 1
  for (const moment of order) {
    const { gap, store, parent, ...flags } = steps[moment]!
    id += 1 + gap
    const { state, from } = moments[moment]!
    const mayBeBase = (other: number) =>
      idOf.has(other) && [...moments[other]!.state.keys()].every((one) => state.has(one))
    let base = from !== null && mayBeBase(from) ? from : null
    if (store === 'elsewhere') base = order.slice(0, groups.length).toReversed().find(mayBeBase) ?? base
    if (store === 'snapshot') base = null
    const below = base === null ? new Map<string, string>() : moments[base]!.state
    // Needless rows: some that the base has just so.
    const rows = [...state].filter(
      ([one, event], n) => below.get(one) !== event || (store === 'padded' && (n + parent) % 3 === 0),
    )
    groups.push({ id, bases: base === null ? [] : [idOf.get(base)!], rows })
    idOf.set(moment, id)
    if (flags.referenced) named.referenced.push(id)
    if (flags.pending) named.pending.push(id)
    if (flags.tip) named.tips.push(id)
  }
  named.tips.push(id)
  const at = (position: number): number => groups[Math.min(position, groups.length - 1)]!.id
  return {
    groups,
    ...named,
    tips: [...new Set(named.tips)],
    strangers: [],
    range: range === null ? null : { from: at(Math.min(...range)), to: at(Math.max(...range)) },
  }
}

/** The states of a room in the order of its history, each with the moment it followed. */
function imagineMoments(
  steps: readonly Step[],
): { readonly state: ReadonlyMap<string, string>; readonly from: number | null }[] {
  const moments: { state: Map<string, string>; from: number | null }[] = []
  for (const [now, { parent, other, changes }] of steps.entries()) {
    const earlier = (by: number): number => now - 1 - Math.min(by, now - 1)
    const from = now === 0 ? null : earlier(parent)
    const state = new Map(from === null ? [] : moments[from]!.state)
    if (other !== null && now > 0) {
      const there = moments[earlier(other.back)]!.state
      if (other.how === 'same') state.clear()
      for (const [one, event] of there) if (!state.has(one)) state.set(one, event)
    }
    for (const [n, one] of changes.entries()) {
      const name = keyNames[one.key]!
      if (one.do === 'remove') state.delete(name)
      else state.set(name, one.do === 'revert' ? `$v${one.version}` : `$m${now}.${n}\\${one.version}`)
    }
    moments.push({ state, from })
  }
  return moments
}

const damages = [
  'dangling-base',
  'base-in-other-room',
  'base-not-older',
  'own-base',
  'cycle',
  'several-bases',
  'duplicate-key',
] as const

/** A room that is broken in up to three ways. */
export function damagedRooms(groups = 30): fc.Arbitrary<DrawnRoom> {
  const nat = fc.nat({ max: groups })
  const damage = fc.record({ kind: fc.constantFrom(...damages), at: nat, to: nat })
  return fc
    .tuple(
      soundRooms({ groups, pending: true, range: true }),
      fc.array(damage, { minLength: 1, maxLength: 3, size: 'max' }),
    )
    .map(([room, all]) => all.reduce(damaged, room))
}

function damaged(
  room: DrawnRoom,
  { kind, at, to }: { readonly kind: (typeof damages)[number]; readonly at: number; readonly to: number },
): DrawnRoom {
  const groups = [...room.groups]
  const position = at % groups.length
  const group = groups[position]!
  const other = groups[to % groups.length]!
  const younger = groups[position + (to % (groups.length - position))]!
  const nowhere = (ids: readonly number[]): number => {
    let id = group.id - 1
    while (ids.includes(id)) id--
    return id
  }
  const ids = groups.map(({ id }) => id)
  switch (kind) {
    case 'dangling-base':
      groups[position] = { ...group, bases: [nowhere([...ids, ...room.strangers])] }
      break
    case 'base-in-other-room': {
      const stranger = nowhere(ids)
      groups[position] = { ...group, bases: [stranger] }
      return { ...room, groups, strangers: [...room.strangers, stranger] }
    }
    case 'base-not-older':
      groups[position] = { ...group, bases: [younger.id] }
      break
    case 'own-base':
      groups[position] = { ...group, bases: [group.id] }
      break
    case 'cycle':
      groups[position] = { ...group, bases: [younger.id] }
      groups[ids.indexOf(younger.id)] = { ...younger, bases: [group.id] }
      break
    case 'several-bases':
      if (!group.bases.includes(other.id)) groups[position] = { ...group, bases: [...group.bases, other.id] }
      break
    case 'duplicate-key': {
      const [row] = group.rows
      if (row !== undefined) groups[position] = { ...group, rows: [...group.rows, [row[0], '$damage']] }
    }
  }
  return { ...room, groups }
}

/** A value in COPY's text format. */
export function copyEscaped(text: string): string {
  const letters: Record<string, string> = {
    '\b': 'b',
    '\f': 'f',
    '\n': 'n',
    '\r': 'r',
    '\t': 't',
    '\v': 'v',
    '\\': '\\',
  }
  return [...text].map((sign) => (sign in letters ? `\\${letters[sign]!}` : sign)).join('')
}

const encoder = new TextEncoder()

/** A row as COPY sends it, without the group. */
export function copyRow([key, event]: Row): Uint8Array {
  return encoder.encode([...key.split('\0'), event].map(copyEscaped).join('\t'))
}

export interface ReadingOptions {
  /** Shuffles the rows. */
  readonly order?: number
  /** Where the stream of rows is cut, as shares of its length. */
  readonly cuts?: readonly number[]
  readonly hashKey?: Uint32Array
}

/** Four words that are no secret. */
export const plainHashKey: Uint32Array = new Uint32Array([0x01234567, 0x89abcdef, 0xdeadbeef, 0x0badcafe])

/** The room as tamp reads it. */
export function readDrawn(room: DrawnRoom, options: ReadingOptions = {}): RoomHistory {
  const { order, cuts = [], hashKey = plainHashKey } = options
  const ids = Float64Array.from(room.groups, ({ id }) => id)
  const builder = new HistoryBuilder('!drawn:example.org', ids, hashKey)
  for (const { id, bases } of room.groups)
    for (const base of bases) builder.addEdge(id, base, (one) => room.strangers.includes(one))
  const lines = room.groups.flatMap(({ id, rows }) =>
    rows.map(([key, event]) => `${id}\t${[...key.split('\0'), event].map(copyEscaped).join('\t')}\n`),
  )
  if (order !== undefined) shuffle(lines, order)
  const bytes = encoder.encode(lines.join(''))
  const places = cuts.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b)
  let from = 0
  for (const to of [...places, bytes.length]) {
    builder.addRows(bytes.slice(from, to))
    from = to
  }
  for (const id of room.pending) builder.markPending(id)
  for (const id of room.referenced) builder.markReferenced(id)
  const history = builder.finish({ bytesPerRow: 100, tips: room.tips })
  if (room.range !== null) {
    for (const [position, id] of history.ids.entries())
      if ((id < room.range.from || id > room.range.to) && history.bar[position] === Bar.none)
        history.bar[position] = Bar.outOfRange
  }
  return history
}

export function shuffle<T>(items: T[], seed: number): T[] {
  const random = seeded(seed)
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[items[i], items[j]] = [items[j]!, items[i]!]
  }
  return items
}
