// What the sqlite3 shell prints, read back: rows of SQL literals (`.mode quote`) and its messages about errors.
import type { Outcome, Typed } from './hosts.ts'

const literals = /'((?:[^']|'')*)'|X'([0-9a-f]*)'|(NULL)|([-+]?(?:Inf|[0-9][-+.e0-9]*))/iy

/** Rows of literals with commas between them. */
export function shellRows(text: string): readonly (readonly Typed[])[] {
  // A plan it draws as a tree in every mode.
  if (text.startsWith('QUERY PLAN\n'))
    return text
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((step) => [step])
  const rows: Typed[][] = []
  let row: Typed[] = []
  for (let at = 0; at < text.length; at++) {
    literals.lastIndex = at
    const found = literals.exec(text)
    if (found === null) throw new Error(`no row of literals at ${at}: ${text}`)
    row.push(value(found))
    at = literals.lastIndex
    if (text[at] === ',') continue
    if (text[at] !== '\n') throw new Error(`no row of literals at ${at}: ${text}`)
    rows.push(row)
    row = []
  }
  return rows
}

function value([, text, bytes, none, number]: RegExpExecArray): Typed {
  if (text !== undefined) return text.replaceAll("''", "'")
  if (bytes !== undefined) return new Uint8Array(Buffer.from(bytes, 'hex'))
  if (none !== undefined) return null
  if (/^[-+]?\d+$/.test(number!)) return BigInt(number!)
  return Number(number!.replace('Inf', 'Infinity'))
}

/** The errors by the line on which their statement starts. Errors that SQLite finds while compiling are of kind 1. */
export function shellErrors(text: string): ReadonlyMap<number, Outcome> {
  const errors = new Map<number, Outcome>()
  const heads = [...text.matchAll(/^(Runtime|Parse) error near line (\d+): /gm)]
  heads.forEach((head, i) => {
    const message = text.slice(head.index + head[0].length, heads[i + 1]?.index).trimEnd()
    const code = /^([^]*) \((\d+)\)$/.exec(message)
    errors.set(Number(head[2]), { error: code?.[1] ?? message, kind: Number(code?.[2] ?? 1) & 0xff })
  })
  return errors
}
