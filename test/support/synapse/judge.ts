// Judges the state groups of a database, independently of the code under test: plain maps, plain loops, no shared parts.
import { createHash } from 'node:crypto'
import { transaction, type Session } from '../session.ts'
import { stateKey, type State } from './full-state.ts'

/** Group → fingerprint (SHA-256) of its full state, resolved as Synapse does on PostgreSQL; `cycle` where that never ends. */
export type Memory = ReadonlyMap<number, string>

export interface RoomMeasure {
  readonly groups: number
  readonly rows: number
  /** In edges: a snapshot has depth 0. */
  readonly maxDepth: number
  readonly meanDepth: number
}

interface Store {
  /** Group → room, ascending. */
  readonly groups: ReadonlyMap<number, string>
  readonly edges: ReadonlyMap<number, readonly number[]>
  readonly deltas: ReadonlyMap<number, readonly Row[]>
  readonly rooms: ReadonlyMap<string, readonly number[]>
}

interface Row {
  readonly key: number
  readonly event: string
  /** Of the key and the event. */
  readonly digest: Buffer
  readonly room: string
}

/** Remembers every group's full state; of large rooms, on request, only that of every n-th group. */
export async function rememberStates(session: Session, options: { readonly every?: number } = {}): Promise<Memory> {
  const every = options.every ?? 1
  const store = await readStore(session)
  const memory = new Map<number, string>()
  const children = new Map<number, number[]>()
  const ids = new Set([...store.groups.keys(), ...store.edges.keys(), ...[...store.edges.values()].flat()])
  const odd = oddGroups(store, ids)
  const roots: number[] = []
  for (const id of [...ids].sort((a, b) => a - b)) {
    if (odd.has(id)) continue
    const base = store.edges.get(id)?.[0]
    if (base === undefined) roots.push(id)
    else if (children.has(base)) children.get(base)!.push(id)
    else children.set(base, [id])
  }
  // Down each tree with one state: applied on the way in, taken back on the way out. `keys` keeps the keys in order.
  const state: (Buffer | undefined)[] = []
  for (const root of roots) {
    const stack: { id: number; undo: [number, Buffer | undefined][]; next: number }[] = []
    const enter = (id: number) => {
      const undo: [number, Buffer | undefined][] = []
      for (const row of store.deltas.get(id) ?? []) {
        undo.push([row.key, state[row.key]])
        state[row.key] = row.digest
      }
      if (store.groups.has(id) && id % every === 0) memory.set(id, fingerprint(state))
      stack.push({ id, undo, next: 0 })
    }
    enter(root)
    while (stack.length > 0) {
      const top = stack.at(-1)!
      const child = children.get(top.id)?.[top.next++]
      if (child !== undefined) {
        enter(child)
        continue
      }
      for (const [key, before] of top.undo.reverse()) state[key] = before
      stack.pop()
    }
  }
  for (const id of odd) {
    if (!store.groups.has(id) || id % every !== 0) continue
    const chain = ancestors(store, id)
    memory.set(id, chain ? fingerprint(resolve(store, chain)) : 'cycle')
  }
  return memory
}

/** How what is there now differs from what was remembered: groups with another state, groups that are gone, groups that are new. */
export function compareStates(
  before: Memory,
  after: Memory,
): { readonly changed: number[]; readonly gone: number[]; readonly added: number[] } {
  const ids = (memory: Memory) => [...memory.keys()].sort((a, b) => a - b)
  return {
    changed: ids(before).filter((id) => after.has(id) && after.get(id) !== before.get(id)),
    gone: ids(before).filter((id) => !after.has(id)),
    added: ids(after).filter((id) => !before.has(id)),
  }
}

/** What is wrong in the tables, each as `code group`. Empty for a sound database. */
export async function faults(session: Session): Promise<string[]> {
  const store = await readStore(session)
  const found: string[] = []
  const endless = endlessGroups(store)
  for (const [group, bases] of store.edges) {
    if (!store.groups.has(group)) found.push(`edge-without-group ${group}`)
    if (bases.length > 1) found.push(`several-bases ${group}`)
    for (const base of bases) {
      if (!store.groups.has(base)) found.push(`dangling-base ${group}`)
      else if (store.groups.has(group) && store.groups.get(base) !== store.groups.get(group)) {
        found.push(`base-of-another-room ${group}`)
      }
      if (base >= group) found.push(`base-not-older ${group}`)
    }
    if (endless.has(group)) found.push(`cycle ${group}`)
  }
  for (const [group, rows] of store.deltas) {
    if (new Set(rows.map(({ key }) => key)).size < rows.length) found.push(`duplicate-key ${group}`)
    if (!store.groups.has(group)) found.push(`rows-without-group ${group}`)
    else if (rows.some(({ room }) => room !== store.groups.get(group))) found.push(`room-mismatch ${group}`)
  }
  const references = await session.query<[number]>(
    `SELECT DISTINCT state_group FROM event_to_state_groups r
     WHERE NOT EXISTS (SELECT FROM state_groups g WHERE g.id = r.state_group)`,
  )
  for (const [group] of references) found.push(`event-without-group ${group}`)
  return found
}

