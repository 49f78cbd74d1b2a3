// Makes rooms of any shape in a database with Synapse's tables, from a seed: the same seed makes the same room.
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { from as copyFrom } from 'pg-copy-streams'
import { transaction, type Session } from '../session.ts'
import { stateKey, type State } from './full-state.ts'
import { seeded, type Random } from './random.ts'

export interface RoomShape {
  readonly seed: number
  /** How many groups; default 200. */
  readonly groups?: number
  /**
   * `linear`: each group follows the last. `forked`: several branches at once, merging now and then. `backfill`: linear, but in
   * batches of which the latest has the lowest ids. `initial`: one row a group and no snapshots, as a new room with much state.
   */
  readonly shape?: 'linear' | 'forked' | 'backfill' | 'initial'
  /** Default: made from the seed. */
  readonly room?: string
  /** How many different keys; default 40. */
  readonly keys?: number
  /** Depth at which a snapshot is stored instead of a delta; default 100. */
  readonly snapshotEvery?: number
  /** How often a group loses a key, gets the same state as an earlier one, or leaves a gap of ids before it: 0 (default) to 1. */
  readonly removals?: number
  readonly identical?: number
  readonly gaps?: number
  /** How many of the groups an event names; default 0.7. The newest always is, by a forward extremity. */
  readonly referenced?: number
  /** Keys with tabs, quotes, backslashes, dollars and letters of many scripts. */
  readonly awkward?: boolean
  /** Default: after the highest id there is. */
  readonly firstId?: number
}

export interface GrownGroup {
  readonly id: number
  readonly base: number | undefined
  /** Rows stored for it, as [type, state_key, event_id]. */
  readonly delta: readonly (readonly [type: string, key: string, event: string])[]
  /** Its full state. */
  readonly state: State
  readonly referenced: boolean
}

export interface GrownRoom {
  readonly room: string
  /** Ascending by id. */
  readonly groups: readonly GrownGroup[]
  readonly rows: number
}

/** Makes a room and inserts it. */
export async function growRoom(session: Session, shape: RoomShape): Promise<GrownRoom> {
  const [[highest]] = (await session.query<[number]>('SELECT coalesce(max(id), 0) FROM state_groups')) as [[number]]
  const grown = imagineRoom({ ...shape, firstId: shape.firstId ?? highest + 1 })
  await insertRoom(session, grown)
  return grown
}

/** The room alone, without a database. */
export function imagineRoom(shape: RoomShape): GrownRoom {
  const random = seeded(shape.seed)
  const room = shape.room ?? `!grown${shape.seed}:example.org`
  const total = shape.groups ?? 200
  const states = imagineStates(shape, total, random)
  // `order[i]` is the moment in history that gets the i-th id.
  const order = states.map((_, moment) => moment)
  if (shape.shape === 'backfill') {
    const batches: number[][] = []
    for (let start = 0; start < total;) {
      const length = 10 + random.below(30)
      batches.push(order.slice(start, start + length))
      start += length
    }
    order.splice(0, order.length, ...batches.reverse().flat())
  }
  const groups: GrownGroup[] = []
  const stored = new Map<number, { readonly group: GrownGroup; readonly depth: number }>()
  let id = shape.firstId ?? 1
  let rows = 0
  for (const [position, moment] of order.entries()) {
    if (random.chance(shape.gaps ?? 0)) id += 1 + random.below(20)
    const { state, parent } = states[moment]!
    const before = parent === undefined ? undefined : stored.get(parent)
    const depth = before && legal(before.group.state, state) ? before.depth + 1 : 0
    const base = depth > 0 && (shape.shape === 'initial' || depth <= (shape.snapshotEvery ?? 100)) ? before : undefined
    const delta = [...state]
      .filter(([key, event]) => base?.group.state.get(key) !== event)
      .map(([key, event]) => [...key.split('\0'), event] as unknown as [string, string, string])
    const last = position === order.length - 1
    const referenced = random.chance(shape.referenced ?? 0.7) || last
    const group = { id: id++, base: base?.group.id, delta, state, referenced }
    groups.push(group)
    stored.set(moment, { group, depth: base ? depth : 0 })
    rows += delta.length
  }
  return { room, groups, rows }
}

