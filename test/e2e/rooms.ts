// Makes rooms on a homeserver over HTTP, of the shapes that state groups come in, and goes on using them.
import { seeded, type Random } from '../support/synapse/random.ts'
import { userId, type Homeserver } from './homeserver.ts'

/** Who makes the rooms, and is in all of them. */
const creator = 'creator'
const type = 'e2e.key'

export class Rooms {
  readonly #server: Homeserver
  readonly #random: Random
  readonly #registered = new Map<string, Promise<void>>()
  readonly #inside = new Map<string, Set<string>>()
  #serial = 0
  /** How long the slowest of the events took to send, in milliseconds. */
  slowest = 0

  constructor(server: Homeserver, seed: number) {
    this.#server = server
    this.#random = seeded(seed)
  }

  /** With so much initial state, which is one chain without a snapshot, as deep as there are events. */
  async make(initialState = 0): Promise<string> {
    await this.#register(creator)
    const state = Array.from({ length: initialState }, (_, i) => ({ type, state_key: `key ${i}`, content: { i } }))
    const options = { preset: 'public_chat', initial_state: state }
    return (await this.#server.call(creator, 'POST', '/createRoom', options)).room_id
  }

  /** Sends state, `atOnce` events at a time: more than one makes forks, which the server resolves. */
  async setStates(room: string, events: number, keys: number, atOnce = 1): Promise<void> {
    await this.#each(events, atOnce, () => this.setState(room, `key ${this.#random.below(keys)}`))
  }

  /** Answers the id of the event. */
  async setState(room: string, key: string): Promise<string> {
    // A state event that is equal to the current one makes no event.
    const content = { serial: this.#serial++ }
    return (await this.#send(creator, 'PUT', `/rooms/${part(room)}/state/${type}/${part(key)}`, content)).event_id
  }

  async join(room: string, user: string): Promise<void> {
    await this.#register(user)
    await this.#send(user, 'POST', `/join/${part(room)}`, {})
  }

  async members(room: string, count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.join(room, `member${i}`)
  }

  /** Users join, leave, change their names and say something, `atOnce` of them at a time. */
  async churn(room: string, steps: number, users: number, atOnce: number): Promise<void> {
    const inside = this.#inside.get(room) ?? new Set()
    this.#inside.set(room, inside)
    const busy = new Set<string>()
    await this.#each(steps, atOnce, async (i) => {
      let user: string
      do user = `user${this.#random.below(users)}`
      while (busy.has(user))
      busy.add(user)
      try {
        const what = inside.has(user) ? this.#random.below(10) : -1
        if (what < 0) {
          await this.join(room, user)
          inside.add(user)
        } else if (what < 4) {
          await this.#send(user, 'POST', `/rooms/${part(room)}/leave`, {})
          inside.delete(user)
        } else if (what < 8) {
          const member = { membership: 'join', displayname: `name ${i} ${this.#serial++}` }
          await this.#send(user, 'PUT', `/rooms/${part(room)}/state/m.room.member/${part(userId(user))}`, member)
        } else await this.say(room, user)
      } finally {
        busy.delete(user)
      }
    })
  }

  async say(room: string, user: string): Promise<void> {
    const path = `/rooms/${part(room)}/send/m.room.message/e2e${this.#serial++}`
    await this.#send(user, 'PUT', path, { msgtype: 'm.text', body: 'something' })
  }

  /** The full state at an event, as `type, key, event id` lines in order. */
  async stateAt(room: string, event: string): Promise<string[]> {
    const context = await this.#server.call(creator, 'GET', `/rooms/${part(room)}/context/${part(event)}?limit=0`)
    return lines(context.state)
  }

  async currentState(room: string, user = creator): Promise<string[]> {
    return lines(await this.#server.call(user, 'GET', `/rooms/${part(room)}/state`))
  }

  async #send(user: string, method: string, path: string, body: object): Promise<any> {
    const start = performance.now()
    const answer = await this.#server.call(user, method, path, body)
    this.slowest = Math.max(this.slowest, performance.now() - start)
    return answer
  }

  #register(user: string): Promise<void> {
    let registered = this.#registered.get(user)
    if (registered === undefined) this.#registered.set(user, (registered = this.#server.register(user)))
    return registered
  }

  async #each(count: number, atOnce: number, work: (i: number) => Promise<unknown>): Promise<void> {
    let next = 0
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (next < count) await work(next++)
      }),
    )
  }
}

export const part = encodeURIComponent

function lines(state: readonly { type: string; state_key: string; event_id: string }[]): string[] {
  return state.map((event) => `${event.type}\t${event.state_key}\t${event.event_id}`).sort()
}