/** Groups, rows and depth of each room. */
export async function measure(session: Session): Promise<Map<string, RoomMeasure>> {
  const store = await readStore(session)
  const measures = new Map<string, RoomMeasure>()
  const depths = new Map<number, number>()
  const depth = (group: number): number => {
    const path: number[] = []
    let at: number | undefined = group
    while (at !== undefined && !depths.has(at) && !path.includes(at)) {
      path.push(at)
      at = store.edges.get(at)?.at(-1)
    }
    let here = at === undefined ? -1 : (depths.get(at) ?? -1)
    for (const next of path.reverse()) depths.set(next, ++here)
    return depths.get(group)!
  }
  for (const [room, ids] of store.rooms) {
    const all = ids.map(depth)
    measures.set(room, {
      groups: ids.length,
      rows: ids.reduce((sum, id) => sum + (store.deltas.get(id)?.length ?? 0), 0),
      maxDepth: all.reduce((max, next) => Math.max(max, next), 0),
      meanDepth: all.reduce((sum, next) => sum + next, 0) / all.length,
    })
  }
  return measures
}

/** The fingerprint that `rememberStates` gives a group with this state. */
export function fingerprintOf(state: State): string {
  const keys = [...state.keys()].sort(byBytes)
  return fingerprint(keys.map((key) => digestOf(key, state.get(key)!)))
}

const digestOf = (key: string, event: string) => createHash('sha256').update(`${key}\0${event}`).digest()
const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** Of a state given as the digests of its rows in the order of their keys; holes are keys that are not set. */
function fingerprint(state: readonly (Buffer | undefined)[]): string {
  const hash = createHash('sha256')
  const rows = state.filter((digest) => digest !== undefined)
  hash.update(Buffer.concat(rows))
  return `${hash.digest('base64url').slice(0, 22)}:${rows.length}`
}

/** All groups whose rows Synapse would read for this one, or undefined where it would go round for ever. */
function ancestors(store: Store, group: number): Set<number> | undefined {
  const seen = new Set<number>()
  const path = new Set<number>()
  const stack: [number, number][] = [[group, 0]]
  while (stack.length > 0) {
    const [id, next] = stack.at(-1)!
    path.add(id)
    seen.add(id)
    const base = store.edges.get(id)?.[next]
    if (base === undefined) {
      path.delete(id)
      stack.pop()
      continue
    }
    stack.at(-1)![1]++
    if (path.has(base)) return undefined
    if (!seen.has(base)) stack.push([base, 0])
  }
  return seen
}

/** The groups whose chain comes round to where it was. */
function endlessGroups(store: Store): Set<number> {
  const bounded = new Set<number>()
  const endless = new Set<number>()
  for (const group of [...store.edges.keys()].sort((a, b) => a - b)) {
    // Lower ids are known by then: in a sound store every walk is one step long.
    const ends = (id: number) => bounded.has(id) || !store.edges.has(id)
    if (store.edges.get(group)!.every(ends) || ancestors(store, group)) bounded.add(group)
    else endless.add(group)
  }
  return endless
}

function resolve(store: Store, chain: ReadonlySet<number>): (Buffer | undefined)[] {
  const state: (Buffer | undefined)[] = []
  for (const id of [...chain].sort((a, b) => a - b)) {
    for (const row of store.deltas.get(id) ?? []) state[row.key] = row.digest
  }
  return state
}

/** Groups that have several edges or a base that is not older, and all that is built on one: their chain is no plain list. */
function oddGroups(store: Store, ids: ReadonlySet<number>): Set<number> {
  const odd = new Set<number>()
  for (const [group, bases] of store.edges) if (bases.length > 1 || bases[0]! >= group) odd.add(group)
  if (odd.size === 0) return odd
  for (let grown = true; grown;) {
    grown = false
    for (const id of ids) {
      if (odd.has(id) || !store.edges.get(id)?.some((base) => odd.has(base))) continue
      odd.add(id)
      grown = true
    }
  }
  return odd
}

/** Reads the tables in one snapshot. */
async function readStore(session: Session): Promise<Store> {
  return transaction(session, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', async () => {
    const groups = new Map(
      await session.query<[number, string]>('SELECT id, room_id FROM public.state_groups ORDER BY id'),
    )
    const rooms = new Map<string, number[]>()
    for (const [id, room] of groups) {
      if (rooms.has(room)) rooms.get(room)!.push(id)
      else rooms.set(room, [id])
    }
    const edges = new Map<number, number[]>()
    for (const [group, base] of await session.query<[number, number]>(
      'SELECT state_group, prev_state_group FROM public.state_group_edges ORDER BY 1, 2',
    )) {
      if (edges.has(group)) edges.get(group)!.push(base)
      else edges.set(group, [base])
    }
    const keys = new Map(
      (
        await session.query<[string, string]>(
          'SELECT type, state_key FROM public.state_groups_state GROUP BY 1, 2 ORDER BY type COLLATE "C", state_key COLLATE "C"',
        )
      ).map(([type, key], rank) => [stateKey(type, key), rank]),
    )
    const deltas = new Map<number, Row[]>()
    const digests = new Map<string, Buffer>()
    await session.query(
      `DECLARE judged NO SCROLL CURSOR FOR
       SELECT state_group, type, state_key, event_id, room_id FROM public.state_groups_state`,
    )
    for (;;) {
      const rows = await session.query<[number, string, string, string, string]>('FETCH 50000 FROM judged')
      if (rows.length === 0) break
      for (const [group, type, key, event, room] of rows) {
        const name = stateKey(type, key)
        const triple = `${name}\0${event}`
        let digest = digests.get(triple)
        if (digest === undefined) digests.set(triple, (digest = digestOf(name, event)))
        const row = { key: keys.get(name)!, event, digest, room }
        if (deltas.has(group)) deltas.get(group)!.push(row)
        else deltas.set(group, [row])
      }
    }
    return { groups, rooms, edges, deltas }
  })
}
