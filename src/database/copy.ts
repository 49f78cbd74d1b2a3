// COPY out of a query as it streams: text format, in the pieces the network brings, lines cut anywhere.
import pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import type { Connection } from './postgres.ts'

/** Runs `COPY (query) TO STDOUT` and hands on its bytes. @returns how many bytes came */
export async function copyOut(
  connection: Connection,
  query: string,
  take: (bytes: Uint8Array) => void,
): Promise<number> {
  const stream = connection.client.query(copyTo(`COPY (${query}) TO STDOUT`))
  let bytes = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length
      take(chunk)
    }
  } catch (error) {
    // Where it was not the server that ended the COPY, the rest of it is still to come: nothing else could use the connection.
    if (!(error instanceof pg.DatabaseError)) connection.abandon()
    throw error
  }
  return bytes
}

const newline = 10

/** Cuts bytes that come in pieces into lines. */
export function eachLine(visit: (bytes: Uint8Array, from: number, end: number) => void): (chunk: Uint8Array) => void {
  let carry: Uint8Array = new Uint8Array(0)
  return (chunk) => {
    let bytes = chunk
    if (carry.length > 0) {
      bytes = new Uint8Array(carry.length + chunk.length)
      bytes.set(carry)
      bytes.set(chunk, carry.length)
    }
    let at = 0
    for (;;) {
      const end = bytes.indexOf(newline, at)
      if (end < 0) break
      visit(bytes, at, end)
      at = end + 1
    }
    carry = bytes.slice(at)
  }
}

const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

/** The value of one column of COPY's text format (not null). */
export function unescapeCopy(column: string): string {
  if (!column.includes('\\')) return column
  return column.replace(/\\(.)/gs, (_, letter: string) => escapes[letter] ?? letter)
}
