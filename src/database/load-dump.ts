// Loads a plain pg_dump (SQL with COPY blocks; .br, .gz and .zst are unpacked) without psql.
// Promises: the rows are streamed in large buffers, memory does not grow with the dump, nothing but SQL is executed.
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createBrotliDecompress, createGunzip, createZstdDecompress } from 'node:zlib'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { TampError } from '../core/errors.ts'

// Row-wise writes cost a hundred times the CPU.
const copyBufferCharacters = 256 * 1024

/**
 * Executes the dump in `file` on the connection, which should be a database of its own without these tables.
 * Returns the number of rows copied in. Statements between COPY blocks go to the server together, as one transaction.
 * Throws a TampError (`failed`) for a file that is not a plain dump, or that the server refuses.
 */
export async function loadDump(
  client: pg.ClientBase,
  file: string | URL,
  options: { readonly signal?: AbortSignal } = {},
): Promise<number> {
  const lines = readLines(file)
  let rows = 0
  let statements: string[] = []
  const flush = async () => {
    const text = statements.join('\n')
    statements = []
    if (text.trim() !== '') await client.query(text)
  }
  try {
    for (;;) {
      options.signal?.throwIfAborted()
      const next = await lines.next()
      if (next.done) break
      const line = next.value
      if (/^COPY .* FROM stdin;$/.test(line)) {
        await flush()
        const copy = client.query(copyFrom(line.slice(0, -1)))
        await pipeline(Readable.from(copyBlock(lines)), copy, options.signal ? { signal: options.signal } : {})
        rows += copy.rowCount
      } else if (/^\\(un)?restrict /.test(line)) {
        // Only tells psql to obey no further commands inside the dump.
      } else if (line.startsWith('\\')) {
        throw new TampError('failed', `The dump holds a psql command that tamp does not know: ${line.slice(0, 40)}`, {
          hint: 'Only plain SQL dumps of one database can be loaded (pg_dump --format=plain, without --create).',
        })
      } else {
        statements.push(line)
      }
    }
    await flush()
  } catch (error) {
    if (error instanceof TampError || options.signal?.aborted) throw error
    throw new TampError('failed', `The dump could not be loaded: ${(error as Error).message}`, {
      hint: 'Load it into an empty database.',
      cause: error,
    })
  } finally {
    await lines.return(undefined)
  }
  return rows
}

/** The rows of one COPY block, up to its end mark, in large pieces. */
async function* copyBlock(lines: AsyncGenerator<string, void>): AsyncGenerator<string, void> {
  let batch: string[] = []
  let characters = 0
  for (;;) {
    const { value: line, done } = await lines.next()
    if (done) throw new TampError('failed', 'The dump ends in the middle of a table; the file is cut short.')
    if (line === '\\.') break
    batch.push(line)
    characters += line.length + 1
    if (characters >= copyBufferCharacters) {
      yield batch.join('\n') + '\n'
      batch = []
      characters = 0
    }
  }
  if (batch.length > 0) yield batch.join('\n') + '\n'
}

async function* readLines(file: string | URL): AsyncGenerator<string, void> {
  const name = typeof file === 'string' ? file : file.pathname
  const packed = createReadStream(file)
  const unpack = name.endsWith('.br')
    ? createBrotliDecompress()
    : name.endsWith('.gz')
      ? createGunzip()
      : name.endsWith('.zst')
        ? createZstdDecompress()
        : undefined
  const text = unpack ? packed.pipe(unpack) : packed
  // pipe() does not pass errors on.
  if (unpack) packed.on('error', (error) => unpack.destroy(error))
  text.setEncoding('utf8')
  let rest = ''
  try {
    for await (const chunk of text as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield line
    }
    if (rest !== '') yield rest
  } finally {
    packed.destroy()
  }
}
