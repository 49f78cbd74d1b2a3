// Takes a PostgreSQL byte stream (protocol 3) apart into its messages, and says what each of them is.
import type { Socket } from 'node:net'

/** `frontend`: sent by the client. `backend`: sent by the server. */
export type Direction = 'frontend' | 'backend'

/** A message as it came. `startup` is set for what comes before the connection is ready for messages with a type. */
export interface RawMessage {
  readonly direction: Direction
  readonly startup: boolean
  readonly type: string
  readonly bytes: Buffer
}

export interface Message {
  readonly direction: Direction
  /** Counted from 1, each direction for itself. */
  readonly number: number
  /** Counted from 1. */
  readonly connection: number
  /** The type byte, as a letter. */
  readonly type: string
  readonly name: string
  /** SQL of Query and Parse, tag of CommandComplete, text of errors and notices. */
  readonly text: string | undefined
}

const names: Record<Direction, Record<string, string>> = {
  frontend: {
    B: 'Bind',
    C: 'Close',
    D: 'Describe',
    E: 'Execute',
    F: 'FunctionCall',
    H: 'Flush',
    P: 'Parse',
    Q: 'Query',
    S: 'Sync',
    X: 'Terminate',
    c: 'CopyDone',
    d: 'CopyData',
    f: 'CopyFail',
    p: 'Password',
  },
  backend: {
    '1': 'ParseComplete',
    '2': 'BindComplete',
    '3': 'CloseComplete',
    A: 'Notification',
    C: 'CommandComplete',
    D: 'DataRow',
    E: 'Error',
    G: 'CopyInResponse',
    H: 'CopyOutResponse',
    I: 'EmptyQuery',
    K: 'BackendKeyData',
    N: 'Notice',
    R: 'Authentication',
    S: 'ParameterStatus',
    T: 'RowDescription',
    Z: 'ReadyForQuery',
    c: 'CopyDone',
    d: 'CopyData',
    n: 'NoData',
    s: 'PortalSuspended',
    t: 'ParameterDescription',
    v: 'NegotiateProtocol',
  },
}

const sslRequest = 80877103
const gssRequest = 80877104

/** The messages of one direction of a connection. Packets before and during authentication have `startup` set. */
export async function* messagesOf(socket: Socket, direction: Direction): AsyncGenerator<RawMessage, void> {
  let rest: Buffer = Buffer.alloc(0)
  // The client's first packets have no type byte; the server answers a request for encryption with one bare letter.
  let untyped = direction === 'frontend'
  let first = direction === 'backend'
  let ready = false
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (;;) {
      let length: number
      let type = ''
      // An authentication message (R), an error (E) and a version note (v) have a type; N or S is the bare answer.
      const answer = first && rest.length > 0 && 'NSG'.includes(String.fromCharCode(rest[0]!))
      if (answer) {
        if (rest[0] !== 0x4e) throw new Error('the proxy cannot look into an encrypted connection')
        length = 1
      } else if (untyped) {
        if (rest.length < 8) break
        length = rest.readInt32BE(0)
      } else {
        if (rest.length < 5) break
        type = String.fromCharCode(rest[0]!)
        length = 1 + rest.readInt32BE(1)
      }
      if (rest.length < length) break
      const bytes = rest.subarray(0, length)
      rest = rest.subarray(length)
      if (untyped) {
        const code = bytes.readInt32BE(4)
        untyped = code === sslRequest || code === gssRequest
        yield { direction, startup: true, type: '', bytes }
      } else {
        if (!answer) first = false
        // Of the start, passwords are the client's only typed messages; the server's end with its first ReadyForQuery.
        const startup = direction === 'frontend' ? type === 'p' : !ready
        if (type === 'Z') ready = true
        yield { direction, startup, type, bytes }
      }
    }
  }
}

export function describeMessage(raw: RawMessage): Omit<Message, 'number' | 'connection'> {
  const { direction, type } = raw
  return { direction, type, name: names[direction][type] ?? type, text: textOf(raw) }
}

function textOf({ direction, type, bytes }: RawMessage): string | undefined {
  const strings = () => bytes.toString('utf8', 5).split('\0')
  if (direction === 'frontend') {
    if (type === 'Q') return strings()[0]
    // The statement's name comes first.
    if (type === 'P') return strings()[1]
    return undefined
  }
  if (type === 'C') return strings()[0]
  if (type === 'E' || type === 'N') {
    const fields = new Map(strings().map((field) => [field[0], field.slice(1)]))
    return `${fields.get('C')} ${fields.get('M')}`
  }
  return undefined
}