/** A base is legal where the group lacks none of its keys. */
const legal = (base: State, state: State) => [...base.keys()].every((key) => state.has(key))

interface Moment {
  readonly state: State
  /** The moment Synapse would have taken as the base. */
  readonly parent: number | undefined
}

function imagineStates(shape: RoomShape, total: number, random: Random): Moment[] {
  const keyCount = shape.keys ?? 40
  const moments: Moment[] = [{ state: new Map(), parent: undefined }]
  let tips = [0]
  while (moments.length < total) {
    const now = moments.length
    const tip = random.pick(tips)
    const parent = shape.shape === 'forked' ? tip : now - 1
    const state = new Map(moments[parent]!.state)
    const event = eventId(random)
    if (shape.shape === 'initial') {
      state.set(stateKey('example.initial', `k${now}`), event)
    } else if (now > 1 && random.chance(shape.identical ?? 0)) {
      const earlier = moments[Math.max(0, now - 1 - random.below(20))]!
      moments.push({ state: earlier.state, parent })
      tips = [...tips, now].slice(-6)
      continue
    } else if (state.size > 3 && random.chance(shape.removals ?? 0)) {
      state.delete(random.pick([...state.keys()]))
    } else {
      state.set(keyName(random.below(keyCount), shape.awkward ?? false), event)
    }
    if (shape.shape === 'forked' && tips.length > 1 && random.chance(0.2)) {
      // Branches meet: what the other branch knows is taken over, this branch's own keys win.
      for (const [key, value] of moments[random.pick(tips)]!.state) if (!state.has(key)) state.set(key, value)
    }
    moments.push({ state, parent })
    tips =
      shape.shape === 'forked' && random.chance(0.4)
        ? [...tips, now].slice(-6)
        : [...tips.filter((t) => t !== tip), now]
  }
  return moments
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const eventId = (random: Random) => '$' + Array.from({ length: 43 }, () => alphabet[random.below(64)]).join('')

const oddKeys = [
  '',
  "it's",
  'tab\there',
  'back\\slash',
  '$$',
  '$tag$',
  'new\nline',
  '\\.',
  'ключ',
  '鍵',
  '🔑',
  '"',
  '%s',
  ' ',
]
function keyName(number: number, awkward: boolean): string {
  if (number === 0) return stateKey('m.room.create', '')
  if (awkward)
    return stateKey('example.odd', `${oddKeys[number % oddKeys.length]}${number < oddKeys.length ? '' : number}`)
  return number % 3 === 0 ? stateKey('example.key', `k${number}`) : stateKey('m.room.member', `@u${number}:example.org`)
}

/** Inserts a room as imagined; the sequence goes on after it. */
export async function insertRoom(session: Session, grown: GrownRoom): Promise<void> {
  const { room, groups } = grown
  await transaction(session, 'BEGIN', async () => {
    const event = (group: GrownGroup) => group.delta[0]?.[2] ?? `$empty${group.id}`
    await copyIn(session, 'state_groups (id, room_id, event_id)', function* () {
      for (const group of groups) yield [group.id, room, event(group)]
    })
    await copyIn(session, 'state_group_edges (state_group, prev_state_group)', function* () {
      for (const group of groups) if (group.base !== undefined) yield [group.id, group.base]
    })
    await copyIn(session, 'state_groups_state (state_group, room_id, type, state_key, event_id)', function* () {
      for (const group of groups) for (const row of group.delta) yield [group.id, room, ...row]
    })
    await copyIn(session, 'event_to_state_groups (event_id, state_group)', function* () {
      for (const group of groups) if (group.referenced) yield [`$message${group.id}`, group.id]
    })
    const tip = groups.at(-1)
    if (tip) {
      await session.execute('INSERT INTO event_forward_extremities (event_id, room_id) VALUES ($1, $2)', [
        `$message${tip.id}`,
        room,
      ])
    }
    await session.query(`SELECT setval('state_group_id_seq', greatest((SELECT max(id) FROM state_groups), 1))`)
  })
}

const escapes: Record<string, string> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }

