// A TCP proxy that understands PostgreSQL's protocol just enough to count its messages, and to cut or stall a connection at one.
// Promises: what is forwarded is forwarded byte for byte; a cut lets the server have exactly the messages that were forwarded.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { describeMessage, messagesOf, type Direction, type Message, type RawMessage } from './wire-messages.ts'

export type { Direction, Message } from './wire-messages.ts'

export interface Place {
  readonly direction: Direction
  /** Counted from 1, each direction for itself. */
  readonly message: number
}

export interface Cut extends Place {
  /**
   * `before`: the message is not forwarded. `after`: it is. `answered` (frontend only): it is forwarded and the server has carried
   * it out, up to its next ReadyForQuery, but the client sees nothing of that: a lost answer.
   */
  readonly when: 'before' | 'after' | 'answered'
}

export interface PendingCut {
  /** Whether the message has come and the connection was cut. */
  readonly done: boolean
  /** Resolves once the connection is cut. */
  readonly cut: Promise<Message>
}

export interface Stall {
  /** Resolves once the message has come and is being held back. */
  readonly reached: Promise<Message>
  resume(): void
}

export interface CuttingProxy extends AsyncDisposable {
  readonly port: number
  /** The same database, through the proxy. */
  url(databaseUrl: string): string
  /** What was counted, in order of arrival, both directions. */
  readonly messages: readonly Message[]
  /** Cuts once; later connections are left alone. */
  cut(cut: Cut): PendingCut
  /** Holds the message, and all that follow in its direction, back until `resume()`. */
  stall(place: Place): Stall
  /**
   * Forgets what was counted and counts from the first frontend message whose SQL text matches, on that connection only. Never
   * called: every message after start-up on every connection counts.
   */
  startCounting(pattern: RegExp): void
  /** Refuses new connections, as a server that is gone does, until called with false. */
  refuse(refuse: boolean): void
}

interface Armed {
  readonly cut: Cut
  readonly fired: (message: Message) => void
}

export async function startProxy(options: {
  readonly target: { readonly host: string; readonly port: number }
}): Promise<CuttingProxy> {
  const open = new Set<Link>()
  const messages: Message[] = []
  const numbers = { frontend: 0, backend: 0 }
  let armed: Armed | undefined
  let stalls: { readonly place: Place; readonly hold: (message: Message) => Promise<void> }[] = []
  let marker: RegExp | undefined
  let counted: Link | 'all' = 'all'
  let refusing = false

  /** Counts a message; undefined where it is not to be counted. */
  const count = (link: Link, raw: RawMessage): Message | undefined => {
    const described = describeMessage(raw)
    if (marker && raw.direction === 'frontend' && described.text !== undefined && marker.test(described.text)) {
      marker = undefined
      counted = link
    }
    if (marker || (counted !== 'all' && counted !== link)) return undefined
    const message = { ...described, number: ++numbers[raw.direction], connection: link.number }
    messages.push(message)
    return message
  }

  const handle = async (link: Link, raw: RawMessage): Promise<void> => {
    const message = raw.startup ? undefined : count(link, raw)
    const isAt = (place: Place) => message && place.direction === raw.direction && place.message === message.number
    if (message) {
      const held = stalls.filter(({ place }) => isAt(place))
      stalls = stalls.filter((stall) => !held.includes(stall))
      for (const stall of held) await stall.hold(message)
    }
    if (link.gone) return
    const due = armed && isAt(armed.cut) ? armed : undefined
    if (due) armed = undefined
    const cut = () => {
      link.cut()
      if (message) due?.fired(message)
    }
    if (due?.cut.when === 'before') return cut()
    if (due?.cut.when === 'answered') {
      link.swallow = cut
      return link.forward(raw, true)
    }
    if (raw.direction === 'backend' && link.swallow) {
      if (raw.type === 'Z') link.swallow()
      return
    }
    await link.forward(raw, due !== undefined)
    if (due) cut()
  }

  let connections = 0
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (refusing) return void client.resetAndDestroy()
    const link = new Link(client, options.target, ++connections)
    open.add(link)
    void Promise.all([link.pump('frontend', handle), link.pump('backend', handle)]).finally(() => {
      link.close()
      open.delete(link)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    port,
    messages,
    url(databaseUrl) {
      const url = new URL(databaseUrl)
      url.hostname = '127.0.0.1'
      url.port = String(port)
      return url.href
    },
    cut(cut) {
      let done = false
      const { promise, resolve } = Promise.withResolvers<Message>()
      armed = {
        cut,
        fired: (message) => {
          done = true
          resolve(message)
        },
      }
      return {
        get done() {
          return done
        },
        cut: promise,
      }
    },
    stall(place) {
      const reached = Promise.withResolvers<Message>()
      const resumed = Promise.withResolvers<void>()
      const hold = async (message: Message) => {
        reached.resolve(message)
        await resumed.promise
      }
      stalls.push({ place, hold })
      return { reached: reached.promise, resume: resumed.resolve }
    },
    startCounting(pattern) {
      messages.length = 0
      numbers.frontend = numbers.backend = 0
      // A pattern with the flag g or y would remember where it stopped.
      marker = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''))
      counted = 'all'
    },
    refuse(refuse) {
      refusing = refuse
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const link of open) link.close()
      await closed
    },
  }
}

/** One client's connection and its twin to the server. */
class Link {
  readonly number: number
  /** Set while the answer of a message is kept from the client: to be called at the end of that answer. */
  swallow: (() => void) | undefined
  gone = false
  readonly #sockets: Record<Direction, Socket>

  constructor(client: Socket, target: { readonly host: string; readonly port: number }, number: number) {
    this.number = number
    const server = connect({ ...target, allowHalfOpen: true, noDelay: true })
    this.#sockets = { frontend: client, backend: server }
    for (const socket of [client, server]) socket.on('error', () => {})
  }

  /** Reads one side message by message until it ends; then tells the other side. */
  async pump(direction: Direction, handle: (link: Link, raw: RawMessage) => Promise<void>): Promise<void> {
    const other = this.#sockets[direction === 'frontend' ? 'backend' : 'frontend']
    try {
      for await (const raw of messagesOf(this.#sockets[direction], direction)) {
        // After a cut the server's last words are read and dropped: unread, they would turn the end of the connection into a reset.
        if (!this.gone) await handle(this, raw)
      }
      other.end()
    } catch {
      // After a cut the server's side stays open until the server has read all and closed it.
      if (!this.gone) this.close()
    }
  }

  /** `flushed`: wait until the system has taken it over, not only where the other side is slow. */
  async forward(raw: RawMessage, flushed: boolean): Promise<void> {
    const to = this.#sockets[raw.direction === 'frontend' ? 'backend' : 'frontend']
    const { promise, resolve } = Promise.withResolvers<void>()
    const room = to.write(raw.bytes, () => resolve())
    if (flushed || !room) await promise
  }

  /** The client loses its connection at once; the server reads what it was sent, and then the end. */
  cut(): void {
    this.gone = true
    this.#sockets.backend.end()
    this.#sockets.frontend.destroySoon()
  }

  close(): void {
    this.gone = true
    this.#sockets.frontend.destroy()
    this.#sockets.backend.destroy()
  }
}
