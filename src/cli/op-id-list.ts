// Op ids behind an option: a list, or a file that holds one.
import { readFileSync } from 'node:fs'
import { nameOf } from './option-values.ts'

/**
 * Ascending, each once.
 * @param text op ids separated by commas, or the path of a file with op ids separated by commas, spaces or line ends
 */
export function opIds(text: string): readonly number[] {
  const list = /^[\d,\s]+$/.test(text) ? text : readList(nameOf('a list or file of op ids')(text))
  const words = list.split(/[\s,]+/).filter((word) => word !== '')
  const ids = words.map(Number)
  if (ids.length > 0 && words.every((word) => /^\d{1,16}$/.test(word)) && ids.every(Number.isSafeInteger))
    return [...new Set(ids)].sort((a, b) => a - b)
  throw new Error('it holds something else than op ids with commas between them, or nothing')
}

function readList(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is no such file' : `that file cannot be read (${code})`
    throw new Error(`it is no list of op ids, and ${why}`, { cause: error })
  }
}
