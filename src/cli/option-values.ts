// What may stand behind an option, parsed; what may not is refused in one sentence. A connection string in the wrong place is never quoted.

/** A value as it may be repeated in a message: nothing in it can be a password. */
export function shown(value: string): string {
  return /^[\p{L}\p{N}!_.,:%+-]{1,40}$/u.test(value) && !value.includes('//') ? `"${value}"` : 'the value given'
}

/** A whole number of at least `least`. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN
    if (value >= least && value <= most) return value
    const range = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${most}`
    throw new Error(`${shown(text)} is not a whole number ${range}`)
  }
}

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3600, d: 86_400 }

/** Seconds of a time such as `90s`, `45m`, `2h`, `1h30m`, `1.5h`, `2d`. */
export function seconds(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(min|[smhd])/g)]
  const whole = parts.map(([part]) => part).join('')
  const sum = parts.reduce((total, [, number, unit]) => total + Number(number) * secondsOf[unit!]!, 0)
  if (whole !== '' && whole === text && sum > 0) return sum
  const hint = /^\d+(\.\d+)?$/.test(text) ? `; did you mean ${text}s or ${text}m?` : ', such as 90s, 45m, 2h or 1h30m'
  throw new Error(`${shown(text)} is not a time with its unit${hint}`)
}

/** A share of the time, above 0 and at most 1. */
export function share(text: string): number {
  const value = /^(\d+(\.\d*)?|\.\d+)$/.test(text) ? Number(text) : NaN
  if (value > 0 && value <= 1) return value
  throw new Error(`${shown(text)} is not a number above 0 and at most 1, such as 0.5`)
}

/** Level sizes, lowest level first: `100,50,25`. */
export function levels(text: string): readonly number[] {
  const sizes = text.split(',').map((part) => (/^\d{1,9}$/.test(part.trim()) ? Number(part) : 0))
  if (sizes.every((size) => size > 0)) return sizes
  throw new Error(`${shown(text)} is not a list of whole numbers above 0, such as 100,50,25`)
}

/** Group ids, both ends included: `1000..2000`, `1000..`, `..2000`. */
export function groupRange(text: string): { readonly from?: number; readonly to?: number } {
  const match = /^(\d{0,15})\.\.(\d{0,15})$/.exec(text)
  const [from, to] = [match?.[1], match?.[2]]
  if (from === undefined || to === undefined || (from === '' && to === ''))
    throw new Error(`${shown(text)} is not a range of group ids, such as 1000..2000, 1000.. or ..2000`)
  if (from !== '' && to !== '' && Number(from) > Number(to))
    throw new Error(`the range ${shown(text)} ends before it begins`)
  return { ...(from === '' ? {} : { from: Number(from) }), ...(to === '' ? {} : { to: Number(to) }) }
}

/** A connection string. Not looked into here: the library knows how. */
export function connectionString(text: string): string {
  if (text.trim() === '') throw new Error('it is empty')
  return text
}

/** A file, a room or another name. A connection string that slipped into the wrong place is refused, unseen. */
export function nameOf(what: string): (text: string) => string {
  return (text) => {
    if (text === '') throw new Error('it is empty')
    if (/^postgres(ql)?:\/\//i.test(text)) throw new Error(`a connection was given where ${what} belongs`)
    return text
  }
}

/** A text that may hold a password: never quoted. */
export function secret(text: string): string {
  if (text.trim() === '') throw new Error('it is empty')
  return text
}

/** The name of a PostgreSQL schema. */
export function schemaName(text: string): string {
  const name = nameOf('a schema')(text)
  if (Buffer.byteLength(name) <= 63 && !name.includes('\0')) return name
  throw new Error('it is too long for a name of PostgreSQL')
}

/** Seconds of a time, or none at all: `0`. */
export function secondsOrNone(text: string): number {
  return /^0[smhd]?$/.test(text) ? 0 : seconds(text)
}

const bytesOf: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

/** Bytes of a size such as `500kB`, `10MB`, `1.5 GB`, `20000`; units are PostgreSQL's, multiples of 1024. */
export function byteSize(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?) ?(?:([kmgt])i?b?|b|bytes)?$/i.exec(text) ?? []
  const value = number === undefined ? NaN : Math.round(Number(number) * bytesOf[unit.toLowerCase()]!)
  if (Number.isSafeInteger(value)) return value
  throw new Error(`${shown(text)} is not a size, such as 500kB, 10MB or 1GB`)
}

/** Operations for each live row: 1 or more. */
export function ratio(text: string): number {
  const value = /^\d+(\.\d*)?$/.test(text) ? Number(text) : NaN
  if (value >= 1) return value
  throw new Error(`${shown(text)} is not a number of 1 or more, such as 1.5`)
}
