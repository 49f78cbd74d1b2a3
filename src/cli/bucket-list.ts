// The list of buckets that `--buckets` takes, as the service's own compact does; commas within a bucket's parameters do not split it.

/**
 * Full names of buckets, separated by commas. Empty text is an empty list.
 * @throws Error for what cannot be a full name, as the service refuses it
 */
export function bucketList(text: string): readonly string[] {
  if (text.trim() === '') return []
  return splitAtCommas(text).map((part) => {
    const name = part.trim()
    if (name === '') throw new Error('there is nothing between two of its commas')
    if (/^postgres(ql)?:\/\//i.test(name)) throw new Error('a connection was given where buckets belong')
    if (!name.includes('['))
      throw new Error(
        'it takes full names of buckets, which have their parameters in [ ]; a whole definition is named by --definition',
      )
    return name
  })
}

/** Brackets and the JSON strings within them hold a name together. */
function splitAtCommas(text: string): string[] {
  const parts: string[] = []
  let from = 0
  let depth = 0
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (quoted) {
      if (character === '\\') at++
      else if (character === '"') quoted = false
    } else if (character === '"' && depth > 0) quoted = true
    else if (character === '[') depth++
    else if (character === ']') depth = Math.max(0, depth - 1)
    else if (character === ',' && depth === 0) {
      parts.push(text.slice(from, at))
      from = at + 1
    }
  }
  if (depth > 0)
    throw new Error('a bracket or a quotation mark of it is not closed; in a shell it belongs in single quotes')
  return [...parts, text.slice(from)]
}
