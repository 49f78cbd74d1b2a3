// Configuration files of other programs, in YAML. No error quotes them: they hold passwords.
import { readFileSync } from 'node:fs'
import { LineCounter, parseAllDocuments } from 'yaml'
import type { DocumentOptions, ParseOptions, SchemaOptions } from 'yaml'
import { TampError } from '../core/errors.ts'

export type Mapping = Readonly<Record<string, unknown>>

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The text of a file. @param hint what belongs there @throws TampError `usage` */
export function readConfigFile(file: string, hint: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const why = code === 'ENOENT' ? 'does not exist' : code === 'EISDIR' ? 'is a directory' : `cannot be read (${code})`
    throw new TampError('usage', `${file} ${why}.`, { hint })
  }
}

/**
 * Its documents, as values. Keys that stand twice count the last time.
 * @param what the file, as it is called in an error
 * @throws TampError `usage`
 */
export function parseYaml(
  text: string,
  what: string,
  hint: string,
  options: ParseOptions & DocumentOptions & SchemaOptions,
): unknown[] {
  const lineCounter = new LineCounter()
  // Messages of the library quote the file, so of its errors only the line is used.
  const broken = (offset: number | undefined): TampError =>
    new TampError(
      'usage',
      `${what} cannot be read as YAML${offset === undefined ? '' : ` (line ${lineCounter.linePos(offset).line})`}.`,
      { hint },
    )
  const documents = parseAllDocuments(text, {
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'silent',
    lineCounter,
    ...options,
  })
  return [...documents].map((document) => {
    if (document.errors.length > 0) throw broken(document.errors[0]!.pos[0])
    try {
      return document.toJS() as unknown
    } catch {
      throw broken(undefined)
    }
  })
}