async function copyIn(
  session: Session,
  into: string,
  rows: () => Iterable<readonly (string | number)[]>,
): Promise<void> {
  const text = function* () {
    let batch = ''
    for (const row of rows()) {
      batch += row.map((value) => String(value).replace(/[\\\t\n\r]/g, (sign) => escapes[sign]!)).join('\t') + '\n'
      if (batch.length > 256 * 1024) {
        yield batch
        batch = ''
      }
    }
    if (batch) yield batch
  }
  await pipeline(Readable.from(text()), session.client.query(copyFrom(`COPY ${into} FROM STDIN`)))
}

/** Ways in which stores were found broken. */
export type Damage =
  | 'dangling-base' // an edge to a group that is not there
  | 'phantom-base' // the same, but rows of the missing group are still there
  | 'base-not-older' // an edge to a younger group
  | 'cycle'
  | 'several-bases'
  | 'duplicate-key'
  | 'rows-without-group'
  | 'edge-without-group'
  | 'room-mismatch' // a row that names another room
  | 'event-without-group'

/** Breaks a room in one way, somewhere in its middle; returns the groups it broke (their own id, not of those built on them). */
export async function damageRoom(session: Session, grown: GrownRoom, damage: Damage): Promise<readonly number[]> {
  const { room, groups } = grown
  const middle = Math.floor(groups.length / 2)
  const victim = groups.slice(middle).find((group) => group.base !== undefined && group.delta.length > 0)
  if (!victim) throw new Error('the room is too small to be damaged')
  const { id, base } = victim
  const [type, key] = victim.delta[0]!
  const addRow = (group: number, ofRoom: string, ofKey: string) =>
    session.execute('INSERT INTO state_groups_state VALUES ($1, $2, $3, $4, $5)', [
      group,
      ofRoom,
      type,
      ofKey,
      '$damage',
    ])
  const addEdge = (group: number, to: number) =>
    session.execute('INSERT INTO state_group_edges (state_group, prev_state_group) VALUES ($1, $2)', [group, to])
  // No group of any room has it.
  const nowhere = 1_000_000_000 + id
  return transaction(session, 'BEGIN', async () => {
    switch (damage) {
      case 'dangling-base':
      case 'phantom-base': {
        const children = await session.query<[number]>(
          'SELECT state_group FROM state_group_edges WHERE prev_state_group = $1 ORDER BY 1',
          [base],
        )
        await session.execute('DELETE FROM state_groups WHERE id = $1', [base])
        await session.execute('DELETE FROM event_to_state_groups WHERE state_group = $1', [base])
        if (damage === 'dangling-base') {
          await session.execute('DELETE FROM state_groups_state WHERE state_group = $1', [base])
          await session.execute('DELETE FROM state_group_edges WHERE state_group = $1', [base])
        }
        return children.flat()
      }
      case 'base-not-older': {
        // A snapshot without children of its own, so that it makes no circle.
        const younger = groups.at(-1)!.id + 1
        await session.execute('INSERT INTO state_groups (id, room_id, event_id) VALUES ($1, $2, $3)', [
          younger,
          room,
          '$damage',
        ])
        await addRow(younger, room, key)
        await session.execute('UPDATE state_group_edges SET prev_state_group = $2 WHERE state_group = $1', [
          id,
          younger,
        ])
        await session.query(`SELECT setval('state_group_id_seq', (SELECT max(id) FROM state_groups))`)
        return [id]
      }
      case 'cycle':
        await session.execute('DELETE FROM state_group_edges WHERE state_group = $1', [base])
        await addEdge(base!, id)
        return [base!, id]
      case 'several-bases': {
        const other = groups.find((group) => group.id < id && group.id !== base)
        await addEdge(id, other!.id)
        return [id]
      }
      case 'duplicate-key':
        await addRow(id, room, key)
        return [id]
      case 'rows-without-group':
        await addRow(nowhere, room, key)
        return [nowhere]
      case 'edge-without-group':
        await addEdge(nowhere, id)
        return [nowhere]
      case 'room-mismatch':
        await addRow(id, '!elsewhere:example.org', `${key} of another room`)
        return [id]
      case 'event-without-group':
        await session.execute('INSERT INTO event_to_state_groups (event_id, state_group) VALUES ($1, $2)', [
          '$damage',
          nowhere,
        ])
        return [nowhere]
    }
  })
}
